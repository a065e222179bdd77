"""Unsupervised defect segmentation with structural similarity.

Everything is imported on first use, so that ``import sk_ssimae.metrics`` needs no torch.
"""

import importlib
from typing import Any

from sk_ssimae import estimators as _estimators

__version__ = "0.1.0"

_SUBPACKAGES = (
    "datasets",
    "estimators",
    "exceptions",
    "losses",
    "metrics",
    "model_selection",
    "modules",
    "persistence",
    "plotting",
    "testing",
)

__all__ = ["__version__", *_estimators.__all__, *_SUBPACKAGES]


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return importlib.import_module(f"sk_ssimae.{name}")
    if name in _estimators.__all__:
        return getattr(_estimators, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
