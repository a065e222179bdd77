import pickle
import re

import numpy as np
import PIL.Image
import pytest
import tifffile
from sklearn.utils import _safe_indexing

from sk_ssimae._validation import check_masks, defect_labels
from sk_ssimae.datasets import load_image_folder
from sk_ssimae.datasets._masks import read_mask


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
        r"images without mask: a.png; masks without image: z\.png; "
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
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(NotADirectoryError, match=r"good must be a folder, got the file '.*a.png'"):
        load_image_folder(tmp_path / "a.png")
    for name in ("defective", "masks"):
        with pytest.raises(ValueError, match=f"must be passed together, got only {name}"):
            load_image_folder(tmp_path, **{name: tmp_path})


@pytest.mark.parametrize("ending", ["_mask", "_GT", "-mask", "_label", "_seg", "_ground_truth"])
def test_usual_endings_of_masks(ending, tmp_path, save_image, save_mask):
    save_image(tmp_path / "good/a.png")
    save_image(tmp_path / "bad/a.png")
    save_mask(tmp_path / f"masks/a{ending}.png")
    data = load_image_folder(tmp_path / "good", tmp_path / "bad", tmp_path / "masks")
    assert data.masks[0].sum() == 40


def test_another_ending_of_masks(tmp_path, save_image, save_mask):
    save_image(tmp_path / "good/a.png")
    save_image(tmp_path / "bad/a.png")
    save_mask(tmp_path / "masks/a_defect.png")
    paths = [tmp_path / name for name in ("good", "bad", "masks")]
    with pytest.raises(ValueError, match=r"masks without image: a_defect.png.* mask_suffix"):
        load_image_folder(*paths)
    assert load_image_folder(*paths, mask_suffix="_defect").masks[0].sum() == 40


def test_masks_in_the_folder_of_the_images(tmp_path, save_image, save_mask):
    for name in ("a", "b"):
        save_image(tmp_path / f"{name}.png")
        save_mask(tmp_path / f"{name}_mask.png")
    with pytest.warns(UserWarning, match="good: left 'a_mask.png', 'b_mask.png' out, which are"):
        data = load_image_folder(tmp_path, tmp_path, tmp_path)
    assert [path.name for path in data.good] == ["a.png", "b.png"]
    assert [path.name for path in data.defective] == ["a.png", "b.png"]
    assert [mask.sum() for mask in data.masks] == [40, 40]


def test_subfolders(tmp_path, save_image, save_mask):
    for kind in ("cut", "hole"):
        save_image(tmp_path / f"good/{kind}/0.png")
        save_image(tmp_path / f"bad/{kind}/0.png")
        save_mask(tmp_path / f"masks/{kind}/0_mask.png")
    paths = [tmp_path / name for name in ("good", "bad", "masks")]
    with pytest.raises(FileNotFoundError, match="Its subfolders 'cut', 'hole' do: name one"):
        load_image_folder(*paths)
    data = load_image_folder(*paths, recursive=True)
    assert [path.parent.name for path in data.defective] == ["cut", "hole"]
    assert [mask.sum() for mask in data.masks] == [40, 40]
    save_image(tmp_path / "good/0.png")
    with pytest.warns(UserWarning, match="good: passed over the subfolders 'cut', 'hole', which"):
        assert len(load_image_folder(paths[0]).good) == 1


def test_images_of_other_types_are_named(tmp_path, save_image):
    save_image(tmp_path / "a.png")
    for name in ("b.gif", "c.webp", "d.heic", "notes.txt", "scores.csv"):
        (tmp_path / name).write_bytes(b"")
    with pytest.warns(UserWarning, match=r"good: passed over 'b.gif', 'c.webp', 'd.heic'\. Conv"):
        assert len(load_image_folder(tmp_path).good) == 1


def test_category_of_mvtec_ad(tmp_path, save_image, save_mask):
    save_image(tmp_path / "train/good/0.png")
    save_image(tmp_path / "test/cut/0.png")
    save_mask(tmp_path / "ground_truth/cut/0_mask.png")
    data = load_image_folder(tmp_path)
    assert (len(data.good), data.defect_types) == (1, ["cut"])
    assert len(load_image_folder(tmp_path, return_X_y=True)[0]) == 2


def write_mask(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path, **options)


def square(shape=(128, 128)):
    mask = np.zeros(shape, dtype=np.uint8)
    mask[30:70, 40:90] = 255
    return mask


@pytest.mark.parametrize("kind", ["jpeg", "shrunk", "enlarged", "1 bit", "0 is white"])
def test_masks_keep_their_size(kind, tmp_path):
    mask = square()
    path = tmp_path / "mask.png"
    if kind == "jpeg":
        path = tmp_path / "mask.jpg"
        write_mask(path, mask, quality=60)
    elif kind == "shrunk":
        large = PIL.Image.fromarray(np.kron(mask, np.ones((3, 3), np.uint8)))
        write_mask(path, np.asarray(large.resize((128, 128), PIL.Image.Resampling.LANCZOS)))
    elif kind == "enlarged":
        small = PIL.Image.fromarray(mask[::2, ::2])
        write_mask(path, np.asarray(small.resize((128, 128), PIL.Image.Resampling.BICUBIC)))
    elif kind == "1 bit":
        write_mask(path, mask > 0)
    else:
        path = tmp_path / "mask.tif"
        tifffile.imwrite(path, 255 - mask, photometric="miniswhite")
    read = read_mask(path)
    assert 0.97 <= read.sum() / (mask > 0).sum() <= 1.03


@pytest.mark.parametrize("levels", [(1, 2, 3), (255, 254, 240, 236), tuple(range(1, 21)), (7,)])
def test_kinds_of_defects_count_as_defects(levels, tmp_path):
    mask = np.zeros((60, 60), dtype=np.uint8)
    for index, level in enumerate(levels):
        mask[2 * index : 2 * index + 2, 10:20] = level
    write_mask(tmp_path / "mask.png", mask)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), mask > 0)


def test_photograph_instead_of_a_mask(tmp_path):
    rows = np.tile(np.linspace(0, 255, 60).astype(np.uint8), (60, 1))
    write_mask(tmp_path / "photo.png", rows)
    with pytest.raises(ValueError, match=r"photo.png' looks like a photograph: 78% of its pixels"):
        read_mask(tmp_path / "photo.png")


def test_mask_that_marks_nothing(tmp_path):
    write_mask(tmp_path / "mask.png", np.zeros((9, 9), np.uint8))
    with pytest.warns(UserWarning, match=r"mask.png' marks no pixel: its image counts as good"):
        assert not read_mask(tmp_path / "mask.png").any()
