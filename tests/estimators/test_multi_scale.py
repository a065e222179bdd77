import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV

from sk_ssimae import MultiScaleSSIMAutoencoderSegmenter
from sk_ssimae.losses import MultiScaleSSIMLoss
from sk_ssimae.model_selection import DefectFreeKFold


@pytest.fixture(scope="module")
def segmenter(tiny, good):
    return MultiScaleSSIMAutoencoderSegmenter(
        **tiny, window_size=5, window="gaussian", c1=0.01, c2=0.03, smoothing=0
    ).fit(good)


def test_weights_are_those_of_the_scales_of_a_patch(segmenter):
    expected = (0.0448 / 0.3304, 0.2856 / 0.3304)
    assert segmenter.scale_weights_ == pytest.approx(expected)
    changed = segmenter.get_params() | {"window_size": 3}
    unfitted = MultiScaleSSIMAutoencoderSegmenter(**changed)
    with pytest.raises(NotFittedError):
        unfitted.scale_weights_  # noqa: B018
    vars(unfitted).update({k: v for k, v in vars(segmenter).items() if k.endswith("_")})
    assert unfitted.scale_weights_ == pytest.approx(expected)  # As of fit.


def test_loss_and_residual_are_of_one_kind(segmenter, good):
    criterion = segmenter.net_.criterion_
    assert (criterion.window_size, criterion.window, criterion.n_scales) == (5, "gaussian", 2)
    assert (criterion.c1, criterion.c2) == (0.01, 0.03)
    # An image would have four scales, its patches have two.
    image, reconstruction = (
        torch.tensor(images[:1, None]) for images in (good, segmenter.reconstruct(good))
    )
    loss = MultiScaleSSIMLoss(5, "gaussian", c1=0.01, c2=0.03, n_scales=2)
    np.testing.assert_allclose(
        segmenter.decision_function(good)[0],
        loss.residual_map(image, reconstruction)[0],
        atol=1e-6,
    )
    assert len(MultiScaleSSIMLoss(5).scale_weights(*good.shape[1:])) == 4


@pytest.mark.parametrize("block_size", [13, 32])
def test_blocks_together_are_the_whole(tiny, good, block_size):
    params = tiny | {"patch_size": 32, "stride": 13, "smoothing": 0, "threshold": 0.5}
    segmenter = MultiScaleSSIMAutoencoderSegmenter(**params, window_size=3).fit(good)
    assert len(segmenter.scale_weights_) == 4
    image = np.hstack([good[0], good[1]])
    expected = segmenter.decision_function([image])[0]
    for block in segmenter.segment_blocks(image, block_size=block_size):
        place = block.rows, block.columns
        np.testing.assert_allclose(block.residual_map, expected[place], rtol=0, atol=1e-6)


def test_training_lowers_the_loss(tiny, good):
    params = tiny | {"max_epochs": 12, "patch_size": 32, "latent_dim": 32}
    losses = MultiScaleSSIMAutoencoderSegmenter(**params, window_size=7).fit(good).history_
    losses = losses[:, "train_loss"]
    assert losses[-1] < 0.8 * losses[0]


def test_grid_search(tiny, good, defective):
    images, masks = defective
    X, y = np.concatenate([good, images]), np.concatenate([np.zeros_like(masks), masks])
    search = GridSearchCV(
        MultiScaleSSIMAutoencoderSegmenter(**tiny), {"window_size": [3, 7]}, cv=DefectFreeKFold(2)
    )
    assert np.isfinite(search.fit(X, y).cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"window_size": 17}, "window_size must be odd and at most patch_size=16, got 17"),
        ({"window_size": 6}, "window_size must be odd and at most patch_size=16, got 6"),
        ({"window": "box"}, "'window' parameter"),
        ({"c1": 0}, "'c1' parameter"),
    ],
)
def test_wrong_parameters(params, message, tiny, good):
    with pytest.raises(ValueError, match=message):
        MultiScaleSSIMAutoencoderSegmenter(**tiny, **params).fit(good)
