"""The field's systems: their settings and published values.

Sources are in the docstrings of the classes, and on the page "The field, measured".
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _common import EFFICIENTNET
from skimage.io import imread

from sk_ssimae import (
    AdversarialAutoencoderSegmenter,
    FeatureDictionarySegmenter,
    FeatureMatchingAutoencoderSegmenter,
    GenerativeAdversarialSegmenter,
    L1AutoencoderSegmenter,
    L2AutoencoderSegmenter,
    MultiScaleSSIMAutoencoderSegmenter,
    PatchDictionarySegmenter,
    SparseDictionarySegmenter,
    SSIMAutoencoderSegmenter,
    VariationalAutoencoderSegmenter,
    self_similarity_protocol,
)
from sk_ssimae.estimators import BaseAutoencoderSegmenter, BaseSegmenter, Role


class Setting(NamedTuple):
    """Parameters that make a slow method faster, and the time that it then takes.

    Attributes
    ----------
    params : dict
        Parameters and their values.
    seconds_per_megapixel : float
        CPU seconds on one core, measured on 01_023.
    """

    params: dict[str, Any]
    seconds_per_megapixel: float


class Method(NamedTuple):
    """A segmenter with the parameters that differ from their defaults.

    Attributes
    ----------
    segmenter_class : type
        Its class.
    params : dict
        Parameters and their values.
    settings : tuple of Setting
        Of a slow method, the finest first; empty for others.
    fits_slowly : bool
        Whether training images take as long as those that are segmented.
    """

    segmenter_class: type[BaseSegmenter]
    params: dict[str, Any]
    settings: tuple[Setting, ...] = ()
    fits_slowly: bool = False

    @property
    def is_network(self) -> bool:
        """Whether it trains for as long as it may."""
        return issubclass(self.segmenter_class, BaseAutoencoderSegmenter)

    def choose(self, megapixels: float, training_megapixels: float, seconds: float) -> Setting:
        """Return the finest setting that takes at most so many seconds, else the coarsest."""
        passed = megapixels + (training_megapixels if self.fits_slowly else 0)
        fitting = (one for one in self.settings if passed * one.seconds_per_megapixel <= seconds)
        return next(fitting, self.settings[-1])

    def of_inference(self, params: dict[str, Any]) -> dict[str, Any]:
        """Return those of some parameters that are set after training, which they do not change."""
        names = self.segmenter_class.parameter_names(Role.INFERENCE)
        return {name: value for name, value in params.items() if name in names}

    def make(self, seed: int, params: dict[str, Any]) -> BaseSegmenter:
        """Make an unfitted segmenter with further parameters."""
        return self.segmenter_class(random_state=seed, **(self.params | params))


class Published(NamedTuple):
    """Results as printed by others, empty where they print none.

    Attributes
    ----------
    pixel_roc_auc : str
        Pixel AUC.
    source : str
        Authors, and how their method differs from ours.
    share_above, least_overlap : str
        At a false positive rate of 5 %, the share of regions of which more than 91 % are found, and
        the smallest share of a region that is found.
    """

    pixel_roc_auc: str
    source: str
    share_above: str = ""
    least_overlap: str = ""


# Steps of the search for a patch, and the distance between patches: 841 patches of 64 pixels for
# 512 x 512 pixels at the default stride of 16.
_SEARCHES = tuple(
    Setting({"search_steps": steps, "stride": stride}, seconds)
    for steps, stride, seconds in (
        *((500, 16, 4000), (500, 32, 1000), (100, 32, 200), (100, 64, 60), (20, 64, 13)),
    )
)
# Size and stride of subregions, and the size to which they are enlarged.
_SUBREGIONS = tuple(
    Setting({"subregions": subregions}, seconds)
    for subregions, seconds in (
        ((32, 8, 224), 590),
        ((32, 16, 224), 150),
        ((32, 16, 112), 31),
        ((32, 32, 112), 6.5),
    )
)
_STRIDES = tuple(
    Setting({"stride": stride}, seconds) for stride, seconds in ((4, 37), (8, 11), (15, 4))
)
METHODS = {
    "ssim": Method(SSIMAutoencoderSegmenter, {}),
    "ms-ssim": Method(MultiScaleSSIMAutoencoderSegmenter, {}),
    "l1": Method(L1AutoencoderSegmenter, {}),
    "l2": Method(L2AutoencoderSegmenter, {}),
    "feature-matching": Method(FeatureMatchingAutoencoderSegmenter, EFFICIENTNET),
    "variational": Method(VariationalAutoencoderSegmenter, {}),
    "variational-nearest-posterior": Method(
        VariationalAutoencoderSegmenter, {"residual": "bhattacharyya"}
    ),
    "adversarial": Method(AdversarialAutoencoderSegmenter, {}),
    "adversarial-variational": Method(AdversarialAutoencoderSegmenter, {"variational": True}),
    "gan-after": Method(GenerativeAdversarialSegmenter, {"encoder": "after"}),
    "gan-bigan": Method(GenerativeAdversarialSegmenter, {"encoder": "bigan"}),
    # In fit, where a search of a few patches only serves a warning, a single step.
    "gan-search": Method(
        GenerativeAdversarialSegmenter, {"encoder": "search", "search_steps": 1}, _SEARCHES
    ),
    "sparse-dictionary": Method(SparseDictionarySegmenter, {}, _STRIDES),
    "feature-dictionary": Method(FeatureDictionarySegmenter, {}),
    "feature-dictionary-napoletano": Method(
        FeatureDictionarySegmenter,
        {"layers": ("layers.block2", "layers.block4"), **self_similarity_protocol()},
        _SUBREGIONS,
        fits_slowly=True,
    ),
    "patch-dictionary": Method(PatchDictionarySegmenter, {}),
}
# Those that the paper measures itself.
OF_PAPER = ("ssim", "l2", "feature-matching", "variational")
# As printed by Bergmann et al., who also quote Napoletano et al. Carrera et al. print no AUC.
PUBLISHED = {
    ("nanotwice", "ssim"): Published("0.966", "Bergmann et al.", share_above="more than 0.5"),
    ("nanotwice", "l2"): Published("0.688", "Bergmann et al."),
    ("nanotwice", "feature-dictionary-napoletano"): Published(
        "0.974", "Napoletano et al., features of ResNet-18", least_overlap="0.85"
    ),
}


def count_megapixels(files: Sequence[Path]) -> float:
    """Return the megapixels of some images."""
    return sum(float(np.prod(imread(file).shape[:2])) for file in files) / 1e6
