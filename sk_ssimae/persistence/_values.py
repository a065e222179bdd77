"""Values of parameters as JSON and back, without changes of type."""

import math
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from sk_ssimae.persistence._checks import LONGEST_TEXT, fits_float, quote

_PLAIN = (type(None), bool, int, str)
# Other types of NumPy differ between machines or are not used for parameters.
_NUMPY_TYPES = {
    dtype.__name__: dtype
    for dtype in (
        *(np.bool_, np.str_, np.float16, np.float32, np.float64),
        *(np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64),
    )
}
_NON_FINITE = ("nan", "inf", "-inf")
# NumPy turns a tuple into an array whose items all have the size of the largest one.
_MOST_ITEMS = 1000


def encode(value: Any, name: str) -> Any:
    """Encode a value and its type for JSON.

    Types that JSON lacks become an object with one key, the type: ``{"tuple": [256, 320]}``.

    Parameters
    ----------
    value : None, bool, int, float, str, NumPy scalar, torch.device, Path, or tuple or dict of such
        The value; the keys of a dict are str. Texts have at most 4096 characters, tuples and dicts
        at most 1000 items, and a float can represent the size of an integer.
    name : str
        Name for the error.

    Returns
    -------
    None, bool, int, float, str, list or dict
        Input of `decode`.

    Raises
    ------
    TypeError
        If the value is of another type or size.

    Examples
    --------
    >>> from sk_ssimae.persistence._values import decode, encode
    >>> encode((256, 320), "image_size")
    {'tuple': [256, 320]}
    >>> decode(encode((256, 320), "image_size"))
    (256, 320)
    """
    if not _is_bounded(value):
        raise TypeError(
            f"{name} must be a text of at most {LONGEST_TEXT} characters, have at most "
            f"{_MOST_ITEMS} items, or be an integer that a float can represent, to be saved, got "
            f"{quote(value)} instead. joblib.dump keeps other values."
        )
    # Exact types: a subclass, such as an enumeration, would come back as something else.
    if type(value) in _PLAIN or (type(value) is float and math.isfinite(value)):
        return value
    if type(value) is float:
        return {"float": str(value)}
    if type(value) is tuple:
        return {"tuple": [encode(item, name) for item in value]}
    if type(value) is dict and all(type(key) is str for key in value):
        return {"dict": {key: encode(item, name) for key, item in value.items()}}
    if type(value) in _NUMPY_TYPES.values():
        return {"numpy": [type(value).__name__, encode(value.item(), name)]}
    if _is_device(value):
        return {"torch.device": str(value)}
    if isinstance(value, PurePath):
        return {"path": str(value)}
    raise TypeError(
        f"{name} must be a number, text, a path, a device, a tuple or dict of such, or None to be "
        f"saved, got {quote(value)} instead. joblib.dump keeps other types."
    )


def decode(stored: Any) -> Any:
    """Decode a value of `encode`.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    if type(stored) in (*_PLAIN, float):
        return stored
    if type(stored) is dict and len(stored) == 1:
        ((kind, content),) = stored.items()
        if kind == "float" and content in _NON_FINITE:
            return float(content)
        if kind == "tuple" and type(content) is list and len(content) <= _MOST_ITEMS:
            return tuple(decode(item) for item in content)
        if kind == "dict" and type(content) is dict and len(content) <= _MOST_ITEMS:
            return {key: decode(item) for key, item in content.items()}
        if kind == "numpy" and type(content) is list and len(content) == 2:
            return _decode_numpy(*content)
        if kind == "torch.device" and type(content) is str:
            import torch  # Files of segmenters without a network open without it.

            return torch.device(content)
        if kind == "path" and type(content) is str:
            return Path(content)
    raise ValueError(f"it holds a value that this version does not know: {quote(stored)}.")


def decode_values(stored: Any, what: str) -> dict[str, Any]:
    """Decode a JSON object of values of `encode`.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    if type(stored) is not dict:
        raise ValueError(f"{what} must be a JSON object, got {quote(stored)} instead.")
    return {name: decode(value) for name, value in stored.items()}


def _is_device(value: Any) -> bool:
    """Tell whether a value is a torch.device, without importing torch."""
    return (type(value).__module__, type(value).__name__) == ("torch", "device")


def _is_bounded(value: Any) -> bool:
    if type(value) is int:
        return fits_float(value)
    if isinstance(value, str):
        return len(value) <= LONGEST_TEXT
    return type(value) not in (tuple, dict) or len(value) <= _MOST_ITEMS


def _decode_numpy(name: Any, item: Any) -> Any:
    value = decode(item)
    if not (isinstance(name, str) and name in _NUMPY_TYPES and type(value) in (*_PLAIN, float)):
        raise ValueError(f"it holds a NumPy value that this version does not know: {quote(name)}.")
    with np.errstate(over="ignore"):  # Infinite values are refused below.
        scalar = _NUMPY_TYPES[name](value)
    if encode(scalar.item(), name) != item:
        raise ValueError(f"it holds {quote(item)}, which is no value of NumPy's {name}.")
    return scalar
