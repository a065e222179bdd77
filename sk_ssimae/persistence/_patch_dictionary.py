"""Filters and dictionary of a fitted `PatchDictionarySegmenter` in a file."""

from typing import Any, NamedTuple

from sk_ssimae.estimators import PatchDictionarySegmenter
from sk_ssimae.estimators._filter_bank import FilterBank
from sk_ssimae.persistence._checks import quote
from sk_ssimae.persistence._container import TensorHeader, Tensors
from sk_ssimae.persistence._dictionary import (
    DictionaryBlueprint,
    describe_dictionary,
    restore_dictionary,
)
from sk_ssimae.persistence._families import Family


class PatchBlueprint(NamedTuple):
    """Filters and dictionary but for their tensors."""

    segmenter: PatchDictionarySegmenter
    bank: FilterBank
    shape: tuple[int, int]
    dictionary: DictionaryBlueprint

    def headers(self) -> dict[str, TensorHeader]:
        """Return types and shapes of the tensors."""
        filters = dict.fromkeys(_names(self.bank.n_banks), TensorHeader("F32", self.shape))
        return {**filters, **self.dictionary.headers()}

    def complete(self, tensors: Tensors) -> None:
        """Give the segmenter its filters and its dictionary."""
        filters = [tensors[name] for name in _names(self.bank.n_banks)]
        self.segmenter.filter_bank_ = self.bank._replace(filters=filters)
        self.dictionary.complete(tensors)


def _describe(segmenter: PatchDictionarySegmenter) -> tuple[dict[str, Any], Tensors]:
    filters = segmenter.filter_bank_.filters
    sizes, tensors = describe_dictionary(segmenter)
    return {"dictionary": sizes}, {
        **dict(zip(_names(len(filters)), filters, strict=True)),
        **tensors,
    }


def _restore(segmenter: PatchDictionarySegmenter, document: dict[str, Any]) -> PatchBlueprint:
    dictionary = restore_dictionary(segmenter, document["dictionary"])
    fitted = segmenter.fitted_parameters_
    size, scales = int(fitted["filter_size"]), tuple(int(scale) for scale in fitted["scales"])
    n_values = size * size * segmenter.n_channels_
    n_filters = min(int(fitted["n_filters"]), n_values)
    bank = FilterBank([], scales, size, int(fitted["stride"]), float(fitted["contrast_sigma"]))
    n_features = 2 * n_filters * bank.n_banks
    if dictionary.n_features != n_features:
        raise ValueError(
            f"its n_features must be {n_features}, as its filters have, got "
            f"{quote(dictionary.n_features)} instead."
        )
    return PatchBlueprint(segmenter, bank, (n_values, n_filters), dictionary)


def _names(n_banks: int) -> list[str]:
    return [f"filters.{index}" for index in range(n_banks)]


FAMILY = Family(("dictionary",), _describe, _restore)
