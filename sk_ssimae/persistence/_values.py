"""Values of parameters as JSON and back, without changes of type."""

import math
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch

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


def encode(value: Any, name: str) -> Any:
    """Encode a value and its type for JSON.

    Types that JSON lacks become an object with one key, the type: ``{"tuple": [256, 320]}``.

    Parameters
    ----------
    value : None, bool, int, float, str, NumPy scalar, torch.device, Path, or tuple or dict of such
        The value; the keys of a dict are str.
    name : str
        Name for the error.

    Returns
    -------
    None, bool, int, float, str, list or dict
        Input of `decode`.

    Raises
    ------
    TypeError
        If the value is of another type.

    Examples
    --------
    >>> from sk_ssimae.persistence._values import decode, encode
    >>> encode((256, 320), "image_size")
    {'tuple': [256, 320]}
    >>> decode(encode((256, 320), "image_size"))
    (256, 320)
    """
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
    if isinstance(value, torch.device):
        return {"torch.device": str(value)}
    if isinstance(value, PurePath):
        return {"path": str(value)}
    raise TypeError(
        f"{name} must be a number, text, a path, a device, a tuple or dict of such, or None to be "
        f"saved, got {value!r} instead. joblib.dump keeps other types."
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
        if kind == "tuple" and type(content) is list:
            return tuple(decode(item) for item in content)
        if kind == "dict" and type(content) is dict:
            return {key: decode(item) for key, item in content.items()}
        if kind == "numpy" and type(content) is list and len(content) == 2:
            return _decode_numpy(*content)
        if kind == "torch.device" and type(content) is str:
            return torch.device(content)
        if kind == "path" and type(content) is str:
            return Path(content)
    raise ValueError(f"it holds a value that this version does not know: {stored!r:.80}.")


def _decode_numpy(name: Any, item: Any) -> Any:
    value = decode(item)
    if not (isinstance(name, str) and name in _NUMPY_TYPES and type(value) in (*_PLAIN, float)):
        raise ValueError(f"it holds a NumPy value that this version does not know: {name!r:.80}.")
    scalar = _NUMPY_TYPES[name](value)
    if encode(scalar.item(), name) != item:
        raise ValueError(f"it holds {item!r:.80}, which is no value of NumPy's {name}.")
    return scalar
