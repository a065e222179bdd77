"""Local moments of two images, and the mean of their similarity with its gradient.

SSIM in its usual form, equation 8 of Bergmann et al. (arXiv:1807.02011), is a training loss, so its
mean has a derivative of its own: only the moments that it needs go back through the window.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from sk_ssimae.losses._window import window_mean, window_mean_transposed


class Moments(NamedTuple):
    """Local population moments under the window; images and means are taken about `offset`."""

    x: Tensor
    y: Tensor
    offset: Tensor
    mean_x: Tensor
    mean_y: Tensor
    var_x: Tensor
    var_y: Tensor
    cov_xy: Tensor

    def swapped(self) -> "Moments":
        """Exchange the two images."""
        return self._replace(
            x=self.y,
            y=self.x,
            mean_x=self.mean_y,
            mean_y=self.mean_x,
            var_x=self.var_y,
            var_y=self.var_x,
        )


def moments(x: Tensor, y: Tensor, kernel: Tensor) -> Moments:
    """Compute the moments of images (N, C, H, W) at the positions the window covers fully."""
    # Autocast would compute the convolutions in half precision.
    with torch.autocast(x.device.type, enabled=False):
        x, y = _at_least_float32(x), _at_least_float32(y)
        # E[x²] - E[x]² cancels on bright flat images: take the moments about a common offset.
        offset = 0.5 * (x + y).detach().mean(dim=(-2, -1), keepdim=True)
        x, y = x - offset, y - offset
        mean_x, mean_y, xx, yy, xy = window_mean(torch.stack([x, y, x * x, y * y, x * y]), kernel)
        return Moments(
            x,
            y,
            offset,
            mean_x,
            mean_y,
            (xx - mean_x**2).clamp_min(0),
            (yy - mean_y**2).clamp_min(0),
            xy - mean_x * mean_y,
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
    mean_x, mean_y = m.mean_x + m.offset, m.mean_y + m.offset
    luminance_denominator = mean_x.square().addcmul_(mean_y, mean_y).add_(c1)
    structure_denominator = (m.var_x + m.var_y).add_(c2)
    return Similarity(
        (mean_x * mean_y).mul_(2).add_(c1) / luminance_denominator,
        (2 * m.cov_xy).add_(c2) / structure_denominator,
        luminance_denominator,
        structure_denominator,
    )


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
        # Computed at once, so that one image a gradient is kept instead of all moments.
        ctx.save_for_backward(
            _gradient(m, parts, kernel) if ctx.needs_input_grad[0] else None,
            _gradient(m.swapped(), parts, kernel) if ctx.needs_input_grad[1] else None,
        )
        ctx.dtypes = x.dtype, y.dtype
        return parts.product.mean()

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # That is, with create_graph.
            raise RuntimeError(
                "The SSIM loss can be differentiated once. For higher derivatives average ssim_map."
            )
        of_images = (
            None if gradient is None else (grad_output * gradient).to(dtype)
            for gradient, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        )
        return *of_images, None, None, None


def _gradient(m: Moments, parts: Similarity, kernel: Tensor) -> Tensor:
    """Differentiate the mean similarity by the image x.

    With E the average under the window, the chain goes through E[x], E[x²] and E[xy].
    """
    product = parts.product
    by_mean, by_var, by_cov = gradients = product.new_empty((3, *product.shape))
    torch.div(parts.luminance, parts.structure_denominator, out=by_cov).mul_(2)
    torch.div(product, parts.structure_denominator, out=by_var).neg_()
    torch.mul(m.mean_y + m.offset, parts.contrast_structure, out=by_mean)
    by_mean.addcmul_(m.mean_x + m.offset, product, value=-1).div_(parts.luminance_denominator)
    by_mean.addcmul_(m.mean_x, by_var, value=-1).mul_(2).addcmul_(m.mean_y, by_cov, value=-1)
    back = window_mean_transposed(gradients, kernel)
    gradient = back[0].addcmul_(m.x, back[1], value=2).addcmul_(m.y, back[2])
    return gradient.div_(product.numel())


def _at_least_float32(images: Tensor) -> Tensor:
    return images if images.dtype == torch.float64 else images.float()
