"""The file: an ONNX model with one JSON document and a checksum of the whole in its metadata.

It is checked before ONNX Runtime opens it, so that nothing in it can name another file or a custom
operator. An ONNX file is a message of Protocol Buffers: numbered fields, each a number or bytes,
which may be such a message again.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from sk_ssimae.persistence._checks import parse_object
from sk_ssimae.persistence._onnx._settings import FORMAT

#: Operators of exported graphs: none of them contains a graph or code of its own.
OPERATORS = {
    *("Conv", "ConvTranspose", "Gemm", "LeakyRelu", "Flatten", "Reshape", "Identity"),
    *("Split", "Add", "Clip", "Mul", "Exp", "Unsqueeze"),
}

# The numbers of onnx.proto. Those of a model that are written: IR version, producer, graph,
# operator sets, metadata. Of a graph: nodes, name, weights, inputs, outputs. Of a node: inputs,
# outputs, name, operator, attributes. Of an attribute: name, float, int, ints, type. Of weights:
# dimensions, type, name, data.
_GRAPH, _METADATA = 7, 14
_OF_MODEL = {1, 2, _GRAPH, 8, _METADATA}
_NODE, _WEIGHTS = 1, 5
_OF_GRAPH = {_NODE, 2, _WEIGHTS, 11, 12}
_OPERATOR_OF_NODE, _ATTRIBUTE_OF_NODE, _DOMAIN_OF_NODE = 4, 5, 7
_OF_NODE = {1, 2, 3, _OPERATOR_OF_NODE, _ATTRIBUTE_OF_NODE, _DOMAIN_OF_NODE}
_OF_ATTRIBUTE = {1, 2, 3, 8, 20}
_OF_WEIGHTS = {1, 2, 8, 9}
_EXTERNAL_OF_WEIGHTS = {13, 14}
_KEY, _VALUE = 1, 2
# Longer keys and sizes are refused: parsers truncate them, each in its way.
_BYTES_OF_KEY, _LARGEST_KEY, _LARGEST_SIZE = 5, 2**32 - 1, 2**31 - 1

_NO_DIGEST = "0" * 64
_FOREIGN = "it is not a file of export_onnx, or it was truncated."


class Field(NamedTuple):
    """A field of a message: its number, its start, and its value, an int or bytes."""

    number: int
    start: int
    value: Any


def pack(model: bytes, document: dict[str, Any]) -> bytes:
    """Return the content of a file.

    Parameters
    ----------
    model : bytes
        ONNX model without metadata.
    document : dict
        Values that JSON can represent.

    Returns
    -------
    bytes
        The content. Its checksum is the SHA-256 of the model and of the document with zeros in the
        checksum's place.
    """
    unsigned = _dump(_NO_DIGEST, document)
    digest = hashlib.sha256(model + unsigned).hexdigest()
    entry = _bytes_field(_KEY, FORMAT.encode()) + _bytes_field(_VALUE, _dump(digest, document))
    # Fields may follow one another in any order.
    return model + _bytes_field(_METADATA, entry)


def read_document(content: bytes) -> dict[str, Any]:
    """Read the document of a file and check that the file is complete and runs nothing.

    Raises
    ------
    ValueError
        If this is another kind of file, truncated, corrupted, or not as `export_onnx` writes it.
    """
    message = memoryview(content)
    try:
        of_model = list(_fields(message))
        entries = [field for field in of_model if field.number == _METADATA]
        metadata = [{field.number: field.value for field in _fields(e.value)} for e in entries]
    except (ValueError, TypeError) as error:
        raise ValueError(_FOREIGN) from error
    texts = [e.get(_VALUE) for e in metadata if e.get(_KEY) == FORMAT.encode()]
    if not texts:
        raise ValueError(f"its metadata lack {FORMAT!r}: {_FOREIGN}")
    document = parse_object(_decode(texts[0]), "its document")
    digest = document.pop("sha256", None)
    body = message[: entries[0].start]
    expected = hashlib.sha256(body)
    expected.update(_dump(_NO_DIGEST, document))
    if digest != expected.hexdigest() or of_model[-1] is not entries[0]:
        raise ValueError(
            "checksum mismatch: the file is corrupted, or another program changed it. Copy or "
            "export it again."
        )
    _check_harmless(of_model)
    return document


def _check_harmless(of_model: list[Field]) -> None:
    _check_numbers(of_model, _OF_MODEL, "model")
    for graph in (field.value for field in of_model if field.number == _GRAPH):
        fields = list(_fields(graph))
        _check_numbers(fields, _OF_GRAPH, "graph")
        for field in fields:
            if field.number == _NODE:
                _check_operator(field.value)
            elif field.number == _WEIGHTS:
                of_weights = list(_fields(field.value))
                if {of.number for of in of_weights} & _EXTERNAL_OF_WEIGHTS:
                    raise ValueError("its weights must be in it, but some are in another file.")
                _check_numbers(of_weights, _OF_WEIGHTS, "weights")


def _check_numbers(fields: list[Field], known: set[int], what: str) -> None:
    unknown = sorted({field.number for field in fields} - known)
    if unknown:
        raise ValueError(f"its {what} contains fields that export_onnx never writes: {unknown}.")


def _check_operator(node: memoryview) -> None:
    fields = list(_fields(node))
    values = {field.number: field.value for field in fields}
    operator = _decode(values.get(_OPERATOR_OF_NODE))
    domain = _decode(values.get(_DOMAIN_OF_NODE, b""))
    if domain or operator not in OPERATORS:
        raise ValueError(
            "its graph must contain only operators that export_onnx writes, got "
            f"{operator!r:.80} of the domain {domain!r:.80} instead."
        )
    _check_numbers(fields, _OF_NODE, "node")
    for field in fields:
        if field.number == _ATTRIBUTE_OF_NODE:
            _check_numbers(list(_fields(field.value)), _OF_ATTRIBUTE, "attribute")


def _dump(digest: str, document: dict[str, Any]) -> bytes:
    return json.dumps({"sha256": digest, **document}, allow_nan=False).encode()


def _decode(text: Any) -> str:
    if not isinstance(text, memoryview | bytes):
        raise ValueError("it contains a number instead of a name.")
    try:
        return bytes(text).decode()
    except UnicodeDecodeError as error:
        raise ValueError("it contains a name that is not text.") from error


def _fields(message: memoryview) -> Iterator[Field]:
    """Iterate over the fields of a message.

    Raises
    ------
    ValueError
        If it is not a message, or is truncated.
    """
    position = 0
    while position < len(message):
        start = position
        key, position = _read_number(message, position, _BYTES_OF_KEY)
        if not 8 <= key <= _LARGEST_KEY:
            raise ValueError(f"A field of the number {key >> 3}, beyond all that there are.")
        kind = key & 7
        if kind == 0:
            value, position = _read_number(message, position)
            yield Field(key >> 3, start, value)
            continue
        if kind == 2:
            size, position = _read_number(message, position, _BYTES_OF_KEY)
            if size > _LARGEST_SIZE:
                raise ValueError("A field that is too long.")
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"A field of the unknown kind {kind}.")
        if position + size > len(message):
            raise ValueError("A truncated field.")
        yield Field(key >> 3, start, message[position : position + size])
        position += size


def _read_number(message: memoryview, position: int, n_bytes: int = 10) -> tuple[int, int]:
    """Read a number, seven bits per byte and the lowest first, and return it and its end."""
    number = 0
    for shift in range(0, 7 * n_bytes, 7):
        if position == len(message):
            break
        byte = message[position]
        position += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, position
    raise ValueError("A truncated number, or one that is too long.")


def _bytes_field(number: int, value: bytes) -> bytes:
    return _as_number(number << 3 | 2) + _as_number(len(value)) + value


def _as_number(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])
