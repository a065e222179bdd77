import numpy as np
import torch
from torch.distributions import Normal
from torch.distributions import kl_divergence as torch_kl_divergence

from sk_ssimae._formulas._gaussian import kl_divergence, negative_log_likelihood


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


def test_single_precision_is_kept():
    half = np.full((2, 3), 0.5, np.float32)
    assert negative_log_likelihood(half, np.float32(0.1)).dtype == np.float32
    assert kl_divergence(half, half).dtype == np.float32
