import numpy as np
import pytest

from sk_ssimae._patches import coverage, window_positions


@pytest.mark.parametrize("length", [16, 17, 31, 32, 100, 696])
@pytest.mark.parametrize("stride", [1, 7, 16])
def test_windows_cover_every_pixel(length, stride):
    positions = window_positions(length, 16, stride)
    assert positions[0] == 0
    assert positions[-1] == length - 16
    assert (np.diff(positions) <= stride).all()
    assert (np.diff(positions) > 0).all()
    counted = np.zeros(length, dtype=int)
    for position in positions:
        counted[position : position + 16] += 1
    assert counted.min() >= 1
    np.testing.assert_array_equal(coverage(length, 16, positions), counted)
