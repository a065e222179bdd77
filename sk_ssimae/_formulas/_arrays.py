"""The few array functions that NumPy and torch name differently."""

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray


def array_namespace(array: Any) -> Any:
    """Return the module whose functions take this array: torch for a tensor, else NumPy.

    torch is looked up, not imported: a tensor exists only if torch has been imported. Formulas use
    the names common to both libraries: operators (also in place), slices, ``stack``, ``zeros`` with
    ``dtype`` and ``device``, ``clip``, ``minimum``, ``sqrt``, ``exp``, ``flip``, ``rot90``.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ssimae._formulas._arrays import array_namespace
    >>> array_namespace(np.zeros(3)).__name__
    'numpy'
    """
    if isinstance(array, np.ndarray | np.generic):
        return np
    return sys.modules["torch"]


def add_product(total: Any, x: Any, y: Any) -> Any:
    """Add x · y to `total` in place and return it; torch needs no temporary array."""
    if array_namespace(total) is np:
        total += x * y
        return total
    return total.addcmul_(x, y)


def subtract_product(total: Any, x: Any, y: Any) -> Any:
    """Compute total - x · y; torch needs no temporary array and rounds once less."""
    if array_namespace(total) is np:
        return total - x * y
    return total.addcmul(x, y, value=-1)


def take(array: Any, indices: NDArray[np.intp], axis: int) -> Any:
    """Select elements along an axis."""
    xp = array_namespace(array)
    if xp is np:
        return np.take(array, indices, axis)
    return array.index_select(axis, xp.asarray(indices, device=array.device))
