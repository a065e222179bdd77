"""Absolute error and divergence: the loss of a variational autoencoder with Laplace pixels."""

from torch import Tensor

from sk_ssimae._validation import check_number
from sk_ssimae.losses._reconstruction import L1Loss
from sk_ssimae.losses._variational import LARGEST_WEIGHT, kl_divergence


class VariationalL1Loss(L1Loss):
    r"""Absolute error of a reconstruction and divergence of its latent distribution.

    .. math:: \sum_r |x(r) - \hat x(r)| + w \, \mathrm{KL}(q(z \mid x) \,\|\, \mathcal N(0, I)),

    averaged over the batch, where :math:`\hat x` is decoded from one sample of :math:`q(z \mid x)`.
    The residual is that of :class:`L1Loss`.

    Parameters
    ----------
    kl_weight : float, default=1
        Weight w of the divergence, from 0 to 1e6.

    Raises
    ------
    ValueError
        If `kl_weight` is out of range.

    References
    ----------
    C. Baur, B. Wiestler, S. Albarqouni, N. Navab, "Deep Autoencoding Models for Unsupervised
    Anomaly Segmentation in Brain MR Images", arXiv:1804.04488, section 2.

    Examples
    --------
    >>> import torch
    >>> from sk_ssimae.losses import VariationalL1Loss
    >>> loss, patches = VariationalL1Loss(kl_weight=2), torch.zeros(2, 1, 4, 4)
    >>> float(loss((patches + 0.5, torch.ones(2, 1), torch.zeros(2, 1)), patches))  # 8 + 2 · 0.5
    9.0
    """

    def __init__(self, kl_weight: float = 1) -> None:
        super().__init__()
        check_number(kl_weight, "kl_weight", 0, LARGEST_WEIGHT)
        self.kl_weight = kl_weight

    def forward(self, output: tuple[Tensor, Tensor, Tensor], target: Tensor) -> Tensor:  # type: ignore[override]  # of another network
        """Compute the loss of an output (reconstruction, mean, log-variance) and its patches."""
        reconstruction, mean, log_variance = output
        divergence = kl_divergence(mean, log_variance).mean()
        loss: Tensor = super().forward(reconstruction, target) + self.kl_weight * divergence
        return loss
