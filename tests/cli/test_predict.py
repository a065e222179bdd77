import csv
import json
import os

import numpy as np
import pytest
import tifffile
from scipy import ndimage
from skimage.io import imread

from sk_ssimae.cli import _predict
from sk_ssimae.cli._ledger import Row


def read_rows(out):
    with (out / "scores.csv").open(newline="", encoding="utf-8") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def out(run, model, folders, tmp_path_factory):
    out = tmp_path_factory.mktemp("predictions") / "new" / "out"
    result = run("predict", model, folders.defective, folders.good / "1.png", "-o", out)
    assert result.exit_code == 0, result.output
    assert "5 images, " in result.stdout
    assert "\x1b" not in result.output
    return out


@pytest.fixture
def counted(monkeypatch):
    """Count the images that are computed."""
    computed = []

    def segment(segmenter, image):
        computed.append(image)
        return original(segmenter, image)

    original = _predict.segment
    monkeypatch.setattr(_predict, "segment", segment)
    return computed


def test_outputs_are_those_of_the_estimator(out, folders, segmenter):
    images = [*sorted(folders.defective.iterdir()), folders.good / "1.png"]
    # Two images are called 1, so that all names begin with the folder.
    names = ["defective_0", "defective_1", "defective_2", "defective_3", "good_1"]
    rows = read_rows(out)
    assert list(rows) == names
    masks, scores = segmenter.predict(images), segmenter.score_images(images)
    scale = json.loads((out / "residual_maps" / "scale.json").read_text())
    for image, name, mask, score, residual_map in zip(
        images, names, masks, scores, segmenter.iter_decision_function(images), strict=True
    ):
        written = imread(out / "masks" / f"{name}.png")
        assert written.dtype == np.uint8
        np.testing.assert_array_equal(written, 255 * mask)
        with tifffile.TiffFile(out / "residual_maps" / f"{name}.tif") as tiff:
            values = tiff.asarray()
            assert json.loads(tiff.pages[0].description) == scale
        assert values.dtype == np.uint16
        np.testing.assert_allclose(
            values / scale["scale"] + scale["offset"], residual_map, atol=0.51 / scale["scale"]
        )
        row = rows[name]
        assert row["file"] == str(image)
        assert np.float32(row["score"]) == np.float32(score)
        assert row["defective"] == ("yes" if mask.any() else "no")
        assert float(row["marked_share"]) == pytest.approx(mask.mean(), rel=1e-5)
        regions = np.bincount(ndimage.label(mask, np.ones((3, 3)))[0].ravel())[1:]
        assert int(row["largest_region"]) == regions.max(initial=0)
        assert (row["clipped"], row["error"]) == ("0", "")


def test_run_says_what_the_outputs_are_of(out, model, segmenter):
    run = json.loads((out / "run.json").read_text())
    assert run["model"] == str(model)
    assert run["threshold"] == segmenter.threshold_
    assert run["promise"] == segmenter.calibration_.promise()


def test_rerun_computes_what_is_not_complete(run, out, model, folders, counted):
    given = ["predict", model, folders.defective, folders.good / "1.png", "-o", out]
    before = (out / "scores.csv").read_bytes()
    result = run(*given)
    assert result.exit_code == 0
    assert "5 were complete before and were not computed again." in result.stdout
    assert counted == []
    assert (out / "scores.csv").read_bytes() == before

    # One mask is gone, one image newer than its outputs, the last row cut short.
    (out / "masks" / "defective_0.png").unlink()
    newer = (out / "masks" / "defective_2.png").stat().st_mtime_ns + 10**9
    os.utime(folders.defective / "2.png", ns=(newer, newer))
    (out / "scores.csv").write_bytes(before[:-10])
    assert run(*given, "--quiet").output == ""
    assert [path.name for path in counted] == ["0.png", "2.png", "1.png"]
    after = (out / "scores.csv").read_bytes()
    assert sorted(after.splitlines()) == sorted(before.splitlines())
    os.utime(folders.defective / "2.png")

    # Names stay, though the images of this run would not need the folder's.
    counted.clear()
    assert run("predict", model, folders.good, "-o", out).exit_code == 0
    assert [path.name for path in counted] == ["0.png", "2.png"]
    assert {"good_1", "0", "2", "defective_1"} <= {*read_rows(out)}


def test_an_interrupted_run_goes_on(run, model, folders, tmp_path, monkeypatch, counted):
    segment = _predict.segment

    def interrupt(segmenter, image):
        if image.name == "2.png":
            raise KeyboardInterrupt
        return segment(segmenter, image)

    monkeypatch.setattr(_predict, "segment", interrupt)
    given = ["predict", model, folders.defective, "-o", tmp_path / "out"]
    result = run(*given)
    assert result.exit_code == 130
    assert result.stderr == (
        "2 of 4 images are complete. The same command goes on from there.\nerror: interrupted.\n"
    )
    monkeypatch.setattr(_predict, "segment", segment)
    assert run(*given).exit_code == 0
    assert [path.name for path in counted] == ["0.png", "1.png", "2.png", "3.png"]
    # Nothing temporary is left.
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("masks", "residual_maps", "run.json", "scores.csv")
    }
    assert len(list((tmp_path / "out" / "masks").iterdir())) == 4


def test_another_model_is_refused(run, model, folders, tmp_path, tiny_options, counted):
    out = tmp_path / "out"
    assert run("predict", model, folders.defective, "-o", out).exit_code == 0
    renamed = tmp_path / "renamed"
    renamed.write_bytes(model.read_bytes())
    counted.clear()
    assert run("predict", renamed, folders.defective, "-o", out).exit_code == 0
    assert counted == []

    other = tmp_path / "other"
    run("fit", folders.good, "-o", other, "--method=vae", *tiny_options)
    result = run("predict", other, folders.good, "-o", out)
    assert result.exit_code == 1
    assert f"holds outputs of another model or version, of {str(renamed)!r}." in result.stderr
    assert "--overwrite to begin anew." in result.stderr
    assert run("predict", other, folders.good, "-o", out, "--overwrite").exit_code == 0
    # Of the former model nothing is left that could be taken for this one's.
    assert {path.name for path in (out / "masks").iterdir()} == {"0.png", "1.png", "2.png"}
    assert {*read_rows(out)} == {"0", "1", "2"}


def test_a_bad_image_stops_or_is_skipped(run, model, folders, tmp_path, bad, write, counted):
    write(bad.parent / "small.png", np.zeros((8, 80)))
    out = tmp_path / "out"
    given = ["predict", model, bad.parent, folders.defective, "-o", out]
    result = run(*given)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {str(bad)!r} cannot be read as an image: ")
    assert result.stderr.count("\n") == 1
    assert len(counted) == 1

    result = run(*given, "--on-error=skip", "--quiet")
    assert result.exit_code == 3
    assert result.stdout == ""
    assert [line[:6] for line in result.stderr.splitlines()] == ["error:", "error:"]
    rows = read_rows(out)
    assert len(rows) == 6
    assert f"{str(bad)!r} cannot be read as an image" in rows["<b>"]["error"]
    assert "must be at least patch_size=16 pixels high and wide" in rows["small"]["error"]
    assert rows["<b>"]["score"] == rows["<b>"]["defective"] == ""
    assert rows["3"]["error"] == ""

    # Once it is repaired it is computed, and its row is replaced.
    bad.write_bytes((folders.good / "0.png").read_bytes())
    (bad.parent / "small.png").unlink()
    result = run(*given, "--on-error=skip")
    assert result.exit_code == 0
    assert read_rows(out)["<b>"]["error"] == ""


def test_wrong_folders_are_refused(run, model, folders, tmp_path):
    out = tmp_path / "out"

    def refused(*images):
        result = run("predict", model, *images, "-o", out)
        assert result.exit_code == 1
        return result.stderr

    assert f"IMAGES: there is no file or folder {str(out / 'x')!r}." in refused(out / "x")
    assert not out.exists()
    (out / "masks").mkdir(parents=True)
    assert "but no run.json that says which model they are of." in refused(folders.good)
    (out / "run.json").write_text("{")
    assert "is not JSON" in refused(folders.good)
    run("predict", model, folders.good, "-o", out, "--overwrite")
    (out / "scores.csv").write_text("a,b\n")
    assert "must begin with the columns file, name, score," in refused(folders.good)
    # A name that leads out of the folder is not one of ours.
    (tmp_path / "mine.png").touch()
    rows = [Row._fields, Row("x", "../../mine")]
    (out / "scores.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    assert run("predict", model, folders.good, "-o", out, "--overwrite").exit_code == 0
    assert (tmp_path / "mine.png").exists()
    out = tmp_path / "mine.png"
    assert "--out must name a folder, got the file" in refused(folders.good)
