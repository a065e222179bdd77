"""The autoencoder that compares pixel by pixel: the baseline of the paper."""

from sk_ssimae.estimators._autoencoder import BaseAutoencoderSegmenter
from sk_ssimae.estimators._residuals import L2Residual
from sk_ssimae.losses import L2Loss


class L2AutoencoderSegmenter(BaseAutoencoderSegmenter):
    """Segment defects by the squared error of an autoencoder's reconstruction.

    The baseline of the paper: the network is trained on defect-free images to a low squared error
    and cannot reproduce defects, so that the squared difference shows them. It detects defects that
    change grey values; for those that change structure use :class:`SSIMAutoencoderSegmenter`.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    SSIMAutoencoderSegmenter : Compares structure instead of grey values.
    L1AutoencoderSegmenter : Trains on the absolute error.

    References
    ----------
    P. Bergmann, S. Löwe, M. Fauser, D. Sattlegger, C. Steger, "Improving Unsupervised Defect
    Segmentation by Applying Structural Similarity to Autoencoders", arXiv:1807.02011, 2019,
    equations 1 and 2.

    Examples
    --------
    >>> from sk_ssimae import L2AutoencoderSegmenter
    >>> from sk_ssimae.datasets import make_woven_fabric
    >>> good = make_woven_fabric(2, shape=(48, 48), random_state=0)
    >>> segmenter = L2AutoencoderSegmenter(
    ...     patch_size=16, stride=16, n_patches=64, max_epochs=1, random_state=0
    ... )
    >>> segmenter.fit(good).decision_function(good).shape
    (2, 48, 48)
    """

    method_name = "l2"

    def residual_range(self) -> tuple[float, float]:
        """Return the smallest and largest squared difference of two intensities."""
        return 0.0, 1.0

    def make_loss(self) -> L2Loss:
        """Return the squared error."""
        return L2Loss()

    def numpy_residual(self) -> L2Residual:
        """Return the squared error as NumPy computes it."""
        return L2Residual()
