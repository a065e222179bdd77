from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.io import imsave

from sk_ssimae import L2AutoencoderSegmenter
from sk_ssimae.datasets import load_image_folder, load_nanotwice


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    imsave(path, image, check_contrast=False)


@pytest.fixture
def nanotwice(tmp_path: Path) -> Path:
    """Make a small tree of the public layout, with its two kinds of masks."""
    rng = np.random.default_rng(0)
    for number in (1141, 1142):
        save(tmp_path / f"Normal/ITIA{number}.tif", rng.integers(0, 256, (40, 48), np.uint8))
    for number in (1101, 1102):
        image = rng.integers(0, 256, (36, 48), np.uint8)
        save(tmp_path / f"Anomalous/images/ITIA{number}.tif", image)
    mask = np.zeros((36, 48), dtype=np.uint8)
    mask[5:9, 10:20] = 134
    save(tmp_path / "Anomalous/gt/ITIA1101_gt.png", mask)
    palette = Image.fromarray((mask > 0).astype(np.uint8), mode="P")
    palette.putpalette([0, 0, 0, 255, 255, 255])
    palette.save(tmp_path / "Anomalous/gt/ITIA1102_gt.png")
    return tmp_path


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated:DeprecationWarning")
def test_nanotwice(nanotwice, tiny):
    data = load_nanotwice(nanotwice)
    assert [path.name for path in data.good] == ["ITIA1141.tif", "ITIA1142.tif"]
    assert [path.name for path in data.defective] == ["ITIA1101.tif", "ITIA1102.tif"]
    for mask in data.masks:
        assert mask.dtype == np.bool_
        assert mask.sum() == 40
        assert mask[5:9, 10:20].all()
    assert [mask.shape for mask in data.target] == [(40, 48), (40, 48), (36, 48), (36, 48)]
    X, y = load_nanotwice(nanotwice, return_X_y=True)
    assert data.data == X
    segmenter = L2AutoencoderSegmenter(**tiny).fit(X, y)
    assert segmenter.n_defective_dropped_ == 2
    assert 0 <= segmenter.score(X, y) <= 1


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated:DeprecationWarning")
def test_image_folder(nanotwice):
    anomalous = nanotwice / "Anomalous"
    data = load_image_folder(nanotwice / "Normal")
    assert (len(data.data), data.defective, data.masks) == (2, [], [])
    (anomalous / "gt/ITIA1102_gt.png").unlink()
    save(anomalous / "gt/ITIA1199.png", np.zeros((4, 4), dtype=np.uint8))
    with pytest.raises(
        ValueError, match=r"images without mask: ITIA1102; masks without image: ITIA1199.png"
    ):
        load_image_folder(nanotwice / "Normal", anomalous / "images", anomalous / "gt")


def test_missing_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"good: the folder '.*Normal' does not exist"):
        load_nanotwice(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"good: the folder .* holds no image \(.bmp"):
        load_image_folder(tmp_path)
    with pytest.raises(ValueError, match="defective and masks belong together"):
        load_image_folder(tmp_path, defective=tmp_path)
