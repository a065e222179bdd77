"""A network as a graph of ONNX operators, written node by node.

The networks have few kinds of layers, and their operators have not changed for years. Torch's own
exporters change with every version: one is deprecated, the other needs one more package.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor, nn

from sk_ssimae.modules import VariationalAutoencoder
from sk_ssimae.modules._autoencoder import (
    EncoderDecoder,
    LatentDecoding,
    LatentEncoding,
    OutputDecoding,
)
from sk_ssimae.modules._variational import INITIAL_LOG_VARIANCE, LOG_VARIANCE_RANGE
from sk_ssimae.persistence._onnx._nodes import IR_VERSION, OPSET_VERSION, Interface, Shape


def make_model(network: EncoderDecoder, *, samples: bool) -> onnx.ModelProto:
    """Return a network as a model from patches to reconstructions.

    Parameters
    ----------
    network : EncoderDecoder
        Network with its normalization folded.
    samples : bool
        Whether the residual needs samples of the posterior of a variational autoencoder; if not,
        that of such a network decodes the mean.

    Returns
    -------
    ModelProto
        From ``patches`` (N, C, P, P) to ``reconstructions`` of the same shape. One with samples
        also takes ``noise`` (N, S, d), gives S reconstructions of each patch, (N · S, C, P, P), and
        ``mean`` and ``log_variance`` (N, d).

    Raises
    ------
    TypeError
        If a layer is of a kind that the networks of this package do not have.
    ValueError
        If a weight is NaN or infinite.
    """
    graph = _Graph()
    interface = Interface.of(
        network.n_channels, network.patch_size, network.latent_dim if samples else None
    )
    encoded = _add_layers(graph, network.encoder, "patches")
    if isinstance(network, VariationalAutoencoder):
        _add_moments(graph, encoded, network.latent_dim)
        encoded = _add_sampling(graph, network.latent_dim) if samples else "mean"
    decoded = _add_layers(graph, network.decoder, encoded)
    graph.add("Identity", [decoded], outputs=["reconstructions"])
    model: onnx.ModelProto = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "autoencoder",
            _declare(interface.inputs),
            _declare(interface.outputs),
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", OPSET_VERSION)],
        ir_version=IR_VERSION,
        producer_name="sk_ssimae",
    )
    onnx.checker.check_model(model)
    return model


class _Graph:
    """Nodes and weights so far; each node's output has a name of its own."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def add(
        self,
        operator: str,
        inputs: list[str],
        *,
        outputs: list[str] | None = None,
        **attributes: Any,
    ) -> str:
        """Add a node and give the name of its first output."""
        outputs = outputs or [f"{operator}_{len(self.nodes)}"]
        self.nodes.append(helper.make_node(operator, inputs, outputs, **attributes))
        return outputs[0]

    def constant(self, values: Any) -> str:
        """Add weights, or other constants, and give their name."""
        array = _as_array(values)
        if not np.isfinite(array).all():
            raise ValueError("net_ contains weights that are NaN or infinite: fit it again.")
        name = f"constant_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(array, name))
        return name


def _as_array(values: Any) -> NDArray[Any]:
    if isinstance(values, Tensor):
        return np.ascontiguousarray(values.detach().cpu().numpy())
    return np.asarray(values, dtype=np.float32 if isinstance(values, float) else np.int64)


def _declare(shapes: dict[str, Shape]) -> list[onnx.ValueInfoProto]:
    of_floats = onnx.TensorProto.FLOAT
    return [helper.make_tensor_value_info(name, of_floats, s) for name, s in shapes.items()]


def _add_layers(graph: _Graph, layers: nn.Module, value: str) -> str:
    for layer in layers.children():
        add = _LAYERS.get(type(layer))
        if add is None:
            raise TypeError(
                f"net_ must have the layers of this package's networks to be exported, got a "
                f"{type(layer).__name__}."
            )
        value = add(graph, layer, value)
    return value


def _add_moments(graph: _Graph, encoded: str, latent_dim: int) -> None:
    """Add mean and log-variance, not yet shifted, of the posterior."""
    graph.add(
        "Split",
        [encoded, graph.constant([latent_dim, latent_dim])],
        outputs=["mean", "raw_log_variance"],
        axis=1,
    )


def _add_sampling(graph: _Graph, latent_dim: int) -> str:
    """Add the samples of the posterior that the noise selects: (N · S, d)."""
    shifted = graph.add("Add", ["raw_log_variance", graph.constant(float(INITIAL_LOG_VARIANCE))])
    limits = [graph.constant(float(limit)) for limit in LOG_VARIANCE_RANGE]
    graph.add("Clip", [shifted, *limits], outputs=["log_variance"])
    deviation = graph.add("Exp", [graph.add("Mul", ["log_variance", graph.constant(0.5)])])
    axis = graph.constant([1])
    mean, deviation = (graph.add("Unsqueeze", [name, axis]) for name in ("mean", deviation))
    latent = graph.add("Add", [mean, graph.add("Mul", [deviation, "noise"])])
    return graph.add("Reshape", [latent, graph.constant([-1, latent_dim])])


def _add_convolution(graph: _Graph, layer: nn.Conv2d | nn.ConvTranspose2d, value: str) -> str:
    return graph.add(
        "Conv" if isinstance(layer, nn.Conv2d) else "ConvTranspose",
        [value, graph.constant(layer.weight), graph.constant(layer.bias)],
        kernel_shape=layer.kernel_size,
        strides=layer.stride,
        pads=[*layer.padding, *layer.padding],
    )


def _add_latent_encoding(graph: _Graph, layer: LatentEncoding, value: str) -> str:
    rows = graph.add("Flatten", [value])
    parameters = [graph.constant(layer.weight.flatten(1)), graph.constant(layer.bias)]
    return graph.add("Gemm", [rows, *parameters], transB=1)


def _add_latent_decoding(graph: _Graph, layer: LatentDecoding, value: str) -> str:
    height, width = layer.kernel_size
    assert layer.bias is not None
    bias = layer.bias.repeat_interleave(height * width)
    parameters = [graph.constant(layer.weight.flatten(1)), graph.constant(bias)]
    rows = graph.add("Gemm", [value, *parameters])
    shape = graph.constant([-1, layer.out_channels, height, width])
    return graph.add("Reshape", [rows, shape])


def _add_leaky_relu(graph: _Graph, layer: nn.LeakyReLU, value: str) -> str:
    return graph.add("LeakyRelu", [value], alpha=layer.negative_slope)


def _add_nothing(graph: _Graph, layer: nn.Identity, value: str) -> str:
    return value


_LAYERS: dict[type[nn.Module], Callable[[_Graph, Any, str], str]] = {
    nn.Conv2d: _add_convolution,
    nn.ConvTranspose2d: _add_convolution,
    OutputDecoding: _add_convolution,
    LatentEncoding: _add_latent_encoding,
    LatentDecoding: _add_latent_decoding,
    nn.LeakyReLU: _add_leaky_relu,
    nn.Identity: _add_nothing,
}
