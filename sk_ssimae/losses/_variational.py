"""The evidence lower bound and its terms: likelihood and divergence."""

import torch
from torch import Tensor, nn

from sk_ssimae._formulas import _gaussian
from sk_ssimae._formulas._squared_error import squared_error
from sk_ssimae._validation import check_number

# A larger weight overflows the divergence in float32.
LARGEST_WEIGHT = 1e6
# The variance of rounding to 8 bits: a smaller one has nothing more to learn.
_SMALLEST_VARIANCE = 1 / (12 * 255**2)
# The variance is averaged over all batches at first, then over about this many.
_LONGEST_MEMORY = 100


class EvidenceLowerBound(nn.Module):
    """Negative evidence lower bound of a variational autoencoder with normal pixels.

    Calling the module returns the loss: the negative log-likelihood of a patch under one sample of
    its posterior, summed over pixels and channels, plus `kl_weight` times the divergence of the
    posterior from the prior, averaged over the batch. All pixels share the variance σ². Its
    maximum-likelihood value is the mean squared error. Training uses the value of each batch;
    `variance` keeps their running average for inference.

    Parameters
    ----------
    kl_weight : float, default=1
        Weight of the divergence, from 0 to 1e6. A weight of 1 is the bound itself.

    Attributes
    ----------
    variance : Tensor of shape ()
        The fitted variance σ² of a pixel.

    Raises
    ------
    ValueError
        If `kl_weight` is out of range.

    References
    ----------
    D. P. Kingma, M. Welling, "Auto-Encoding Variational Bayes", ICLR 2014, equations 7 and 10.
    O. Rybkin, K. Daniilidis, S. Levine, "Simple and Effective VAE Training with Calibrated
    Decoders", ICML 2021, section 3.2.

    Examples
    --------
    >>> import torch
    >>> from sk_ssimae.losses import EvidenceLowerBound
    >>> loss, patches = EvidenceLowerBound(), torch.full((2, 1, 4, 4), 0.5)
    >>> posterior = torch.zeros(2, 3), torch.zeros(2, 3)  # The prior itself: no divergence.
    >>> value = loss((patches + 0.1, *posterior), patches)
    >>> round(float(value), 3), round(float(loss.variance), 3)
    (-14.138, 0.01)
    """

    #: Distance in pixels up to which other pixels influence a residual.
    residual_radius = 0

    variance: Tensor
    n_batches: Tensor

    def __init__(self, kl_weight: float = 1) -> None:
        super().__init__()
        check_number(kl_weight, "kl_weight", 0, LARGEST_WEIGHT)
        self.kl_weight = kl_weight
        self.register_buffer("variance", torch.ones(()))
        self.register_buffer("n_batches", torch.zeros(()))

    def forward(self, output: tuple[Tensor, Tensor, Tensor], target: Tensor) -> Tensor:
        """Compute the loss of an output (reconstruction, mean, log-variance) and its patches."""
        reconstruction, mean, log_variance = output
        errors = squared_error(reconstruction, target).flatten(1)
        variance = self.variance
        if self.training:
            variance = errors.detach().mean().clamp_min(_SMALLEST_VARIANCE)
            self.n_batches += 1
            weight = (1 / self.n_batches).clamp_min(1 / _LONGEST_MEMORY)
            self.variance.lerp_(variance.to(self.variance), weight)
        improbability = _gaussian.negative_log_likelihood(errors, variance).sum(dim=1)
        loss: Tensor = (self.kl_weight * kl_divergence(mean, log_variance) + improbability).mean()
        return loss

    def residual_map(self, image: Tensor, reconstruction: Tensor) -> Tensor:
        """Compute -log N(x; x̂, σ²) averaged over channels: (N, C, H, W) to (N, H, W)."""
        errors = squared_error(image, reconstruction).mean(dim=1)
        residual: Tensor = _gaussian.negative_log_likelihood(errors, self.variance)
        return residual


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Compute the divergence of normal distributions from the standard normal one, in nats.

    Parameters
    ----------
    mean, log_variance : Tensor of shape (N, d)
        Distributions with independent components.

    Returns
    -------
    Tensor of shape (N,)
        Kullback-Leibler divergences, at least 0.

    Raises
    ------
    TypeError
        If they are not floating-point tensors.
    ValueError
        If the shapes differ or are not (N, d).

    References
    ----------
    D. P. Kingma, M. Welling, "Auto-Encoding Variational Bayes", ICLR 2014, appendix B.

    Examples
    --------
    >>> import torch
    >>> from sk_ssimae.losses import kl_divergence
    >>> kl_divergence(torch.tensor([[0.0, 1.0]]), torch.zeros(1, 2))
    tensor([0.5000])
    """
    for name, tensor in (("mean", mean), ("log_variance", log_variance)):
        if not (isinstance(tensor, Tensor) and tensor.is_floating_point()):
            raise TypeError(f"{name} must be a floating-point tensor, got {tensor!r} instead.")
    if mean.shape != log_variance.shape or mean.ndim != 2:
        raise ValueError(
            "mean and log_variance must have the same shape (N, d), got "
            f"{tuple(mean.shape)} and {tuple(log_variance.shape)} instead."
        )
    divergence: Tensor = _gaussian.kl_divergence(mean, log_variance)
    return divergence
