import numpy as np
import torch
from torch.distributions import Normal
from torch.distributions import kl_divergence as torch_kl_divergence

from sk_ssimae._formulas._gaussian import (
    bhattacharyya_distance,
    kl_divergence,
    negative_log_likelihood,
)


def test_negative_log_likelihood():
    errors = np.random.default_rng(0).random((2, 5, 4))
    variance = np.float64(0.3)
    of_numpy = negative_log_likelihood(errors, variance)
    of_torch = negative_log_likelihood(torch.from_numpy(errors), torch.tensor(variance))
    deviation = torch.tensor(variance).sqrt()
    expected = -Normal(0 * deviation, deviation).log_prob(torch.from_numpy(errors).sqrt())
    np.testing.assert_allclose(of_numpy, of_torch, rtol=0, atol=1e-12)
    np.testing.assert_allclose(of_numpy, expected, rtol=0, atol=1e-12)


def test_kl_divergence():
    mean, log_variance = np.random.default_rng(0).normal(size=(2, 5, 4))
    mean[0], log_variance[0] = 0, 1e-9
    tensors = torch.from_numpy(mean), torch.from_numpy(log_variance)
    of_numpy, of_torch = kl_divergence(mean, log_variance), kl_divergence(*tensors)
    posterior = Normal(tensors[0], tensors[1].exp().sqrt())
    expected = torch_kl_divergence(posterior, Normal(0.0, 1.0)).sum(dim=1)
    np.testing.assert_allclose(of_numpy, of_torch, rtol=0, atol=1e-12)
    np.testing.assert_allclose(of_numpy, expected, rtol=0, atol=1e-12)
    assert of_numpy.min() >= 0


def test_bhattacharyya_distance():
    mean, log_variance, other_mean, other_log_variance = np.random.default_rng(0).normal(
        size=(4, 5, 3)
    )
    four = mean, log_variance, other_mean, other_log_variance
    of_numpy = bhattacharyya_distance(*four)
    of_torch = bhattacharyya_distance(*map(torch.from_numpy, four))
    np.testing.assert_allclose(of_numpy, of_torch, rtol=1e-12)
    # Reference: the integral of the definition, a sum over a fine grid for each component.
    z = np.linspace(-60, 60, 120_001)
    p, q = (
        Normal(torch.from_numpy(m)[..., None], torch.from_numpy(v).exp().sqrt()[..., None])
        .log_prob(torch.from_numpy(z))
        .exp()
        .numpy()
        for m, v in (four[:2], four[2:])
    )
    expected = -np.log(np.sqrt(p * q).sum(axis=-1) * (z[1] - z[0])).sum(axis=-1)
    np.testing.assert_allclose(of_numpy, expected, rtol=1e-9)


def test_bhattacharyya_distance_of_equal_and_of_close_distributions():
    rng = np.random.default_rng(0)
    mean, log_variance = rng.normal(size=(2, 5, 100)).astype(np.float32)
    assert (bhattacharyya_distance(mean, log_variance, mean, log_variance) == 0).all()
    close = log_variance + np.float32(1e-3)
    exact = bhattacharyya_distance(*np.float64([mean, log_variance, mean, close]))
    single = bhattacharyya_distance(mean, log_variance, mean, close)
    np.testing.assert_allclose(single, exact, rtol=1e-3)
    assert single.dtype == np.float32


def test_single_precision_is_kept():
    half = np.full((2, 3), 0.5, np.float32)
    assert negative_log_likelihood(half, np.float32(0.1)).dtype == np.float32
    assert kl_divergence(half, half).dtype == np.float32
