import math

import pytest
import torch
from torch.distributions import Normal
from torch.distributions import kl_divergence as torch_kl_divergence

from sk_ssimae.losses import EvidenceLowerBound, kl_divergence


def make_output(seed=0, n=5, d=3):
    generator = torch.Generator().manual_seed(seed)
    patches, reconstruction = torch.rand((2, n, 2, 4, 4), generator=generator)
    mean, log_variance = torch.randn((2, n, d), generator=generator)
    return (reconstruction, mean, log_variance), patches


def test_divergence_matches_torch():
    (_, mean, log_variance), _ = make_output()
    posterior = Normal(mean, torch.exp(0.5 * log_variance))
    expected = torch_kl_divergence(posterior, Normal(0.0, 1.0)).sum(dim=1)
    torch.testing.assert_close(kl_divergence(mean, log_variance), expected)
    assert (kl_divergence(torch.zeros(2, 3), torch.zeros(2, 3)) == 0).all()


@pytest.mark.parametrize("kl_weight", [0, 1, 0.3])
def test_loss_is_the_bound(kl_weight):
    output, patches = make_output()
    loss = EvidenceLowerBound(kl_weight)
    value = loss(output, patches)
    reconstruction, mean, log_variance = output
    variance = (reconstruction - patches).square().mean()
    pixels = Normal(reconstruction, variance.sqrt())
    expected = -pixels.log_prob(patches).flatten(1).sum(dim=1)
    expected = (expected + kl_weight * kl_divergence(mean, log_variance)).mean()
    torch.testing.assert_close(value, expected)
    # After the first batch, the running variance equals the variance of that batch.
    torch.testing.assert_close(loss.eval()(output, patches), expected)


def test_fitted_variance_maximises_the_likelihood():
    output, patches = make_output()
    loss = EvidenceLowerBound(kl_weight=0)
    loss(output, patches)
    loss.eval()
    best = loss(output, patches)
    for factor in (0.8, 1.25):
        loss.variance.mul_(factor)
        assert loss(output, patches) > best
        loss.variance.div_(factor)


def test_variance_is_averaged_over_batches_and_fixed_in_evaluation():
    loss = EvidenceLowerBound()
    variances = []
    for seed in range(3):
        output, patches = make_output(seed)
        loss(output, patches)
        variances.append((output[0] - patches).square().mean())
    torch.testing.assert_close(loss.variance, torch.stack(variances).mean())
    before = loss.variance.clone()
    loss.eval()(output, patches)
    assert torch.equal(loss.variance, before)


def test_perfect_reconstruction_stays_finite():
    output, _ = make_output()
    loss = EvidenceLowerBound()
    assert math.isfinite(loss(output, output[0]))
    assert torch.isfinite(loss.residual_map(output[0], output[0])).all()


def test_residual_is_the_negative_log_likelihood_of_a_pixel():
    (reconstruction, *_), patches = make_output()
    loss = EvidenceLowerBound()
    loss.variance.fill_(0.04)
    expected = -Normal(reconstruction, 0.2).log_prob(patches).mean(dim=1)
    torch.testing.assert_close(loss.residual_map(patches, reconstruction), expected)


def test_wrong_distributions():
    with pytest.raises(TypeError, match="mean must be a floating-point tensor, got 3"):
        kl_divergence(3, torch.zeros(1, 2))
    with pytest.raises(
        ValueError, match=r"must have the same shape \(N, d\), got \(1, 2\) and \(1, 3\)"
    ):
        kl_divergence(torch.zeros(1, 2), torch.zeros(1, 3))


@pytest.mark.parametrize("weight", ["x", float("nan"), float("inf")])
def test_weight_must_be_finite(weight):
    with pytest.raises(ValueError, match=r"kl_weight must be a finite number from 0 to 1e.06, got"):
        EvidenceLowerBound(weight)


def test_wrong_weight():
    with pytest.raises(
        ValueError, match=r"kl_weight must be a finite number from 0 to 1e.06, got -1"
    ):
        EvidenceLowerBound(-1)
