"""Nodes and weights of an exported graph, from its messages and back.

ONNX Runtime never sees the bytes of a file: it is given a graph serialized from the names, numbers
and weights that were checked here. A difference between its parser and another has no effect then.
"""

import math
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sk_ssimae.persistence._checks import quote
from sk_ssimae.persistence._onnx._messages import parse, serialize

#: Of 2021: every ONNX Runtime that works with NumPy 2 reads them.
OPSET_VERSION, IR_VERSION = 15, 8
#: Operators of exported graphs, and their attributes: none contains a graph or code of its own.
OPERATORS: dict[str, set[str]] = {
    "Conv": {"kernel_shape", "pads", "strides"},
    "ConvTranspose": {"kernel_shape", "pads", "strides"},
    "Gemm": {"transB"},
    "LeakyRelu": {"alpha"},
    "Split": {"axis"},
    **{name: set() for name in ("Flatten", "Reshape", "Unsqueeze", "Identity")},
    **{name: set() for name in ("Add", "Mul", "Clip", "Exp")},
}

# Fields and numbers of the types in onnx.proto.
_ATTRIBUTES = {
    **dict.fromkeys(("kernel_shape", "pads", "strides"), ("ints", 7)),
    **dict.fromkeys(("transB", "axis"), ("int", 2)),
    "alpha": ("float", 1),
}
_FLOATS = 1
_DTYPES: dict[int, np.dtype[Any]] = {_FLOATS: np.dtype("<f4"), 7: np.dtype("<i8")}
# The largest graph of this package has 47 nodes, each with up to 3 inputs and 3 attributes.
_MOST_ITEMS, _MOST_OF_NODE, _LONGEST_NODE = 1000, 8, 4096
_MOST_AXES = 8
_NAME = re.compile(r"[A-Za-z_]\w{0,99}", re.ASCII)

Shape = tuple[int | str, ...]


class Node(NamedTuple):
    """An operator, the names of its inputs and outputs, and its attributes."""

    operator: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]


class Graph(NamedTuple):
    """Nodes in the order of computation, and weights and other constants by name."""

    nodes: list[Node]
    constants: dict[str, NDArray[Any]]


class Interface(NamedTuple):
    """Shapes of the inputs and outputs of a graph by name; sizes chosen at run time are texts."""

    inputs: dict[str, Shape]
    outputs: dict[str, Shape]

    @classmethod
    def of(cls, n_channels: int, patch_size: int, latent_dim: int | None) -> "Interface":
        """Return that of a network; `latent_dim` is None unless it is variational."""
        patch = n_channels, patch_size, patch_size
        if latent_dim is None:
            shape = "batch", *patch
            return cls({"patches": shape}, {"reconstructions": shape})
        of_latent = "batch", latent_dim
        return cls(
            {"patches": ("batch", *patch), "noise": ("batch", "samples", latent_dim)},
            {
                "reconstructions": ("batch of samples", *patch),
                "mean": of_latent,
                "log_variance": of_latent,
            },
        )

    def serialize(self) -> dict[str, list[bytes]]:
        """Return the fields ``inputs`` and ``outputs`` of a graph's message."""
        return {
            field: [_serialize_value(name, shape) for name, shape in values.items()]
            for field, values in self._asdict().items()
        }


def read_graph(content: bytes, interface: Interface) -> Graph:
    """Read the graph of a model.

    Raises
    ------
    ValueError
        If anything in it is not as `export_onnx` writes it, or weights are NaN or infinite.
    """
    message = parse("graph", content)
    for field in ("nodes", "constants", "inputs", "outputs"):
        _check_length(getattr(message, field), field)
    declared = {"inputs": [*message.inputs], "outputs": [*message.outputs]}
    if declared != interface.serialize():
        raise ValueError(
            f"its settings describe a network from {interface.inputs} to {interface.outputs}, but "
            "its graph has other inputs or outputs."
        )
    constants: dict[str, NDArray[Any]] = {}
    for constant in message.constants:
        name, array = _read_constant(constant)
        if name in constants:
            raise ValueError(f"its graph has two constants of the name {name!r}.")
        constants[name] = array
    return Graph([_read_node(node) for node in message.nodes], constants)


def check_operator_sets(contents: Iterable[bytes]) -> None:
    """Check that a model uses the operators of ONNX itself, in the version that is written."""
    found = []
    for content in contents:
        message = parse("operator set", content)
        found.append((bytes(message.domain), message.version))
        if found != [(b"", OPSET_VERSION)]:
            raise ValueError(f"its operators must be of ONNX {OPSET_VERSION}, got {quote(found)}.")


def serialize_model(graph: Graph, interface: Interface) -> bytes:
    """Return the bytes of a model for ONNX Runtime."""
    return serialize(
        "model",
        ir_version=IR_VERSION,
        operator_sets=[serialize("operator set", domain=b"", version=OPSET_VERSION)],
        graphs=[
            serialize(
                "graph",
                name=b"autoencoder",
                nodes=[_serialize_node(node) for node in graph.nodes],
                constants=[_serialize_constant(*item) for item in graph.constants.items()],
                **interface.serialize(),
            )
        ],
    )


def _read_node(content: bytes) -> Node:
    if len(content) > _LONGEST_NODE:
        raise ValueError(f"its nodes must have at most {_LONGEST_NODE} bytes each.")
    message = parse("node", content)
    operator, domain = (
        bytes(text).decode("latin-1") for text in (message.operator, message.domain)
    )
    if domain or operator not in OPERATORS:
        raise ValueError(
            "its graph must contain only operators that export_onnx writes, got "
            f"{quote(operator)} of the domain {quote(domain)} instead."
        )
    for items in (message.inputs, message.outputs, message.attributes):
        _check_length(items, "items of a node", _MOST_OF_NODE)
    attributes = dict(_read_attribute(attribute, operator) for attribute in message.attributes)
    inputs, outputs = ([_read_name(name) for name in m] for m in (message.inputs, message.outputs))
    return Node(operator, inputs, outputs, attributes)


def _read_attribute(content: bytes, operator: str) -> tuple[str, Any]:
    message = parse("attribute", content)
    name = _read_name(message.name)
    if name not in OPERATORS[operator] or message.kind != _ATTRIBUTES[name][1]:
        raise ValueError(f"its {operator} has an attribute that export_onnx never writes: {name}.")
    value = getattr(message, _ATTRIBUTES[name][0])
    numbers = value if _ATTRIBUTES[name][0] == "ints" else [value]
    _check_length(numbers, "numbers of an attribute", _MOST_OF_NODE)
    if not all(math.isfinite(number) and 0 <= number < 2**31 for number in numbers):
        raise ValueError(f"its {operator} must have {name} in [0, 2**31), got {quote(value)}.")
    return name, tuple(value) if numbers is value else value


def _read_constant(content: bytes) -> tuple[str, NDArray[Any]]:
    message = parse("constant", content)
    _check_length(message.shape, "axes of a constant", _MOST_AXES)
    name, shape, dtype = _read_name(message.name), tuple(message.shape), _DTYPES.get(message.kind)
    if dtype is None or min(shape, default=1) < 1:
        raise ValueError(f"its constant {name} has a type or shape that export_onnx never writes.")
    if len(message.data) != dtype.itemsize * math.prod(shape):
        raise ValueError(
            f"its constant {name} must have the data of its shape {shape}, got "
            f"{len(message.data)} bytes instead."
        )
    array = np.frombuffer(message.data, dtype).reshape(shape)
    if not np.isfinite(array).all():
        raise ValueError(f"it contains weights that are NaN or infinite, in {name}.")
    return name, array


def _read_name(name: bytes) -> str:
    text = bytes(name).decode("latin-1")
    if not _NAME.fullmatch(text):
        raise ValueError(f"its graph has a name that export_onnx never writes: {quote(text)}.")
    return text


def _check_length(items: Any, what: str, most: int = _MOST_ITEMS) -> None:
    if len(items) > most:
        raise ValueError(f"its graph must have at most {most} {what}, got {len(items)} instead.")


def _serialize_node(node: Node) -> bytes:
    return serialize(
        "node",
        operator=node.operator.encode(),
        inputs=[name.encode() for name in node.inputs],
        outputs=[name.encode() for name in node.outputs],
        attributes=[_serialize_attribute(*item) for item in node.attributes.items()],
    )


def _serialize_attribute(name: str, value: Any) -> bytes:
    field, kind = _ATTRIBUTES[name]
    return serialize("attribute", name=name.encode(), kind=kind, **{field: value})


def _serialize_constant(name: str, array: NDArray[Any]) -> bytes:
    kind = next(kind for kind, dtype in _DTYPES.items() if dtype == array.dtype)
    return serialize(
        "constant", shape=array.shape, kind=kind, name=name.encode(), data=array.tobytes()
    )


def _serialize_value(name: str, shape: Shape) -> bytes:
    sides = [
        serialize("side", symbol=side.encode())
        if isinstance(side, str)
        else serialize("side", size=side)
        for side in shape
    ]
    tensor = serialize("tensor", kind=_FLOATS, shape=serialize("shape", sides=sides))
    return serialize("value", name=name.encode(), type=serialize("type", tensor=tensor))
