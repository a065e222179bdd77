import numpy as np
import pytest

from sk_ssimae.cli._progress import EpochProgress
from sk_ssimae.datasets import make_woven_fabric
from sk_ssimae.persistence import load, save


@pytest.fixture
def darker(tmp_path, write):
    """Return a folder of good images that have become darker."""
    folder = tmp_path / "darker"
    for index, image in enumerate(make_woven_fabric(3, shape=(40, 56), random_state=7)):
        write(folder / f"{index}.png", 0.5 * image)
    return folder


def test_update_equals_partial_fit(run, model, darker, tmp_path, segmenter, device):
    before = model.read_bytes()
    output = tmp_path / "updated.safetensors"
    result = run("update", model, darker, "-o", output, "--device", device)
    assert result.exit_code == 0
    images = sorted(darker.iterdir())
    expected = load(model, device=device)
    advice = expected.check_drift(images).advice()
    expected.partial_fit(images)
    found = load(output, device=device)
    np.testing.assert_array_equal(
        found.decision_function(images)[0], expected.decision_function(images)[0]
    )
    assert found.threshold_ == expected.threshold_ != segmenter.threshold_
    assert result.stdout == (
        f"Before: {advice}\n"
        f"SSIMAutoencoderSegmenter trained on 3 new images, saved to {str(output)!r}.\n"
        f"Threshold {found.threshold_:.4g}. {found.calibration_.promise()}\n"
    )
    assert "epoch 2 of 2, loss " in result.stderr
    assert model.read_bytes() == before


def test_an_existing_output_is_kept_unless_told(run, model, darker, tmp_path):
    output = tmp_path / "updated.safetensors"
    output.write_bytes(b"old")
    result = run("update", model, darker, "-o", output)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: --output: {str(output)!r} already exists. Choose")
    assert output.read_bytes() == b"old"
    assert run("update", model, darker, "-o", output, "--overwrite", "-q").output == ""
    assert load(output).n_channels_ == 1


def test_the_model_is_replaced_by_default(run, model, darker, tmp_path):
    own = tmp_path / "own.safetensors"
    own.write_bytes(model.read_bytes())
    assert run("update", own, darker).exit_code == 0
    assert load(own).threshold_ != load(model).threshold_
    assert sorted(tmp_path.iterdir()) == [darker, own]


def test_an_interrupt_changes_nothing(run, model, darker, tmp_path, monkeypatch):
    own = tmp_path / "own.safetensors"
    own.write_bytes(model.read_bytes())

    def interrupt(self, net, batch=None, **kwargs):
        if len(net.history) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(EpochProgress, "on_batch_end", interrupt)
    result = run("update", own, darker)
    assert result.exit_code == 130
    assert "Nothing was saved, and all files are unchanged." in result.stderr
    assert own.read_bytes() == model.read_bytes()


def test_models_without_a_calibration_are_updated(run, model, darker, tmp_path, segmenter):
    own = tmp_path / "own.safetensors"
    save(load(model).set_params(target_fpr=0.25), own)
    result = run("update", own, darker)
    assert result.exit_code == 0
    assert "drift was not checked" in result.stderr
    assert load(own).calibration_.target_fpr == 0.25
    save(load(model).set_params(threshold=0.5), own)
    result = run("update", own, darker)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].startswith("Threshold 0.5. It is a fixed number")


def test_images_that_do_not_suit_the_model_are_named(run, model, write, tmp_path):
    before = model.read_bytes()
    write(tmp_path / "colour" / "0.png", np.full((40, 56, 3), 0.5))
    result = run("update", model, tmp_path / "colour")
    assert result.exit_code == 1
    assert "must have 1 channel like the training images, got 3 instead" in result.stderr
    assert model.read_bytes() == before
