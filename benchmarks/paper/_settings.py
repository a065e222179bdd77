"""Training budgets, and the segmenters for them."""

from collections.abc import Callable
from typing import Any, NamedTuple

from _common import EFFICIENTNET, N_EPOCHS
from _field import METHODS

from sk_ssimae import (
    FeatureMatchingAutoencoderSegmenter,
    L2AutoencoderSegmenter,
    SSIMAutoencoderSegmenter,
    VariationalAutoencoderSegmenter,
    paper_protocol,
)
from sk_ssimae.estimators import BaseAutoencoderSegmenter

# Parameters of the paper that all budgets share.
OF_BUDGETS = ("latent_dim", "image_size", "patch_size", "stride")


class Budget(NamedTuple):
    """Number of training patches per model; None is the paper's protocol."""

    name: str
    patches: int | None
    table_patches: int | None  # For Table 2.


BUDGETS = {
    budget.name: budget
    for budget in [
        Budget("quick", 5_000, 5_000),
        Budget("standard", 60_000, 20_000),
        Budget("paper", None, None),
    ]
}

FAMILIES: dict[str, Callable[..., BaseAutoencoderSegmenter]] = {
    "SSIM": SSIMAutoencoderSegmenter,
    "L2": L2AutoencoderSegmenter,
    "VAE": VariationalAutoencoderSegmenter,
    "FM": FeatureMatchingAutoencoderSegmenter,
}


def make_segmenter(
    family: str, protocol: str, patches: int | None, *, alexnet: str | None, **params: Any
) -> BaseAutoencoderSegmenter:
    """Make a segmenter that trains on `patches` patches, or by the paper's protocol if None.

    `family` is one of the paper's, or a network of the field by its name in `_field`. With a number
    of patches, all parameters keep their defaults except the latent dimension, the sizes of images
    and patches, and the stride, which are the paper's.
    """
    published = paper_protocol(protocol)  # type: ignore[arg-type]
    if patches is None:
        settings = published
    else:
        settings = {name: published[name] for name in OF_BUDGETS}
        settings |= {"n_patches": patches // N_EPOCHS, "max_epochs": N_EPOCHS}
    if family == "FM":
        settings |= matched_features(alexnet)
    if family in FAMILIES:
        return FAMILIES[family](**(settings | params))
    method = METHODS[family]
    return method.segmenter_class(**(settings | method.params | params))


def matched_features(alexnet: str | None) -> dict[str, Any]:
    """Return the parameters of the features: the paper's, if AlexNet's weights are given."""
    if alexnet:
        return {"feature_extractor": alexnet, "feature_weight": 1}
    return EFFICIENTNET


def title_of(family: str, alexnet: str | None) -> str:
    """Return the name of a family in figures, with the features that it matches."""
    if family == "FM":
        return "FM (AlexNet)" if alexnet else "FM (EfficientNet-Lite0)"
    return family
