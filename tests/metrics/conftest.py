import numpy as np
import pytest

KINDS = ["plain", "ties", "constant", "imbalance", "skewed", "mostly defective"]


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def make_case():
    """Make masks and scores of one kind, with at least one pixel of each class."""

    def make(kind, rng, shape=(3, 20, 30)):
        share = {"imbalance": 0.001, "mostly defective": 0.9}.get(kind, 0.2)
        masks = rng.random(shape) < share
        masks[0, 0, 0], masks[0, 0, 1] = True, False
        scores = rng.normal(size=masks.shape) + masks
        if kind == "ties":
            scores = np.round(scores * 2)
        if kind == "constant":
            scores = np.full(masks.shape, 0.5)
        if kind == "skewed":
            scores = np.exp(10 * scores)
        return masks, scores

    return make


@pytest.fixture
def assert_checks_images(make_case):
    """Assert that a score rejects invalid images and names them."""

    def check(score, needs_regions=False):
        masks, scores = make_case("plain", np.random.default_rng(4))
        with pytest.raises(ValueError, match="must have the same length, got 3 and 2"):
            score(masks, scores[:2])
        with pytest.raises(ValueError, match=r"residual_maps\[1\] must have the shape of masks"):
            score(masks, [scores[0], scores[1][:5], scores[2]])
        with pytest.raises(
            ValueError, match=r"residual_maps\[2\] must be finite, got NaN or infinity"
        ):
            score(masks, [scores[0], scores[1], np.where(masks[2], np.nan, scores[2])])
        with pytest.raises(
            ValueError, match=r"masks\[0\] must contain only 0 .* the values \[1, 2\]"
        ):
            score(masks + 1, scores)
        with pytest.raises(ValueError, match="got no defective pixel in 3 images"):
            score(np.zeros_like(masks), scores)
        with pytest.raises(ValueError, match="got no good pixel in 3 images"):
            score(np.ones_like(masks), scores)
        with pytest.raises(ValueError, match="at least one image, got none"):
            score([], [])

    return check
