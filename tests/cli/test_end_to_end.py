"""The whole workflow, each step in its own process."""

import json
import signal
import subprocess
import sys

from sk_ssimae.persistence import load

# A process that a shell started in the background may ignore Ctrl-C.
PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
import torch
torch.set_num_threads(1)
from sk_ssimae.cli import main
main()
"""


def command(*args):
    return [sys.executable, "-c", PROGRAM, *map(str, args)]


def call(*args):
    return subprocess.run(command(*args), capture_output=True, text=True, timeout=300)


def test_from_good_images_to_a_report(tmp_path, folders, bad, tiny_options):
    model, out = tmp_path / "m.safetensors", tmp_path / "out"
    endless = [*tiny_options, "--set=max_epochs=100000", "--set=n_patches=64"]
    endless.remove("--patches=128")
    endless.remove("--set=max_epochs=2")
    fit = command("fit", folders.good, "-o", model, *endless)
    with subprocess.Popen(fit, stderr=subprocess.PIPE, text=True) as process:
        try:
            # Warnings of libraries may come first.
            assert any(line.startswith("epoch 1 of 100000, loss ") for line in process.stderr)
            process.send_signal(signal.SIGINT)
            errors = process.communicate(timeout=300)[1]
        finally:
            process.kill()  # No effect on a process that has ended.
    assert process.returncode == 130
    assert errors.splitlines()[-2].startswith("error: interrupted in epoch ")
    assert load(model).threshold_ > 0

    predicted = call("predict", model, bad, folders.defective, "-o", out, "--on-error=skip")
    assert predicted.returncode == 3
    assert "1 of 5 images failed" in predicted.stderr
    assert len(list((out / "masks").iterdir())) == 4

    evaluated = call(
        *("evaluate", model, folders.defective, folders.masks, "--json", tmp_path / "e.json")
    )
    assert (evaluated.returncode, evaluated.stderr) == (0, "")
    assert 0 <= json.loads((tmp_path / "e.json").read_text())["pixel_roc_auc"] <= 1

    shown = call("report", model, folders.defective, "-o", tmp_path / "r.html", "--quiet")
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, "", "")
    assert (tmp_path / "r.html").stat().st_size > 10_000
