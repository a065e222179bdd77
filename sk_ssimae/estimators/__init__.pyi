# The one list of families: add a segmenter here, and the package, the command line, model files and
# tests know it.
from ._adversarial import AdversarialAutoencoderSegmenter
from ._autoencoder import BaseAutoencoderSegmenter
from ._autoencoder_parameters import AutoencoderParameters
from ._base import BaseSegmenter
from ._calibration import Calibration
from ._default_ensemble import make_default_ensemble
from ._dictionary import BaseDictionarySegmenter, DictionaryParameters
from ._discovery import all_segmenters
from ._drift import Drift
from ._ensemble import EnsembleSegmenter
from ._feature_dictionary import FeatureDictionarySegmenter
from ._feature_matching import FeatureMatchingAutoencoderSegmenter
from ._generative import GenerativeAdversarialSegmenter
from ._l1 import L1AutoencoderSegmenter
from ._l2 import L2AutoencoderSegmenter
from ._multi_scale import MultiScaleSSIMAutoencoderSegmenter
from ._net import ReconstructionNet
from ._parameters import Parameter, Role, SegmenterParameters
from ._patch_dictionary import PatchDictionarySegmenter
from ._posteriors import Posteriors
from ._protocol import paper_protocol, self_similarity_protocol
from ._region_table import regions_to_pandas
from ._residuals import (
    DivergenceResidual,
    L1Residual,
    L2Residual,
    LikelihoodResidual,
    MultiScaleSSIMResidual,
    ReconstructionErrorResidual,
    SSIMResidual,
)
from ._results import SegmentedBlock, SegmentedImage
from ._segmentation import Segmentation
from ._sparse_dictionary import SparseDictionarySegmenter
from ._ssim import SSIMAutoencoderSegmenter
from ._tail import TailProbability
from ._variational import VariationalAutoencoderSegmenter

__all__ = [
    "SSIMAutoencoderSegmenter",
    "MultiScaleSSIMAutoencoderSegmenter",
    "L2AutoencoderSegmenter",
    "L1AutoencoderSegmenter",
    "VariationalAutoencoderSegmenter",
    "FeatureMatchingAutoencoderSegmenter",
    "AdversarialAutoencoderSegmenter",
    "GenerativeAdversarialSegmenter",
    "FeatureDictionarySegmenter",
    "PatchDictionarySegmenter",
    "SparseDictionarySegmenter",
    "EnsembleSegmenter",
    "make_default_ensemble",
    "paper_protocol",
    "self_similarity_protocol",
    "all_segmenters",
    "Segmentation",
    "BaseSegmenter",
    "BaseAutoencoderSegmenter",
    "BaseDictionarySegmenter",
    "ReconstructionNet",
    "Parameter",
    "Role",
    "SegmenterParameters",
    "AutoencoderParameters",
    "DictionaryParameters",
    "Calibration",
    "Drift",
    "TailProbability",
    "Posteriors",
    "SegmentedImage",
    "SegmentedBlock",
    "regions_to_pandas",
    "L2Residual",
    "L1Residual",
    "SSIMResidual",
    "MultiScaleSSIMResidual",
    "LikelihoodResidual",
    "ReconstructionErrorResidual",
    "DivergenceResidual",
]
