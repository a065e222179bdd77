"""SSIM of tensors, and its mean with a gradient in closed form.

Equation 8 of Bergmann et al. (arXiv:1807.02011) is the usual training loss. Its gradient is written
out, which saves time and memory: only three maps pass back through the window.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from sk_ssimae._formulas._ssim import (
    Components,
    Moments,
    Similarity,
    common_offset,
    components,
    has_product_form,
    moments,
    similarity,
    weighted_product,
)
from sk_ssimae.losses._window import as_channels, window_means, window_means_transposed


def ssim(
    x: Tensor,
    y: Tensor,
    kernel: Tensor,
    c1: float,
    c2: float,
    exponents: tuple[float, float, float],
) -> Tensor:
    """Compute SSIM of images (N, C, H, W) for all windows inside them."""
    if has_product_form(*exponents):
        _, _, m = channel_moments(x, y, kernel)
        return _as_images(similarity(m, c1, c2).product, x)
    product: Tensor = weighted_product(ssim_parts(x, y, kernel, c1, c2), *exponents)
    return product


def ssim_parts(x: Tensor, y: Tensor, kernel: Tensor, c1: float, c2: float) -> Components:
    """Compute l, c and s (equations 5-7) for all windows inside the images."""
    # Autocast would compute the averages in half precision.
    with torch.autocast(x.device.type, enabled=False):
        parts = components(*_centred(x, y), _average(kernel), c1, c2)
    return Components(*(_as_images(part, x) for part in parts))


def mean_similarity(x: Tensor, y: Tensor, kernel: Tensor, c1: float, c2: float) -> Tensor:
    """Average equation 8 over batch, channels and all windows inside the images.

    The mean can be differentiated once. A second derivative raises a RuntimeError.
    """
    if not torch.is_grad_enabled():
        of_positions: Tensor = ssim(x, y, kernel, c1, c2, (1, 1, 1))
        return of_positions.mean()
    mean: Tensor = _MeanSimilarity.apply(x, y, kernel, c1, c2)  # type: ignore[no-untyped-call]
    return mean


class _MeanSimilarity(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, kernel: Tensor, c1: float, c2: float) -> Tensor:
        ctx.shape = x.shape
        x, y, m = channel_moments(x, y, kernel)
        parts = similarity(m, c1, c2)
        product: Tensor = parts.product
        pairs = (x, y, m), (y, x, _swapped(m))
        # Computed now, so that one image per gradient is kept instead of all moments.
        ctx.save_for_backward(
            *(
                _half_gradient(*pair, parts, product, kernel) if needed else None
                for pair, needed in zip(pairs, ctx.needs_input_grad, strict=False)
            )
        )
        ctx.half_numel = product.numel() / 2
        return product.mean()

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # That is, with create_graph.
            raise RuntimeError(
                "The SSIM loss can be differentiated once. For higher derivatives, average "
                "ssim_map."
            )
        scale = grad_output / ctx.half_numel
        # Autograd converts them to the dtypes of the images.
        gradients = (
            None if gradient is None else (scale * gradient).reshape(ctx.shape)
            for gradient in ctx.saved_tensors
        )
        return *gradients, None, None, None


def _half_gradient(
    x: Tensor, y: Tensor, m: Moments, parts: Similarity, product: Tensor, kernel: Tensor
) -> Tensor:
    """Differentiate half of the summed similarity with respect to the image x.

    With E the average under the window, the chain rule goes through E[x], E[x²] and E[xy].
    """
    by_xx = product / parts.structure_denominator  # Subtracted below.
    by_xy = parts.luminance / parts.structure_denominator
    by_mean = (m.level_y * parts.contrast_structure).addcmul_(m.level_x, product, value=-1)
    by_mean.div_(parts.luminance_denominator)
    by_mean.addcmul_(m.mean_x, by_xx).addcmul_(m.mean_y, by_xy, value=-1)
    from_mean, from_xx, from_xy = window_means_transposed([by_mean, by_xx, by_xy], kernel)
    # A new tensor: on a GPU these are views of one tensor, which would be kept as a whole.
    gradient: Tensor = from_mean.addcmul(x, from_xx, value=-1).addcmul_(y, from_xy)
    return gradient


def _swapped(m: Moments) -> Moments:
    """Exchange the two images."""
    return m._replace(mean_x=m.mean_y, mean_y=m.mean_x, level_x=m.level_y, level_y=m.level_x)


def channel_moments(x: Tensor, y: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor, Moments]:
    """Compute the centred images as the channels of one, and their moments."""
    # Autocast would compute the averages in half precision.
    with torch.autocast(x.device.type, enabled=False):
        x, y, offset = _centred(x, y)
        return x, y, moments(x, y, offset, _average(kernel))


def _centred(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    x, y = at_least_float32(x), at_least_float32(y)
    offset = common_offset(x.detach(), y.detach())
    return as_channels(x - offset), as_channels(y - offset), as_channels(offset)


def _average(kernel: Tensor) -> Callable[[Sequence[Tensor]], Sequence[Tensor]]:
    return lambda maps: window_means(maps, kernel)


def _as_images(channels: Tensor, images: Tensor) -> Tensor:
    """Undo :func:`as_channels` for maps of images (N, C, ...)."""
    return channels.reshape(*images.shape[:2], *channels.shape[-2:])


def at_least_float32(images: Tensor) -> Tensor:
    return images if images.dtype == torch.float64 else images.float()
