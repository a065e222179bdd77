from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.io import imsave


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    imsave(path, image, check_contrast=False)


@pytest.fixture
def save_image() -> Callable[[Path], None]:
    """Return a function that saves a small image of noise."""
    rng = np.random.default_rng(0)

    def save_noise(path: Path, shape: tuple[int, int] = (36, 48)) -> None:
        save(path, rng.integers(0, 256, shape, np.uint8))

    return save_noise


@pytest.fixture
def save_mask() -> Callable[[Path], None]:
    """Return a function that saves a mask of 40 pixels with the value 134."""
    mask = np.zeros((36, 48), dtype=np.uint8)
    mask[5:9, 10:20] = 134
    return lambda path: save(path, mask)


@pytest.fixture
def nanotwice(tmp_path, save_image, save_mask) -> Path:
    """Make a small tree in the public layout, with its two kinds of masks."""
    root = tmp_path / "nanotwice_tree"
    for number in (1141, 1142):
        save_image(root / f"Normal/ITIA{number}.tif", (40, 48))
    for number in (1101, 1102):
        save_image(root / f"Anomalous/images/ITIA{number}.tif")
    save_mask(root / "Anomalous/gt/ITIA1101_gt.png")
    mask = np.zeros((36, 48), dtype=np.uint8)
    mask[5:9, 10:20] = 1
    palette = Image.fromarray(mask).convert("P")
    palette.putpalette([0, 0, 0, 255, 255, 255])
    palette.save(root / "Anomalous/gt/ITIA1102_gt.png")
    return root


@pytest.fixture
def textures(tmp_path, save_image, save_mask) -> Path:
    """Make a small tree in the layout of textures.zip."""
    root = tmp_path / "textures_tree"
    for number in (1, 2):
        texture = root / f"texture_{number}"
        for index in range(number):
            save_image(texture / f"train/good/{index:03}.png")
        save_image(texture / "test/defective/000.png")
        save_mask(texture / "ground_truth/defective/000.png")
    return root
