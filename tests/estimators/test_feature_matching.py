import pickle

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback
from torch import nn

from sk_ssimae import FeatureMatchingAutoencoderSegmenter, L2AutoencoderSegmenter
from sk_ssimae.model_selection import DefectFreeKFold


class Features(nn.Module):
    """Small network with all kinds of state that training could change by mistake."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten())

    def forward(self, patches):
        return self.layers(patches)


@pytest.fixture(scope="module")
def extractor():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Features()


def test_extractor_is_never_trained(tiny, good, extractor):
    seen = []

    class Watch(Callback):
        def on_batch_end(self, net, **kwargs):
            loss = net.criterion_
            trained = {id(p) for group in net.optimizer_.param_groups for p in group["params"]}
            inside = {id(p) for p in loss.feature_extractor.parameters()}
            modes = {module.training for module in loss.feature_extractor.modules()}
            seen.append((len(trained & inside), modes, len(trained)))

    segmenter = FeatureMatchingAutoencoderSegmenter(
        feature_extractor=extractor, **tiny, callbacks=[Watch]
    ).fit(good)
    n_trained = len(list(segmenter.net_.module_.parameters()))
    assert seen
    assert set(map(str, seen)) == {str((0, {False}, n_trained))}
    fitted, given = segmenter.net_.criterion_.feature_extractor.state_dict(), extractor.state_dict()
    assert all(torch.equal(fitted[name].cpu(), given[name]) for name in given)


def test_no_weight_is_the_l2_autoencoder(tiny, good, extractor):
    without = FeatureMatchingAutoencoderSegmenter(
        feature_extractor=extractor, feature_weight=0, **tiny
    ).fit(good)
    plain = L2AutoencoderSegmenter(**tiny).fit(good)
    np.testing.assert_allclose(
        without.decision_function(good), plain.decision_function(good), atol=1e-5
    )
    weighted = without.set_params(feature_weight=10).fit(good)
    assert not np.allclose(weighted.decision_function(good), plain.decision_function(good))


def test_pickle_leaves_the_extractor_behind(tiny, good):
    large = nn.Sequential(nn.Flatten(), nn.Linear(256, 10_000))
    segmenter = FeatureMatchingAutoencoderSegmenter(feature_extractor=large, **tiny).fit(good)
    segmenter.feature_extractor = "alexnet"  # The parameter itself is pickled with the module.
    weights = sum(p.nbytes for p in segmenter.net_.module_.parameters())
    data = pickle.dumps(segmenter)
    assert len(data) < 1.1 * weights
    segmenter.feature_extractor = large
    pickle.dumps(segmenter)
    assert segmenter.feature_extractor is large
    np.testing.assert_array_equal(
        pickle.loads(data).decision_function(good), segmenter.decision_function(good)
    )


def test_efficientnet_lite0(tiny, good):
    segmenter = FeatureMatchingAutoencoderSegmenter(
        feature_extractor="efficientnet-lite0", **tiny
    ).fit(good)
    losses = segmenter.history_[:, "train_loss"]
    plain = L2AutoencoderSegmenter(**tiny).fit(good).history_[:, "train_loss"]
    assert losses[0] > plain[0]


def test_grid_search(tiny, good, defective, extractor):
    images, masks = defective
    X, y = np.concatenate([good, images]), np.concatenate([np.zeros_like(masks), masks])
    segmenter = FeatureMatchingAutoencoderSegmenter(feature_extractor=extractor, **tiny)
    search = GridSearchCV(segmenter, {"feature_weight": [0.1, 1]}, cv=DefectFreeKFold(2))
    assert np.isfinite(search.fit(X, y).cv_results_["mean_test_score"]).all()


def test_channels_that_the_extractor_does_not_take(tiny, good):
    many = np.stack([good] * 5, axis=-1)
    segmenter = FeatureMatchingAutoencoderSegmenter(feature_extractor="efficientnet-lite0", **tiny)
    with pytest.raises(ValueError, match="takes images with 1 or 3 channels, got 5"):
        segmenter.fit(many)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"feature_extractor": None}, ValueError, "'feature_extractor' parameter"),
        ({"feature_extractor": "no/such.pth"}, FileNotFoundError, "no file 'no/such.pth'"),
        (
            {"feature_extractor": nn.Identity(), "feature_weight": -1},
            ValueError,
            "'feature_weight' parameter",
        ),
    ],
)
def test_wrong_parameters(params, error, message, tiny, good):
    with pytest.raises(error, match=message):
        FeatureMatchingAutoencoderSegmenter(**tiny, **params).fit(good)
