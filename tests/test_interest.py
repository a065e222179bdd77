from pathlib import Path

import numpy as np
import pytest
import torch

from sk_ssimae._interest import (
    RegionsOfInterest,
    bounding_box,
    count_inside,
    fill_outside,
    inner_patches,
    resize_inside,
)


def disc(shape=(30, 40), centre=(14, 20), radius=9):
    rows, columns = np.indices(shape)
    return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2


def test_one_mask_for_all_or_one_each():
    mask = disc()
    for roi in (mask, 255 * mask.astype(np.uint8), mask.tolist(), torch.from_numpy(mask)):
        np.testing.assert_array_equal(RegionsOfInterest(roi, 3).read(2, (30, 40)), mask)
    for roi in ([mask, ~mask], np.stack([mask, ~mask]), (mask, ~mask), [mask[..., None], ~mask]):
        np.testing.assert_array_equal(RegionsOfInterest(roi, 2).read(1, (30, 40)), roi[1] != 0)
    assert RegionsOfInterest(None, 3).read(0, (30, 40)) is None


def test_some_of_many_masks_are_read_when_needed():
    class Masks:
        read = []

        def __len__(self):
            return 3

        def __getitem__(self, index):
            self.read.append(index)
            return disc() if index == 2 else ~disc()

    masks = Masks()
    some = RegionsOfInterest(RegionsOfInterest(masks, 3).take(np.array([2, 0])), 2)
    assert masks.read == []
    np.testing.assert_array_equal(some.read(0, (30, 40)), disc())
    np.testing.assert_array_equal(some.read(1, (30, 40)), ~disc())
    assert masks.read == [2, 0]
    assert RegionsOfInterest(disc(), 3).take([1]) is not None
    assert RegionsOfInterest(None, 3).take([1]) is None


def test_rectangles_are_counted_by_their_first_pixel():
    counts = count_inside(disc(), (4, 7))
    assert counts.shape == (27, 34)
    for row, column in ((0, 0), (5, 14), (26, 33)):
        assert counts[row, column] == disc()[row : row + 4, column : column + 7].sum()


@pytest.mark.parametrize(
    ("roi", "error", "message"),
    [
        (3, TypeError, "roi must be an array or a sequence"),
        ("mask.png", TypeError, r"roi must contain masks .* got 'mask.png' .* Read the file first"),
        (Path("mask.png"), TypeError, r"roi must contain masks .* Read the file first"),
        (["a.png", "b.png"], ValueError, r"roi\[1\] must contain .* got <U5 .* Read files first"),
        ([disc(), None], ValueError, r"roi\[1\] must contain .* got object instead"),
        ([disc()], ValueError, r"one for each image, got 1 masks for 2 images"),
        (disc((5, 5)), ValueError, r"roi must have the height and width of image 1, \(30, 40\)"),
        ([disc(), disc((5, 5))], ValueError, r"roi\[1\] must have the height and width of image 1"),
        ([disc(), np.zeros((30, 40))], ValueError, r"roi\[1\] must mark at least one pixel"),
        ([disc(), np.full((30, 40), np.nan)], ValueError, r"roi\[1\] must contain booleans or fin"),
        ([disc(), np.full((30, 40), "a")], ValueError, r"roi\[1\] must contain booleans or finite"),
    ],
)
def test_other_regions_are_refused(roi, error, message):
    with pytest.raises(error, match=message):
        RegionsOfInterest(roi, 2).read(1, (30, 40))


def test_filling_mirrors_at_the_edge_and_takes_nothing_from_outside():
    image = np.random.default_rng(0).random((30, 40, 2))
    inside = np.zeros((30, 40), dtype=bool)
    inside[:, :25] = True
    filled = fill_outside(image, inside)
    np.testing.assert_array_equal(filled[:, :25], image[:, :25])
    np.testing.assert_array_equal(filled[:, 25:], image[:, 23:8:-1])
    for mask in (inside, disc()):
        other = np.where(mask[..., None], image, np.nan)
        np.testing.assert_array_equal(fill_outside(other, mask), fill_outside(image, mask))
    assert fill_outside(image, None) is image


def test_the_box_contains_the_region_and_has_the_least_size():
    assert bounding_box(disc(), (1, 1)) == (slice(5, 24), slice(11, 30))
    for centre in ((0, 0), (29, 39), (14, 20)):
        for least in ((25, 33), (100, 100), (1, 40)):
            mask = disc(centre=centre, radius=4)
            box = bounding_box(mask, least)
            assert mask[box].sum() == mask.sum()
            own = mask[bounding_box(mask, (1, 1))].shape
            expected = np.maximum(np.minimum(least, mask.shape), own)
            assert mask[box].shape == tuple(expected)


def test_resized_masks_are_never_empty():
    mask = disc()
    np.testing.assert_array_equal(resize_inside(np.repeat(mask, 2, axis=1), (30, 40)), mask)
    point = np.zeros((40, 40), dtype=bool)
    point[11, 33] = True
    assert np.argwhere(resize_inside(point, (4, 4))).tolist() == [[1, 3]]


def test_patches_lie_inside_unless_the_region_is_too_narrow():
    wide = disc((60, 60), (30, 30), 25)
    allowed = inner_patches(wide, 16)
    for row, column in np.argwhere(allowed):
        assert wide[row : row + 16, column : column + 16].all()
    assert not wide[:16, :16].all()
    assert not allowed[0, 0]
    assert allowed[22, 22]
    strip = np.zeros((60, 60), dtype=bool)
    strip[50:56] = True
    rows = np.unique(np.argwhere(inner_patches(strip, 16))[:, 0])
    assert rows.tolist() == list(range(37, 45))  # At least 3 of the 6 rows.
