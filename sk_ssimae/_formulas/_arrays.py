"""The library that an array belongs to, found without importing torch."""

import sys
from typing import Any

import numpy as np


def array_namespace(array: Any) -> Any:
    """Return the module whose functions take this array: torch for a tensor, else NumPy.

    Formulas use what both share: operators (also in place), slices, ``stack``, ``zeros`` with
    ``dtype`` and ``device``, ``clip``, ``sqrt``, ``exp``, ``flip``, ``rot90``.

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
