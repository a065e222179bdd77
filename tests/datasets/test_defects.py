import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.utils._param_validation import StrOptions

from sk_ssimae.datasets import draw_defects, make_woven_fabric
from sk_ssimae.datasets._defects import FAMILIES, paint_defect
from sk_ssimae.datasets._defects._shapes import perlin_noise
from sk_ssimae.estimators import Role, all_segmenters

# Families whose contrast or opacity is proportional to the amount, at every pixel.
PROPORTIONAL = sorted(set(FAMILIES) - {"blur", "warp"})
STRUCTURAL = ("blur", "warp", "rotation", "missing_line", "doubled_line", "foreign_texture", "scar")


def as_type(images, dtype):
    if np.dtype(dtype).kind == "u":
        return np.rint(images * np.iinfo(dtype).max).astype(dtype)
    return images.astype(dtype)


def n_regions(mask):
    return ndimage.label(mask, structure=np.ones((3, 3)))[1]


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("shape", [(8, 8), (32, 32), (64, 100), (200, 40)])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f2", "f4", "f8"])
def test_masks_are_exact(family, shape, dtype):
    good = as_type(make_woven_fabric(3, shape=shape, random_state=0), dtype)
    before = good.copy()
    for severity in (0.01, 1):
        drawn = draw_defects(good, families=[family], severity=severity, random_state=0)
        np.testing.assert_array_equal(good, before)
        assert drawn.images.dtype == good.dtype
        np.testing.assert_array_equal(drawn.masks, drawn.images != good)
        assert [n_regions(mask) for mask in drawn.masks] == [1, 1, 1]
        assert drawn.masks.mean() < (0.3 if min(shape) > 8 else 0.6)
        again = draw_defects(good, families=[family], severity=severity, random_state=0)
        np.testing.assert_array_equal(again.images, drawn.images)
    assert not (draw_defects(good, families=[family], random_state=1).images == drawn.images).all()


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("dtype", ["u1", "f4"])
def test_defects_stay_inside_a_region(family, dtype):
    rows, columns = np.indices((64, 70))
    distance = np.hypot(rows - 31, columns - 35)
    corner = (rows < 12) & (columns > 55)
    for inside in ((distance > 24) & (distance < 31), corner):
        good = as_type(make_woven_fabric(2, shape=(64, 70), random_state=0), dtype)[..., None]
        for seed in range(3):
            rng = np.random.default_rng(seed)
            painted, mask = paint_defect(good[0], good[1], family, 1.0, rng, inside)
            np.testing.assert_array_equal((painted != good[0])[..., 0], mask)
            assert mask.any()
            assert not (mask & ~inside).any()
            assert n_regions(mask) == 1


@settings(max_examples=150, deadline=None)
@given(
    family=st.sampled_from(sorted(FAMILIES)),
    shape=st.tuples(st.integers(8, 70), st.integers(8, 70)),
    channels=st.sampled_from([None, 1, 3]),
    dtype=st.sampled_from(["u1", "u2", ">u2", "f4", "f8"]),
    severity=st.floats(1e-6, 1),
    seed=st.integers(0, 2**32),
)
def test_any_image(family, shape, channels, dtype, severity, seed):
    size = (2, *shape) if channels is None else (2, *shape, channels)
    good = as_type(np.random.default_rng(seed).random(size), dtype)
    images, masks = draw_defects(good, families=[family], severity=severity, random_state=seed)
    changed = (images != good).reshape(2, *shape, -1).any(axis=-1)
    np.testing.assert_array_equal(masks, changed)
    assert [n_regions(mask) for mask in masks] == [1, 1]
    assert images.min() >= 0
    assert images.max() <= (np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1)


@pytest.mark.parametrize("family", PROPORTIONAL)
def test_severity_scales_each_pixel(family):
    good = 0.25 + 0.5 * make_woven_fabric(2, shape=(64, 80), random_state=0).astype(float)
    changes = []
    for severity in (0.1, 0.4, 1):
        images, _ = draw_defects(good, families=[family], severity=severity, random_state=3)
        changes.append(np.abs(images - good))
    # Where the strongest is not clipped, changes grow with opacity from 0.19 over 0.46 to 1.
    np.testing.assert_allclose(changes[0], 0.19 * changes[2], atol=1e-9)
    np.testing.assert_allclose(changes[1], 0.46 * changes[2], atol=1e-9)


@pytest.mark.parametrize("family", ["blur", "warp"])
def test_severity_scales_the_amount(family):
    # A warped ramp tells the displacement; a blurred image of noise tells the filter's width.
    ramp = np.tile(np.linspace(0.1, 0.9, 96), (1, 96, 1))
    noise = np.random.default_rng(0).random((1, 96, 96))
    good = ramp if family == "warp" else noise
    changes = [
        np.abs(draw_defects(good, families=[family], severity=s, random_state=0).images - good)
        for s in (0.01, 0.1, 0.3, 0.6, 1)
    ]
    totals = [change.sum() for change in changes]
    assert totals == sorted(totals)
    assert totals[-1] > 1.3 * totals[0]
    if family == "warp":
        np.testing.assert_allclose(changes[1], 0.19 * changes[-1], atol=1e-6)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_severity_does_not_move_defects(family):
    good = make_woven_fabric(2, shape=(64, 80), random_state=0)
    weak, strong = (
        draw_defects(good, families=[family], severity=s, random_state=0).masks for s in (0.2, 1)
    )
    overlap = (weak & strong).sum() / (weak | strong).sum()
    assert overlap > 0.97


def contrast(family, good):
    """Measure by how many standard deviations of the texture a defect shifts the mean."""
    images, masks = draw_defects(good, families=[family], random_state=0)
    shifts = [
        abs(image[mask].mean() - texture[mask].mean())
        for image, mask, texture in zip(images, masks, good, strict=True)
    ]
    return np.mean(shifts) / good.std()


def test_high_and_low_contrast():
    good = make_woven_fabric(12, random_state=0)
    assert min(contrast(family, good) for family in ("cut", "contamination", "scratch")) > 2
    assert max(contrast(family, good) for family in ("stain", "crease")) < 1.6
    assert max(contrast(family, good) for family in STRUCTURAL) < 0.9


@pytest.mark.parametrize("scale", [0.05, 1.0])
def test_contrast_is_that_of_the_image(scale):
    good = make_woven_fabric(6, shape=(96, 96), random_state=0)
    dim = (good * scale).astype(np.float64)
    for family in FAMILIES:
        assert contrast(family, dim) == pytest.approx(contrast(family, good), rel=0.25, abs=0.1)


def test_twelve_bits_in_sixteen():
    good = np.uint16(make_woven_fabric(12, shape=(64, 64), random_state=0) * 4095)
    images, _ = draw_defects(good, families=sorted(FAMILIES), random_state=0)
    assert images.max() < 2 * 4095  # Not the 65535 of the type.


def test_weak_defects_in_bytes_have_no_holes():
    good = as_type(make_woven_fabric(4, random_state=0), "u1")
    for family in ("stain", "foreign_texture", "blur"):
        for mask in draw_defects(good, families=[family], severity=0.01, random_state=0).masks:
            filled = ndimage.binary_fill_holes(mask)
            assert mask.sum() > 0.85 * filled.sum()


def test_default_families():
    good = make_woven_fabric(6, shape=(64, 64), random_state=0)
    families = ["cut", "blur", "contamination", "missing_line", "stain", "rotation"]
    default = draw_defects(good, random_state=0)
    given = draw_defects(good, families=families, severity=1, random_state=0)
    np.testing.assert_array_equal(given.images, default.images)
    assert default.families == tuple((family,) for family in families)


def test_families_take_turns():
    good = make_woven_fabric(3, shape=(64, 64), random_state=0)
    drawn = draw_defects(good, families=["cut", "stain"], n_defects=3, random_state=0)
    assert drawn.families == (
        ("cut", "stain", "cut"),
        ("stain", "cut", "stain"),
        ("cut", "stain", "cut"),
    )
    np.testing.assert_array_equal(drawn.masks, drawn.images != good)


def test_scars_are_cut_from_another_image():
    good = np.stack([np.full((64, 64), 0.2), np.full((64, 64), 0.8)])
    images, masks = draw_defects(good, families=["scar"], random_state=0)
    for image, mask, other in zip(images, masks, good[::-1], strict=True):
        assert np.abs(image[mask] - other[mask]).max() < 0.01
    _, (mask,) = draw_defects(
        make_woven_fabric(1, shape=(64, 64), random_state=0), families=["scar"], random_state=0
    )
    assert mask.any()


def test_scratches_are_thin_long_and_straight():
    good = make_woven_fabric(8, random_state=0)
    for mask in draw_defects(good, families=["scratch"], random_state=0).masks:
        rows, columns = np.nonzero(mask)
        places = np.c_[rows - rows.mean(), columns - columns.mean()]
        spread = np.linalg.svd(places, compute_uv=False)
        length, width = np.sqrt(12 / len(rows)) * spread  # Of a uniform bar.
        assert 0.35 * 256 < length < 0.85 * 256
        assert width < 0.1 * length


def test_doubled_lines_have_half_their_spacing():
    rows = np.arange(96)[:, None] + 0 * np.arange(96)
    stripes = 0.5 + 0.4 * np.sin(2 * np.pi * (rows + 0.3) / 8)[None]
    doubled_rows = []
    for seed in range(10):
        images, (mask,) = draw_defects(stripes, families=["doubled_line"], random_state=seed)
        inside = np.flatnonzero(mask.any(axis=1))
        if len(inside) > 16:  # The strip runs across the stripes, so they are not doubled.
            continue
        column = np.flatnonzero(mask.any(axis=0))[5]
        strip = images[0, inside[0] : inside[0] + 8, column]
        doubled_rows.append(np.abs(np.fft.rfft(strip - strip.mean())))
    assert len(doubled_rows) > 2
    for spectrum in doubled_rows:
        assert spectrum.argmax() == 2  # A period of 4 on the strip's 8 rows.


def test_perlin_noise_is_zero_at_the_corners_of_cells_and_smooth():
    noise = perlin_noise((65, 97), np.random.default_rng(0), cell=8)
    np.testing.assert_allclose(noise[::8, ::8], 0, atol=1e-12)
    assert 0.3 < np.abs(noise).max() < 1
    assert np.abs(np.diff(noise, axis=0)).max() < 0.25
    assert np.abs(np.diff(noise, axis=1)).max() < 0.25


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_defects_in_colour_equal_those_in_grey(family):
    grey = make_woven_fabric(3, shape=(64, 80), random_state=0).astype(float)
    of_grey, masks = draw_defects(grey, families=[family], random_state=0)
    images, same_masks = draw_defects(
        np.stack([grey, grey, grey], axis=-1), families=[family], random_state=0
    )
    assert images.shape == (3, 64, 80, 3)
    np.testing.assert_array_equal(same_masks, masks)
    for channel in range(3):
        np.testing.assert_allclose(images[..., channel], of_grey, atol=1e-12)


def test_no_family_is_a_corruption_of_training():
    # A search would reward networks that learned to remove such defects.
    names = set()
    for segmenter in all_segmenters().values():
        for name, parameter in segmenter.parameters.items():
            if parameter.role is Role.TRAINING:
                options = [c.options for c in parameter.constraints if isinstance(c, StrOptions)]
                names |= {name}.union(*options)
    assert "cutout" in names
    assert not names & set(FAMILIES)
    # Cutout paints one grey over the texture; no family does, on any patch of 3 × 3 pixels.
    good = make_woven_fabric(4, shape=(96, 96), random_state=0).astype(float)
    for family in FAMILIES:
        images, masks = draw_defects(good, families=[family], random_state=0)
        inside = ndimage.binary_erosion(masks, np.ones((1, 3, 3)))
        spread = ndimage.maximum_filter(images, (1, 3, 3)) - ndimage.minimum_filter(
            images, (1, 3, 3)
        )
        assert (spread[inside] > 1e-6).all()


@pytest.mark.parametrize(
    ("images", "params", "message"),
    [
        (np.zeros((64, 64)), {}, r"images must have shape \(n, h, w\)"),
        (np.zeros((0, 64, 64)), {}, "n at least 1"),
        (np.zeros((1, 7, 64)), {}, r"at least 8 pixels high and wide, got shape \(7, 64\)"),
        (np.full((1, 64, 64), 3.0), {}, "Subtract the smallest possible value and divide"),
        (np.full((1, 64, 64), -0.5), {}, r"floats in \[0, 1\], got values from -0.5 to -0.5"),
        (np.full((1, 64, 64), np.nan), {}, "images must be finite, got NaN .*nan_to_num"),
        (np.full((1, 64, 64), np.inf), {}, "images must be finite, got NaN or infinity"),
        (
            np.zeros((1, 64, 64)),
            {"families": ["hole"]},
            r"families must be chosen from .* got \['hole'\]",
        ),
        (np.zeros((1, 64, 64)), {"families": []}, r"got \[\]"),
        (np.zeros((1, 64, 64)), {"families": [["cut"]]}, r"families must be .* got \[\['cut'\]\]"),
        (np.zeros((1, 64, 64)), {"families": "cut"}, "families must be chosen from .* got 'cut'"),
        (np.zeros((1, 64, 64)), {"severity": 0}, r"severity must lie in \(0, 1\], got 0"),
        (np.zeros((1, 64, 64)), {"severity": 1.5}, r"severity must lie in \(0, 1\], got 1.5"),
        (
            np.full((1, 64, 64), 0.5),
            {"families": ["blur"]},
            r"families='blur' changes nothing in images\[0\], which is flat or saturated. Choose",
        ),
        ([[[0, 1], [0]]], {}, r"images must have shape .*, got rows of unequal length"),
        (np.zeros((1, 64, 64)), {"n_defects": 0}, "n_defects must be an integer .* got 0"),
        (np.zeros((1, 64, 64)), {"n_defects": 1.5}, "n_defects must be an integer .* got 1.5"),
    ],
)
def test_wrong_defects(images, params, message):
    with pytest.raises(ValueError, match=message):
        draw_defects(images, **params)


@pytest.mark.parametrize("dtype", ["?", "i4", "u4", complex, str])
def test_images_must_have_a_known_range(dtype):
    with pytest.raises(TypeError, match=r"images must be uint8, uint16 or floats .* Divide"):
        draw_defects(np.zeros((1, 64, 64), dtype))


def test_families_may_be_any_collection():
    images = np.full((1, 64, 64), 0.5)
    for families in ({"cut"}, {"cut": 1}, np.array(["cut"])):
        assert draw_defects(images, families=families, random_state=0).masks.any()
