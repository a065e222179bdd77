"""Squared error: equation 2 of Bergmann et al. (arXiv:1807.02011)."""

from typing import Any

from sk_ssimae._formulas._arrays import array_namespace


def squared_error(x: Any, y: Any) -> Any:
    """Compute the squared difference of two arrays, element by element."""
    return array_namespace(x).square(x - y)
