import numpy as np
import pytest
from scipy import ndimage

from sk_ssimae._inference._decision import (
    Levels,
    disk,
    image_score,
    mark,
    open_map,
    opening_radius,
    smooth,
)


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


def random_map(seed, shape=(40, 51)):
    rng = np.random.default_rng(seed)
    return ndimage.gaussian_filter(rng.random(shape), 1.5).astype(np.float32)


@pytest.mark.parametrize("area", [2, 7, 30])
def test_opening_by_area_leaves_out_small_regions_at_every_level(area):
    residual_map = random_map(area)
    opened = open_map(residual_map, 0, area)
    assert opened.dtype == np.float32
    for threshold in np.quantile(residual_map, [0.5, 0.8, 0.97]):
        labels, n = ndimage.label(residual_map > threshold)
        sizes = np.bincount(labels.ravel(), minlength=n + 1)
        expected = (labels > 0) & (sizes[labels] >= area)
        np.testing.assert_array_equal(opened > threshold, expected)


@pytest.mark.parametrize("area", [0, 3, 9])
def test_an_opened_value_depends_on_its_radius_alone(area):
    residual_map = random_map(0)
    reach = opening_radius(4, area)
    opened = open_map(residual_map, 4, area)[12:20, 15:25]
    part = residual_map[12 - reach : 20 + reach, 15 - reach : 25 + reach]
    part = open_map(part, 4, area)[reach : reach + 8, reach : reach + 10]
    np.testing.assert_array_equal(part, opened)


@pytest.mark.parametrize("radius", [0, 1, 3])
def test_marked_regions_exceed_both_levels(radius):
    residual_map = random_map(1)
    low, high = (float(np.quantile(residual_map, q)) for q in (0.8, 0.97))
    mask = mark(residual_map, Levels(high, low, radius))
    labels, n = ndimage.label(mask)
    assert 0 < n < ndimage.label(residual_map > low)[1]
    peaks = ndimage.maximum(residual_map, labels, np.arange(1, n + 1))
    assert (peaks > high).all()
    assert residual_map[mask].min() > low
    assert mask.any() == (image_score(residual_map) > high)


def test_without_a_radius_all_pixels_of_a_region_are_marked():
    row = np.array([[0, 3, 2, 9, 2, 0, 3, 3, 0]], dtype=np.float32)
    np.testing.assert_array_equal(mark(row, Levels(5, 1)), [[0, 1, 1, 1, 1, 0, 0, 0, 0]])
    np.testing.assert_array_equal(mark(row, Levels(5, 5)), row > 5)
    # Half of the way from 1 to 9 is 5; two columns from the peak, 3 counts by itself.
    np.testing.assert_array_equal(mark(row, Levels(5, 1, 1)), [[0, 0, 0, 1, 0, 0, 0, 0, 0]])
    np.testing.assert_array_equal(mark(row, Levels(2, 1, 1)), [[0, 1, 0, 1, 0, 0, 1, 1, 0]])


def test_pixels_that_touch_at_a_corner_are_two_regions():
    corner = np.array([[9, 0], [0, 3]], dtype=np.float32)
    np.testing.assert_array_equal(mark(corner, Levels(5, 1)), [[1, 0], [0, 0]])


def test_half_of_the_peak_undoes_the_smoothing_of_a_wide_region():
    disc = np.hypot(*np.mgrid[-40:41, -40:41]) < 20
    smoothed = smooth(disc.astype(np.float32), 4)
    wide = mark(smoothed, Levels(0.5, 0.01))
    trimmed = mark(smoothed, Levels(0.5, 0.01, 4))
    assert wide.sum() > 1.7 * disc.sum()
    assert abs(int(trimmed.sum()) - int(disc.sum())) < 0.25 * disc.sum()


def test_levels_that_rounding_would_merge():
    residual_map = np.full((5, 5), 0.1, dtype=np.float32)
    below = float(np.nextafter(np.float64(residual_map[0, 0]), 0))
    for radius in (0, 2):
        assert mark(residual_map, Levels(below, below, radius)).all()
        assert not mark(residual_map, Levels(float(residual_map[0, 0]), 0.0, radius)).any()
