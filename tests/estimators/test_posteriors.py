import numpy as np
import pytest
import torch

from sk_ssimae.estimators import Posteriors
from sk_ssimae.estimators import _posteriors as module


def distributions(n, seed):
    rng = np.random.default_rng(seed)
    return np.float32(rng.normal(size=(n, 6))), np.float32(rng.normal(-2, 1, size=(n, 6)))


STORED = Posteriors(*distributions(30, 0))


def test_euclidean_distance_to_the_nearest_mean():
    mean, _ = distributions(7, 1)
    expected = np.linalg.norm(mean[:, None] - STORED.mean, axis=2).min(axis=1)
    found = STORED.euclidean(torch.from_numpy(mean))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("most", [1, 100, 2**22])
def test_bhattacharyya_distance_to_the_nearest_distribution(most, monkeypatch):
    monkeypatch.setattr(module, "_MOST_COMPONENTS", most)
    mean, log_variance = distributions(7, 1)
    variance, stored = np.exp(np.float64(log_variance))[:, None], np.exp(STORED.log_variance)
    both = (variance + stored) / 2
    # The textbook's formula, with variances.
    distances = np.sum(
        np.square(np.float64(mean)[:, None] - STORED.mean) / (8 * both)
        + np.log(both / np.sqrt(variance * stored)) / 2,
        axis=2,
    )
    found = STORED.bhattacharyya(torch.from_numpy(mean), torch.from_numpy(log_variance))
    np.testing.assert_allclose(found, distances.min(axis=1), rtol=1e-4)


def test_a_stored_distribution_has_no_distance():
    stored = tuple(torch.from_numpy(part[4:6].copy()) for part in STORED)
    assert STORED.euclidean(stored[0]).max() < 1e-6
    assert (STORED.bhattacharyya(*stored) == 0).all()
    wider = STORED.bhattacharyya(stored[0], stored[1] + 1)
    assert (wider > 0.1).all()
