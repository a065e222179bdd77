import numpy as np
import pytest
from scipy import stats

from sk_ssimae.model_selection import extreme_value_threshold
from sk_ssimae.model_selection._extremes import block_maxima, block_size


def test_it_is_the_quantile_of_the_maximum_of_gumbel_blocks():
    maxima = np.random.default_rng(0).gumbel(3, 2, size=200_000)
    threshold = extreme_value_threshold(maxima, 50, 0.1)
    # Reference: SciPy 1.16, the distribution that the maxima were drawn from.
    below = stats.gumbel_r.cdf(threshold, 3, 2) ** 50
    assert below == pytest.approx(0.9, abs=0.005)


@pytest.mark.parametrize("target_fpr", [0.01, 0.05, 0.3])
def test_few_images_suffice_on_average(target_fpr):
    # Maxima of exponential residuals, whose limit is Gumbel; five images of 40 blocks.
    rng = np.random.default_rng(0)
    flagged = []
    for _ in range(200):
        maxima = rng.exponential(size=(5, 40, 50)).max(axis=2)
        threshold = extreme_value_threshold(maxima.ravel(), 40, target_fpr)
        flagged.append((rng.exponential(size=(20, 2000)).max(axis=1) > threshold).mean())
    assert target_fpr / 2 < np.mean(flagged) < 2 * target_fpr


def test_it_moves_with_the_scale_of_residuals():
    maxima = np.random.default_rng(0).gumbel(size=30)
    threshold = extreme_value_threshold(maxima, 10, 0.05)
    assert extreme_value_threshold(2 * maxima + 3, 10, 0.05) == pytest.approx(2 * threshold + 3)
    assert extreme_value_threshold(maxima, 20, 0.05) > threshold
    assert extreme_value_threshold(maxima, 10, 0.01) > threshold


def test_equal_maxima():
    assert extreme_value_threshold([2.0, 2.0, 2.0], 100, 0.01) == 2.0


def test_wrong_values():
    for maxima in ([1.0], [], [1.0, np.nan], [[1.0, 2.0]]):
        with pytest.raises(ValueError, match=r"block_maxima must be at least 2 finite numbers"):
            extreme_value_threshold(maxima, 10, 0.05)
    with pytest.raises(ValueError, match="block_maxima must contain real numbers"):
        extreme_value_threshold(["x", "y"], 10, 0.05)
    for n_blocks in (0, 0.5, np.inf, np.nan, "x", None):
        with pytest.raises(ValueError, match="n_blocks must be a number of at least 1, got"):
            extreme_value_threshold([1.0, 2.0], n_blocks, 0.05)
    with pytest.raises(ValueError, match=r"target_fpr must lie in \(0, 1\), got 1"):
        extreme_value_threshold([1.0, 2.0], 10, 1)


@pytest.mark.parametrize("shape", [(40, 60), (43, 69), (5, 60), (1, 1)])
def test_blocks_cover_the_map_once(shape):
    residual_map = np.random.default_rng(0).permutation(np.prod(shape)).reshape(shape)
    maxima = block_maxima(residual_map, 10).maxima
    rows, columns = (max(length // 10, 1) for length in shape)
    assert len(maxima) == rows * columns
    assert maxima.max() == residual_map.max()
    if shape == (40, 60):
        tiles = residual_map.reshape(4, 10, 6, 10)
        np.testing.assert_array_equal(maxima, tiles.max(axis=(1, 3)).ravel())


def test_a_block_is_a_tenth_of_the_shorter_side():
    assert block_size((700, 1024)) == 70
    assert block_size((3, 1024)) == 1
