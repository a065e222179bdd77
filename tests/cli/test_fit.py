import os
import re
import signal

import numpy as np
import pytest
from skimage.io import imread

from sk_ssimae import SSIMAutoencoderSegmenter
from sk_ssimae.cli import _fit
from sk_ssimae.cli._progress import EpochProgress
from sk_ssimae.cli._terminal import Terminal
from sk_ssimae.estimators._net import ReconstructionNet
from sk_ssimae.persistence import load


def interrupt(*args, **kwargs):
    raise KeyboardInterrupt


def interrupt_second_epoch(self, net, batch=None, **kwargs):
    if len(net.history) == 2:
        raise KeyboardInterrupt


def test_fit_trains_the_same_model_as_the_estimator(folders, segmenter, tiny):
    images = sorted(folders.good.iterdir())
    expected = SSIMAutoencoderSegmenter(**{**tiny, "batch_size": 16}).fit(images)
    assert segmenter.threshold_ == expected.threshold_
    np.testing.assert_array_equal(
        segmenter.decision_function([imread(images[0])])[0],
        expected.decision_function([imread(images[0])])[0],
    )


def test_fit_prints_where_the_model_is(run, tmp_path, folders, tiny_options):
    output = tmp_path / "m.safetensors"
    result = run("fit", folders.good, "-o", output, *tiny_options, "--method=l2")
    assert result.exit_code == 0
    fitted = load(output)
    assert result.stdout == (
        f"L2AutoencoderSegmenter trained on 3 images and saved to {str(output)!r}.\n"
        f"Threshold {fitted.threshold_:.4g}. {fitted.calibration_.promise()}\n"
    )
    # Without a terminal: a line per epoch, and no control sequences.
    last = fitted.history_[-1, "train_loss"]
    assert result.stderr.splitlines()[1:] == [
        f"epoch 2 of 2, loss {last:.4g}",
        "finding the threshold",
    ]
    assert "\x1b" not in result.output
    assert fitted.callbacks is None

    again = run("fit", folders.good, "-o", output, *tiny_options)
    assert again.exit_code == 1
    assert again.stderr == (
        f"error: --output: {str(output)!r} already exists. Choose another name, or use --overwrite "
        "to replace it.\n"
    )
    quiet = ["--overwrite", "--quiet", "--threshold=0.5"]
    result = run("fit", folders.good, "-o", output, *tiny_options, *quiet)
    assert (result.exit_code, result.output) == (0, "")
    replaced = load(output)
    assert isinstance(replaced, SSIMAutoencoderSegmenter)
    assert replaced.threshold_ == 0.5


def test_an_automatic_stride_is_shown(run, tmp_path, folders, tiny_options):
    output = tmp_path / "m"
    options = [*tiny_options, "--patch-size=32", "--set=stride=auto"]
    assert run("fit", folders.good, "-o", output, *options).exit_code == 0
    assert load(output).stride == "auto"
    shown = run("info", output).stdout
    assert "stride='auto'" in shown
    assert "\nstride      8 pixels\n" in shown


def test_interrupted_training_is_saved(run, tmp_path, folders, tiny_options, monkeypatch):
    monkeypatch.setattr(EpochProgress, "on_batch_end", interrupt_second_epoch)
    output = tmp_path / "m.safetensors"
    result = run("fit", folders.good, "-o", output, *tiny_options, "--quiet")
    assert result.exit_code == 130
    assert result.output == (
        "error: interrupted in epoch 2 of 2: the model trained so far was saved to "
        f"{str(output)!r}.\n"
    )
    assert load(output).threshold_ > 0
    assert ", interrupted\n" in run("info", output).stdout

    # An incomplete model does not replace a complete one.
    before = output.read_bytes()
    incomplete = tmp_path / "m.interrupted.safetensors"
    result = run("fit", folders.good, "-o", output, *tiny_options, "--quiet", "--overwrite")
    assert result.exit_code == 130
    assert result.output == (
        "error: interrupted in epoch 2 of 2: the model trained so far was saved to "
        f"{str(incomplete)!r}. {str(output)!r} is unchanged.\n"
    )
    assert output.read_bytes() == before
    assert load(incomplete).threshold_ > 0


def test_interrupt_between_epochs_is_recorded(run, tmp_path, folders, tiny_options, monkeypatch):
    monkeypatch.setattr(EpochProgress, "on_epoch_end", interrupt)
    # Earlier callbacks have recorded the loss of the first epoch.
    output = tmp_path / "m"
    assert run("fit", folders.good, "-o", output, *tiny_options).exit_code == 130
    assert not load(output).net_.interrupted_
    assert "1 epoch" in (shown := run("info", output).stdout)
    assert ", interrupted\n" in shown


@pytest.mark.parametrize("exists", [False, True])
def test_nothing_is_saved_before_an_epoch_is_complete(
    run, tmp_path, folders, tiny_options, monkeypatch, exists
):
    monkeypatch.setattr(EpochProgress, "on_batch_end", interrupt)
    output = tmp_path / "m.safetensors"
    if exists:
        output.write_bytes(b"a model")
    result = run("fit", folders.good, "-o", output, *tiny_options, "--overwrite")
    assert result.exit_code == 130
    assert result.output == (
        "error: interrupted before the first epoch was complete: nothing was saved.\n"
    )
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"a model"] * exists


def test_search_for_the_threshold_can_be_interrupted(
    run, tmp_path, folders, tiny_options, monkeypatch
):
    monkeypatch.setattr(SSIMAutoencoderSegmenter, "_calibrate", interrupt)
    output = tmp_path / "m"
    result = run("fit", folders.good, "-o", output, *tiny_options, "--quiet")
    assert result.exit_code == 130
    assert result.output == (
        f"error: interrupted after training: the model was saved to {str(output)!r}, without a "
        "threshold. sk-ssimae calibrate finds one on other good images.\n"
    )
    monkeypatch.undo()
    saved = load(output)
    assert len(saved.history_) == 2
    assert not hasattr(saved, "threshold_")
    assert saved.calibrate(sorted(folders.good.iterdir())).threshold_ > 0


def test_saving_can_be_interrupted(run, tmp_path, folders, tiny_options, monkeypatch):
    def interrupt_once(*args):
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt_once)
    output = tmp_path / "m"
    result = run("fit", folders.good, "-o", output, *tiny_options, "--quiet")
    assert result.exit_code == 130
    assert result.output == (
        f"error: interrupted after training: the model was saved to {str(output)!r}.\n"
    )
    assert load(output).threshold_ > 0
    assert list(tmp_path.iterdir()) == [output]


@pytest.fixture
def keyboard():
    """Handle Ctrl-C, even if the tests were started with it ignored."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.signal(signal.SIGINT, previous) is signal.default_int_handler


def test_an_interrupt_does_not_lose_a_trained_model(
    run, tmp_path, folders, tiny_options, monkeypatch, keyboard
):
    def announce(self, text):
        if text == "finding the threshold":
            signal.raise_signal(signal.SIGINT)

    def train(*args):
        trained = partial_fit(*args)
        signal.raise_signal(signal.SIGINT)  # The segmenter does not have its net yet.
        return trained

    partial_fit = ReconstructionNet.partial_fit
    monkeypatch.setattr(Terminal, "note", announce)
    monkeypatch.setattr(ReconstructionNet, "partial_fit", train)
    assert run("fit", folders.good, "-o", tmp_path / "m", *tiny_options).exit_code == 0
    assert load(tmp_path / "m").threshold_ > 0


def test_repeated_interrupts_count_once(
    run, tmp_path, folders, tiny_options, monkeypatch, keyboard
):
    def interrupt_training(self, net, batch=None, **kwargs):
        if len(net.history) == 2:
            signal.raise_signal(signal.SIGINT)

    def interrupt_calibration(*args):
        signal.raise_signal(signal.SIGINT)
        return calibrate(*args)

    def interrupt_saving(*args):
        signal.raise_signal(signal.SIGINT)
        return fsync(*args)

    calibrate, fsync = SSIMAutoencoderSegmenter._calibrate, os.fsync
    monkeypatch.setattr(EpochProgress, "on_batch_end", interrupt_training)
    monkeypatch.setattr(SSIMAutoencoderSegmenter, "_calibrate", interrupt_calibration)
    monkeypatch.setattr(os, "fsync", interrupt_saving)
    assert run("fit", folders.good, "-o", tmp_path / "m", *tiny_options).exit_code == 130
    assert load(tmp_path / "m").threshold_ > 0


def test_a_dangling_link_is_protected_and_followed(run, tmp_path, folders, tiny_options):
    link, target = tmp_path / "m", tmp_path / "target"
    link.symlink_to(target)
    result = run("fit", folders.good, "-o", link, *tiny_options)
    assert result.exit_code == 1
    assert f"--output: {str(link)!r} already exists." in result.stderr
    assert run("fit", folders.good, "-o", link, *tiny_options, "--overwrite").exit_code == 0
    assert link.is_symlink()
    assert load(target).threshold_ > 0


def test_a_fit_starts_from_the_network_of_a_model(
    run, tmp_path, folders, tiny_options, model, segmenter, tiny
):
    output = tmp_path / "m.safetensors"
    result = run("fit", folders.good, "-o", output, *tiny_options, "--initial-weights", model)
    assert result.exit_code == 0, result.output
    images = sorted(folders.good.iterdir())
    parameters = {**tiny, "batch_size": 16, "initial_weights": model}
    expected = SSIMAutoencoderSegmenter(**parameters).fit(images)
    assert load(output).threshold_ == expected.threshold_ != segmenter.threshold_
    assert f"initial_weights={str(model)!r}" in run("info", output).stdout

    missing = ["--initial-weights", tmp_path / "none.safetensors", "--overwrite"]
    result = run("fit", folders.good, "-o", output, *tiny_options, *missing)
    assert result.exit_code == 1
    assert "error: --initial-weights: there is no file" in result.stderr


def test_an_interrupt_before_training_saves_nothing(run, tmp_path, folders, monkeypatch):
    monkeypatch.setattr(_fit, "list_good_images", interrupt)
    result = run("fit", folders.good, "-o", tmp_path / "m")
    assert (result.exit_code, result.output) == (130, "error: interrupted.\n")
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--patch-size=20"], "patch_size must be a multiple of 16, got 20 instead."),
        (["--image-size=1x2x3"], "such as 256x320, got '1x2x3' instead."),
        (
            ["--image-size=big"],
            "--image-size must be SIDE or HEIGHTxWIDTH, such as 256x320, got 'big'",
        ),
        (["--threshold=low"], "--threshold must be image_fpr, pixel_fpr or a number, got 'low' "),
        (["--set=stride"], "--set must be NAME=VALUE, got 'stride' instead."),
        (["--set=latent_dim=4"], "--set latent_dim: use --latent-dim instead."),
        (["--set=checkpoint_dir=x"], "--set checkpoint_dir: use --checkpoint-dir instead."),
        (
            ["--checkpoint-dir=x"],
            "--checkpoint-dir must be used together with --seed: an interrupted run finds its "
            "checkpoint by the seed. Choose an integer.",
        ),
        (["--set=callbacks=[]"], "--set callbacks: use Python instead."),
        (["--set=max_epoch=4"], "no such parameter. Did you mean 'max_epochs'?"),
        (
            ["--set=qqq=4"],
            "--set qqq: there is no such parameter. There are absolute_weight, alpha",
        ),
        (["--set=window=round"], "The 'window' parameter of SSIMAutoencoderSegmenter must be"),
        (["--set=max_epochs=0", "--patches=9"], "The 'max_epochs' parameter"),
        (["--set=n_patches=9", "--patches=9"], "--patches and --set n_patches exclude each other"),
        (["--device=abacus"], "device must be 'auto' or a device that torch can use here, got"),
        ([], "must be at least patch_size=64 pixels high and wide, got shape (40, 56) instead."),
    ],
)
def test_wrong_options_are_named(run, tmp_path, folders, options, message):
    result = run("fit", folders.good, "-o", tmp_path / "m", "--method=ssim", *options)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "m").exists()


def test_wrong_folders_are_named(run, tmp_path, folders, bad):
    for good_dir, output, message in [
        (tmp_path / "no", tmp_path / "m", "GOOD_DIR: the folder "),
        (tmp_path, tmp_path / "m", "contains no images"),
        (folders.good, tmp_path / "no" / "m", "--output: the folder "),
        (folders.good, tmp_path, "--output must name a file, got the folder "),
        (folders.good, folders.good / "0.png", " is an input of this command ("),
        # By its path, not by an index into a list that the user never saw.
        (bad.parent, tmp_path / "m", f"error: {str(bad)!r} cannot be read as an image: "),
    ]:
        result = run("fit", good_dir, "-o", output)
        assert result.exit_code == 1
        assert message in result.stderr


def test_a_killed_run_resumes_from_its_checkpoint(
    run, tmp_path, folders, tiny_options, monkeypatch
):
    def die(self, net, **kwargs):
        if len(net.history) == 2:
            raise RuntimeError("killed")

    output, expected = tmp_path / "m", tmp_path / "expected"
    assert run("fit", folders.good, "-o", expected, *tiny_options).exit_code == 0
    given = ["fit", folders.good, "-o", output, *tiny_options, "--checkpoint-dir", tmp_path / "c"]
    monkeypatch.setattr(EpochProgress, "on_epoch_end", die)
    with pytest.raises(RuntimeError, match="killed"):
        run(*given)
    monkeypatch.undo()
    result = run(*given)
    assert result.exit_code == 0
    assert "training resumes after epoch 1 of 2\nepoch 2 of 2, loss" in result.stderr
    assert "epoch 1 of 2" not in result.stderr.replace("after epoch 1 of 2", "")
    assert len([*(tmp_path / "c").iterdir()]) == 1
    resumed, whole = load(output), load(expected)
    assert resumed.threshold_ == whole.threshold_
    assert len(resumed.history_) == 2
    # A finished run is not trained again.
    result = run(*given, "--overwrite")
    assert result.exit_code == 0
    assert "loss" not in result.stderr
    assert load(output).threshold_ == whole.threshold_


def test_an_interrupted_run_with_checkpoints_says_how_to_resume(
    run, tmp_path, folders, tiny_options, monkeypatch
):
    monkeypatch.setattr(EpochProgress, "on_batch_end", interrupt_second_epoch)
    output = tmp_path / "m"
    given = ["fit", folders.good, "-o", output, *tiny_options, "--checkpoint-dir", tmp_path / "c"]
    result = run(*given)
    assert result.exit_code == 130
    assert result.stderr.endswith("Run the same command again with --overwrite to resume.\n")
    result = run(*given, "--overwrite")
    assert result.exit_code == 130
    assert result.stderr.endswith("Run the same command again to resume.\n")
    monkeypatch.undo()
    assert run(*given, "--overwrite").exit_code == 0
    assert len(load(output).history_) == 2


def test_the_search_for_the_threshold_has_its_own_bar(
    run, tmp_path, folders, tiny_options, monkeypatch
):
    def interrupt_training(self, net, batch=None, **kwargs):
        self.on_batch(len(net.history), len(batch[0]))
        if len(net.history) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(EpochProgress, "on_batch_end", interrupt_training)
    monkeypatch.setenv("FORCE_COLOR", "1")  # As in a terminal.
    result = run("fit", folders.good, "-o", tmp_path / "m", *tiny_options)
    assert result.exit_code == 130
    text = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", result.stderr).replace("\r", "\n")
    (line,) = {line for line in text.splitlines() if line.startswith("Finding the threshold")}
    assert "%" not in line
    # The bar of training is gone, instead of standing at its last percentage.
    assert "Epoch" not in text[text.index("Finding the threshold") :]
