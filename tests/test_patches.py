import numpy as np
import pytest
from scipy.signal.windows import tukey

from sk_ssimae._patches import choose_stride, coverage, patch_positions, taper_weights


@pytest.mark.parametrize("length", [16, 17, 31, 32, 100, 696])
@pytest.mark.parametrize("stride", [1, 7, 16])
def test_windows_cover_every_pixel(length, stride):
    positions = patch_positions(length, 16, stride)
    assert positions[0] == 0
    assert positions[-1] == length - 16
    assert (np.diff(positions) <= stride).all()
    assert (np.diff(positions) > 0).all()
    pixels = np.arange(length)
    over = (positions[:, None] <= pixels) & (pixels < positions[:, None] + 16)
    assert over.any(axis=0).all()
    np.testing.assert_array_equal(coverage(length, positions, np.ones(16)), over.sum(axis=0))


@pytest.mark.parametrize(("patch_size", "stride"), [(1, 1), (3, 1), (16, 4), (64, 16), (128, 32)])
def test_the_automatic_stride_is_a_quarter_of_a_patch(patch_size, stride):
    assert choose_stride("auto", patch_size) == stride
    assert choose_stride(7, patch_size) == 7


def test_weights_are_summed_over_each_pixel():
    covered = coverage(6, np.array([0, 2]), np.array([0.5, 2, 1, 4]))
    assert covered.tolist() == [0.5, 2, 1.5, 6, 1, 4]


@pytest.mark.parametrize("patch_size", [16, 128])
@pytest.mark.parametrize("taper", [0, 1e-3, 0.0625, 0.25, 0.5, 0.77, 1])
def test_weights_are_those_of_a_tukey_window(patch_size, taper):
    weights = taper_weights(patch_size, taper)
    at_corners_and_centres = tukey(2 * patch_size + 1, taper)
    np.testing.assert_allclose(weights, at_corners_and_centres[1::2], atol=1e-12)
    assert weights.min() > 0


@pytest.mark.parametrize("taper", [0, 5e-324, 1 / 16])
def test_a_taper_narrower_than_a_pixel_is_none(taper):
    assert taper_weights(16, taper).tolist() == [1] * 16
    assert taper_weights(16, 1 / 15)[0] < 1
