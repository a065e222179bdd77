"""Local moments of two images, and the mean of their similarity with its gradient.

SSIM in its usual form, equation 8 of Bergmann et al. (arXiv:1807.02011), is a training loss, so its
mean has a derivative of its own: only the moments that it needs go back through the window.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from sk_ssimae.losses._window import as_channels, window_means, window_means_transposed


class Moments(NamedTuple):
    """Local population moments under the window, of images that are the channels of one.

    Attributes
    ----------
    x, y : Tensor of shape (1, N · C, H, W)
        The images, less one number for both in each channel, about which moments are taken.
    mean_x, mean_y : Tensor of shape (1, N · C, H - K + 1, W - K + 1)
        Means of `x` and `y`.
    level_x, level_y : Tensor of the same shape
        Means of the images as they were given.
    var_sum : Tensor of the same shape
        Sum of both variances.
    cov_xy : Tensor of the same shape
        Covariance.
    """

    x: Tensor
    y: Tensor
    mean_x: Tensor
    mean_y: Tensor
    level_x: Tensor
    level_y: Tensor
    var_sum: Tensor
    cov_xy: Tensor

    def swapped(self) -> "Moments":
        """Exchange the two images."""
        return self._replace(
            x=self.y,
            y=self.x,
            mean_x=self.mean_y,
            mean_y=self.mean_x,
            level_x=self.level_y,
            level_y=self.level_x,
        )


def moments(x: Tensor, y: Tensor, kernel: Tensor) -> Moments:
    """Compute the moments of images (N, C, H, W) at the positions the window covers fully."""
    # Autocast would compute the averages in half precision.
    with torch.autocast(x.device.type, enabled=False):
        x, y = _at_least_float32(x), _at_least_float32(y)
        # E[x²] - E[x]² cancels on bright flat images: take the moments about a common offset.
        centre_x, centre_y = (i.detach().mean(dim=(-2, -1), keepdim=True) for i in (x, y))
        offset = (centre_x + centre_y) / 2
        x, y, offset = as_channels(x - offset), as_channels(y - offset), as_channels(offset)
        squares = (x * x).addcmul_(y, y)
        mean_x, mean_y, mean_squares, mean_product = window_means([x, y, squares, x * y], kernel)
        var_sum = mean_squares.addcmul(mean_x, mean_x, value=-1)
        return Moments(
            x,
            y,
            mean_x,
            mean_y,
            mean_x + offset,
            mean_y + offset,
            var_sum.addcmul_(mean_y, mean_y, value=-1).clamp_min_(0),
            mean_product.addcmul(mean_x, mean_y, value=-1),
        )


def variances(m: Moments, kernel: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the variance of each image, which equation 8 can do without."""
    with torch.autocast(m.x.device.type, enabled=False):
        mean_xx, mean_yy = window_means([m.x * m.x, m.y * m.y], kernel)
        # As the covariance is computed, so that of two equal images it is the variance.
        return (
            mean_xx.addcmul(m.mean_x, m.mean_x, value=-1).clamp_min(0),
            mean_yy.addcmul(m.mean_y, m.mean_y, value=-1).clamp_min(0),
        )


class Similarity(NamedTuple):
    """Equation 5, the product of 6 and 7, which has no square root, and both denominators."""

    luminance: Tensor
    contrast_structure: Tensor
    luminance_denominator: Tensor
    structure_denominator: Tensor

    @property
    def product(self) -> Tensor:
        """Equation 8."""
        return self.luminance * self.contrast_structure


def similarity(m: Moments, c1: float, c2: float) -> Similarity:
    """Compute what equation 8 multiplies."""
    # In place where autograd allows it: half of the time goes into memory.
    structure_denominator = m.var_sum + c2
    contrast_structure = (2 * m.cov_xy).add_(c2).div_(structure_denominator)
    luminance, luminance_denominator = compare_luminance(m, c1)
    return Similarity(luminance, contrast_structure, luminance_denominator, structure_denominator)


def compare_luminance(m: Moments, c1: float) -> tuple[Tensor, Tensor]:
    """Compute equation 5 and its denominator."""
    denominator = m.level_x.square().addcmul_(m.level_y, m.level_y).add_(c1)
    return (m.level_x * m.level_y).mul_(2).add_(c1).div_(denominator), denominator


def mean_similarity(x: Tensor, y: Tensor, kernel: Tensor, c1: float, c2: float) -> Tensor:
    """Compute the mean of equation 8 over batch, channels and fully covered positions.

    It can be differentiated once; more is refused.
    """
    if not torch.is_grad_enabled():
        return similarity(moments(x, y, kernel), c1, c2).product.mean()
    mean: Tensor = _MeanSimilarity.apply(x, y, kernel, c1, c2)  # type: ignore[no-untyped-call]
    return mean


class _MeanSimilarity(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, kernel: Tensor, c1: float, c2: float) -> Tensor:
        m = moments(x, y, kernel)
        parts = similarity(m, c1, c2)
        product = parts.product
        # Computed at once, so that one image a gradient is kept instead of all moments.
        ctx.save_for_backward(
            *(
                _half_gradient(ordered, parts, product, kernel) if needed else None
                for ordered, needed in zip((m, m.swapped()), ctx.needs_input_grad, strict=False)
            )
        )
        ctx.half_numel = product.numel() / 2
        ctx.shape = x.shape
        return product.mean()

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # That is, with create_graph.
            raise RuntimeError(
                "The SSIM loss can be differentiated once. For higher derivatives average ssim_map."
            )
        scale = grad_output / ctx.half_numel
        # Autograd brings them to the types of the images.
        gradients = (
            None if gradient is None else (scale * gradient).reshape(ctx.shape)
            for gradient in ctx.saved_tensors
        )
        return *gradients, None, None, None


def _half_gradient(m: Moments, parts: Similarity, product: Tensor, kernel: Tensor) -> Tensor:
    """Differentiate half of the summed similarity by the image x.

    With E the average under the window, the chain goes through E[x], E[x²] and E[xy].
    """
    by_xx = product / parts.structure_denominator  # Its sign is below.
    by_xy = parts.luminance / parts.structure_denominator
    by_mean = (m.level_y * parts.contrast_structure).addcmul_(m.level_x, product, value=-1)
    by_mean.div_(parts.luminance_denominator)
    by_mean.addcmul_(m.mean_x, by_xx).addcmul_(m.mean_y, by_xy, value=-1)
    from_mean, from_xx, from_xy = window_means_transposed([by_mean, by_xx, by_xy], kernel)
    # A new tensor, for on a GPU these are views of one that would be kept with all three.
    return from_mean.addcmul(m.x, from_xx, value=-1).addcmul_(m.y, from_xy)


def _at_least_float32(images: Tensor) -> Tensor:
    return images if images.dtype == torch.float64 else images.float()
