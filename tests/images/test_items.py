"""Images as users pass them: Pillow images, paths of all kinds."""

import io
from pathlib import Path, PurePath

import numpy as np
import PIL.Image
import pytest

from sk_ssimae._images import Images

COLOUR = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
GREY = COLOUR[..., 0]


@pytest.mark.parametrize(
    ("mode", "expected"), [("L", GREY), ("LA", GREY), ("1", None), ("I;16", None), ("F", None)]
)
def test_grey_pillow_images(mode, expected):
    if mode == "I;16":
        image, expected = PIL.Image.fromarray(GREY.astype(np.uint16) * 257), GREY
    elif mode == "F":
        image, expected = PIL.Image.fromarray((GREY / 255).astype(np.float32)), GREY
    else:
        image = PIL.Image.fromarray(GREY).convert(mode)
        expected = 255 * np.asarray(image) if mode == "1" else expected
    read = Images([image])[0]
    read = read / 255 if read.dtype == np.uint8 else read
    np.testing.assert_allclose(read[..., 0], expected / 255, atol=1e-6)


def test_pillow_images_are_converted_as_files_are(tmp_path):
    exif = PIL.Image.Exif()
    exif[274] = 6
    palette = PIL.Image.fromarray(COLOUR // 128 * 200).quantize(8)
    palette.save(tmp_path / "palette.png")
    PIL.Image.fromarray(COLOUR).save(tmp_path / "turned.png", exif=exif)
    PIL.Image.fromarray(np.dstack([COLOUR, GREY])).save(tmp_path / "alpha.png")
    for path in tmp_path.iterdir():
        with PIL.Image.open(path) as image:
            np.testing.assert_array_equal(Images([image])[0], Images([path])[0])


@pytest.mark.parametrize("mode", ["CMYK", "LAB", "YCbCr", "HSV"])
def test_other_colours_of_pillow_are_refused(mode):
    image = PIL.Image.fromarray(COLOUR).convert("RGB").convert(mode if mode != "LAB" else "RGB")
    image = PIL.Image.new(mode, (9, 6)) if mode == "LAB" else image
    with pytest.raises(ValueError, match=rf"X\[0\] cannot be .*: Its colours are {mode} instead"):
        Images([image])[0]
    with pytest.raises(TypeError, match="got one image instead: wrap it in a list"):
        Images(image)


def test_paths_of_all_kinds(tmp_path):
    path = tmp_path / "image.png"
    PIL.Image.fromarray(GREY).save(path)

    class Custom:
        def __fspath__(self):
            return str(path)

    for item in (path, str(path), bytes(path), PurePath(path), Custom()):
        np.testing.assert_array_equal(Images([item])[0][..., 0], GREY)
    for several in (np.array([str(path)]), np.array([bytes(path)]), np.array([path], dtype=object)):
        np.testing.assert_array_equal(Images(several)[0][..., 0], GREY)


@pytest.mark.parametrize("kind", ["BytesIO", "binary file", "text file"])
def test_open_files_are_refused_and_not_touched(tmp_path, kind):
    path = tmp_path / "image.png"
    PIL.Image.fromarray(GREY).save(path)
    file = {
        "BytesIO": lambda: io.BytesIO(path.read_bytes()),
        "binary file": lambda: path.open("rb"),
        "text file": lambda: path.open(),
    }[kind]()
    with file:
        with pytest.raises(TypeError, match=r"X\[0\] must be an array or a path, got an open file"):
            Images([file])[0]
        with pytest.raises(TypeError, match="X must be"):
            Images(file)
        assert not file.closed
        assert file.tell() == 0


def test_a_folder_is_named(tmp_path):
    for folder in (tmp_path, str(tmp_path), bytes(tmp_path)):
        with pytest.raises(TypeError, match=r"list its images with .*load_image_folder"):
            Images(folder)
    with pytest.raises(TypeError, match=r"got the path 'image.png' instead: wrap it in a list"):
        Images(Path("image.png"))


def test_objects_that_numpy_cannot_convert():
    class Strange:
        def __array__(self, *args, **kwargs):
            raise RuntimeError("no array today")

    with pytest.raises(ValueError, match=r"got Strange that NumPy cannot convert \(no array today"):
        Images([Strange()])[0]
