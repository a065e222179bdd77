import base64
import io
import math

import numpy as np
import pytest
import tifffile
from PIL import Image

from sk_ssimae._intensity import IntensityRange
from sk_ssimae._pixels import Conversion
from sk_ssimae.cli._colours import ColourScale
from sk_ssimae.cli._pictures import draw, longest_side

SCALE = ColourScale(0.0, 0.05, 2.0, 0.1, 0.3)


def decode(url):
    return Image.open(io.BytesIO(base64.b64decode(url.partition("base64,")[2])))


def test_pictures_are_small_and_lose_no_defect(tmp_path, write):
    write(tmp_path / "x.png", np.full((100, 1000), 0.5))
    residual_map = np.full((100, 1000), 0.01, np.float32)
    residual_map[50, 707] = 0.9
    drawn = draw(tmp_path / "x.png", residual_map, SCALE, Conversion(), 320)
    assert (drawn.width, drawn.height) == (320, 32)
    assert decode(drawn.image).size == decode(drawn.residual_map).size == (320, 32)
    assert np.asarray(decode(drawn.image)).std() < 1
    codes = np.asarray(decode(drawn.residual_map))
    assert codes[50 * 32 // 100, 707 * 320 // 1000] == SCALE.encode(np.float32(0.9))
    assert (codes > 0).sum() == 1


def test_pages_of_many_images_have_smaller_pictures():
    assert longest_side(10) > longest_side(2000)


class Fixed:
    """Levels and range of a segmenter."""

    def __init__(self, extent, threshold, residual_range):
        self.extent_threshold_, self.threshold_ = extent, threshold
        self.residual_range = lambda: residual_range


@pytest.mark.parametrize(
    ("extent", "threshold", "residual_range"),
    [
        (0.1, 0.3, (0, 2)),
        (1e-5, 1e-3, (0, 1)),
        (2.0, 5.0, (0, math.inf)),
        (-0.5, 0.5, (-1, 7)),
        (0.3, 0.3, (0, 2)),
        (0, 0, (0, math.inf)),
        (3, 3, (0, 2)),
    ],
)
def test_codes_resolve_values_around_and_above_the_levels(extent, threshold, residual_range):
    scale = ColourScale.of(Fixed(extent, threshold, residual_range))
    assert 1 < scale.step < 1.06
    above = threshold + np.array([1, 2, 84]) * (threshold - scale.origin or 1)
    above = above[above <= scale.origin + scale.high]
    codes = scale.encode(above.astype(np.float32)).astype(int)
    assert (np.diff(codes) > 8).all()
    palette = scale.palette().astype(int)
    assert palette.shape == (256, 4)
    colours = palette[codes]
    assert (np.abs(np.diff(colours, axis=0)).sum(axis=1) > 30).all()
    # The opacity ascends, so that no higher residual is less visible.
    assert (np.diff(palette[:, 3]) >= 0).all()


def test_codes_are_within_half_a_step():
    residuals = np.geomspace(0.05, 2, 1000).astype(np.float32)
    restored = SCALE.low * SCALE.step ** SCALE.encode(residuals).astype(float)
    assert np.abs(np.log(restored / residuals)).max() <= 0.5 * math.log(SCALE.step) + 1e-6
    assert SCALE.encode(np.float32([0, 9])).tolist() == [0, 255]


def test_images_are_shown_as_the_model_sees_them(tmp_path):
    ramp = np.linspace(0, 4095, 32 * 32).astype(np.uint16).reshape(32, 32)
    ramp[0, 0] = 65535  # A stuck pixel.
    camera = Conversion(IntensityRange(0, 4095))
    tifffile.imwrite(tmp_path / "x.tif", ramp)
    nothing = np.zeros((32, 32), np.float32)
    shown = np.asarray(decode(draw(tmp_path / "x.tif", nothing, SCALE, camera, 320).image))
    assert shown.mean() == pytest.approx(127, abs=5)
    # Black stays black.
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((32, 32), np.uint16))
    drawn = draw(tmp_path / "x.tif", nothing, SCALE, camera, 320)
    assert np.asarray(decode(drawn.image)).max() == 0


def test_colour_images_stay_in_colour(tmp_path, write):
    picture = np.zeros((20, 30, 3))
    picture[..., 0] = 1
    write(tmp_path / "red.png", picture)
    nothing = np.zeros((20, 30), np.float32)
    drawn = draw(tmp_path / "red.png", nothing, SCALE, Conversion(), 320)
    red, green, blue = np.asarray(decode(drawn.image)).reshape(-1, 3).mean(axis=0)
    assert red > 240
    assert max(green, blue) < 20
