"""Images with a margin of copies of their outermost pixels."""

import numpy as np
import pytest

from sk_ssimae.estimators._extension import ExtendedImage, extend, extend_inside, inner_area


class InMemory:
    def __init__(self, pixels):
        self.pixels, self.shape = pixels, pixels.shape[:2]

    def read(self, rows, columns):
        assert 0 <= rows.start < rows.stop <= self.shape[0]
        assert 0 <= columns.start < columns.stop <= self.shape[1]
        return self.pixels[rows, columns]


@pytest.mark.parametrize("margin", [0, 1, 5, 20])
def test_parts_are_those_of_the_image_with_a_margin(margin):
    rng = np.random.default_rng(margin)
    image = rng.random((9, 7, 2), dtype=np.float32)
    whole = np.pad(image, [(margin, margin), (margin, margin), (0, 0)], mode="edge")
    np.testing.assert_array_equal(extend(image, margin), whole)
    extended = ExtendedImage(InMemory(image), margin)
    assert extended.shape == whole.shape[:2]
    for _ in range(200):
        first, last = np.sort(rng.choice(whole.shape[0] + 1, 2, replace=False))
        left, right = np.sort(rng.choice(whole.shape[1] + 1, 2, replace=False))
        rows, columns = slice(first, last), slice(left, right)
        np.testing.assert_array_equal(extended.read(rows, columns), whole[rows, columns])
    np.testing.assert_array_equal(whole[inner_area(image.shape, margin)], image)


def test_the_margin_is_not_inspected():
    rng = np.random.default_rng(0)
    inside = rng.random((9, 7)) > 0.5
    np.testing.assert_array_equal(extend_inside(inside, (9, 7), 3)[3:-3, 3:-3], inside)
    assert extend_inside(inside, (9, 7), 3).sum() == inside.sum()
    assert extend_inside(None, (9, 7), 3).sum() == 63
    assert extend_inside(None, (9, 7), 0) is None
