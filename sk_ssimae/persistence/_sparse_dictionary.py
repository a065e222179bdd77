"""Dictionary and indicators of a fitted `SparseDictionarySegmenter` in a file."""

from typing import Any, NamedTuple

import numpy as np

from sk_ssimae.estimators import SparseDictionarySegmenter
from sk_ssimae.persistence._checks import check_count
from sk_ssimae.persistence._container import TensorHeader, Tensors
from sk_ssimae.persistence._families import Family


class SparseBlueprint(NamedTuple):
    """Dictionary and indicators but for their values."""

    segmenter: SparseDictionarySegmenter
    n_indicators: int

    def headers(self) -> dict[str, TensorHeader]:
        """Return types and shapes of the tensors."""
        fitted = self.segmenter.fitted_parameters_
        n_values = int(fitted["patch_size"]) ** 2 * self.segmenter.n_channels_
        return {
            "dictionary": TensorHeader("F32", (int(fitted["n_atoms"]), n_values)),
            "indicators": TensorHeader("F32", (self.n_indicators, 2)),
        }

    def complete(self, tensors: Tensors) -> None:
        """Give the segmenter its dictionary and its indicators.

        Raises
        ------
        ValueError
            If an indicator is negative, or an atom has a norm above 1.
        """
        if np.linalg.norm(tensors["dictionary"].astype(np.float64), axis=1).max() > 1 + 1e-5:
            raise ValueError("its dictionary must have atoms of norm 1 at most.")
        if (tensors["indicators"] < 0).any():
            raise ValueError("its indicators must be at least 0.")
        sparsity = float(self.segmenter.fitted_parameters_["sparsity"])
        self.segmenter.set_dictionary(tensors["dictionary"], sparsity)
        self.segmenter.set_indicators(tensors["indicators"])


def _describe(segmenter: SparseDictionarySegmenter) -> tuple[dict[str, Any], Tensors]:
    facts = {
        "n_indicators": len(segmenter.indicators_),
        "n_patches_seen": segmenter.n_patches_seen_,
    }
    return facts, {"dictionary": segmenter.dictionary_, "indicators": segmenter.indicators_}


def _restore(segmenter: SparseDictionarySegmenter, document: dict[str, Any]) -> SparseBlueprint:
    fitted = segmenter.fitted_parameters_
    # `stride` may have been set after fit, and is not among them.
    type(segmenter)(**{**fitted, "stride": 1}).check_parameters()
    n_indicators = check_count(
        document["n_indicators"],
        "n_indicators",
        least=1,
        below=int(fitted["n_density_patches"]) + 1,
    )
    segmenter.n_patches_seen_ = check_count(
        document["n_patches_seen"], "n_patches_seen", least=n_indicators, below=2**63
    )
    return SparseBlueprint(segmenter, n_indicators)


FAMILY = Family(("n_indicators", "n_patches_seen"), _describe, _restore)
