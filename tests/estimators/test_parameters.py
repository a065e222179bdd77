"""Names and numbers given as parameters."""

import inspect
from numbers import Real

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils._param_validation import Interval

from sk_ssimae import (
    AdversarialAutoencoderSegmenter,
    FeatureMatchingAutoencoderSegmenter,
    GenerativeAdversarialSegmenter,
    L2AutoencoderSegmenter,
    SSIMAutoencoderSegmenter,
    VariationalAutoencoderSegmenter,
)
from sk_ssimae._inference._decision import open_map, opening_radius, smooth, smoothing_sigma
from sk_ssimae.estimators._ssim import SSIM_CONSTRAINTS

# A value of each numeric parameter that float16, or uint8, represents exactly.
NUMBERS = {
    "latent_dim": 8,
    "patch_size": 16,
    "stride": 8,
    "n_patches": 64,
    "batch_size": 16,
    "max_epochs": 2,
    "random_state": 3,
    "inference_batch_size": 3,
    "verbose": 0,
    "cutout": 0.25,
    "lr": 2**-8,
    "weight_decay": 2**-10,
    "taper": 0.5,
    "image_size": 40,
    "max_image_pixels": 100,
    "smoothing": 64,
    "threshold": 0.5,
    "target_fpr": 2**-6,
    "extent_threshold": 0.125,
    "extent_fpr": 2**-6,
    "min_region_area": 3,
    "validation_fraction": 0.25,
    "opening_diameter": 3,
    "window_size": 11,
    "alpha": 2,
    "beta": 1,
    "gamma": 3,
    "c1": 2**-10,
    "c2": 2**-9,
    "n_samples": 2,
    "n_posteriors": 50,
    "kl_weight": 2,
    "absolute_weight": 3,
    "feature_weight": 2,
    "adversarial_weight": 2,
    "critic_lr": 2**-12,
    "encoder_share": 0.25,
    "critic_steps": 2,
    "search_steps": 3,
    "search_lr": 2**-5,
}
OWN = {
    VariationalAutoencoderSegmenter: ("n_samples", "n_posteriors", "kl_weight"),
    FeatureMatchingAutoencoderSegmenter: ("feature_weight",),
    AdversarialAutoencoderSegmenter: ("adversarial_weight", "critic_lr"),
    GenerativeAdversarialSegmenter: (
        *("encoder_share", "critic_steps", "search_steps", "search_lr"),
    ),
}
CLASS_OF = {name: cls for cls, names in OWN.items() for name in names}
INTEGERS = [np.uint8, np.int8, np.int64, np.uint16]
FLOATS = [np.float16, np.float32, np.float64, np.longdouble]


def numeric_parameters(cls):
    constraints = {name: parameter.constraints for name, parameter in cls.parameters.items()}
    return {
        name
        for name, allowed in constraints.items()
        if {"random_state", "verbose"} & {c for c in allowed if isinstance(c, str)}
        or any(isinstance(c, Interval) for c in allowed)
    }


def types_of(name):
    is_whole = isinstance(NUMBERS[name], int)
    takes_floats = any(
        c.type is Real
        for c in CLASS_OF.get(name, SSIMAutoencoderSegmenter).parameters[name].constraints
        if isinstance(c, Interval)
    )
    return [*(INTEGERS if is_whole else ()), *(FLOATS if takes_floats else ())]


CASES = [(name, type_) for name in NUMBERS for type_ in types_of(name)]


def test_every_numeric_parameter_is_tested():
    classes = (SSIMAutoencoderSegmenter, *OWN)
    assert {*NUMBERS} == set().union(*map(numeric_parameters, classes))


@pytest.fixture(scope="module")
def fit(tiny, good, all_segmenter_classes):
    """Return a function that fits with one parameter changed, once for each value."""
    classes = {getattr(cls, "func", cls): cls for cls in all_segmenter_classes}
    images = np.uint8(255 * good)

    def results(name, value):
        cls = classes[CLASS_OF.get(name, SSIMAutoencoderSegmenter)]
        segmenter = cls(**(tiny | {name: value})).fit(images)
        return segmenter.decision_function(images), segmenter.threshold_

    plain = {}

    def compare(name, value):
        if name not in plain:
            plain[name] = results(name, NUMBERS[name])
        return results(name, value), plain[name]

    return compare


@pytest.mark.parametrize(
    ("name", "type_"), CASES, ids=[f"{name}-{type_.__name__}" for name, type_ in CASES]
)
def test_numbers_of_numpy_act_like_those_of_python(fit, name, type_):
    (maps, threshold), (expected, expected_threshold) = fit(name, type_(NUMBERS[name]))
    np.testing.assert_array_equal(maps, expected)
    assert threshold == expected_threshold


@pytest.mark.parametrize("name", sorted(SSIM_CONSTRAINTS.keys() - {"window"}))
def test_residual_params_take_numbers_of_numpy(tiny, good, name):
    segmenter = SSIMAutoencoderSegmenter(**tiny).fit(good)
    maps = []
    for number in (NUMBERS[name], np.float32(NUMBERS[name])):
        value = np.uint8(number) if name == "window_size" else number
        maps.append(segmenter.set_params(residual_params={name: value}).decision_function(good))
    np.testing.assert_array_equal(*maps)


def test_numbers_are_stored_as_given(tiny):
    value = np.uint8(64)
    segmenter = SSIMAutoencoderSegmenter(**tiny, smoothing=value)
    assert vars(segmenter)["smoothing"] is value
    assert type(segmenter.smoothing) is int
    assert clone(segmenter).smoothing == 64
    assert repr(segmenter).endswith("smoothing=64, stride=8)")


@pytest.mark.parametrize("name", ["smoothing", "patch_size", "lr", "target_fpr"])
def test_arrays_are_no_numbers(tiny, good, name):
    segmenter = SSIMAutoencoderSegmenter(**(tiny | {name: np.array(NUMBERS[name])}))
    with pytest.raises(ValueError, match=f"'{name}' parameter .* Got array"):
        segmenter.fit(good)


def test_the_decision_takes_numbers_of_numpy(good):
    assert smoothing_sigma(np.uint8(64), (40, 56)) * 4 == 256
    assert opening_radius(np.uint8(0)) == 0
    assert opening_radius(np.uint8(200)) == 199
    np.testing.assert_array_equal(open_map(good[0], np.uint8(20)), open_map(good[0], 20))


def test_smoothed_maps_are_finite(good):
    broken = good[0].copy()
    broken[3, 4] = np.inf
    with pytest.raises(ValueError, match=r"smoothing=2 pixels must lead to finite maps, got NaN"):
        smooth(broken, 2)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("patchsize", r"Did you mean 'patch_size'\?"),
        ("windowsize", r"Did you mean 'window_size'\?"),
        ("treshold", r"Did you mean 'threshold'\?"),
        ("xyzzy", r"See help\(SSIMAutoencoderSegmenter\)\."),
    ],
)
def test_unknown_parameters_are_refused_by_the_class_that_was_called(name, remedy):
    message = rf"^SSIMAutoencoderSegmenter has no parameter '{name}'\. {remedy}$"
    with pytest.raises(TypeError, match=message):
        SSIMAutoencoderSegmenter(**{name: 32})
    with pytest.raises(TypeError, match=rf"^Own has no parameter '{name}'"):
        type("Own", (SSIMAutoencoderSegmenter,), {})(**{name: 32})


@pytest.mark.parametrize("cls", [L2AutoencoderSegmenter, SSIMAutoencoderSegmenter, *OWN])
def test_a_class_has_the_signature_of_its_constructor(cls):
    own = type("Own", (cls,), {})
    for each in (cls, own):
        _, *parameters = inspect.signature(each.__init__).parameters.values()
        assert [*inspect.signature(each).parameters.values()] == parameters
        assert {parameter.name for parameter in parameters} == {*each.parameters}
