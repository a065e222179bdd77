"""All of scikit-learn's generated checks, through an adapter that turns rows into images.

With the tag `two_d_array=False` scikit-learn generates one check; the adapters claim 2-D input, so
that it generates all of them, and hand images to the estimator under test.
"""

from unittest import SkipTest

import joblib
import numpy as np
import pytest
import sklearn
import torch
from scipy.special import expit
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import (
    GridSearchCV,
    RandomizedSearchCV,
    StratifiedKFold,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import estimator_checks_generator
from sklearn.utils.validation import check_is_fitted, validate_data
from skorch.callbacks import Callback

from sk_ssimae import (
    EnsembleSegmenter,
    FeatureMatchingAutoencoderSegmenter,
    L2AutoencoderSegmenter,
    SSIMAutoencoderSegmenter,
    estimators,
)
from sk_ssimae.metrics import pixel_roc_auc_score

# Wide enough to be divided into regions for training, for tails and for the threshold.
HEIGHT, WIDTH = 16, 48


class RowsAsImages:
    """Turn a 2-D array into images: each row is squashed into [0, 1] and repeated over an image.

    Labels are ignored in `fit`, since scikit-learn's mean other things than ours; in `score` they
    become masks over whole images.
    """

    def fit(self, X, y=None):
        return super().fit(self._images(X, reset=True))

    def partial_fit(self, X, y=None):
        if not hasattr(self, "fitted_parameters_"):
            return self.fit(X)
        return super().partial_fit(self._images(X))

    def decision_function(self, X):
        return super().decision_function(self._images(X)).max(axis=(1, 2))

    def predict(self, X):
        return super().predict(self._images(X)).any(axis=(1, 2))

    def score_images(self, X):
        return super().score_images(self._images(X))

    def score(self, X, y):
        images = self._images(X)
        masks = np.broadcast_to((y > np.median(y))[:, None, None], images.shape)
        maps = np.broadcast_to(self.decision_function(X)[:, None, None], images.shape)
        return pixel_roc_auc_score(masks, maps)

    def _images(self, X, *, reset=False):
        if not reset:
            check_is_fitted(self, "fitted_parameters_")
        rows = expit(validate_data(self, X, reset=reset, dtype=[np.float64, np.float32]))
        return np.stack([np.resize(row, (HEIGHT, WIDTH)) for row in rows])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.three_d_array = False
        return tags


def adapt(cls):
    """Return an adapter of a segmenter, as a global that pickle finds."""
    name = f"{cls.__name__}OfRows"
    members = {"__init__": WITH_DEFAULTS.get(cls, cls.__init__), "__module__": __name__}
    globals()[name] = type(name, (RowsAsImages, cls), members)
    return globals()[name]


def init_with_features(self, *, feature_extractor="efficientnet-lite0", feature_weight=1, **shared):
    """Add a default for the extractor: scikit-learn makes estimators without arguments."""
    FeatureMatchingAutoencoderSegmenter.__init__(
        self, feature_extractor=feature_extractor, feature_weight=feature_weight, **shared
    )


def init_with_segmenters(self, *, segmenters=(), **shared):
    """Add a default for the segmenters."""
    EnsembleSegmenter.__init__(self, segmenters=segmenters, **shared)


WITH_DEFAULTS = {
    FeatureMatchingAutoencoderSegmenter: init_with_features,
    EnsembleSegmenter: init_with_segmenters,
}
ADAPTED = [adapt(cls) for cls in estimators.all_segmenters().values()]
QUICK = {
    "latent_dim": 4,
    "patch_size": 16,
    "stride": 16,
    "n_patches": 32,
    "batch_size": 16,
    "max_epochs": 1,
    "random_state": 0,
}
QUICK_OWN = {
    "VariationalAutoencoderSegmenterOfRows": {"n_samples": 1, "n_posteriors": 20},
    "FeatureDictionarySegmenterOfRows": {"dictionary_size": 50},
    "PatchDictionarySegmenterOfRows": {"stride": 4, "dictionary_size": 50},
    "SparseDictionarySegmenterOfRows": {
        "patch_size": 6,
        "stride": 6,
        "n_atoms": 12,
        "n_training_patches": 60,
        "n_density_patches": 60,
    },
}


def make(cls):
    """Return an adapted segmenter that trains quickly."""
    if issubclass(cls, EnsembleSegmenter):
        l2 = L2AutoencoderSegmenter(**QUICK)
        return cls(segmenters=[("l2", l2)], random_state=0)
    shared = {name: value for name, value in QUICK.items() if name in cls._get_param_names()}
    return cls(**(shared | QUICK_OWN.get(cls.__name__, {})))


CASES = [case for cls in ADAPTED for case in estimator_checks_generator(make(cls))]


def test_all_checks_are_generated():
    # scikit-learn 1.9 generates 41 for each estimator; with two_d_array=False it would be 1. All
    # pass; the one of array API input skips itself unless SCIPY_ARRAY_API is set.
    assert len(ADAPTED) >= 4
    assert len(CASES) >= 40 * len(ADAPTED)


@pytest.mark.parametrize(
    ("estimator", "check"), CASES, ids=[f"{type(e).__name__}-{c.func.__name__}" for e, c in CASES]
)
def test_scikit_learn_check(estimator, check, device):
    names = [name for name in estimator.get_params() if name.split("__")[-1] == "device"]
    estimator.set_params(**dict.fromkeys(names, device))
    try:
        check(estimator)
    except SkipTest as skipped:
        assert check.func.__name__ == "check_array_api_input"
        pytest.skip(str(skipped))  # scikit-learn's own condition: SCIPY_ARRAY_API is not set.


@pytest.fixture(scope="module")
def data(good, defective):
    images, masks = defective
    X = np.concatenate([good, images])
    y = np.concatenate([np.zeros_like(masks), masks])
    return X, y, list(StratifiedKFold(2).split(X, y.any(axis=(1, 2))))


def test_cross_validate(segmenter_class, tiny, data):
    X, y, cv = data
    results = cross_validate(segmenter_class(**tiny), X, y, cv=cv, n_jobs=2, return_estimator=True)
    assert np.isfinite(results["test_score"]).all()
    assert [fitted.n_defective_dropped_ for fitted in results["estimator"]] == [2, 2]


def test_parallel_search_shares_the_cores(tiny, data):
    X, y, cv = data

    class CountThreads(Callback):
        def on_train_begin(self, net, **kwargs):
            net.history.new_epoch()
            net.history.record("threads", torch.get_num_threads())

    segmenter = SSIMAutoencoderSegmenter(**tiny, callbacks=[CountThreads()])
    results = cross_validate(segmenter, X, y, cv=cv, n_jobs=2, return_estimator=True)
    for fitted in results["estimator"]:
        assert 2 * fitted.history_[0]["threads"] <= max(2, joblib.cpu_count())


def test_randomized_search(segmenter_class, tiny, data):
    X, y, cv = data
    search = RandomizedSearchCV(
        segmenter_class(**tiny),
        {"latent_dim": [2, 4, 8]},
        n_iter=2,
        cv=cv,
        n_jobs=2,
        random_state=0,
    )
    search.fit(list(X), list(y))
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_a_failing_fold_is_reported(segmenter_class, tiny, data):
    X, y, cv = data
    search = GridSearchCV(segmenter_class(**tiny), {"patch_size": [16, 24]}, cv=cv)
    with (
        pytest.warns(UserWarning, match="One or more of the test scores are non-finite"),
        pytest.warns(FitFailedWarning, match="patch_size must be a multiple of 16, got 24"),
    ):
        search.fit(X, y)
    assert np.isnan(search.cv_results_["mean_test_score"]).tolist() == [False, True]
    with pytest.raises(ValueError, match="patch_size must be a multiple of 16"):
        search.set_params(error_score="raise").fit(X, y)


def test_metadata_routing(segmenter_class, tiny, data):
    X, y, cv = data
    pipeline = make_pipeline("passthrough", segmenter_class(**tiny))
    plain = cross_validate(pipeline, X, y, cv=cv)["test_score"]
    with sklearn.config_context(enable_metadata_routing=True):
        routed = cross_validate(pipeline, X, y, cv=cv, error_score="raise")["test_score"]
        pipeline[-1].set_score_request(sample_weight=True)
        pipeline.fit(X, y)
        with pytest.raises(ValueError, match=r"sample_weight must be None, .* got ndarray instead"):
            pipeline.score(X, y, sample_weight=np.ones(len(X)))
    np.testing.assert_array_equal(routed, plain)
