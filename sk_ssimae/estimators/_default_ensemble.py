"""The ensemble that needs no choice."""

from typing import Any

from sk_ssimae.estimators._ensemble import EnsembleSegmenter
from sk_ssimae.estimators._patch_dictionary import PatchDictionarySegmenter


def make_default_ensemble(**params: Any) -> EnsembleSegmenter:
    """Return an ensemble of an SSIM autoencoder and a patch dictionary, for unknown textures.

    The autoencoder is better on irregular textures and on defects of structure, the dictionary on
    regular textures and on defects of grey value; see the page "Which segmenter?" of the
    documentation. The sum of their calibrated maps is seldom far from the better of the two.

    The autoencoder has patches of 64 pixels, unlike that of the paper with 128: it learns more
    textures, in half the time or less; see the page "Choosing parameters".

    Parameters
    ----------
    **params : dict
        Parameters of the :class:`EnsembleSegmenter`, such as ``random_state``, and of its
        segmenters: ``autoencoder__max_epochs`` or ``dictionary__stride``. The others have their
        defaults.

    Returns
    -------
    EnsembleSegmenter
        Unfitted, with the segmenters "autoencoder", an :class:`SSIMAutoencoderSegmenter`, and
        "dictionary", a :class:`PatchDictionarySegmenter`. The autoencoder has ``patch_size=64`` and
        ``stride=16``; other parameters have their defaults.

    Raises
    ------
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
    from sk_ssimae.estimators._ssim import SSIMAutoencoderSegmenter

    members = [
        ("autoencoder", SSIMAutoencoderSegmenter(patch_size=64, stride=16)),
        ("dictionary", PatchDictionarySegmenter()),
    ]
    return EnsembleSegmenter(members).set_params(**params)
