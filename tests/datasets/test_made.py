import numpy as np
import pytest

from sk_ssimae.datasets import draw_defects, make_woven_fabric
from sk_ssimae.datasets._defects import _DRAWERS


@pytest.mark.parametrize("weave", ["plain", "twill", "satin"])
@pytest.mark.parametrize("shape", [(64, 64), (40, 90)])
def test_fabric_is_seeded_and_in_range(weave, shape):
    fabric = make_woven_fabric(3, shape=shape, weave=weave, random_state=1)
    assert fabric.shape == (3, *shape)
    assert fabric.dtype == np.float32
    assert 0 <= fabric.min() < 0.4 < 0.6 < fabric.max() <= 1
    again = make_woven_fabric(3, shape=shape, weave=weave, random_state=1)
    np.testing.assert_array_equal(again, fabric)
    other = make_woven_fabric(3, shape=shape, weave=weave, random_state=2)
    assert not np.array_equal(other, fabric)
    assert not np.array_equal(fabric[0], fabric[1])


def spectrum(image):
    power = np.abs(np.fft.rfft2(image - image.mean())) ** 2
    return power / power.sum()


def test_threads_repeat_at_their_spacing():
    regular = make_woven_fabric(1, shape=(96, 96), weave="plain", irregularity=0, random_state=0)[0]
    power = spectrum(regular)
    rows, columns = np.nonzero(power > 0.01)
    # 12 threads on 96 pixels: whatever repeats does so at multiples of half that frequency.
    assert (rows % 6 == 0).all()
    assert (columns % 6 == 0).all()


def test_irregularity_breaks_the_repeats():
    sharpest = [
        spectrum(make_woven_fabric(1, irregularity=i, random_state=0)[0]).max() for i in (0, 1, 3)
    ]
    assert sharpest[0] > sharpest[1] > sharpest[2]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_samples": 0}, "n_samples must be an integer of at least 1, got 0"),
        ({"n_samples": 2.5}, r"n_samples must be an integer of at least 1, got 2\.5"),
        ({"shape": 5}, r"shape must be \(height, width\)"),
        ({"shape": (0, 5)}, r"shape must be \(height, width\)"),
        ({"weave": "denim"}, r"weave must be one of \['plain', 'satin', 'twill'\], got 'denim'"),
        ({"thread_spacing": 2}, "thread_spacing must be at least 3 pixels, got 2"),
        ({"irregularity": -1}, "irregularity must be at least 0, got -1"),
    ],
)
def test_wrong_fabric(params, message):
    with pytest.raises(ValueError, match=message):
        make_woven_fabric(**params)


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
    # Nearly every marked pixel is changed: some may happen to keep their value.
    assert changed[masks].mean() > 0.9
    assert 0 <= defective.min() <= defective.max() <= 1
    again = draw_defects(good, kinds=[kind], random_state=0)
    np.testing.assert_array_equal(again.images, defective)


def contrast(kind):
    """Measure by how many standard deviations of the texture a defect shifts the mean."""
    good = make_woven_fabric(12, random_state=0)
    defective, masks = draw_defects(good, kinds=[kind], random_state=0)
    return abs(defective[masks].mean() - good[masks].mean()) / good.std()


def test_high_and_low_contrast():
    assert min(contrast(kind) for kind in ("cut", "contamination")) > 2.5
    assert contrast("stain") < 2
    assert max(contrast(kind) for kind in ("blur", "misweave", "missing_thread")) < 0.2


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
        (np.full((1, 64, 64), 3.0), {}, r"images must lie in \[0, 1\]"),
        (np.full((1, 64, 64), np.nan), {}, r"images must lie in \[0, 1\]"),
        (
            np.zeros((1, 64, 64)),
            {"kinds": ["hole"]},
            r"kinds must be chosen from .* got \['hole'\]",
        ),
        (np.zeros((1, 64, 64)), {"kinds": []}, r"got \[\]"),
        (np.zeros((1, 64, 64)), {"n_defects": 0}, "n_defects must be at least 1, got 0"),
    ],
)
def test_wrong_defects(images, params, message):
    with pytest.raises(ValueError, match=message):
        draw_defects(images, **params)
