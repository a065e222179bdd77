import copy
import json
import shutil

import numpy as np
import pytest

from sk_ssimae.cli import _evaluate
from sk_ssimae.datasets import load_image_folder
from sk_ssimae.metrics import (
    pixel_average_precision_score,
    pixel_f1_max_score,
    pixel_roc_auc_score,
    pro_auc_score,
)
from sk_ssimae.persistence import save


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
    assert "--json: the folder " in refused(folders.good, folders.good, "--json=no/x.json")
    for path in folders.good.iterdir():
        write(tmp_path / path.name, np.zeros((8, 8)))
    assert "the image's height and width, (40, 56), got (8, 8) instead." in refused(
        folders.good, tmp_path
    )
