"""The messages of ONNX, with nothing but the fields that `export_onnx` writes.

Protocol Buffers parses them, which ONNX Runtime depends on; the package onnx is ten times as large.
A message within a message is declared as bytes, so that each is checked before the next is parsed:
two bytes of a file could otherwise become a node of 150 bytes in memory.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

_KINDS = {"int64": 3, "int32": 5, "bytes": 12, "float": 2}
_OPTIONAL, _REPEATED = 1, 3
# The numbers of onnx.proto; names ending with * are lists.
_FIELDS = {
    "model": {
        "ir_version": (1, "int64"),
        "producer": (2, "bytes"),
        "graphs*": (7, "bytes"),
        "operator_sets*": (8, "bytes"),
        "metadata*": (14, "bytes"),
    },
    "operator set": {"domain": (1, "bytes"), "version": (2, "int64")},
    "metadata": {"key": (1, "bytes"), "value": (2, "bytes")},
    "graph": {
        "nodes*": (1, "bytes"),
        "name": (2, "bytes"),
        "constants*": (5, "bytes"),
        "inputs*": (11, "bytes"),
        "outputs*": (12, "bytes"),
    },
    "node": {
        "inputs*": (1, "bytes"),
        "outputs*": (2, "bytes"),
        "name": (3, "bytes"),
        "operator": (4, "bytes"),
        "attributes*": (5, "bytes"),
        "domain": (7, "bytes"),
    },
    "attribute": {
        "name": (1, "bytes"),
        "float": (2, "float"),
        "int": (3, "int64"),
        "ints*": (8, "int64"),
        "kind": (20, "int32"),
    },
    "constant": {
        "shape*": (1, "int64"),
        "kind": (2, "int32"),
        "name": (8, "bytes"),
        "data": (9, "bytes"),
    },
    "value": {"name": (1, "bytes"), "type": (2, "bytes")},
    "type": {"tensor": (1, "bytes")},
    "tensor": {"kind": (1, "int32"), "shape": (2, "bytes")},
    "shape": {"sides*": (1, "bytes")},
    "side": {"size": (1, "int64"), "symbol": (2, "bytes")},
}


class _Field(NamedTuple):
    name: str
    is_list: bool
    number: int
    kind: str


def parse(kind: str, content: bytes) -> Any:
    """Parse a message.

    Parameters
    ----------
    kind : str
        Kind of message, a key of the table above.
    content : bytes
        The message.

    Returns
    -------
    Message
        Its fields are attributes.

    Raises
    ------
    ValueError
        If it is truncated or not a message, or has fields that `export_onnx` never writes.
    """
    parsed = parse_foreign(kind, content)
    check_fields(kind, parsed)
    return parsed


def parse_foreign(kind: str, content: bytes) -> Any:
    """Parse a message that may have other fields.

    Raises
    ------
    ValueError
        If it is truncated or not a message.
    """
    parsed = _CLASSES[kind]()
    try:
        parsed.ParseFromString(content)
    except message.DecodeError as error:
        raise ValueError(f"its {kind} cannot be parsed.") from error
    return parsed


def check_fields(kind: str, parsed: Any) -> None:
    """Check that a message has no other fields than those of the table; they are dropped.

    Raises
    ------
    ValueError
        If it has.
    """
    n_bytes = parsed.ByteSize()
    parsed.DiscardUnknownFields()
    if parsed.ByteSize() != n_bytes:
        raise ValueError(f"its {kind} has fields that export_onnx never writes.")


def serialize(kind: str, /, **fields: Any) -> bytes:
    """Return a message of these fields; fields that are None are left out."""
    given = {name: value for name, value in fields.items() if value is not None}
    serialized: bytes = _CLASSES[kind](**given).SerializeToString(deterministic=True)
    return serialized


def _fields(kind: str) -> Iterator[_Field]:
    for name, (number, of_kind) in _FIELDS[kind].items():
        yield _Field(name.removesuffix("*"), name.endswith("*"), number, of_kind)


def _make_classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="sk_ssimae.onnx", package="sk_ssimae")
    for kind in _FIELDS:
        declared = file.message_type.add(name=kind.title().replace(" ", ""))
        for field in _fields(kind):
            declared.field.add(
                name=field.name,
                number=field.number,
                type=_KINDS[field.kind],
                label=_REPEATED if field.is_list else _OPTIONAL,
            )
    pool = descriptor_pool.DescriptorPool()
    described = pool.AddSerializedFile(file.SerializeToString())
    return {
        kind: message_factory.GetMessageClass(
            described.message_types_by_name[kind.title().replace(" ", "")]
        )
        for kind in _FIELDS
    }


_CLASSES = _make_classes()
