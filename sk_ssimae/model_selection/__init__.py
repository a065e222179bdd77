"""Cross-validation that trains on good images only, choices without labels, and thresholds."""

from sk_ssimae.model_selection._extremes import extreme_value_threshold
from sk_ssimae.model_selection._family_scorer import FamilyScorer
from sk_ssimae.model_selection._selection_report import SelectionReport, choose_by_rank
from sk_ssimae.model_selection._selection_set import SelectionSet, make_selection_set
from sk_ssimae.model_selection._split import DefectFreeKFold
from sk_ssimae.model_selection._threshold import image_fpr_threshold, pixel_fpr_threshold
from sk_ssimae.model_selection._tuning._candidates import Candidate, default_candidates
from sk_ssimae.model_selection._tuning._progress import TuningStep
from sk_ssimae.model_selection._tuning._result import Trial, TuningResult
from sk_ssimae.model_selection._tuning._tune import tune

__all__ = [
    "DefectFreeKFold",
    "extreme_value_threshold",
    "make_selection_set",
    "SelectionSet",
    "FamilyScorer",
    "choose_by_rank",
    "SelectionReport",
    "tune",
    "Candidate",
    "default_candidates",
    "TuningResult",
    "Trial",
    "TuningStep",
    "pixel_fpr_threshold",
    "image_fpr_threshold",
]
