"""Regions as CSV and COCO JSON, and overlays."""

import copy
import csv
import json
import math

import numpy as np
import pytest
from skimage.io import imread

from sk_ssimae.cli._regions import COLUMNS, encode


def decode(segmentation):
    """Decode run lengths as COCO defines them, pixel by pixel."""
    height, width = segmentation["size"]
    pixels, inside = [], False
    for n_pixels in segmentation["counts"]:
        pixels += [inside] * n_pixels
        inside = not inside
    assert len(pixels) == height * width
    return np.array(pixels).reshape(width, height).T


def read_csv(out):
    with (out / "regions.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("seed", range(20))
def test_run_lengths_describe_the_region(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 9, 2))
    mask = rng.random(shape) < rng.choice([0.2, 0.5, 0.9, 1])
    mask[rng.integers(shape[0]), rng.integers(shape[1])] = True
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    counts = encode(box, rows[0], columns[0], shape)
    assert all(n > 0 for n in counts[1:])
    size = [int(n) for n in shape]
    np.testing.assert_array_equal(decode({"size": size, "counts": counts}), mask)


def test_pycocotools_decodes_the_region():
    reason = "decode above follows the same definition"
    coco = pytest.importorskip("pycocotools.mask", reason=reason)
    mask = np.random.default_rng(0).random((13, 17)) < 0.4
    mask[0, 0] = mask[-1, -1] = True
    counts = encode(mask, 0, 0, mask.shape)
    encoded = coco.frPyObjects({"size": list(mask.shape), "counts": counts}, *mask.shape)
    np.testing.assert_array_equal(coco.decode(encoded), mask)
    assert coco.area(encoded) == mask.sum()


@pytest.fixture(scope="module")
def level(segmenter, folders):
    """Between the levels of the model and the scores of the defects."""
    maps = segmenter.decision_function(sorted(folders.defective.iterdir()))
    return float(np.quantile(maps, 0.95))


@pytest.fixture(scope="module")
def out(run, model, folders, tmp_path_factory, level):
    out = tmp_path_factory.mktemp("regions") / "out"
    given = ["predict", model, folders.defective, "-o", out]
    result = run(*given, f"--threshold={level}", "--overlays")
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture(scope="module")
def tables(segmenter, folders, level):
    segmenter = copy.copy(segmenter).set_params(threshold=level)
    return segmenter.find_regions(sorted(folders.defective.iterdir()))


def test_regions_are_those_of_the_estimator(out, tables, folders, level):
    assert json.loads((out / "run.json").read_text())["threshold"] == level
    rows = read_csv(out)
    assert tuple(rows[0]) == COLUMNS
    expected = [
        (str(folders.defective / f"{index}.png"), str(index), region)
        for index, table in enumerate(tables)
        for region in table
    ]
    assert len(rows) == len(expected) > 4
    for row, (file, name, region) in zip(rows, expected, strict=True):
        assert (row["file"], row["name"]) == (file, name)
        for column in COLUMNS[2:]:
            assert float(row[column]) == pytest.approx(region[column], rel=1e-6)


def test_coco_contains_every_region(out, tables):
    coco = json.loads((out / "coco.json").read_text())
    assert [category["name"] for category in coco["categories"]] == ["defect"]
    assert [image["id"] for image in coco["images"]] == [1, 2, 3, 4]
    assert [a["id"] for a in coco["annotations"]] == [*range(1, sum(map(len, tables)) + 1)]
    masks = {}
    for annotation in coco["annotations"]:
        image = coco["images"][annotation["image_id"] - 1]
        assert annotation["segmentation"]["size"] == [image["height"], image["width"]]
        mask = decode(annotation["segmentation"])
        assert annotation["area"] == mask.sum()
        rows, columns = np.nonzero(mask)
        left, top, width, height = annotation["bbox"]
        assert (left, top) == (columns.min(), rows.min())
        assert (left + width, top + height) == (columns.max() + 1, rows.max() + 1)
        whole = masks.setdefault(image["name"], np.zeros_like(mask))
        assert not (whole & mask).any()
        whole |= mask
        assert annotation["category_id"] == 1
        assert annotation["iscrowd"] == 0
    for name, mask in masks.items():
        np.testing.assert_array_equal(imread(out / "masks" / f"{name}.png"), 255 * mask)


def test_overlays_outline_the_regions(out, folders):
    for path in folders.defective.iterdir():
        picture = imread(out / "overlays" / path.name)
        mask = imread(out / "masks" / path.name) > 0
        image = imread(path)
        assert picture.shape == (*image.shape, 3)
        is_red = (picture == (227, 26, 28)).all(axis=-1)
        assert is_red.any() == mask.any()
        # Outlines lie around the regions, so that marked pixels stay visible but for the numbers.
        touching = np.zeros_like(mask)
        touching[1:] |= mask[:-1]
        touching[:-1] |= mask[1:]
        assert is_red[touching & ~mask].mean() > 0.5 or not mask.any()


def test_a_level_without_defects_leaves_no_regions(run, model, folders, tmp_path):
    out = tmp_path / "out"
    result = run("predict", model, folders.defective, "-o", out, "--threshold=1e6")
    assert result.exit_code == 0
    assert "4 images, 0 defective." in result.stdout
    assert read_csv(out) == []
    coco = json.loads((out / "coco.json").read_text())
    assert (len(coco["images"]), coco["annotations"]) == (4, [])
    # The outputs of one threshold are not mixed with those of another.
    refused = run("predict", model, folders.defective, "-o", out)
    assert refused.exit_code == 1
    assert "contains outputs of another threshold, 1000000.0" in refused.stderr


def test_regions_of_all_runs_are_merged(run, model, folders, tmp_path, level):
    out = tmp_path / "out"
    option = f"--threshold={level}"
    first, *rest = sorted(folders.defective.iterdir())
    assert run("predict", model, first, "-o", out, option).exit_code == 0
    of_first = read_csv(out)
    assert run("predict", model, *rest, "-o", out, option).exit_code == 0
    assert read_csv(out)[: len(of_first)] == of_first
    assert [row["name"] for row in read_csv(out)] == sorted(row["name"] for row in read_csv(out))
    assert len(json.loads((out / "coco.json").read_text())["images"]) == 4
    # With --overlays, complete images are computed again because a picture is missing.
    assert run("predict", model, first, "-o", out, option, "--overlays").exit_code == 0
    assert [path.name for path in (out / "overlays").iterdir()] == ["0.png"]
    # Files that were changed are named.
    (out / "regions" / "1.json").write_text('{"images": [{}], "annotations": [{}]}')
    (out / "regions" / "2.json").unlink()
    result = run("predict", model, first, "-o", out, option)
    assert result.exit_code == 0
    assert "lack 2 images of earlier runs" in result.stderr
    assert ": 1, 2. Delete" in result.stderr
    assert {row["name"] for row in read_csv(out)} <= {"0", "3"}
    # --overwrite removes everything.
    assert run("predict", model, first, "-o", out, "--overwrite").exit_code == 0
    assert {path.name for path in out.rglob("*.json")} == {
        *("0.json", "coco.json", "run.json", "scale.json")
    }
    assert list((out / "overlays").iterdir()) == []


@pytest.mark.parametrize("name", ["regions.csv", "coco.json"])
@pytest.mark.parametrize("options", [[], ["--overwrite"]])
def test_foreign_files_are_kept(run, model, folders, tmp_path, name, options):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("mine")
    given = ["predict", model, folders.good, "-o", out, *options]
    refused = run(*given)
    assert refused.exit_code == 1
    assert f"contains {name} but no run.json" in refused.stderr
    (out / name).unlink()
    assert run(*given).exit_code == 0
    (out / name).write_text("mine")
    refused = run(*given)
    assert refused.exit_code == 1
    assert f"{str(out / name)!r} was not written by sk-ssimae predict." in refused.stderr
    assert (out / name).read_text() == "mine"


def test_names_that_spreadsheets_would_run_are_neutralized(run, model, folders, tmp_path):
    images, out = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    (images / "=1+1.png").write_bytes((folders.defective / "0.png").read_bytes())
    assert run("predict", model, images, "-o", out, "--threshold=-1").exit_code == 0
    rows = read_csv(out)
    assert {row["name"] for row in rows} == {"'=1+1"}
    coco = json.loads((out / "coco.json").read_text())
    assert coco["images"][0]["name"] == "=1+1"


def test_unknown_distances_are_empty(run, folders, tmp_path, tiny_options):
    model, out = tmp_path / "m", tmp_path / "out"
    given = ["fit", folders.good, "-o", model, *tiny_options, "--threshold=0.01"]
    assert run(*given).exit_code == 0
    assert run("predict", model, folders.defective, "-o", out).exit_code == 0
    rows = read_csv(out)
    assert rows
    assert {row["distance"] for row in rows} == {""}
    for annotation in json.loads((out / "coco.json").read_text())["annotations"]:
        assert annotation["distance"] is None
        assert math.isfinite(annotation["peak"])
