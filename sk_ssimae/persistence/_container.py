"""The file: safetensors with one JSON document and a checksum of the whole in its metadata."""

import hashlib
import json
import os
import re
from collections.abc import Iterable
from typing import Any, BinaryIO, NamedTuple, Self

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from sk_ssimae.persistence._checks import check_format, check_values, parse_object, quote

FORMAT = "sk_ssimae"
#: Raise it with every change of a document's content, parameters of segmenters included, once a
#: version has been released, and keep reading the former version.
FORMAT_VERSION = 1

# Some hundred thousand epochs.
_LARGEST_HEADER = 16 * 2**20
_BLOCK = 2**20
# The document is text within JSON, so that its quotation marks are escaped once: those of texts
# within the document are escaped twice and cannot be taken for it.
_DIGEST = re.compile(rb'"\{\\"sha256\\": \\"([0-9a-f]{64})\\"')
_NO_DIGEST = b"0" * 64
_NO_MODEL = (
    "it is not a file of sk_ssimae.persistence.save or sk-ssimae fit, or it was truncated. Choose "
    "a model file."
)
# How pickles of all protocols since 2 begin, and the archives in which torch keeps them.
_PICKLES = (*(bytes([0x80, protocol]) for protocol in range(2, 6)), b"PK\x03\x04")


#: Tensors of a file by name: contiguous arrays of float32, float64 or int64.
Tensors = dict[str, NDArray[Any]]

_TYPE_NAMES = {"float32": "F32", "float64": "F64", "int64": "I64"}


class TensorHeader(NamedTuple):
    """Declaration of a tensor: type, as safetensors names it, and shape."""

    dtype: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, tensor: NDArray[Any]) -> Self:
        """Declare a tensor; other types keep the name of NumPy, which no file contains."""
        return cls(_TYPE_NAMES.get(tensor.dtype.name, tensor.dtype.name), tensor.shape)


class Header(NamedTuple):
    """Declarations of a file: its document, and the type and shape of each tensor."""

    document: dict[str, Any]
    tensors: dict[str, TensorHeader]


def pack(document: dict[str, Any], tensors: Tensors) -> bytes:
    """Return the content of a file.

    Parameters
    ----------
    document : dict
        Values that JSON can represent.
    tensors : dict of array
        Contiguous tensors by name.

    Returns
    -------
    bytes
        The content. Its checksum is the SHA-256 of itself with zeros in the checksum's place.

    Raises
    ------
    ValueError
        If `read_header` would refuse the document: it is too long, or holds values that no file
        may hold.
    """
    text = json.dumps({"sha256": _NO_DIGEST.decode(), **document}, allow_nan=False)
    content = safetensors.numpy.save(tensors, metadata={FORMAT: text})
    start = 8 + int.from_bytes(content[:8], "little")
    if start > _LARGEST_HEADER:
        raise ValueError(
            f"The description of a model must be at most {_LARGEST_HEADER} bytes, got {start} "
            f"instead: history_ has {len(document.get('history', []))} epochs."
        )
    _parse_document(text)
    header, data = content[:start], memoryview(content)[start:]
    place = _place_of_digest(header)
    return b"".join([header[: place.start], _digest(header, [data]), header[place.stop :], data])


def read_header(file: BinaryIO) -> Header:
    """Read the declarations of a file, and check that it is complete; no tensor is read.

    Memory is bounded by a constant, whatever the file declares.

    Parameters
    ----------
    file : file
        Open at its start.

    Returns
    -------
    Header
        Its document lacks the checksum; it is a dict whose content has not been checked.

    Raises
    ------
    ValueError
        If this is another kind of file, of a newer format, truncated or corrupted.
    """
    size = os.fstat(file.fileno()).st_size
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > min(size - 8, _LARGEST_HEADER):
        raise ValueError(_say_what_else_it_is(start, size))
    raw = file.read(length)
    metadata, declared = _parse(raw)
    if FORMAT not in metadata:
        raise ValueError(f"it is a safetensors file, but its metadata lack {FORMAT!r}.")
    document = _parse_document(metadata[FORMAT])
    check_format(document, FORMAT, FORMAT_VERSION)
    tensors = {name: _tensor_header(name, entry) for name, entry in declared.items()}
    end = max((entry["data_offsets"][1] for entry in declared.values()), default=0)
    if 8 + length + end != size:
        raise ValueError(
            f"it should have {8 + length + end} bytes and has {size}: it was truncated or extended."
        )
    header = start + raw
    if header[_place_of_digest(header)] != _digest(header, iter(lambda: file.read(_BLOCK), b"")):
        raise ValueError("checksum mismatch: the file is corrupted. Copy or save it again.")
    document.pop("sha256", None)
    return Header(document, tensors)


def read_tensors(file: BinaryIO) -> Tensors:
    """Read the tensors of a file whose header has been found good.

    Raises
    ------
    ValueError
        If they overlap or leave gaps.
    """
    file.seek(0)
    try:
        loaded = safetensors.numpy.load(file.read())
    except SafetensorError as error:
        raise ValueError(f"its tensors do not add up ({error!s:.200}).") from error
    # Copies, because those of safetensors share one memory and may be read-only.
    return {name: np.array(tensor) for name, tensor in loaded.items()}


def _say_what_else_it_is(start: bytes, size: int) -> str:
    if size < 8:
        return f"it has {size} bytes: {_NO_MODEL}"
    if start.startswith(_PICKLES):
        return (
            "it looks like a pickle. joblib.load opens files of joblib.dump; use it only if you "
            "trust their source, because a pickle runs the code in it."
        )
    return _NO_MODEL


def _parse(raw: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split the header into metadata and the declarations of tensors."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"its header is not text ({error}).") from error
    declared = parse_object(text, "its header")
    metadata = declared.pop("__metadata__", {})
    if type(metadata) is not dict:
        raise ValueError("its metadata are no JSON object.")
    check_values(declared, "its header")
    return metadata, declared


def _parse_document(text: Any) -> dict[str, Any]:
    document = parse_object(text, "its document")
    check_values(document, "its document")
    return document


def _tensor_header(name: str, entry: Any) -> TensorHeader:
    match entry:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [start, end]} if all(
            type(number) is int and number >= 0 for number in (*shape, start, end)
        ):
            return TensorHeader(dtype, tuple(shape))
    raise ValueError(f"it declares {quote(name)} in a way that safetensors does not know.")


def _place_of_digest(header: bytes) -> slice:
    found = _DIGEST.search(header)
    if found is None:
        raise ValueError("its document lacks a checksum.")
    return slice(*found.span(1))


def _digest(header: bytes, data: Iterable[bytes | memoryview]) -> bytes:
    place = _place_of_digest(header)
    digest = hashlib.sha256(header[: place.start] + _NO_DIGEST + header[place.stop :])
    for block in data:
        digest.update(block)
    return digest.hexdigest().encode()
