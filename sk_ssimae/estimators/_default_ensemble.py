"""The ensemble that needs no choice."""

from typing import Any

from sk_ssimae.estimators._base import BaseSegmenter
from sk_ssimae.estimators._ensemble import EnsembleSegmenter
from sk_ssimae.estimators._patch_dictionary import PatchDictionarySegmenter


def make_default_ensemble(*, pretrained: bool = False, **params: Any) -> EnsembleSegmenter:
    """Return an ensemble of an SSIM autoencoder and two patch dictionaries, for unknown textures.

    The autoencoder is better on irregular textures and on defects of structure, the dictionaries on
    regular textures and on defects of grey value, one with fine and one with coarse filters; see
    the page "Which segmenter?" of the documentation. The sum of their calibrated maps is seldom far
    from the best of them, and above it on leather. A segmenter that finds few of the defects that
    `fit` paints counts less, see the `weights` of :class:`EnsembleSegmenter`. With `pretrained`,
    the ensemble gains much on nanofibres and in scores of whole metal parts, gains a little on two
    of three fabrics, and loses a little on leather.

    Parameters
    ----------
    pretrained : bool, default=False
        Whether to add a :class:`FeatureDictionarySegmenter`. The extra ``features`` installs its
        network; images must be grey or have three channels.
    **params : dict
        Parameters of the :class:`EnsembleSegmenter`, such as ``random_state``, and of its
        segmenters: ``autoencoder__max_epochs``, ``dictionary__stride``,
        ``coarse_dictionary__scales`` or ``features__layers``. The others are as below. With other
        ``segmenters``, set ``soft_limits=None``.

    Returns
    -------
    EnsembleSegmenter
        Unfitted, with `weights` "auto" and the segmenters "autoencoder", an
        :class:`SSIMAutoencoderSegmenter` with patches of 128 pixels at a `stride` of "auto", 500
        latent dimensions, a `cutout` of 0.25, a `taper` of 1, an `absolute_weight` of 3 and
        `precision` "auto"; "dictionary", a :class:`PatchDictionarySegmenter` of the centres of
        k-means; and "coarse_dictionary", one of features chosen at random, with the `scales`
        (2, 4, 8), a `stride` of 8 and a soft limit of 8. With `pretrained`, "features" has the
        centres of k-means and a soft limit of 4.
        Images must have at least 128 pixels per side, or set ``autoencoder__patch_size``.

    Raises
    ------
    TypeError
        If `pretrained` is not True or False.
    ValueError
        If there is no such parameter. Values are checked in `fit`.

    See Also
    --------
    EnsembleSegmenter : Other segmenters, or more of them.

    Examples
    --------
    >>> from sk_ssimae import make_default_ensemble
    >>> from sk_ssimae.datasets import make_woven_fabric
    >>> good = make_woven_fabric(4, shape=(48, 48), random_state=0)
    >>> ensemble = make_default_ensemble(
    ...     autoencoder__patch_size=16, autoencoder__stride=16, autoencoder__n_patches=64,
    ...     autoencoder__max_epochs=1, random_state=0,
    ... )
    >>> ensemble.fit(good).predict(good).shape
    (4, 48, 48)
    """
    # Torch takes seconds to import.
    from sk_ssimae.estimators._feature_dictionary import FeatureDictionarySegmenter
    from sk_ssimae.estimators._ssim import SSIMAutoencoderSegmenter

    if not isinstance(pretrained, bool):
        raise TypeError(f"pretrained must be True or False, got {pretrained!r} instead.")
    autoencoder = SSIMAutoencoderSegmenter(
        patch_size=128,
        stride="auto",
        latent_dim=500,
        cutout=0.25,
        taper=1,
        absolute_weight=3,
        precision="auto",
    )
    members: list[tuple[str, BaseSegmenter]] = [
        ("autoencoder", autoencoder),
        ("dictionary", PatchDictionarySegmenter(dictionary="kmeans")),
        ("coarse_dictionary", PatchDictionarySegmenter(scales=(2, 4, 8), stride=8)),
    ]
    soft_limits: dict[str, float] = {"coarse_dictionary": 8}
    if pretrained:
        members.append(("features", FeatureDictionarySegmenter(dictionary="kmeans")))
        soft_limits["features"] = 4
    ensemble = EnsembleSegmenter(members, weights="auto", soft_limits=soft_limits)
    return ensemble.set_params(**params)
