"""A user's script under ``mypy --strict``: the constructors are known from outside."""

import importlib.util
import subprocess
import sys

import pytest

SCRIPT = """
import numpy as np

import sk_ssimae
from sk_ssimae import L2AutoencoderSegmenter, SSIMAutoencoderSegmenter
from sk_ssimae.estimators import BaseSegmenter
from sk_ssimae.persistence import load, save

segmenter = SSIMAutoencoderSegmenter(window_size=7, latent_dim=100, smoothing="auto", threshold=0.5)
fitted = segmenter.fit(np.zeros((2, 128, 128)))
fitted.set_params(stride=16)
save(fitted, "a.safetensors")
base: BaseSegmenter = L2AutoencoderSegmenter(device="cpu", image_size=(256, 256))
reveal_type(fitted)
reveal_type(sk_ssimae.L2AutoencoderSegmenter().threshold_)
reveal_type(load("a.safetensors").score_images([]))
"""
WRONG = {
    "SSIMAutoencoderSegmenter(patchsize=32)": 'Unexpected keyword argument "patchsize"',
    "SSIMAutoencoderSegmenter(window_size='7')": 'Argument "window_size"',
    "SSIMAutoencoderSegmenter(latent_dim='7')": 'Argument "latent_dim"',
    "L2AutoencoderSegmenter(window_size=7)": 'Unexpected keyword argument "window_size"',
    "L2AutoencoderSegmenter(augmentation='dihedrall')": 'Argument "augmentation"',
    "L2AutoencoderSegmenter(threshold='pixel')": 'Argument "threshold"',
}


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed")
def test_a_users_script_is_checked(tmp_path):
    script = tmp_path / "script.py"
    lines = SCRIPT.splitlines()
    script.write_text("\n".join([*lines, *WRONG, ""]))
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), str(script)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    found = [line.partition("script.py:")[2] for line in done.stdout.splitlines()]
    revealed = [line for line in found if "Revealed type" in line]
    assert "SSIMAutoencoderSegmenter" in revealed[0]
    assert "float" in revealed[1]
    assert "ndarray" in revealed[2]
    errors = [line for line in found if ": error: " in line]
    assert len(errors) == len(WRONG), done.stdout
    for number, (call, message) in enumerate(WRONG.items(), start=len(lines) + 1):
        assert any(e.startswith(f"{number}: error: {message}") for e in errors), (call, errors)
