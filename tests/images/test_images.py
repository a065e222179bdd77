import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from skimage.io import imsave
from skimage.util import img_as_float32

from sk_ssimae._images import Images
from sk_ssimae._pixels import Conversion, as_unit_float, check_image, resize


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.bool_])
def test_scaling_matches_scikit_image(dtype):
    rng = np.random.default_rng(0)
    image = (rng.random((8, 9)) * (1 if dtype == np.bool_ else np.iinfo(dtype).max)).astype(dtype)
    ours = as_unit_float(check_image(image, "X[0]"))
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours[..., 0], img_as_float32(image), atol=1e-7)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_floats_keep_their_values(dtype):
    image = np.linspace(0, 1, 12).reshape(3, 4).astype(dtype)
    checked = check_image(image, "X[0]")
    assert checked.dtype == np.float32
    np.testing.assert_array_equal(checked[..., 0], image.astype(np.float32))


@pytest.mark.parametrize(("channels", "kept"), [(1, 1), (2, 1), (3, 3), (4, 3), (5, 5)])
def test_opaque_alpha_is_dropped(channels, kept):
    image = np.random.default_rng(0).integers(0, 256, (4, 5, channels), dtype=np.uint8)
    if channels in (2, 4):
        image[..., -1] = 255
    np.testing.assert_array_equal(check_image(image, "X[0]"), image[..., :kept])
    keep = Conversion(alpha_channel="keep")
    np.testing.assert_array_equal(check_image(image, "X[0]", keep), image)


@pytest.mark.parametrize("channels", [2, 4])
def test_a_channel_that_may_be_alpha_is_refused(channels):
    image = np.random.default_rng(0).integers(0, 256, (4, 5, channels), dtype=np.uint8)
    message = (
        rf"X\[0\] has {channels} channels, and the last may be alpha or not. Set alpha_channel"
    )
    with pytest.raises(ValueError, match=message):
        check_image(image, "X[0]")
    drop = Conversion(alpha_channel="drop")
    np.testing.assert_array_equal(check_image(image, "X[0]", drop), image[..., :-1])


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_files_are_read_on_access(tmp_path: Path, suffix: str):
    image = np.random.default_rng(0).integers(0, 256, (20, 24), dtype=np.uint8)
    path = tmp_path / f"image{suffix}"
    images = Images([path, str(path)])
    imsave(path, image, check_contrast=False)
    for read in images:
        np.testing.assert_array_equal(read[..., 0], image)


def test_torch_tensors_are_accepted():
    images = Images(torch.rand(2, 8, 8))
    assert images.is_array
    assert images[1].shape == (8, 8, 1)
    with_gradient = [torch.rand(8, 8, requires_grad=True)]
    assert Images(with_gradient)[0].shape == (8, 8, 1)
    for X in (torch.zeros(2, 8, 8).bfloat16(), [torch.zeros(8, 8).bfloat16()]):
        with pytest.raises(
            TypeError, match=r"got a tensor of torch.bfloat16 .* instead. Convert it"
        ):
            Images(X)[0]


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (
            np.zeros((8, 8)),
            ValueError,
            r"got one image of shape \(8, 8\) instead: wrap it in a list",
        ),
        (
            np.zeros((8, 9, 3)),
            ValueError,
            r"got one image of shape \(8, 9, 3\) instead: wrap it in a list",
        ),
        (np.zeros(8), ValueError, r"got an array of shape \(8,\)"),
        ("image.png", TypeError, "got the path 'image.png' instead: wrap it in a list"),
        (3, TypeError, "got int instead"),
        ([], ValueError, "at least one image, got none"),
        (np.zeros((0, 8, 8)), ValueError, "at least one image, got none"),
    ],
)
def test_wrong_collections(X, error, message):
    with pytest.raises(error, match=message):
        Images(X)


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.full((8, 8), np.nan), ValueError, r"X\[0\] must be finite, got NaN or infinity"),
        (np.full((8, 8), np.inf), ValueError, r"X\[0\] must be finite, got NaN or infinity"),
        (
            np.full((8, 8), 200.0),
            ValueError,
            r"X\[0\] must have floats in \[0, 1\], got values from 200 to 200",
        ),
        (
            np.full((8, 8), -0.1),
            ValueError,
            r"got values from -0.1 to -0.1 instead. Set intensity_range",
        ),
        (np.zeros((8, 8), dtype=complex), TypeError, "got complex128 instead"),
        (np.zeros((8, 8), dtype=int), TypeError, "got int64 instead. Set intensity_range"),
        (np.zeros((8, 8), dtype="U1"), TypeError, "got <U1 instead"),
        ([[0, 1], [0]], ValueError, r"X\[0\] must have shape .*, got rows of unequal length"),
        ("x" * 300, FileNotFoundError, r"does not exist or is not a file. Check"),
        (np.zeros(8), ValueError, r"must have shape \(h, w\) or \(h, w, c\), got \(8,\)"),
        (np.zeros((8, 0)), ValueError, r"X\[0\] must have pixels, got shape \(8, 0\)"),
        (np.zeros((8, 4)), ValueError, r"at least patch_size=5 .* got shape \(8, 4\)"),
        ("no.png", FileNotFoundError, r"X\[0\] \('no.png'\) does not exist"),
    ],
)
def test_wrong_images(image, error, message):
    with pytest.raises(error, match=message):
        Images([image], min_size=5)[0]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".bmp"])
def test_unreadable_file_is_named(tmp_path: Path, suffix: str):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(b"\x89PNG no image")
    with pytest.raises(
        ValueError, match=rf"X\[0\] \('.*broken{suffix}'\) cannot be read as an image: .*\. Replace"
    ):
        Images([path])[0]


@pytest.mark.parametrize(
    ("suffix", "dtype", "shape"),
    [
        (".png", np.uint8, (6, 7)),
        (".png", np.uint8, (6, 7, 3)),
        (".png", np.uint8, (6, 7, 4)),
        (".png", np.uint16, (6, 7)),
        (".tif", np.uint8, (6, 7, 3)),
        (".tif", np.uint16, (6, 7)),
        (".tif", np.uint16, (6, 7, 3)),
    ],
)
def test_formats(tmp_path: Path, suffix: str, shape: tuple[int, ...], dtype: type):
    high = np.iinfo(dtype).max
    image = np.random.default_rng(0).integers(0, high, shape, dtype=dtype, endpoint=True)
    imsave(tmp_path / f"image{suffix}", image, check_contrast=False)
    expected = as_unit_float(check_image(image[..., :3] if len(shape) == 3 else image, "X[0]"))
    read = Images([tmp_path / f"image{suffix}"])[0]
    np.testing.assert_array_equal(as_unit_float(read), expected)


def test_numbers_of_channels_must_agree():
    images = Images([np.zeros((8, 8)), np.zeros((8, 8, 3))])
    with pytest.raises(ValueError, match=r"X\[1\] must have 1 channel like X\[0\], got 3 instead"):
        list(images)
    with pytest.raises(
        ValueError, match=r"must have 3 channels like the training images, got 1 instead"
    ):
        Images([np.zeros((8, 8))], n_channels=3)[0]


def test_tiff_that_declares_more_pixels_than_it_contains(tmp_path: Path):
    tags = [(256, 4, 2**14), (257, 4, 2**14), (258, 3, 8), (259, 3, 1), (262, 3, 1), (277, 3, 1)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    content = struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + bytes(4)
    (tmp_path / "bomb.tif").write_bytes(content)
    with pytest.raises(ValueError, match=r"bomb.tif'\) cannot be .*: It declares 268435456 bytes"):
        Images([tmp_path / "bomb.tif"])[0]


def test_flat_tiff_of_high_compression(tmp_path: Path):
    tifffile.imwrite(tmp_path / "flat.tif", np.zeros((2000, 2000), np.uint8), compression="zlib")
    assert Images([tmp_path / "flat.tif"])[0].shape == (2000, 2000, 1)


@pytest.mark.parametrize("kind", ["memmap", "reversed", "fortran", "big-endian", "read-only"])
def test_any_memory_layout(tmp_path: Path, kind: str):
    image = np.random.default_rng(0).random((6, 7)).astype(np.float32)
    other = image
    if kind == "memmap":
        other = np.memmap(tmp_path / "image.dat", dtype=np.float32, mode="w+", shape=image.shape)
        other[:] = image
    elif kind == "reversed":
        other = image[::-1].copy()[::-1]
    elif kind == "fortran":
        other = np.asfortranarray(image)
    elif kind == "big-endian":
        other = image.astype(">f4")
    else:
        other.flags.writeable = False
    np.testing.assert_array_equal(Images([other])[0][..., 0], image)


def test_resize_keeps_range_and_type():
    image = np.random.default_rng(0).random((20, 30, 2)).astype(np.float32)
    for shape in ((10, 10), (40, 35), (20, 30)):
        resized = resize(image, shape)
        assert resized.shape == (*shape, 2)
        assert resized.dtype == np.float32
        assert image.min() <= resized.min() <= resized.max() <= image.max()
