import pickle
import re

import numpy as np
import pytest
from sklearn.utils import _safe_indexing

from sk_ssimae._validation import check_masks, defect_labels
from sk_ssimae.datasets import load_image_folder


@pytest.fixture
def folders(tmp_path, save_image, save_mask):
    """Make folders of two good images, three defective images and their masks."""
    good, defective, masks = (tmp_path / name for name in ("good", "defective", "masks"))
    for name in ("b", "a"):
        save_image(good / f"{name}.png", (32, 40))
    for name, mask in (("c", "c"), ("a", "a_mask"), ("b_mask", "b_mask_gt")):
        save_image(defective / f"{name}.png")
        save_mask(masks / f"{mask}.png")
    return good, defective, masks


def test_images_and_masks_are_sorted_by_name(folders):
    data = load_image_folder(*folders)
    assert [path.name for path in data.good] == ["a.png", "b.png"]
    assert [path.name for path in data.defective] == ["a.png", "b_mask.png", "c.png"]
    assert data.data == data.good + data.defective
    assert [mask.sum() for mask in data.target] == [0, 0, 40, 40, 40]
    assert [mask.shape for mask in data.target] == [(32, 40)] * 2 + [(36, 48)] * 3
    assert all(mask.dtype == np.bool_ for mask in data.target)
    X, y = load_image_folder(*folders, return_X_y=True)
    assert data.data == X
    np.testing.assert_array_equal(y[2], data.masks[0])
    alone = load_image_folder(folders[0])
    assert (len(alone.data), alone.defective, len(alone.masks)) == (2, [], 0)
    assert [mask.any() for mask in alone.target] == [False, False]


def test_masks_are_read_on_access(folders, save_mask):
    masks = folders[2]
    (masks / "c.png").write_bytes(b"")
    data = load_image_folder(*folders)
    assert data.masks[0].sum() == 40
    with pytest.raises(ValueError, match=r"mask '.*c\.png' cannot be read as an image"):
        data.masks[2]
    save_mask(masks / "c.png")
    assert data.masks[2].sum() == 40


def test_masks_behave_like_a_list(folders):
    y = load_image_folder(*folders).target
    assert len(y) == len(list(y)) == 5
    assert repr(y) == "<masks of 2 good and 3 defective images>"
    assert repr(y[1:]) == "<masks of 1 good and 3 defective images>"
    assert np.shape(y[2:]) == (3, 36, 48)
    assert y[-1].any()
    assert not y[np.int64(1)].any()
    with pytest.raises(IndexError):
        y[5]
    check_masks(y)
    np.testing.assert_array_equal(defect_labels(y, 5), [0, 0, 1, 1, 1])
    assert [mask.any() for mask in _safe_indexing(y, np.array([4, 0]))] == [True, False]
    assert [mask.any() for mask in pickle.loads(pickle.dumps(y))] == [False] * 2 + [True] * 3


def test_unpaired_files_are_named(folders, save_image, save_mask):
    _, defective, masks = folders
    (masks / "a_mask.png").unlink()
    save_mask(masks / "z.png")
    save_mask(masks / "c_gt.png")
    save_image(defective / "c.tif")
    message = (
        r"Images of '.*defective' and masks of '.*masks' must pair by name; "
        r"images without mask: a; masks without image: z\.png; "
        r"several with the same name: c\.png, c\.tif, c\.png, c_gt\.png\. Rename, add"
    )
    with pytest.raises(ValueError, match=message):
        load_image_folder(*folders)


def test_hidden_and_other_files_are_ignored(folders):
    for folder in folders:
        (folder / "._a.png").write_bytes(b"no image")
        (folder / "Thumbs.db").write_bytes(b"no image")
    assert len(load_image_folder(*folders).data) == 5


def test_missing_folders(tmp_path):
    for wrong in (None, 3, b"folder"):
        with pytest.raises(TypeError, match="good must be the path of a folder, got"):
            load_image_folder(wrong)
    message = f"good: the folder {str(tmp_path / 'good')!r} does not exist"
    with pytest.raises(FileNotFoundError, match=re.escape(message)):
        load_image_folder(tmp_path / "good")
    with pytest.raises(
        FileNotFoundError, match=r"good: the folder .* contains no images\. .* \.bmp"
    ):
        load_image_folder(tmp_path)
    for name in ("defective", "masks"):
        with pytest.raises(ValueError, match=f"must be passed together, got only {name}"):
            load_image_folder(tmp_path, **{name: tmp_path})
