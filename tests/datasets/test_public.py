import numpy as np
import pytest

from sk_ssimae import L2AutoencoderSegmenter
from sk_ssimae.datasets import (
    load_mvtec_ad,
    load_mvtec_textures,
    load_nanotwice,
    load_texture,
)

TEXTURES = ["carpet", "grid", "leather", "tile", "wood"]


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
    with pytest.raises(FileNotFoundError, match=r"good: the folder '.*Normal' does not exist"):
        load_nanotwice(nanotwice / "Anomalous")


def test_texture(textures):
    for texture in (1, 2):
        data = load_texture(textures, texture)
        assert len(data.good) == texture
        assert {path.parents[2].name for path in data.data} == {f"texture_{texture}"}
        assert [mask.sum() for mask in data.masks] == [40]
    X, y = load_texture(textures, return_X_y=True)
    assert len(X) == len(y) == 2
    with pytest.raises(ValueError, match="texture must be 1 or 2, got 3"):
        load_texture(textures, 3)
    with pytest.raises(FileNotFoundError, match=r"good: .*good' does not exist"):
        load_texture(textures / "texture_1")


@pytest.fixture
def mvtec_ad(tmp_path, save_image, save_mask):
    """Make a small tree in the layout of MVTec AD."""
    for category in TEXTURES:
        folder = tmp_path / category
        for name in ("train/good/000", "train/good/001", "test/good/000"):
            save_image(folder / f"{name}.png")
        for name in ("hole/000", "hole/001", "cut/000"):
            save_image(folder / f"test/{name}.png")
            save_mask(folder / f"ground_truth/{name}_mask.png")
    (tmp_path / "license.txt").write_text("CC BY-NC-SA 4.0")
    return tmp_path


def names(paths):
    return ["/".join(path.with_suffix("").parts[-3:]) for path in paths]


def test_mvtec_ad(mvtec_ad):
    data = load_mvtec_ad(mvtec_ad, "grid")
    assert names(data.good) == ["train/good/000", "train/good/001"]
    assert names(data.test_good) == ["test/good/000"]
    assert names(data.defective) == ["test/cut/000", "test/hole/000", "test/hole/001"]
    assert data.defect_types == ["cut", "hole", "hole"]
    assert data.data == data.good + data.test_good + data.defective
    assert [mask.sum() for mask in data.target] == [0, 0, 0, 40, 40, 40]
    assert [mask.sum() for mask in data.masks] == [40, 40, 40]
    X, y = load_mvtec_ad(mvtec_ad, "grid", return_X_y=True)
    assert data.data == X
    assert len(y) == 6


def test_mvtec_ad_without_good_test_images(mvtec_ad):
    (mvtec_ad / "grid/test/good/000.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"test_good: the folder .* contains no images"):
        load_mvtec_ad(mvtec_ad, "grid")
    (mvtec_ad / "grid/test/good").rmdir()
    data = load_mvtec_ad(mvtec_ad, "grid")
    assert data.test_good == []
    assert len(data.target) == 5


def test_mvtec_textures(mvtec_ad):
    data = load_mvtec_textures(mvtec_ad)
    assert list(data) == TEXTURES
    for name, texture in data.items():
        assert all(name in path.parts for path in texture.data)
    (mvtec_ad / "leather").rename(mvtec_ad / "hazelnut")
    message = "got 'leather' instead. Found there: carpet, grid, hazelnut, tile, wood"
    with pytest.raises(FileNotFoundError, match=message):
        load_mvtec_textures(mvtec_ad)


@pytest.mark.parametrize("load", [load_nanotwice, load_texture, load_mvtec_textures])
def test_root_must_be_a_path(load):
    with pytest.raises(TypeError, match="root must be the path of a folder, got None"):
        load(None)


def test_wrong_mvtec_ad(mvtec_ad):
    with pytest.raises(
        FileNotFoundError, match=r"category must be one of the categories .* got \['grid'\]"
    ):
        load_mvtec_ad(mvtec_ad, ["grid"])
    with pytest.raises(FileNotFoundError, match=r"root: the folder '.*nowhere' does not exist"):
        load_mvtec_ad(mvtec_ad / "nowhere", "grid")
    with pytest.raises(FileNotFoundError, match=r"Found there: no folder with a subfolder train"):
        load_mvtec_ad(mvtec_ad / "grid", "grid")
    (mvtec_ad / "grid/ground_truth/cut/000_mask.png").rename(
        mvtec_ad / "grid/ground_truth/cut/009_mask.png"
    )
    with pytest.raises(ValueError, match=r"mask: 000.png; masks without image: 009_mask\.png"):
        load_mvtec_ad(mvtec_ad, "grid")
    (mvtec_ad / "tile/ground_truth/cut").rename(mvtec_ad / "tile/ground_truth/crack")
    with pytest.raises(ValueError, match="must be the same; only in one of them: crack, cut"):
        load_mvtec_ad(mvtec_ad, "tile")
    (mvtec_ad / "wood/ground_truth").rename(mvtec_ad / "wood/masks")
    with pytest.raises(FileNotFoundError, match=r"ground_truth: the folder .* does not exist"):
        load_mvtec_ad(mvtec_ad, "wood")
