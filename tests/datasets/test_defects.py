import numpy as np
import pytest

from sk_ssimae.datasets import draw_defects, make_woven_fabric
from sk_ssimae.datasets._defects import _DRAWERS


@pytest.mark.parametrize("kind", sorted(_DRAWERS))
@pytest.mark.parametrize("shape", [(32, 32), (64, 100), (200, 40)])
def test_masks_are_exact(kind, shape):
    good = make_woven_fabric(8, shape=shape, random_state=0)
    before = good.copy()
    defective, masks = draw_defects(good, kinds=[kind], random_state=0)
    np.testing.assert_array_equal(good, before)
    np.testing.assert_array_equal(defective[~masks], good[~masks])
    changed = defective != good
    assert masks.any(axis=(1, 2)).all()
    assert masks.mean() < 0.3
    # A few marked pixels may keep their value by chance.
    assert changed[masks].mean() > 0.9
    assert 0 <= defective.min() <= defective.max() <= 1
    again = draw_defects(good, kinds=[kind], random_state=0)
    np.testing.assert_array_equal(again.images, defective)


def contrast(kind, good):
    """Measure by how many standard deviations of the texture a defect shifts the mean."""
    defective, masks = draw_defects(good, kinds=[kind], random_state=0)
    return abs(defective[masks].mean() - good[masks].mean()) / good.std()


def test_high_and_low_contrast():
    good = make_woven_fabric(12, random_state=0)
    assert min(contrast(kind, good) for kind in ("cut", "contamination")) > 2.5
    assert contrast("stain", good) < 2
    structural = ("blur", "misweave", "missing_thread", "doubled_thread")
    assert max(contrast(kind, good) for kind in structural) < 0.2


def test_default_kinds_are_unchanged():
    good = make_woven_fabric(6, shape=(64, 64), random_state=0)
    kinds = ["cut", "blur", "contamination", "missing_thread", "stain", "misweave"]
    for given, default in zip(
        draw_defects(good, kinds=kinds, random_state=0),
        draw_defects(good, random_state=0),
        strict=True,
    ):
        np.testing.assert_array_equal(given, default)


def test_scratches_are_thin_long_and_straight():
    good = make_woven_fabric(8, random_state=0)
    for mask in draw_defects(good, kinds=["scratch"], random_state=0).masks:
        rows, columns = np.nonzero(mask)
        places = np.c_[rows - rows.mean(), columns - columns.mean()]
        spread = np.linalg.svd(places, compute_uv=False)
        length, width = np.sqrt(12 / len(rows)) * spread  # Of a uniform bar.
        assert 0.35 * 256 < length < 0.85 * 256
        assert width < 0.1 * length


def test_doubled_threads_have_half_their_spacing():
    rows = np.arange(96)[:, None] + 0 * np.arange(96)
    stripes = 0.5 + 0.4 * np.sin(2 * np.pi * rows / 8)[None]
    doubled_rows = []
    for seed in range(10):
        defective, (mask,) = draw_defects(stripes, kinds=["doubled_thread"], random_state=seed)
        inside = np.flatnonzero(mask.any(axis=1))
        if len(inside) > 16:  # The strip runs across the stripes, so they are not doubled.
            continue
        strip = defective[0][mask].reshape(len(inside), -1)
        doubled_rows.append(np.fft.rfft(strip[:, 0] - strip[:, 0].mean()))
    assert len(doubled_rows) > 2
    for spectrum in doubled_rows:
        assert np.abs(spectrum).argmax() == 2  # A period of 4 on the strip's 8 rows.


@pytest.mark.parametrize("kind", sorted(_DRAWERS))
def test_defects_in_colour_equal_those_in_grey(kind):
    grey = make_woven_fabric(3, shape=(64, 80), random_state=0)
    of_grey, masks = draw_defects(grey, kinds=[kind], random_state=0)
    images, same_masks = draw_defects(
        np.stack([grey, grey, 0.5 * grey], axis=-1), kinds=[kind], random_state=0
    )
    assert images.shape == (3, 64, 80, 3)
    np.testing.assert_array_equal(same_masks, masks)
    np.testing.assert_array_equal(images[..., 0], of_grey)
    np.testing.assert_array_equal(images[..., 1], of_grey)
    np.testing.assert_array_equal(images[~masks][:, 2], 0.5 * grey[~masks])


def test_kinds_take_turns():
    good = make_woven_fabric(4, shape=(64, 64), random_state=0)
    both = draw_defects(good, kinds=["cut", "contamination"], n_defects=2, random_state=0)
    for image, mask, texture in zip(*both, good, strict=True):
        assert (image[mask] < texture[mask] - 0.1).any()
        assert (image[mask] > 0.75).any()


@pytest.mark.parametrize(
    ("images", "params", "message"),
    [
        (np.zeros((64, 64)), {}, r"images must have shape \(n, h, w\)"),
        (np.zeros((0, 64, 64)), {}, "n at least 1"),
        (np.zeros((1, 20, 64)), {}, r"h and w at least 32, got shape \(1, 20, 64\)"),
        (np.full((1, 64, 64), 3.0), {}, r"images must lie in \[0, 1\], got values from"),
        (np.full((1, 64, 64), np.nan), {}, r"images must lie in \[0, 1\], got values from"),
        (
            np.zeros((1, 64, 64)),
            {"kinds": ["hole"]},
            r"kinds must be chosen from .* got \['hole'\]",
        ),
        (np.zeros((1, 64, 64)), {"kinds": []}, r"got \[\]"),
        (np.zeros((1, 64, 64)), {"kinds": [["cut"]]}, r"kinds must be .* got \[\['cut'\]\]"),
        (np.zeros((1, 64, 64)), {"kinds": "cut"}, "kinds must be chosen from .* got 'cut'"),
        (np.full((1, 64, 64), 1e300), {}, r"images must lie in \[0, 1\], got values from"),
        ([[[0, 1], [0]]], {}, r"images must have shape .*, got rows of unequal length"),
        (np.zeros((1, 64, 64)), {"n_defects": 0}, "n_defects must be an integer .* got 0"),
        (np.zeros((1, 64, 64)), {"n_defects": 1.5}, "n_defects must be an integer .* got 1.5"),
    ],
)
def test_wrong_defects(images, params, message):
    with pytest.raises(ValueError, match=message):
        draw_defects(images, **params)


def test_images_must_be_numbers():
    for images in (np.zeros((1, 64, 64), complex), np.zeros((1, 64, 64), str)):
        with pytest.raises(TypeError, match="images must contain real numbers, got"):
            draw_defects(images)


def test_kinds_may_be_any_collection():
    images = np.full((1, 64, 64), 0.5)
    for kinds in ({"cut"}, {"cut": 1}, np.array(["cut"])):
        assert draw_defects(images, kinds=kinds, random_state=0).masks.any()
