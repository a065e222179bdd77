"""Per-pixel losses on reconstructions."""

from torch import Tensor, nn

from sk_ssimae._formulas._absolute_error import absolute_error
from sk_ssimae._formulas._squared_error import squared_error


class L2Loss(nn.Module):
    """Squared error as training loss and residual (equation 2 of Bergmann et al.).

    Calling the module returns the loss: squared differences summed over the pixels and channels of
    each image and averaged over the batch. :meth:`residual_map` returns the per-pixel residual.

    References
    ----------
    Bergmann et al., arXiv:1807.02011, equation 2.

    Examples
    --------
    >>> import torch
    >>> from sk_ssimae.losses import L2Loss
    >>> float(L2Loss()(torch.zeros(2, 1, 4, 4), torch.full((2, 1, 4, 4), 0.5)))
    4.0
    """

    #: Distance in pixels up to which other pixels influence a residual.
    residual_radius = 0

    def forward(self, reconstruction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of two batches (N, C, H, W), a non-negative scalar."""
        loss: Tensor = squared_error(reconstruction, target).flatten(1).sum(dim=1).mean()
        return loss

    def residual_map(self, image: Tensor, reconstruction: Tensor) -> Tensor:
        """Average the squared difference over channels: (N, C, H, W) to (N, H, W)."""
        residual: Tensor = squared_error(image, reconstruction).mean(dim=1)
        return residual


class L1Loss(nn.Module):
    """Absolute error as training loss and residual.

    Calling the module returns the loss: absolute differences summed over the pixels and channels of
    each image and averaged over the batch. :meth:`residual_map` returns the per-pixel residual.

    References
    ----------
    H. Zhao, O. Gallo, I. Frosio, J. Kautz, "Loss Functions for Image Restoration With Neural
    Networks", IEEE Trans. Computational Imaging 3 (1), 2017, section III.A.

    Examples
    --------
    >>> import torch
    >>> from sk_ssimae.losses import L1Loss
    >>> float(L1Loss()(torch.zeros(2, 1, 4, 4), torch.full((2, 1, 4, 4), 0.5)))
    8.0
    """

    #: Distance in pixels up to which other pixels influence a residual.
    residual_radius = 0

    def forward(self, reconstruction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of two batches (N, C, H, W), a non-negative scalar."""
        loss: Tensor = absolute_error(reconstruction, target).flatten(1).sum(dim=1).mean()
        return loss

    def residual_map(self, image: Tensor, reconstruction: Tensor) -> Tensor:
        """Average the absolute difference over channels: (N, C, H, W) to (N, H, W)."""
        residual: Tensor = absolute_error(image, reconstruction).mean(dim=1)
        return residual
