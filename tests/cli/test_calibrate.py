import copy

import numpy as np
import pytest

from sk_ssimae.cli import _calibrate
from sk_ssimae.datasets import make_woven_fabric
from sk_ssimae.persistence import load, save


@pytest.fixture(scope="module")
def other_good(tmp_path_factory, write):
    folder = tmp_path_factory.mktemp("other") / "good"
    for index, image in enumerate(make_woven_fabric(4, shape=(40, 56), random_state=7)):
        write(folder / f"{index}.png", image)
    return folder


def test_a_model_is_calibrated_in_place(run, model, other_good, segmenter, tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(model.read_bytes())
    result = run("calibrate", path, other_good)
    assert (result.exit_code, result.stderr) == (0, "")
    images = sorted(other_good.iterdir())
    expected = copy.copy(segmenter).calibrate(images)
    found = load(path, device=segmenter.device)
    assert found.calibration_ == expected.calibration_
    assert found.threshold_ != segmenter.threshold_
    np.testing.assert_array_equal(
        found.decision_function(images), segmenter.decision_function(images)
    )
    assert result.stdout == (
        f"Calibrated on 4 images and saved to {str(path)!r}.\n"
        f"Threshold {expected.threshold_:.4g}, before {segmenter.threshold_:.4g}. "
        f"{expected.calibration_.promise()}\n"
    )


def test_another_file_and_another_rule(run, model, other_good, tmp_path):
    before, output = model.read_bytes(), tmp_path / "new"
    given = ["calibrate", model, other_good, "-o", output]
    assert run(*given, "--threshold=pixel_fpr", "--target-fpr=0.2", "-q").output == ""
    calibration = load(output).calibration_
    assert (calibration.rule, calibration.target_fpr) == ("pixel_fpr", 0.2)
    assert model.read_bytes() == before
    refused = run(*given)
    assert refused.exit_code == 1
    assert "already exists. Choose another name, use --overwrite" in refused.stderr
    assert load(output).calibration_ == calibration
    assert run(*given, "--overwrite").exit_code == 0
    assert load(output).calibration_.rule == "image_fpr"


def test_a_model_with_a_number_as_threshold_needs_a_rule(run, segmenter, other_good, tmp_path):
    path = tmp_path / "m"
    save(copy.copy(segmenter).set_params(threshold=0.5), path)
    refused = run("calibrate", path, other_good)
    assert refused.exit_code == 1
    assert "fixed number 0.5, not found on good images. Choose a rule" in refused.stderr
    for value in ("0.5", "other"):
        refused = run("calibrate", path, other_good, f"--threshold={value}")
        assert f"must be one of image_fpr, pixel_fpr, got {value!r}" in refused.stderr
    refused = run("calibrate", path, other_good, "--threshold=image_fpr", "--target-fpr=2")
    assert "'target_fpr' parameter" in refused.stderr
    assert load(path).threshold_ == 0.5
    assert run("calibrate", path, other_good, "--threshold=image_fpr").exit_code == 0
    assert load(path).calibration_.n_held_out == 4


def test_a_model_without_threshold_gets_one(run, segmenter, other_good, tmp_path):
    path = tmp_path / "m"
    save(copy.copy(segmenter).set_params(opening_diameter=2), path)
    result = run("calibrate", path, other_good)
    assert result.exit_code == 0, result.output
    assert "before none." in result.stdout
    assert load(path).threshold_ > 0


def test_an_error_leaves_the_model_as_it_was(run, model, other_good, tmp_path, bad, monkeypatch):
    path = tmp_path / "m"
    path.write_bytes(model.read_bytes())
    result = run("calibrate", path, bad.parent)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"{str(bad)!r} cannot be read as an image" in result.stderr

    def fail(*args):
        raise OSError("The disk is full.")

    monkeypatch.setattr(_calibrate.persistence, "save", fail)
    assert run("calibrate", path, other_good).stderr == "error: The disk is full.\n"
    assert path.read_bytes() == model.read_bytes()


def test_wrong_paths_are_refused(run, model, other_good, tmp_path):
    for given, text in [
        ([tmp_path / "no", other_good], "MODEL: there is no file"),
        ([model, tmp_path / "no"], "GOOD_DIR: the folder"),
        ([model, other_good, "-o", other_good / "0.png"], "is an input of this command"),
        ([model, other_good, "-o", tmp_path / "no" / "m"], "--output: the folder"),
    ]:
        result = run("calibrate", *given)
        assert result.exit_code == 1
        assert text in result.stderr
