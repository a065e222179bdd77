"""Structural similarity at several scales, MS-SSIM.

References
----------
.. [1] Z. Wang, E. P. Simoncelli, A. C. Bovik, "Multiscale Structural Similarity for Image Quality
       Assessment", 37th Asilomar Conference on Signals, Systems and Computers, 2003.
"""

import torch
from torch import Tensor, nn

from sk_ssimae._formulas._multi_scale import (
    WEIGHTS,
    count_scales,
    reach,
    scale_weights,
    similarity_at_pixels,
    weighted_geometric_mean,
)
from sk_ssimae._formulas._ssim import iter_strips, similarity
from sk_ssimae._validation import check_number
from sk_ssimae.losses._similarity import at_least_float32, channel_moments
from sk_ssimae.losses._ssim import (
    LARGEST_CONSTANT,
    SMALLEST_CONSTANT,
    check_images,
    check_window_fits,
)
from sk_ssimae.losses._window import Window, ssim_window


class MultiScaleSSIMLoss(nn.Module):
    r"""Structural dissimilarity at several scales, 1 - MS-SSIM, as training loss and as residual.

    The image of the next scale is that of the last with 2 × 2 pixels averaged. With the means
    :math:`\langle \cdot \rangle` over all windows that lie inside the image of a scale, and
    luminance at the coarsest scale M alone,

    .. math:: \mathrm{MS\text{-}SSIM} = \langle (l \, c \, s)_M \rangle^{w_M}
       \prod_{j=1}^{M-1} \langle (c \, s)_j \rangle^{w_j}.

    The weights w of Wang et al. are 0.0448, 0.2856, 0.3001, 0.2363 and 0.1333. **Only scales at
    which the window fits into the image are used. If these are fewer than five, their weights are
    divided by their sum.** A window of 11 pixels fits into a patch of 128 at four scales, and into
    one of 161 or more at five. :meth:`scale_weights` returns the weights for a size. With a single
    scale, the loss is :class:`SSIMLoss`.

    Calling the module returns the loss, averaged over batch and channels. A channel with a negative
    mean at a scale has the similarity 0 and no gradient. :meth:`residual_map` returns the per-pixel
    residual.

    Parameters
    ----------
    window_size : int, default=11
        Side K of the window in pixels of each scale: odd, at least 3.
    window : {"uniform", "gaussian"}, default="uniform"
        Weights inside the window. The Gaussian, which Wang et al. use, has
        sigma = 1.5 * window_size / 11 pixels.
    c1, c2 : float, default=1e-4 and 9e-4
        Constants of equations 5-7, from 1e-6 to 1e6.
    n_scales : int, default=5
        Largest number of scales, from 1 to 5.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    See Also
    --------
    SSIMLoss : At one scale.

    Notes
    -----
    A zero is put before the first pixel of an odd side before pixels are averaged, as in
    pytorch-msssim, with which values agree; patches of segmenters have even sides.

    References
    ----------
    Z. Wang, E. P. Simoncelli, A. C. Bovik, "Multiscale Structural Similarity for Image Quality
    Assessment", Asilomar Conference on Signals, Systems and Computers, 2003, equation 7 and section
    4. As a loss of autoencoders: J. Snell, K. Ridgeway et al., "Learning to Generate Images with
    Perceptual Similarity Metrics", arXiv:1511.06409.

    Examples
    --------
    >>> import torch
    >>> from sk_ssimae.losses import MultiScaleSSIMLoss
    >>> x = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    >>> loss = MultiScaleSSIMLoss(window_size=7)
    >>> [round(weight, 3) for weight in loss.scale_weights(32, 32)]
    [0.071, 0.453, 0.476]
    >>> round(float(loss(x, x)), 6), bool(loss(1 - x, x) > 0.9)
    (0.0, True)
    """

    kernel: Tensor

    def __init__(
        self,
        window_size: int = 11,
        window: Window = "uniform",
        *,
        c1: float = 1e-4,
        c2: float = 9e-4,
        n_scales: int = len(WEIGHTS),
    ) -> None:
        super().__init__()
        for name, value in [("c1", c1), ("c2", c2)]:
            check_number(value, name, SMALLEST_CONSTANT, LARGEST_CONSTANT)
        if n_scales not in range(1, len(WEIGHTS) + 1):
            raise ValueError(f"n_scales must be an integer from 1 to 5, got {n_scales!r} instead.")
        self.window_size = window_size
        self.window = window
        self.c1, self.c2 = c1, c2
        self.n_scales = n_scales
        self.register_buffer("kernel", ssim_window(window_size, window), persistent=False)

    def scale_weights(self, height: int, width: int) -> tuple[float, ...]:
        """Return the weights of the scales of an image of that size, the finest first.

        Raises
        ------
        ValueError
            If the window does not fit into the image.
        """
        n_scales = count_scales((height, width), self.window_size)
        if n_scales == 0:
            raise ValueError(
                f"height and width must be at least window_size={self.window_size}, got {height} "
                f"and {width} instead."
            )
        return scale_weights(min(n_scales, self.n_scales))

    def forward(self, reconstruction: Tensor, target: Tensor) -> Tensor:
        """Compute the loss, a scalar in [0, 1], or in [0, 2] with one scale."""
        check_images(reconstruction=reconstruction, target=target)
        check_window_fits(target, self.window_size)
        weights = self.scale_weights(*target.shape[-2:])
        x, y = at_least_float32(target), at_least_float32(reconstruction)
        means = []
        for scale in range(len(weights)):
            if scale:
                x, y = _halve(x), _halve(y)
            _, _, moments = channel_moments(x, y, self.kernel)
            parts = similarity(moments, self.c1, self.c2)
            is_last = scale == len(weights) - 1
            of_windows = parts.product if is_last else parts.contrast_structure
            means.append(of_windows.mean(dim=(-2, -1)))
        product: Tensor = weighted_geometric_mean(means, weights)
        return 1 - product.mean()

    @property
    def residual_radius(self) -> int:
        """Distance in pixels up to which other pixels influence a residual."""
        return reach(self.window_size, self.n_scales)

    def residual_map(self, image: Tensor, reconstruction: Tensor) -> Tensor:
        """Compute 1 - similarity at each pixel: (N, C, H, W) to (N, H, W), in [0, 2].

        The similarities of the scales are those of the windows around the pixel, computed at every
        pixel instead of at every second, fourth and so on, with borders mirrored. Their weighted
        arithmetic mean is taken, averaged over channels: their product would be 0 wherever a single
        scale is negative, and hide the others. Near 1 both are alike.
        """
        check_images(image=image, reconstruction=reconstruction)
        weights = self.scale_weights(*image.shape[-2:])
        dtype = torch.promote_types(
            torch.promote_types(image.dtype, reconstruction.dtype), torch.float32
        )
        strips = iter_strips(image, reconstruction, 2 * reach(self.window_size, len(weights)) + 1)
        maps = [
            similarity_at_pixels(
                x.double(), y.double(), self.kernel, weights, self.c1, self.c2
            ).mean(dim=1)
            for x, y in strips
        ]
        return (1 - torch.cat(maps, dim=-2)).to(dtype)


def _halve(images: Tensor) -> Tensor:
    """Average 2 × 2 pixels of images (N, C, H, W); an odd side begins with a zero."""
    height, width = images.shape[-2:]
    return nn.functional.avg_pool2d(images, 2, padding=(height % 2, width % 2))
