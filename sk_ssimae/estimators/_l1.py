"""The autoencoder that compares pixel by pixel by the absolute error."""

from sk_ssimae.estimators._autoencoder import BaseAutoencoderSegmenter
from sk_ssimae.estimators._residuals import L1Residual
from sk_ssimae.losses import L1Loss


class L1AutoencoderSegmenter(BaseAutoencoderSegmenter):
    r"""Segment defects by the absolute error of an autoencoder's reconstruction.

    Loss and residual are those of :class:`L2AutoencoderSegmenter` without the square,

    .. math:: L_1(x, \hat x) = \sum_r |x(r) - \hat x(r)|.

    Few large errors, such as those at edges that a patch shows a little to the side of the
    reconstruction, then weigh less in training compared with many small ones, and reconstructions
    of repeating textures may be sharper. Like the squared error it detects defects that change
    grey values; for those that change structure use :class:`SSIMAutoencoderSegmenter`.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    L2AutoencoderSegmenter : Trains on the squared error.
    SSIMAutoencoderSegmenter : Its `absolute_weight` adds this residual to that of SSIM.

    References
    ----------
    C. Baur, B. Wiestler, S. Albarqouni, N. Navab, "Deep Autoencoding Models for Unsupervised
    Anomaly Segmentation in Brain MR Images", arXiv:1804.04488, train autoencoders on this loss, and
    use this residual. H. Zhao, O. Gallo, I. Frosio, J. Kautz, "Loss Functions for Image Restoration
    With Neural Networks", IEEE Trans. Computational Imaging 3 (1), 2017, compare it with the
    squared error.

    Examples
    --------
    >>> from sk_ssimae import L1AutoencoderSegmenter
    >>> from sk_ssimae.datasets import make_woven_fabric
    >>> good = make_woven_fabric(2, shape=(48, 48), random_state=0)
    >>> segmenter = L1AutoencoderSegmenter(
    ...     patch_size=16, stride=16, n_patches=64, max_epochs=1, random_state=0
    ... )
    >>> segmenter.fit(good).decision_function(good).shape
    (2, 48, 48)
    """

    method_name = "l1"

    def residual_range(self) -> tuple[float, float]:
        """Return the smallest and largest absolute difference of two intensities."""
        return 0.0, 1.0

    def make_loss(self) -> L1Loss:
        """Return the absolute error."""
        return L1Loss()

    def numpy_residual(self) -> L1Residual:
        """Return the absolute error as NumPy computes it."""
        return L1Residual()
