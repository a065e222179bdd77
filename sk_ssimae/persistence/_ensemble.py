"""The fitted segmenters of an ensemble in a file."""

from typing import Any, NamedTuple

from sk_ssimae.estimators import BaseSegmenter, EnsembleSegmenter
from sk_ssimae.estimators._ensemble import OF_IMAGES
from sk_ssimae.estimators._ensemble_checks import check_names
from sk_ssimae.persistence._checks import check_keys, check_number, quote
from sk_ssimae.persistence._container import TensorHeader, Tensors
from sk_ssimae.persistence._document import Restored, describe, restore
from sk_ssimae.persistence._families import Family, prefixed, without_prefix


class EnsembleBlueprint(NamedTuple):
    """The segmenters of an ensemble but for their tensors."""

    segmenter: EnsembleSegmenter
    names: list[str]
    members: list[Restored]
    found_weights: list[float] | None

    def headers(self) -> dict[str, TensorHeader]:
        """Return types and shapes of the tensors."""
        found: dict[str, TensorHeader] = {}
        for index, member in enumerate(self.members):
            found |= prefixed(f"members.{index}", member.headers())
        return found

    def complete(self, tensors: Tensors) -> None:
        """Give the ensemble its segmenters."""
        members = [
            member.complete(without_prefix(f"members.{index}", member.headers(), tensors))
            for index, member in enumerate(self.members)
        ]
        self.segmenter.set_members(self.names, members)
        self.segmenter._found_weights = self.found_weights


def _describe(segmenter: EnsembleSegmenter) -> tuple[dict[str, Any], Tensors]:
    documents: list[dict[str, Any]] = []
    tensors: Tensors = {}
    for index, (name, member) in enumerate(segmenter.named_segmenters_.items()):
        document, of_member = describe(member)
        documents.append({"name": name, "segmenter": document})
        tensors |= prefixed(f"members.{index}", of_member)
    return {"members": documents, "found_weights": segmenter._found_weights}, tensors


def _restore(segmenter: EnsembleSegmenter, document: dict[str, Any]) -> EnsembleBlueprint:
    stored = document["members"]
    if type(stored) is not list or not stored or not all(type(one) is dict for one in stored):
        raise ValueError(f"its members must be a list of objects, got {quote(stored)} instead.")
    for one in stored:
        check_keys(one, ("name", "segmenter"), "its members")
    names = [one["name"] for one in stored]
    check_names(names, [*segmenter.parameters])
    members = [restore(one["segmenter"]) for one in stored]
    for name, member in zip(names, members, strict=True):
        _check_images(segmenter, name, member.segmenter)
    weights = _read_weights(document["found_weights"], len(names))
    return EnsembleBlueprint(segmenter, names, members, weights)


def _read_weights(stored: Any, n_members: int) -> list[float] | None:
    """Read the weights that `fit` found, None if it did not look for any."""
    if stored is None:
        return None
    if type(stored) is not list or len(stored) != n_members:
        raise ValueError(
            f"its found_weights must be a list of {n_members} numbers, one for each member, got "
            f"{quote(stored)} instead."
        )
    return [check_number(weight, "found_weights", least=0, most=1) for weight in stored]


def _check_images(ensemble: EnsembleSegmenter, name: str, member: BaseSegmenter) -> None:
    """Check that a member takes images as the ensemble reads them, and has a unit."""
    fitted, of_member = ensemble.fitted_parameters_, member.fitted_parameters_
    reads_alike = (
        all(fitted[key] == of_member[key] for key in OF_IMAGES if key in fitted)
        and ensemble.n_channels_ == member.n_channels_
        and ensemble.intensity_range_ == member.intensity_range_
    )
    if not reads_alike or not hasattr(member, "calibration_"):
        raise ValueError(
            f"its member {quote(name)} must be calibrated and read images like the ensemble."
        )


FAMILY = Family(("members", "found_weights"), _describe, _restore)
