"""Tail probabilities of residuals, compared with those of known distributions."""

import numpy as np
import pytest

from sk_ssimae.estimators import TailProbability


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng(0)


def test_uniform_residuals_have_the_analytic_surprise():
    tail = TailProbability.fit([np.arange(100_000).reshape(100, 1000) / 100_000])
    residual = np.linspace(0, 0.985, 500)
    np.testing.assert_allclose(tail.surprise(residual), -np.log(1 - residual), atol=1e-3)


@pytest.mark.parametrize("scale", [1e-6, 0.1, 1, 1e6])
def test_exponential_residuals_have_the_analytic_surprise_beyond_all_seen(rng, scale):
    tail = TailProbability.fit(list(rng.exponential(scale, (4, 250, 1000)).astype(np.float32)))
    surprise = np.linspace(0, 50, 500)
    np.testing.assert_allclose(tail.surprise(scale * surprise), surprise, rtol=0.02, atol=0.01)


def test_the_share_of_new_pixels_above_a_surprise_is_its_probability(rng):
    tail = TailProbability.fit([rng.gamma(2, size=200_000)])
    found = tail.surprise(rng.gamma(2, size=200_000))
    for probability in (0.5, 0.1, 0.01, 0.001):
        share = (found >= -np.log(probability)).mean()
        assert share == pytest.approx(probability, rel=0.15)


@pytest.mark.parametrize("n_pixels", [1, 2, 5, 99, 101, 5000])
def test_it_ascends_with_the_residual_from_0(rng, n_pixels):
    residuals = rng.normal(size=n_pixels)
    tail = TailProbability.fit([residuals])
    low, high = residuals.min(), residuals.max()
    surprise = tail.surprise(np.linspace(low, high + 3, 1000))
    assert surprise.dtype == np.float32
    assert surprise[0] == 0
    assert (np.diff(surprise) > 0).all()
    assert (tail.surprise(np.array([low - 1, -1e30])) == 0).all()
    assert len(tail.residuals) <= 1000


def test_one_value_everywhere():
    for value in (0.0, 0.25, -3.0):
        tail = TailProbability.fit([np.full((4, 5), value, dtype=np.float32)])
        surprise = tail.surprise(value + np.array([-1, 0, 1, 2], dtype=np.float32))
        assert surprise[:2].tolist() == [0, 0]
        assert 0 < surprise[2] < surprise[3]


def test_ties_count_in_full():
    tail = TailProbability.fit([np.repeat([0.0, 1.0, 2.0], [50, 30, 20])])
    np.testing.assert_allclose(
        tail.surprise(np.array([0, 1, 2])), -np.log([1, 0.5, 0.2]), rtol=1e-6
    )
    assert tail.surprise(np.array([3.0])) > -np.log(0.2)
    # A tenth of the pixels beyond the quantile have a value of their own.
    tail = TailProbability.fit([np.repeat([0.0, 1.0, 2.0], [9900, 90, 10])])
    assert tail.scale == 1


def test_it_depends_on_no_map_but_on_all_pixels(rng):
    residuals = rng.random((6, 50)).astype(np.float32)
    one, several = TailProbability.fit([residuals]), TailProbability.fit(list(residuals[::-1]))
    for a, b in zip(one, several, strict=True):
        np.testing.assert_array_equal(a, b)


def test_huge_residuals_stay_finite():
    widest = np.finfo(np.float32).max * np.linspace(-1, 1, 1000, dtype=np.float32)
    tail = TailProbability.fit([widest])
    assert np.isfinite(tail.scale)
    assert (np.diff(tail.surprise(widest)) > 0).all()
    tail = TailProbability.fit([np.linspace(0, 1e-30, 1000, dtype=np.float32)])
    assert np.isfinite(tail.surprise(np.array([np.finfo(np.float32).max]))).all()


@pytest.mark.parametrize("maps", [[], [np.empty((0, 3))], [np.ones(3), np.array([np.nan])]])
def test_unusable_residuals_are_refused(maps):
    with pytest.raises(ValueError, match="residual_maps must contain finite numbers, got none,"):
        TailProbability.fit(maps)
    with pytest.raises(ValueError, match="must contain finite numbers"):
        TailProbability.fit([np.array([1, np.inf])])


@pytest.mark.parametrize(
    ("maps", "error", "message"),
    [
        (None, TypeError, "residual_maps must be an array or a sequence, got None instead"),
        ("maps", TypeError, "residual_maps must be an array or a sequence, got 'maps' instead"),
        (
            [np.ones(3), np.array(["a"])],
            ValueError,
            r"residual_maps\[1\] must contain real numbers",
        ),
        ([1j * np.ones(3)], ValueError, r"residual_maps\[0\] must contain real .* got complex128"),
    ],
)
def test_other_types_are_refused(maps, error, message):
    with pytest.raises(error, match=message):
        TailProbability.fit(maps)
