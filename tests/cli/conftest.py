from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from skimage.io import imsave
from typer.testing import CliRunner

from sk_ssimae.cli._app import app
from sk_ssimae.datasets import make_woven_fabric
from sk_ssimae.persistence import load


class Folders(NamedTuple):
    good: Path
    defective: Path
    masks: Path


TINY = "--patch-size=16 --latent-dim=8 --patches=128 --seed=0 --set=stride=8 --set=max_epochs=2"


def write_png(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    imsave(path, np.rint(255 * image.astype(float)).astype(np.uint8), check_contrast=False)


@pytest.fixture(scope="session")
def write():
    return write_png


@pytest.fixture(scope="session")
def run():
    """Run a command in this process; exceptions that it does not report are raised."""

    def invoke(*args: Any) -> Any:
        return CliRunner().invoke(app, [str(arg) for arg in args], catch_exceptions=False)

    return invoke


@pytest.fixture(scope="session")
def tiny_options(device) -> list[str]:
    return ["--method=ssim", *TINY.split(), "--device", device]


@pytest.fixture(scope="session")
def folders(tmp_path_factory, good, defective) -> Folders:
    root = tmp_path_factory.mktemp("images")
    folders = Folders(root / "good", root / "defective", root / "masks")
    # Good images other than those that contain the synthetic defects.
    for index, image in enumerate(make_woven_fabric(3, shape=(40, 56), random_state=1)):
        write_png(folders.good / f"{index}.png", image)
    for index, (image, mask) in enumerate(zip(*defective, strict=True)):
        write_png(folders.defective / f"{index}.png", image)
        write_png(folders.masks / f"{index}_mask.png", mask)
    return folders


@pytest.fixture(scope="session")
def model(tmp_path_factory, folders, run, tiny_options) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    result = run("fit", folders.good, "-o", path, *tiny_options)
    assert result.exit_code == 0, result.output
    return path


@pytest.fixture(scope="session")
def segmenter(model, device) -> Any:
    return load(model, device=device)


@pytest.fixture
def bad(tmp_path) -> Path:
    path = tmp_path / "bad" / "<b>.png"
    path.parent.mkdir()
    path.write_bytes(b"no image")
    return path
