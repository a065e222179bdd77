"""How files store the results of `fit`: a module for each family of segmenters."""

import importlib
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from sk_ssimae import estimators
from sk_ssimae.estimators import BaseSegmenter, all_segmenters
from sk_ssimae.persistence._container import TensorHeader, Tensors

# By the name of the base of a family, so that none is imported before a file needs it: torch takes
# seconds, and dictionaries without a network do without.
_MODULES = {
    "BaseAutoencoderSegmenter": "_autoencoder",
    "VariationalAutoencoderSegmenter": "_variational",
    "PatchDictionarySegmenter": "_patch_dictionary",
    "SparseDictionarySegmenter": "_sparse_dictionary",
    "FeatureDictionarySegmenter": "_feature_dictionary",
    "EnsembleSegmenter": "_ensemble",
}


class Blueprint(Protocol):
    """Everything that determines the results of `fit`, but for the tensors."""

    def headers(self) -> dict[str, TensorHeader]:
        """Return types and shapes of the tensors, in memory that does not depend on them."""

    def complete(self, tensors: Tensors) -> None:
        """Give the segmenter its results, from finite tensors of those types and shapes.

        Raises
        ------
        ValueError
            If their values cannot be results of `fit`.
        """


class Family(NamedTuple):
    """How a file stores the results of `fit` of one family.

    Attributes
    ----------
    keys : tuple of str
        Names of its facts in the document.
    describe : callable
        Takes a fitted segmenter and returns its facts, for JSON, and its tensors by name.
    restore : callable
        Takes a segmenter that has the results that all families share, such as
        `fitted_parameters_`, and the document of an untrusted file with these keys. It checks them
        and returns the blueprint.
    """

    keys: tuple[str, ...]
    describe: Callable[[Any], tuple[dict[str, Any], Tensors]]
    restore: Callable[[Any, dict[str, Any]], Blueprint]


def family_of(cls: type[BaseSegmenter]) -> Family:
    """Return the family of a class that files may contain."""
    module: Any = importlib.import_module(f"sk_ssimae.persistence.{_module_of(cls)}")
    family: Family = module.FAMILY
    return family


def find_class(name: Any) -> type[BaseSegmenter] | None:
    """Return the class of this package that a file may contain by its name, or None.

    Only that class is imported.
    """
    if type(name) is not str or name not in estimators.__all__:
        return None
    cls = getattr(estimators, name)
    is_segmenter = isinstance(cls, type) and issubclass(cls, BaseSegmenter)
    return cls if is_segmenter and not inspect.isabstract(cls) and _module_of(cls) else None


def storable_names() -> list[str]:
    """Return the names of the classes whose segmenters a file can contain."""
    return [name for name in all_segmenters() if find_class(name)]


def prefixed(prefix: str, items: dict[str, Any]) -> dict[str, Any]:
    """Put a prefix before each name."""
    return {f"{prefix}.{name}": item for name, item in items.items()}


def without_prefix(prefix: str, names: dict[str, Any], items: dict[str, Any]) -> dict[str, Any]:
    """Return the items of `names`, which have the prefix there."""
    return {name: items[f"{prefix}.{name}"] for name in names}


def _module_of(cls: type[BaseSegmenter]) -> str | None:
    names = (base.__name__ for base in cls.__mro__)
    return next((_MODULES[name] for name in names if name in _MODULES), None)
