import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from sk_ssimae.cli import _evaluate
from sk_ssimae.datasets import load_image_folder
from sk_ssimae.datasets._listing import match
from sk_ssimae.metrics import (
    pixel_average_precision_score,
    pixel_f1_max_score,
    pixel_roc_auc_score,
    pro_auc_score,
)
from sk_ssimae.persistence import save


def scores_of(stdout):
    """Return the first table."""
    return stdout.split("└")[0]


def test_scores_are_those_of_the_metrics(run, segmenter, folders, tmp_path):
    maps = segmenter.decision_function(load_image_folder(*folders).data)
    # A threshold that some good and some defective pixels exceed.
    segmenter = copy.copy(segmenter).set_params(threshold=float(np.quantile(maps, 0.9)))
    save(segmenter, tmp_path / "m")
    given = ["evaluate", tmp_path / "m", folders.defective, folders.masks, "--good", folders.good]
    result = run(*given, "--json", tmp_path / "scores.json")
    assert result.exit_code == 0
    scores = json.loads((tmp_path / "scores.json").read_text())
    data = load_image_folder(*folders)
    truth, maps = list(data.target), segmenter.decision_function(data.data)
    assert scores["pixel_roc_auc"] == pixel_roc_auc_score(truth, maps)
    assert scores["pro_auc"] == pro_auc_score(truth, maps)
    assert scores["pixel_average_precision"] == pixel_average_precision_score(truth, maps)
    assert scores["pixel_f1_max"] == pixel_f1_max_score(truth, maps).f1
    assert scores["threshold"] == segmenter.threshold_
    marked, defective = np.stack(segmenter.predict(data.data)), np.stack(truth)
    assert scores["pixel_precision"] == defective[marked].mean()
    assert scores["pixel_recall"] == marked[defective].mean()
    assert scores["pixel_fpr"] == marked[~defective].mean()
    flagged = marked.any(axis=(1, 2))
    assert scores["good_images_flagged"] == [flagged[:3].sum(), 3]
    assert scores["defective_images_found"] == [flagged[3:].sum(), 4]
    good, bad = np.split(segmenter.score_images(data.data), [3])
    pairs = np.sign(bad[:, None] - good)
    assert scores["image_roc_auc"] == pytest.approx((pairs.mean() + 1) / 2)
    for text in ("7 images", "PRO AUC", f"{scores['pro_auc']:.4f}", "of 4"):
        assert text in result.stdout


@pytest.mark.filterwarnings("default:--good. left")
def test_masks_between_good_images_are_left_out(run, model, folders, tmp_path):
    for image in folders.good.iterdir():
        for name in (image.name, f"{image.stem}_empty.png"):
            (tmp_path / name).write_bytes(image.read_bytes())
    given = ["evaluate", model, folders.defective, folders.masks, "--good", tmp_path]
    result = run(*given, "--mask-suffix=_empty")
    assert result.exit_code == 0, result.output
    assert "7 images" in result.stdout
    assert "--good: left '0_empty.png', '1_empty.png', '2_empty.png' out" in result.stderr


def test_without_good_images_there_is_no_image_score(run, model, folders, tmp_path):
    path = tmp_path / "scores.json"
    result = run("evaluate", model, folders.defective, folders.masks, "--json", path, "-q")
    assert (result.exit_code, result.output) == (0, "")
    scores = json.loads(path.read_text())
    assert scores["image_roc_auc"] is None
    assert "good_images_flagged" not in scores


def test_table_is_printed_before_the_file_is_written(run, model, folders, tmp_path, monkeypatch):
    def fail(*args):
        raise OSError("The disk is full.")

    monkeypatch.setattr(_evaluate, "write_json", fail)
    path = tmp_path / "scores.json"
    result = run("evaluate", model, folders.defective, folders.masks, "--json", path)
    assert (result.exit_code, result.stderr) == (1, "error: The disk is full.\n")
    assert "pixel ROC AUC" in result.stdout


def test_json_replaces_only_json(run, model, folders, tmp_path):
    masks = tmp_path / "masks"
    shutil.copytree(folders.masks, masks)
    path = tmp_path / "scores.json"
    given = ["evaluate", model, folders.defective, masks, "--json"]
    assert run(*given, path).exit_code == 0
    assert run(*given, path).exit_code == 0
    path.write_text("notes")
    for file in (path, model, masks / "0_mask.png"):
        before = file.read_bytes()
        result = run(*given, file)
        assert (result.exit_code, result.stdout) == (1, "")
        assert file.read_bytes() == before


def test_mismatched_inputs_are_named(run, model, folders, tmp_path, write):
    def refused(*args):
        result = run("evaluate", model, *args)
        assert (result.exit_code, result.stdout) == (1, "")
        return result.stderr

    assert "must pair by name; masks without image: 3_mask.png." in refused(
        folders.good, folders.masks
    )
    assert "MASKS: the folder " in refused(folders.good, tmp_path / "no")
    assert "--json: the folder " in refused(folders.defective, folders.masks, "--json=no/x.json")
    for path in folders.good.iterdir():
        write(tmp_path / path.name, np.ones((8, 8)))
    assert "the image's height and width, (40, 56), got (8, 8) instead." in refused(
        folders.good, tmp_path
    )


@pytest.fixture
def incomplete(tmp_path, folders, bad, write):
    """The images and masks, with files that cannot be evaluated."""
    images = Path(shutil.copytree(folders.defective, tmp_path / "images"))
    masks = Path(shutil.copytree(folders.masks, tmp_path / "masks"))
    for name in ("0", "1"):
        (masks / f"{name}_mask.png").rename(masks / f"{name}_elsewhere.png")
    (images / "unreadable.png").write_bytes(b"no image")
    write(images / "colour.png", np.zeros((40, 56, 3)))
    write(images / "size.png", np.zeros((40, 56)))
    write(images / "twice.png", np.zeros((40, 56)))
    for name in ("unreadable", "colour", "twice", "twice_gt"):
        write(masks / f"{name}.png", np.ones((40, 56)))
    write(masks / "size.png", np.ones((8, 8)))
    return images, masks


def test_files_that_fail_stop_the_run_or_are_left_out(
    run, model, folders, tmp_path, incomplete, bad
):
    images, masks = incomplete
    given = ["evaluate", model, images, masks, "--good", bad.parent]
    bad.with_name("ok.png").write_bytes((folders.good / "0.png").read_bytes())
    stopped = run(*given)
    assert (stopped.exit_code, stopped.stdout) == (1, "")
    assert "images without mask: 0.png, 1.png" in stopped.stderr

    path = tmp_path / "scores.json"
    result = run(*given, "--on-error=skip", "--json", path)
    assert result.exit_code == 3, result.output
    errors = result.stderr.splitlines()
    for error, text in zip(
        errors,
        [
            f"{str(images / '0.png')!r} was left out: it has no mask.",
            f"{str(images / '1.png')!r} was left out: it has no mask.",
            f"{str(masks / '0_elsewhere.png')!r} was left out: it has no image.",
            f"{str(masks / '1_elsewhere.png')!r} was left out: it has no image.",
            f"{str(masks / 'twice.png')!r} was left out: several images or masks have its name.",
            f"{str(masks / 'twice_gt.png')!r} was left out: several images or masks have its name.",
            f"{str(bad)!r} cannot be read as an image",
            f"{str(images / 'colour.png')!r} must have 1 channel like the training images",
            f"MASKS: the mask of {str(images / 'size.png')!r} must have the image's height",
            f"{str(images / 'unreadable.png')!r} cannot be read as an image",
        ],
        strict=False,
    ):
        assert error.startswith("error: ")
        assert text in error
    assert errors[10:] == ["10 files left out: the scores are those of the other 3 images."]
    assert "3 images" in result.stdout
    scores = json.loads(path.read_text())
    assert scores["images"] == 3
    assert [f"error: {text}" for text in scores["left_out"]] == errors[:10]

    # They are the scores of the complete pairs.
    rest, of_rest, good = tmp_path / "rest", tmp_path / "of_rest", tmp_path / "ok"
    for folder, files in [
        (rest, [images / "2.png", images / "3.png"]),
        (of_rest, [masks / "2_mask.png", masks / "3_mask.png"]),
        (good, [bad.with_name("ok.png")]),
    ]:
        folder.mkdir()
        for file in files:
            shutil.copy(file, folder)
    result = run("evaluate", model, rest, of_rest, "--good", good, "--json", path)
    assert result.exit_code == 0
    others = {**json.loads(path.read_text()), "left_out": scores["left_out"]}
    for listed in ("missed", "falsely_flagged"):
        names = [[Path(file).name for file in one.pop(listed)] for one in (others, scores)]
        assert names[0] == names[1]
    assert others == scores


def test_without_any_pair_there_is_an_error(run, model, folders, tmp_path, write):
    write(tmp_path / "other.png", np.zeros((40, 56)))
    result = run("evaluate", model, folders.good, tmp_path, "--on-error=skip")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.endswith(
        "error: IMAGES: no image is left to evaluate. Fix the errors above.\n"
    )


def test_pairs_are_those_of_the_loader():
    def pairs(images, masks):
        found, problems = match([*map(Path, images)], [*map(Path, masks)])
        n_left_out = sum(map(len, problems.values()))
        return [(str(image), str(mask)) for image, mask in found], n_left_out

    assert pairs(["a.png"], ["a_mask.png"]) == ([("a.png", "a_mask.png")], 0)
    # The mask has the name of an image, although it also ends as a mask of the other.
    assert pairs(["a.png", "a_mask.png"], ["a_mask.png"]) == ([("a_mask.png", "a_mask.png")], 1)
    assert pairs(["a.png", "a.tif", "b.png"], ["a.png", "b_gt.png"]) == ([("b.png", "b_gt.png")], 2)
    assert pairs(["a.png", "b.png"], ["c.png", "b.png"]) == ([("b.png", "b.png")], 2)


def test_masks_between_the_images_and_in_subfolders(run, model, folders, tmp_path):
    expected = run("evaluate", model, folders.defective, folders.masks).stdout
    shutil.copytree(folders.defective, tmp_path / "all/cut")
    for mask in folders.masks.iterdir():
        shutil.copy(mask, tmp_path / f"all/cut/{mask.stem.removesuffix('_mask')}_bad.png")
    together = run("evaluate", model, tmp_path / "all/cut", "--mask-suffix=_bad")
    assert scores_of(together.stdout) == scores_of(expected)
    below = run("evaluate", model, tmp_path / "all", "--recursive", "--mask-suffix=_bad")
    assert scores_of(below.stdout) == scores_of(expected)


def test_category_of_mvtec_ad(run, model, folders, tmp_path):
    expected = run("evaluate", model, folders.defective, folders.masks, "--good", folders.good)
    shutil.copytree(folders.good, tmp_path / "train/good")
    shutil.copytree(folders.good, tmp_path / "test/good")
    shutil.copytree(folders.defective, tmp_path / "test/cut")
    shutil.copytree(folders.masks, tmp_path / "ground_truth/cut")
    assert scores_of(run("evaluate", model, tmp_path).stdout) == scores_of(expected.stdout)
    result = run("predict", model, tmp_path, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    n_test = len(list((tmp_path / "test").glob("*/*.png")))
    assert len(list((tmp_path / "out/masks").iterdir())) == n_test


@pytest.fixture
def by_kind(tmp_path, folders):
    """Two kinds of defects in subfolders, and their masks."""
    images, masks = tmp_path / "images", tmp_path / "masks"
    for kind, numbers in (("cut", "01"), ("hole/deep", "23")):
        for number in numbers:
            for folder, source in (
                (images, folders.defective / f"{number}.png"),
                (masks, folders.masks / f"{number}_mask.png"),
            ):
                (folder / kind).mkdir(parents=True, exist_ok=True)
                shutil.copy(source, folder / kind)
    return images, masks


def test_results_by_kind_and_lists_of_errors(run, model, segmenter, folders, by_kind, tmp_path):
    images, masks = by_kind
    files = [images / name for name in ("cut/0.png", "cut/1.png")]
    files += [images / name for name in ("hole/deep/2.png", "hole/deep/3.png")]
    good = sorted(folders.good.iterdir())
    scores = segmenter.score_images(files + good)
    # One that flags some good images, and misses some defective ones.
    level = float(np.median(scores))
    given = ["evaluate", model, images, masks, "--good", folders.good, "--recursive"]
    path = tmp_path / "scores.json"
    result = run(*given, f"--threshold={level}", "--json", path)
    assert result.exit_code == 0, result.output
    written = json.loads(path.read_text())
    assert written["threshold"] == level
    flagged = scores > level
    assert written["missed"] == [str(f) for f, y in zip(files, flagged, strict=False) if not y]
    assert written["falsely_flagged"] == [
        str(f) for f, y in zip(good, flagged[4:], strict=True) if y
    ]
    assert written["missed"]
    for file in written["missed"]:
        assert f"\n  {file}\n" in result.stdout.split("Missed:")[1]
    levelled = copy.copy(segmenter).set_params(threshold=level)
    truth = load_image_folder(*folders).masks
    for kind, own, true in (("cut", files[:2], truth[:2]), ("hole/deep", files[2:], truth[2:])):
        marked, true = np.stack(levelled.predict(own)), np.stack(list(true))
        assert written["kinds"][kind] == {
            "defective_images_found": [int(marked.any(axis=(1, 2)).sum()), 2],
            "pixel_recall": marked[true].mean(),
        }
        assert f"{kind}: images found" in result.stdout
    assert run("evaluate", model, *folders[1:]).stdout.count("kind of defect") == 0


def test_several_models_are_compared(run, model, folders, tmp_path, tiny_options):
    other = tmp_path / "other.safetensors"
    assert run("fit", folders.good, "-o", other, *tiny_options, "--method=l2").exit_code == 0
    path, alone = tmp_path / "scores.json", []
    for one in (model, other):
        assert run("evaluate", one, *folders[1:], "--json", path, "-q").exit_code == 0
        alone.append(json.loads(path.read_text()))
    given = ["evaluate", model, *folders[1:], "--compare", other]
    result = run(*given, "--json", path)
    assert result.exit_code == 0, result.output
    together = json.loads(path.read_text())
    (compared,) = together.pop("compared")
    assert {**together, "compared": []} == alone[0]
    assert compared == {key: alone[1][key] for key in compared}
    assert compared["model"] == str(other)
    row = next(line for line in result.stdout.splitlines() if "pixel ROC AUC" in line)
    assert [cell.strip() for cell in row.split("│")[2:4]] == [
        f"{one['pixel_roc_auc']:.4f}" for one in alone
    ]
    refused = run(*given, "--json", other)
    assert refused.exit_code == 1
    assert "is an input of this command" in refused.stderr


@pytest.mark.parametrize("value", ["high", "nan", "inf", ""])
@pytest.mark.parametrize("command", ["predict", "evaluate", "report"])
def test_a_level_that_is_no_number_is_refused(run, model, folders, tmp_path, command, value):
    output = ["-o", tmp_path / "out"] if command != "evaluate" else [folders.masks]
    result = run(command, model, folders.defective, *output, f"--threshold={value}")
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"--threshold must be a finite number, such as 0.25, got {value!r}" in result.stderr
    assert list(tmp_path.iterdir()) == []
