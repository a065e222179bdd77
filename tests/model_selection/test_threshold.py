import numpy as np
import pytest
from scipy.stats import binomtest

from sk_ssimae.model_selection import image_fpr_threshold, pixel_fpr_threshold


@pytest.mark.parametrize("target_fpr", [0.001, 0.01, 0.1, 0.5])
def test_target_share_exceeds_the_pixel_threshold(target_fpr):
    rng = np.random.default_rng(0)
    maps = [rng.random((30, 40)), rng.random((20, 40))]
    threshold = pixel_fpr_threshold(maps, target_fpr)
    residuals = np.concatenate([m.ravel() for m in maps])
    assert np.mean(residuals > threshold) == pytest.approx(target_fpr, abs=1 / residuals.size)
    assert np.mean(residuals > threshold) <= target_fpr
    assert threshold in residuals


def test_pixel_rule_with_ties_stays_below_the_target():
    assert pixel_fpr_threshold([np.repeat([0.0, 1.0], 50)], 0.1) == 1.0


def test_pixel_rule_does_not_change_its_input():
    residuals = np.arange(100.0)[::-1].copy()
    pixel_fpr_threshold([residuals], 0.1)
    assert residuals[0] == 99


@pytest.mark.parametrize(
    ("n", "target_fpr", "rank"), [(19, 0.1, 18), (20, 0.1, 19), (99, 0.01, 99)]
)
def test_image_rule_takes_the_conformal_rank(n, target_fpr, rank):
    scores = np.random.default_rng(0).permutation(np.arange(1, n + 1))
    assert image_fpr_threshold(scores, target_fpr) == rank


@pytest.mark.parametrize(("n", "target_fpr"), [(19, 0.1), (39, 0.05), (99, 0.01), (25, 0.2)])
@pytest.mark.parametrize("draw", ["exponential", "normal", "standard_cauchy"])
def test_image_rule_respects_its_bound(n, target_fpr, draw):
    # 2,000 calibrations on n good images, each tested on one new good image.
    rng = np.random.default_rng(0)
    flagged = 0
    for _ in range(2000):
        new_score, *scores = getattr(rng, draw)(size=n + 1)
        flagged += new_score > image_fpr_threshold(scores, target_fpr)
    # The rank is an integer, so the bound is reached only if (n + 1) α is an integer too.
    exact = np.floor((n + 1) * target_fpr + 1e-9) / (n + 1)
    assert exact <= target_fpr
    assert binomtest(flagged, 2000, exact).pvalue > 0.001


def test_pixel_rule_reaches_its_target_on_average():
    # 2,000 calibrations on 2,000 good pixels, each tested on as many new ones.
    rng = np.random.default_rng(0)
    shares = [
        np.mean(
            rng.exponential(size=2000) > pixel_fpr_threshold([rng.exponential(size=2000)], 0.01)
        )
        for _ in range(2000)
    ]
    assert np.mean(shares) == pytest.approx(0.01, abs=4 * np.std(shares) / np.sqrt(2000) + 1 / 2000)


@pytest.mark.parametrize("target_fpr", [0, 1, 1.5, float("nan"), "x", None])
def test_wrong_target(target_fpr):
    for find_threshold in (pixel_fpr_threshold, image_fpr_threshold):
        with pytest.raises(ValueError, match=r"target_fpr must lie in \(0, 1\), got"):
            find_threshold(np.ones((3, 4)), target_fpr)


def test_wrong_residuals():
    with pytest.raises(ValueError, match="at least one map, got none"):
        pixel_fpr_threshold([], 0.1)
    with pytest.raises(ValueError, match="must contain finite numbers"):
        pixel_fpr_threshold([np.array([1.0, np.nan])], 0.1)
    with pytest.raises(TypeError, match="residual_maps must be an array or a sequence, got 3"):
        pixel_fpr_threshold(3, 0.1)
    with pytest.raises(ValueError, match=r"residual_maps\[1\] must contain real numbers, got <U1"):
        pixel_fpr_threshold([[1.0], ["x"]], 0.1)
    with pytest.raises(ValueError, match="must be finite numbers of shape"):
        image_fpr_threshold([1.0, np.inf], 0.1)
    with pytest.raises(ValueError, match="image_scores must contain real numbers, got <U1"):
        image_fpr_threshold(["x"], 0.1)
    with pytest.raises(ValueError, match=r"needs at least inf good images"):
        image_fpr_threshold([1.0], 1e-320)


@pytest.mark.parametrize(("n", "needed"), [(18, 19), (0, 19)])
def test_image_rule_needs_enough_images(n, needed):
    with pytest.raises(ValueError, match=f"0.05 needs at least {needed} good images .* got {n}"):
        image_fpr_threshold(np.zeros(n), 0.05)
