"""The autoencoder that compares pixel by pixel: the publication's baseline."""

from sk_ssimae.estimators._base import BaseSegmenter
from sk_ssimae.losses import L2Loss


class L2AutoencoderSegmenter(BaseSegmenter):
    """Segment defects by the squared error of an autoencoder's reconstruction.

    The publication's baseline: trained on defect-free images to a low squared error, the network
    reproduces what it knows, and the squared difference shows the rest. It sees defects that change
    grey values; for those that change structure use :class:`SSIMAutoencoderSegmenter`.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    SSIMAutoencoderSegmenter : Compares structure instead of grey values.

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

    def make_loss(self) -> L2Loss:
        return L2Loss()
