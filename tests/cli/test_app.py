import copy
import hashlib
import inspect
import re
import subprocess
import sys

import pytest

import sk_ssimae
from sk_ssimae import SSIMAutoencoderSegmenter, cli, make_default_ensemble
from sk_ssimae.cli import _app
from sk_ssimae.cli._methods import methods
from sk_ssimae.persistence import save


def test_help_lists_commands_and_exit_codes(run):
    result = run("--help")
    assert result.exit_code == 0
    for text in (
        "demo",
        "fit",
        "calibrate",
        "predict",
        "watch",
        "serve",
        "evaluate",
        "report",
        "info",
        "130",
        "some images",
    ):
        assert text in result.output
    assert run("--version").output == f"sk_ssimae {sk_ssimae.__version__}\n"


def test_options_of_fit_have_the_defaults_of_the_estimators():
    options = inspect.signature(_app.fit).parameters
    parameters = inspect.signature(SSIMAutoencoderSegmenter).parameters
    for name in ("image_size", "threshold", "target_fpr", "device"):
        assert options[name].default == parameters[name].default
    ready = make_default_ensemble().get_params()
    for name in ("latent_dim", "patch_size"):
        (option,) = options[name].annotation.__metadata__
        of_ready = ready[f"autoencoder__{name}"]
        assert f" By default {parameters[name].default}, with auto {of_ready}." in option.help
    total = parameters["n_patches"].default * parameters["max_epochs"].default
    (patches,) = options["patches"].annotation.__metadata__
    assert f"By default {total}." in patches.help
    listed = re.findall(r"^    - ([a-z0-9-]+): ", _app.fit.__doc__, re.MULTILINE)
    autoencoders = ["ssim", "ms-ssim", "l2", "l1", "vae", "adversarial", "gan"]
    dictionaries = ["patch-dictionary", "feature-dictionary", "sparse-dictionary"]
    assert listed == ["auto", "auto-pretrained", *autoencoders, *dictionaries]
    assert set(listed) == set(methods())
    assert options["method"].default in listed


@pytest.mark.parametrize("args", [["fit"], ["predict", "m", "--no-such-option"], ["no-command"]])
def test_wrong_usage_exits_with_2(run, args):
    assert run(*args).exit_code == 2


def test_module_prints_help_without_torch():
    # Importing torch is slow.
    code = (
        "import runpy, sys; sys.argv[1:] = ['fit', '--help']\n"
        "try: runpy.run_module('sk_ssimae', run_name='__main__')\n"
        "finally: sys.exit('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "GOOD_DIR" in done.stdout


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_missing_extra_is_reported_in_one_sentence(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    # A text as exit code is printed to standard error, and the process exits with 1.
    text = str(ended.value.code)
    assert text.startswith("error: The command line needs typer and rich (")
    assert text.endswith('). Run pip install ".[cli]" in a clone of the repository.')


@pytest.mark.parametrize("command", ["predict", "watch", "evaluate", "report", "info", "calibrate"])
def test_invalid_models_are_named(run, tmp_path, folders, command):
    given = {
        "predict": [folders.good, "-o", tmp_path / "out"],
        "watch": [folders.good, "-o", tmp_path / "out"],
        "report": [folders.good, "-o", tmp_path / "r.html"],
        "evaluate": [folders.defective, folders.masks],
        "info": [],
        "calibrate": [folders.good],
    }[command]
    result = run(command, tmp_path / "none", *given)
    assert result.exit_code == 1
    assert result.stderr == (
        f"error: MODEL: there is no file {str(tmp_path / 'none')!r}. sk-ssimae fit writes one.\n"
    )
    (tmp_path / "m").write_bytes(b"x" * 100)
    result = run(command, tmp_path / "m", *given)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {str(tmp_path / 'm')!r} cannot be loaded: ")
    assert list(tmp_path.iterdir()) == [tmp_path / "m"]


def test_info_describes_the_model(run, model, segmenter):
    result = run("info", model)
    assert (result.exit_code, result.stderr) == (0, "")
    facts = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert facts["segmenter"] == "SSIMAutoencoderSegmenter"
    assert "latent_dim=8" in facts["parameters"]
    assert "n_patches=64, patch_size=16, random_state=0, stride=8" in facts["parameters"]
    assert "batch_size" not in facts["parameters"]
    assert "stride" not in facts  # It was given.
    assert facts["threshold"] == f"{segmenter.threshold_:.6g}"
    assert facts["promise"] == segmenter.calibration_.promise()
    assert facts["channels"] == "1"
    assert facts["training"].startswith("2 epochs in ")
    assert f"loss {segmenter.history_[-1, 'train_loss']:.4g}" in facts["training"]
    assert f"sk_ssimae {sk_ssimae.__version__}" in facts["made"]
    assert facts["file"].startswith(str(model))
    assert facts["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()


def test_model_without_threshold(run, model, folders, segmenter, tmp_path):
    uncalibrated = copy.copy(segmenter).set_params(target_fpr=0.25)
    save(uncalibrated, tmp_path / "m")
    reason = (
        "has not been calibrated for target_fpr=0.25: the threshold was found with other values. "
        "Call calibrate with good images, or fit again."
    )
    shown = run("info", tmp_path / "m")
    assert shown.exit_code == 0
    assert reason in shown.stdout
    assert "promise" not in shown.stdout
    refused = run("report", tmp_path / "m", folders.good, "-o", tmp_path / "r.html")
    assert refused.exit_code == 1
    assert reason in refused.stderr
