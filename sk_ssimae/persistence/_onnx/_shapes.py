"""Shapes of all values that a graph computes, so that its memory is known before it runs."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from numpy.typing import NDArray

from sk_ssimae.persistence._onnx._nodes import Graph, Interface, Node
from sk_ssimae.persistence._onnx._nodes import Shape as SymbolicShape

#: Most values of all intermediate results for a batch of patches, 8 GiB in float32. The default
#: network computes 36 million for a batch of 32 patches of 128 × 128 pixels; that of a variational
#: autoencoder, with six samples of each patch, 120 million.
MOST_VALUES = 2**31

Shape = tuple[int, ...]


class _Operands(NamedTuple):
    """Shapes of the inputs of a node, the values of the constant ones, and its attributes."""

    shapes: list[Shape]
    values: list[NDArray[Any] | None]
    attributes: dict[str, Any]

    def integers(self, index: int) -> Shape:
        """Return a constant of integers along one axis."""
        values = self.values[index]
        _require(values is not None and values.ndim == 1 and values.dtype.kind == "i")
        assert values is not None
        return tuple(values.tolist())


def check_graph(graph: Graph, interface: Interface, *, batch_size: int, n_samples: int) -> None:
    """Check that a graph computes its outputs, and not more values than memory may hold.

    Parameters
    ----------
    graph : Graph
        Nodes and constants.
    interface : Interface
        Inputs, and the outputs that it must compute.
    batch_size : int
        Number of patches at once.
    n_samples : int
        Number of samples of each patch; 1 unless the network is variational.

    Raises
    ------
    ValueError
        If a node takes a value that is not there, or of a shape that does not fit; if outputs are
        missing or of other shapes; if all nodes together compute more values than allowed.
    """
    sizes = {"batch": batch_size, "samples": n_samples, "batch of samples": batch_size * n_samples}
    inputs, outputs = (
        {name: _evaluate(shape, sizes) for name, shape in values.items()} for values in interface
    )
    shapes: dict[str, Shape] = {**inputs, **{n: a.shape for n, a in graph.constants.items()}}
    if len(shapes) < len(inputs) + len(graph.constants):
        raise ValueError("its graph has a constant of the name of an input.")
    n_values = 0
    for node in graph.nodes:
        for name, shape in zip(node.outputs, _infer(node, shapes, graph), strict=True):
            if name in shapes:
                raise ValueError(f"its graph computes {name!r} twice.")
            shapes[name] = shape
            n_values += math.prod(shape) + _unfolded(node, shapes)
        if n_values > MOST_VALUES:
            raise ValueError(
                f"its graph must compute at most {MOST_VALUES} values for a batch, got more with "
                f"inference_batch_size={batch_size}. If the file is your own, export it again with "
                "a smaller one."
            )
    for name, shape in outputs.items():
        if shapes.get(name) != shape:
            raise ValueError(
                f"its settings describe a network that computes {name} of shape {shape}, but its "
                f"graph computes {shapes.get(name)}."
            )


def _evaluate(shape: SymbolicShape, sizes: dict[str, int]) -> Shape:
    return tuple(sizes[side] if isinstance(side, str) else side for side in shape)


def _unfolded(node: Node, shapes: dict[str, Shape]) -> int:
    """Count the values that ONNX Runtime may keep to compute a convolution of one patch."""
    if node.operator == "Conv":
        of_windows = shapes[node.outputs[0]]
    elif node.operator == "ConvTranspose":
        of_windows = shapes[node.inputs[0]]
    else:
        return 0
    return math.prod(shapes[node.inputs[1]][1:]) * math.prod(of_windows[2:])


def _infer(node: Node, shapes: dict[str, Shape], graph: Graph) -> list[Shape]:
    for name in node.inputs:
        if name not in shapes:
            raise ValueError(f"its graph takes {name!r} before it is computed.")
    operands = _Operands(
        [shapes[name] for name in node.inputs],
        [graph.constants.get(name) for name in node.inputs],
        node.attributes,
    )
    try:
        found = _RULES[node.operator](operands)
        _require(len(found) == len(node.outputs) and all(min(s, default=1) > 0 for s in found))
    # Too few values to unpack, or no such attribute.
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"its graph contains a node {node.operator} that does not fit inputs of the shapes "
            f"{operands.shapes}."
        ) from error
    return found


def _require(condition: bool) -> None:
    if not condition:
        raise ValueError("The shapes do not fit.")


def _convolution(operands: _Operands) -> list[Shape]:
    (n, n_channels, *sides), (n_outputs, *kernel), bias = operands.shapes
    _require(kernel == [n_channels, *operands.attributes["kernel_shape"]])
    _require(bias == (n_outputs,))
    return [
        (
            n,
            n_outputs,
            *(
                (side + pad - size) // stride + 1
                for side, size, stride, pad in _axes(operands, sides)
            ),
        )
    ]


def _transposed_convolution(operands: _Operands) -> list[Shape]:
    (n, n_channels, *sides), (n_inputs, n_outputs, *kernel), bias = operands.shapes
    _require((n_inputs, tuple(kernel)) == (n_channels, operands.attributes["kernel_shape"]))
    _require(bias == (n_outputs,))
    return [
        (
            n,
            n_outputs,
            *(
                stride * (side - 1) + size - pad
                for side, size, stride, pad in _axes(operands, sides)
            ),
        )
    ]


def _axes(operands: _Operands, sides: list[int]) -> list[tuple[int, int, int, int]]:
    """Return side, size of the kernel, stride and padding along both axes."""
    kernel, strides, pads = (
        operands.attributes[name] for name in ("kernel_shape", "strides", "pads")
    )
    top, left, bottom, right = pads
    _require(len(sides) == 2 and min(strides) > 0 and max(pads) < min(kernel))
    padding = top + bottom, left + right
    return list(zip(sides, kernel, strides, padding, strict=True))


def _product(operands: _Operands) -> list[Shape]:
    (n, n_inputs), matrix, bias = operands.shapes
    rows, columns = reversed(matrix) if operands.attributes.get("transB") else matrix
    _require(rows == n_inputs and bias == (columns,))
    return [(n, columns)]


def _same(operands: _Operands) -> list[Shape]:
    (shape,) = operands.shapes
    return [shape]


def _clip(operands: _Operands) -> list[Shape]:
    shape, *limits = operands.shapes
    _require(limits == [(), ()])
    return [shape]


def _broadcast(operands: _Operands) -> list[Shape]:
    one, other = operands.shapes
    n_axes = max(len(one), len(other))
    pairs = zip(*((1,) * (n_axes - len(shape)) + shape for shape in (one, other)), strict=True)
    return [tuple(a if b == 1 else b if a == 1 else _equal(a, b) for a, b in pairs)]


def _equal(one: int, other: int) -> int:
    _require(one == other)
    return one


def _flatten(operands: _Operands) -> list[Shape]:
    ((n, *sides),) = operands.shapes
    return [(n, math.prod(sides))]


def _reshape(operands: _Operands) -> list[Shape]:
    shape, _ = operands.shapes
    first, *others = operands.integers(1)
    rest = math.prod(others)
    _require(first == -1 and min(others) > 0 and math.prod(shape) % rest == 0)
    return [(math.prod(shape) // rest, *others)]


def _split(operands: _Operands) -> list[Shape]:
    (n, length), _ = operands.shapes
    lengths = operands.integers(1)
    _require(operands.attributes["axis"] == 1 and sum(lengths) == length)
    return [(n, part) for part in lengths]


def _unsqueeze(operands: _Operands) -> list[Shape]:
    (n, *sides), _ = operands.shapes
    _require(operands.integers(1) == (1,))
    return [(n, 1, *sides)]


_RULES: dict[str, Callable[[_Operands], list[Shape]]] = {
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "Gemm": _product,
    "LeakyRelu": _same,
    "Identity": _same,
    "Exp": _same,
    "Clip": _clip,
    "Add": _broadcast,
    "Mul": _broadcast,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Split": _split,
    "Unsqueeze": _unsqueeze,
}
