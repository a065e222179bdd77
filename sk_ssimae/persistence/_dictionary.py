"""The dictionary of features that two families share, in a file."""

from typing import Any, NamedTuple

from sk_ssimae.estimators import BaseDictionarySegmenter
from sk_ssimae.persistence._checks import check_count, check_keys, quote
from sk_ssimae.persistence._container import TensorHeader, Tensors

_FACTS = ("n_features", "n_components", "n_entries", "n_features_seen")


def describe_dictionary(segmenter: BaseDictionarySegmenter) -> tuple[dict[str, Any], Tensors]:
    """Return the sizes of a dictionary, for JSON, and its tensors by name."""
    sizes = (
        *segmenter.projection_.shape,
        len(segmenter.dictionary_),
        segmenter.n_features_seen_,
    )
    return dict(zip(_FACTS, sizes, strict=True)), {
        "feature_mean": segmenter.feature_mean_,
        "projection": segmenter.projection_,
        "dictionary": segmenter.dictionary_,
    }


class DictionaryBlueprint(NamedTuple):
    """A dictionary but for its tensors."""

    segmenter: BaseDictionarySegmenter
    n_features: int
    n_components: int
    n_entries: int

    def headers(self) -> dict[str, TensorHeader]:
        """Return types and shapes of the tensors."""
        shapes = {
            "feature_mean": (self.n_features,),
            "projection": (self.n_features, self.n_components),
            "dictionary": (self.n_entries, self.n_components),
        }
        return {name: TensorHeader("F32", shape) for name, shape in shapes.items()}

    def complete(self, tensors: Tensors) -> None:
        """Give the segmenter its dictionary."""
        self.segmenter.set_projection(tensors["feature_mean"], tensors["projection"])
        fitted = self.segmenter.fitted_parameters_
        self.segmenter.set_dictionary(
            tensors["dictionary"], fitted["n_neighbors"], fitted["density_neighbors"]
        )


def restore_dictionary(segmenter: BaseDictionarySegmenter, stored: Any) -> DictionaryBlueprint:
    """Read the sizes of a dictionary, and check the parameters as of `fit`.

    Raises
    ------
    ValueError
        If sizes are not those that the parameters allow.
    """
    fitted = segmenter.fitted_parameters_
    type(segmenter)(**fitted).check_parameters()
    if type(stored) is not dict:
        raise ValueError(f"its dictionary must be a JSON object, got {quote(stored)} instead.")
    check_keys(stored, _FACTS, "its dictionary")
    n_features = check_count(stored["n_features"], "n_features", least=1)
    asked = fitted["n_components"]  # A number, or a share of the variance.
    most = min(n_features, int(asked) if asked >= 1 else n_features)
    n_components = check_count(stored["n_components"], "n_components", least=1, below=most + 1)
    n_entries = check_count(
        stored["n_entries"], "n_entries", least=1, below=int(fitted["dictionary_size"]) + 1
    )
    segmenter.n_features_seen_ = check_count(
        stored["n_features_seen"], "n_features_seen", least=n_entries
    )
    return DictionaryBlueprint(segmenter, n_features, n_components, n_entries)
