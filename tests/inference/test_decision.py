import numpy as np
import pytest
from scipy import ndimage

from sk_ssimae._inference._decision import disk, open_map, smooth


@pytest.mark.parametrize(("diameter", "n_pixels"), [(2, 4), (3, 9), (4, 12), (5, 21), (6, 32)])
def test_disk(diameter, n_pixels):
    element = disk(diameter)
    assert element.shape == (diameter, diameter)
    assert element.sum() == n_pixels
    np.testing.assert_array_equal(element, element.T)
    np.testing.assert_array_equal(element, element[::-1])


def reference_opening(mask, element):
    """Open a mask by definition: keep the elements whose pixels inside the image are all marked."""
    n = len(element)
    padded = np.pad(mask, n, constant_values=True)
    opened = np.zeros_like(padded)
    for row, column in np.ndindex(mask.shape):
        first = row + n - (n - 1) // 2, column + n - (n - 1) // 2
        window = tuple(slice(start, start + n) for start in first)
        if padded[window][element].all():
            opened[window] |= element
    return opened[n:-n, n:-n]


@pytest.mark.parametrize("diameter", [2, 3, 4, 5])
def test_opening_then_threshold_is_threshold_then_opening(diameter):
    rng = np.random.default_rng(diameter)
    residual_map = ndimage.gaussian_filter(rng.random((24, 31)), 1).astype(np.float32)
    opened = open_map(residual_map, diameter)
    assert opened.dtype == np.float32
    assert (opened <= residual_map).all()
    np.testing.assert_array_equal(open_map(opened, diameter), opened)
    for threshold in np.quantile(residual_map, [0.2, 0.5, 0.7]):
        expected = reference_opening(residual_map > threshold, disk(diameter))
        np.testing.assert_array_equal(opened > threshold, expected)


def test_a_disk_survives_and_less_does_not():
    spot = np.zeros((12, 12), dtype=np.float32)
    spot[4:8, 4:8] = disk(4)
    np.testing.assert_array_equal(open_map(spot, 4), spot)
    spot[4, 5] = 0
    assert open_map(spot, 4).max() == 0


@pytest.mark.parametrize("diameter", [0, 1])
def test_no_opening(diameter):
    residual_map = np.random.default_rng(0).random((5, 5)).astype(np.float32)
    assert open_map(residual_map, diameter) is residual_map


def test_smoothing():
    residual_map = np.random.default_rng(0).random((30, 30)).astype(np.float32)
    assert smooth(residual_map, 0) is residual_map
    smoothed = smooth(residual_map, 2.5)
    assert smoothed.dtype == np.float32
    np.testing.assert_allclose(smoothed, ndimage.gaussian_filter(residual_map, 2.5))
