"""Ensembles: calibrated maps of several segmenters, combined."""

import inspect
import pickle

import numpy as np
import pytest
from scipy import ndimage
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.utils import estimator_html_repr
from skorch.callbacks import Callback

from sk_ssimae import EnsembleSegmenter, L2AutoencoderSegmenter, SSIMAutoencoderSegmenter
from sk_ssimae.estimators import BaseSegmenter, Parameter, Role
from sk_ssimae.exceptions import InterruptedFitWarning
from sk_ssimae.model_selection import DefectFreeKFold


class Deviation(BaseSegmenter):
    """Segment by the deviation from a value drawn around the mean grey."""

    parameters = {"factor": Parameter(Role.INFERENCE, float)}

    def __init__(self, *, factor=1.0, **shared):
        super().__init__(**shared)
        self.factor = factor

    def fit_regions(self, regions, rng):
        self.shapes_ = [region.shape for region in regions]
        self.mean_ = np.mean([self.as_float(region).mean() for region in regions])
        self.mean_ += 0.01 * rng.random()

    def compute_residual(self, image):
        return self.factor * np.abs(self.as_float(image) - np.float32(self.mean_)).mean(axis=2)

    @staticmethod
    def as_float(image):
        return image / np.float32(255) if image.dtype == np.uint8 else image


class Edges(Deviation):
    """Segment by the strength of edges, on another scale."""

    def compute_residual(self, image):
        return 1000 * ndimage.gaussian_gradient_magnitude(self.as_float(image).mean(axis=2), 1)


@pytest.fixture
def pair():
    return [("grey", Deviation()), ("edges", Edges(smoothing=2))]


@pytest.fixture
def ensemble(pair):
    return EnsembleSegmenter(pair, random_state=0)


@pytest.mark.parametrize(("combination", "combine"), [("sum", np.add), ("max", np.maximum)])
def test_maps_are_combined_in_a_common_unit(ensemble, good, defective, combination, combine):
    ensemble.set_params(combination=combination).fit(good)
    maps = [member.calibrated_map(defective[0]) for member in ensemble.segmenters_]
    expected = combine(*maps)
    np.testing.assert_allclose(ensemble.decision_function(defective[0]), expected, rtol=1e-6)
    assert ensemble.predict(defective[0]).any()
    # A new unit for one residual changes nothing.
    scaled = clone(ensemble).set_params(grey__factor=1e4).fit(good)
    np.testing.assert_allclose(scaled.decision_function(defective[0]), expected, rtol=1e-3)


@pytest.mark.parametrize("weights", [[2, 0.5], (1, 0), [np.float32(3), 1]])
def test_weights_are_factors_of_calibrated_maps(ensemble, good, defective, weights):
    images = defective[0]
    plain = ensemble.fit(good)
    expected = [
        sum(w * m for w, m in zip(weights, maps, strict=True))
        for maps in zip(*(s.calibrated_map(images) for s in plain.segmenters_), strict=True)
    ]
    assert plain.weights_ == [1, 1]
    weighted = clone(ensemble).set_params(weights=weights).fit(good)
    maps = weighted.decision_function(images)
    np.testing.assert_allclose(maps, expected, rtol=1e-6)
    assert maps.dtype == np.float32
    # They take effect without another training.
    np.testing.assert_array_equal(plain.set_params(weights=weights).decision_function(images), maps)
    with pytest.raises(ValueError, match="weights must be 2 numbers"):
        plain.set_params(weights=[1, 1, 1]).decision_function(images)


def test_soft_limits_slow_the_growth_of_calibrated_maps(ensemble, good, defective):
    images = defective[0]
    grey, edges = ensemble.fit(good).segmenters_
    other, limited = edges.calibrated_map(images), grey.calibrated_map(images).astype(float)
    high = limited > 2
    assert 0 < high.mean() < 1
    limited[high] = 2 * (1 + np.log(limited[high] / 2))
    threshold = ensemble.threshold_
    ensemble.set_params(soft_limits={"grey": 2})
    maps = ensemble.decision_function(images)
    np.testing.assert_allclose(maps, other + limited, rtol=1e-5)
    assert maps.dtype == np.float32
    # The threshold is that of limited maps.
    assert clone(ensemble).fit(good).threshold_ < threshold
    largest = ensemble.set_params(combination="max", weights=(3, 1)).decision_function(images)
    np.testing.assert_allclose(largest, np.maximum(other, 3 * limited), rtol=1e-5)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ([4], "'soft_limits' parameter of EnsembleSegmenter must be an instance of 'dict'"),
        ({"gray": 4}, "names of segmenters, which are grey, edges, got 'gray' instead"),
        ({"grey": 0}, r"soft_limits\['grey'\] must be a number from 0.001 to 1000000, got 0"),
        ({"grey": np.nan}, "got nan instead"),
        ({"grey": True}, "got True instead"),
        ({"grey": "4"}, "got '4' instead"),
    ],
)
def test_wrong_soft_limits_are_refused(ensemble, good, limits, message):
    with pytest.raises(ValueError, match=message):
        clone(ensemble).set_params(soft_limits=limits).fit(good)
    with pytest.raises(ValueError, match=message):
        ensemble.fit(good).set_params(soft_limits=limits).decision_function(good)


def test_soft_limits_of_segmenters_that_were_renamed(ensemble, good, pair):
    ensemble.set_params(soft_limits={"grey": 2}).fit(good)
    maps = ensemble.decision_function(good)
    renamed = [("gray", pair[0][1]), pair[1]]
    ensemble.set_params(segmenters=renamed)
    np.testing.assert_array_equal(ensemble.decision_function(good), maps)
    with pytest.raises(ValueError, match=r"'grey' instead\. Rename it, or set soft_limits=None"):
        ensemble.fit(good)
    np.testing.assert_array_equal(ensemble.decision_function(good), maps)
    ensemble.set_params(soft_limits={"gray": 2})
    with pytest.raises(ValueError, match="which are grey, edges, got 'gray' instead"):
        ensemble.decision_function(good)
    np.testing.assert_array_equal(ensemble.fit(good).decision_function(good), maps)


def test_a_single_segmenter_keeps_its_calibrated_map(ensemble, good):
    alone = ensemble.set_params(segmenters=[("edges", Edges(smoothing=1))]).fit(good)
    member = alone.named_segmenters_.edges
    np.testing.assert_array_equal(alone.decision_function(good), member.calibrated_map(good))


def test_segmenters_smooth_at_the_size_of_the_whole_image(ensemble, good):
    automatic = ensemble.set_params(edges__smoothing="auto", image_size=(20, 28)).fit(good)
    given = clone(ensemble).set_params(edges__smoothing=0.4).fit(good)  # Images have 40 rows.
    for found, expected in zip(
        automatic.segmenters_[1].tail_, given.segmenters_[1].tail_, strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    maps = automatic.decision_function(good)
    np.testing.assert_array_equal(maps, given.decision_function(good))
    assert maps.shape == good.shape
    smoothed = [ndimage.gaussian_filter(combined, 2) for combined in maps]
    np.testing.assert_allclose(
        automatic.set_params(smoothing=2).decision_function(good), smoothed, rtol=1e-5
    )


def test_no_pixels_serve_two_purposes(ensemble, good):
    ensemble.fit([*good, *good, *good, *good])
    # Of 16 images, 3 are for the threshold; of each of the other 13, 3 for tails.
    assert ensemble.calibration_[4:6] == ("images", 3)
    for member in ensemble.segmenters_:
        assert member.calibration_[4:6] == ("images", 3)
        assert len(member.shapes_) == 10
    few = clone(ensemble).fit(good)
    assert few.calibration_[4:6] == ("regions", 4)
    for member in few.segmenters_:
        assert member.calibration_[4:6] == ("regions", 4)
        height, width = member.shapes_[0][:2]
        assert height * width < 0.7 * good[0].size


def test_the_threshold_keeps_its_promise(ensemble, good):
    ensemble.set_params(threshold="pixel_fpr", extent_threshold=1e9)
    ensemble.set_params(target_fpr=0.05, opening_diameter=0).fit(good)
    assert ensemble.calibrate(good).predict(good).mean() == pytest.approx(0.05, abs=0.01)
    ensemble.set_params(threshold="image_fpr", target_fpr=0.25).calibrate(good)
    assert ensemble.predict(good).any(axis=(1, 2)).sum() == 0
    with pytest.raises(NotFittedError, match="not been calibrated for combination='max'"):
        ensemble.set_params(combination="max").predict(good)
    maps = ensemble.calibrate(good).calibrated_map(good)
    assert (maps > -np.log(0.1)).mean() == pytest.approx(0.1, abs=0.01)


def test_members_may_have_any_threshold(ensemble, good):
    for threshold in (0.3, "image_fpr"):
        ensemble.set_params(grey__threshold=threshold, threshold=5.0).fit(good)
        assert ensemble.segmenters[0][1].threshold == threshold  # Clones are fitted.
        assert np.isfinite(ensemble.decision_function(good)).all()
        assert not hasattr(ensemble, "calibration_")


@pytest.mark.parametrize("n_jobs", [2, -1])
def test_results_do_not_depend_on_the_number_of_jobs(tiny, good, n_jobs):
    members = [
        ("ssim", SSIMAutoencoderSegmenter(**{**tiny, "random_state": None})),
        ("l2", L2AutoencoderSegmenter(**{**tiny, "random_state": None})),
    ]
    one = EnsembleSegmenter(members, random_state=3).fit(good)
    many = clone(one).set_params(n_jobs=n_jobs).fit(good)
    assert one.threshold_ == many.threshold_
    np.testing.assert_array_equal(one.decision_function(good), many.decision_function(good))
    restored = pickle.loads(pickle.dumps(many))
    np.testing.assert_array_equal(restored.predict(good), many.predict(good))
    assert restored.min_image_size == 16
    assert isinstance(restored.named_segmenters_["ssim"], SSIMAutoencoderSegmenter)


def test_seeds_of_segmenters(ensemble, good):
    ensemble.set_params(segmenters=[("a", Deviation()), ("b", Deviation(random_state=5))])
    first, other = ensemble.fit(good), clone(ensemble).set_params(random_state=1).fit(good)
    assert first.segmenters_[0].mean_ == clone(ensemble).fit(good).segmenters_[0].mean_
    assert first.segmenters_[0].mean_ != other.segmenters_[0].mean_
    assert [fitted.segmenters_[1].random_state for fitted in (first, other)] == [5, 5]
    assert ensemble.segmenters[0][1].random_state is None


def test_parameters_of_segmenters_are_reached(ensemble, pair):
    params = ensemble.get_params()
    assert params["grey"] is pair[0][1]
    assert params["edges__smoothing"] == 2
    assert "edges" not in ensemble.get_params(deep=False)
    ensemble.set_params(edges__smoothing=3, grey=Edges(), smoothing=1)
    assert [type(member) for _, member in ensemble.segmenters] == [Edges, Edges]
    assert (ensemble.segmenters[1][1].smoothing, ensemble.smoothing) == (3, 1)
    copy = clone(ensemble)
    assert copy.segmenters[1][1] is not ensemble.segmenters[1][1]
    assert copy.get_params()["edges__smoothing"] == 3
    with pytest.raises(ValueError, match="Invalid parameter 'no'"):
        ensemble.set_params(no__smoothing=3)


def test_the_signature_and_documentation_have_its_own_defaults():
    parameters = inspect.signature(EnsembleSegmenter).parameters
    assert next(iter(parameters)) == "segmenters"
    assert parameters["segmenters"].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert parameters["target_fpr"].kind is inspect.Parameter.KEYWORD_ONLY
    assert parameters["smoothing"].default == EnsembleSegmenter([]).smoothing == 0
    assert inspect.getdoc(EnsembleSegmenter).count("\nsmoothing : ") == 1


def test_a_search_over_parameters_of_segmenters(ensemble, good, defective):
    images, masks = defective
    X = [*good, *images]
    y = [*np.zeros_like(masks), *masks]
    grid = {"edges__smoothing": [0, 1], "combination": ["sum", "max"]}
    search = GridSearchCV(ensemble, grid, cv=DefectFreeKFold(2), error_score="raise").fit(X, y)
    assert len(search.cv_results_["mean_test_score"]) == 4


def test_images_are_read_for_all(ensemble, good):
    as_12_bits = np.rint(1000 + 2000 * good).astype(np.uint16)
    ensemble.fit(as_12_bits)
    assert ensemble.intensity_range_ is not None
    for member in ensemble.segmenters_:
        assert member.intensity_range_ == ensemble.intensity_range_
        assert member.decision_function(as_12_bits).shape == good.shape


def test_any_text_may_be_a_name(good):
    ensemble = EnsembleSegmenter([("self", Deviation()), ("grey level", Edges())], random_state=0)
    assert [*ensemble.fit(good).named_segmenters_] == ["self", "grey level"]


def test_an_ensemble_of_ensembles(ensemble, good):
    nested = EnsembleSegmenter([("inner", ensemble), ("edges", Edges())], random_state=0)
    assert nested.set_params(inner__edges__smoothing=1).fit(good).predict(good).shape == good.shape


def test_small_images_are_extended(tiny, good):
    members = [("grey", Deviation()), ("l2", L2AutoencoderSegmenter(**tiny))]
    ensemble = EnsembleSegmenter(members, random_state=0).fit(good)
    with pytest.warns(UserWarning, match="fewer than patch_size=16"):
        assert ensemble.decision_function([good[0, :9, :20]])[0].shape == (9, 20)
    with pytest.raises(ValueError, match=r"X\[0\] must be at least patch_size=16 pixels"):
        ensemble.fit(good[:, :9])
    with pytest.raises(TypeError, match="EnsembleSegmenter must say how many pixels around"):
        ensemble.segment_blocks(good[0])


def test_the_diagram_shows_the_segmenters(ensemble, good):
    diagram = estimator_html_repr(ensemble.fit(good))
    assert "grey" in diagram
    assert "Edges" in diagram
    assert "threshold_ =" in ensemble._repr_html_()


@pytest.mark.parametrize(
    ("segmenters", "error", "message"),
    [
        (Deviation(), TypeError, r"segmenters must be a list of pairs \(name, .* got Deviation"),
        ([], ValueError, "segmenters must contain at least one pair .* got none"),
        ([Deviation()], TypeError, r"segmenters\[0\] must be a pair of a name and a segmenter"),
        ([("a", Deviation()), ("b", Ridge())], TypeError, r"segmenters\[1\] must .* Ridge\(\)"),
        ([("a", Deviation)], TypeError, r"segmenters\[0\] must .* is an instance of a subclass"),
        ([(3, Deviation())], TypeError, r"segmenters\[0\] must be a pair of a name"),
        ([("a", Deviation()), ("a", Edges())], ValueError, "must be unique, got 'a' more than"),
        ([("a__b", Deviation())], ValueError, "must not be empty, contain '__' .* got 'a__b'"),
        ([("n_jobs", Deviation())], ValueError, "equal a parameter of the .* got 'n_jobs' instead"),
        ([("", Deviation())], ValueError, "Names of segmenters must not be empty"),
        (
            [("a", Deviation(smoothing=-1))],
            ValueError,
            r"(?s)In the segmenter 'a': The 'smoothing' parameter of Deviation must be .* Got -1",
        ),
        (
            [("a", L2AutoencoderSegmenter(patch_size="large"))],
            ValueError,
            "In the segmenter 'a': The 'patch_size' parameter of L2AutoencoderSegmenter must be",
        ),
        (
            [("a", Deviation(image_size=32))],
            ValueError,
            "image_size of the segmenter 'a' must stay at its default, got 32 instead. Set image",
        ),
        (
            [("a", Deviation(intensity_range=(0.0, 2.0)))],
            ValueError,
            r"intensity_range of the segmenter 'a' must stay at its default, got \(0.0, 2.0\)",
        ),
    ],
)
def test_wrong_segmenters_are_refused(good, segmenters, error, message):
    with pytest.raises(error, match=message):
        EnsembleSegmenter(segmenters, image_size=16).fit(good)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"combination": "mean"}, "The 'combination' parameter of EnsembleSegmenter must be a str"),
        ({"n_jobs": 0}, "The 'n_jobs' parameter of EnsembleSegmenter must be an int"),
        ({"weights": "equal"}, "The 'weights' parameter of EnsembleSegmenter must be"),
        ({"weights": 2}, "The 'weights' parameter of EnsembleSegmenter must be"),
        ({"weights": [1]}, r"weights must be 2 numbers, one for each.*got \[1\] instead"),
        ({"weights": [0, 0]}, r"not all 0, got \[0, 0\] instead"),
        ({"weights": (1, -1)}, r"from 0 to 1000000 and not all 0, got \(1, -1\) instead"),
        ({"weights": [1, float("nan")]}, r"got \[1, nan\] instead"),
        ({"weights": [True, True]}, r"got \[True, True\] instead"),
        ({"weights": [1, "2"]}, r"got \[1, '2'\] instead"),
    ],
)
def test_wrong_parameters_are_refused(ensemble, good, params, message):
    with pytest.raises(ValueError, match=message):
        ensemble.set_params(**params).fit(good)


def test_a_failing_segmenter_is_named(ensemble, good):
    class Failing(Deviation):
        def fit_regions(self, regions, rng):
            raise ValueError("Nothing to learn.")

    with pytest.raises(ValueError, match=r"In the segmenter 'edges': Nothing to learn\."):
        ensemble.set_params(edges=Failing()).fit(good)


def test_an_interrupted_segmenter_warns(tiny, good):
    class Interrupt(Callback):
        def on_batch_end(self, net, **kwargs):
            raise KeyboardInterrupt

    interrupted = L2AutoencoderSegmenter(**tiny, callbacks=[Interrupt()])
    ensemble = EnsembleSegmenter([("l2", interrupted), ("grey", Deviation())], random_state=0)
    with pytest.warns(InterruptedFitWarning, match="interrupted in epoch 1 of 2"):
        ensemble.fit(good)
    assert ensemble.predict(good).shape == good.shape


def test_image_size_suits_the_largest_patch(tiny, good):
    members = [("l2", L2AutoencoderSegmenter(**tiny))]
    with pytest.raises(ValueError, match="image_size must be at least patch_size=16, got 12"):
        EnsembleSegmenter(members, image_size=12).fit(good)
