"""Recipes that were tried and did not enter the package, made by what it lets users change."""

import copy
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, l1_loss

from sk_ssimae import (
    L2AutoencoderSegmenter,
    SSIMAutoencoderSegmenter,
    VariationalAutoencoderSegmenter,
)
from sk_ssimae.estimators import BaseSegmenter
from sk_ssimae.losses import EvidenceLowerBound, L2Loss, SSIMLoss
from sk_ssimae.modules import ConvolutionalAutoencoder, _autoencoder


class AverageOfWeights(Callback):
    """End training with the exponential moving average of weights and running statistics."""

    def __init__(self, decay: float) -> None:
        self.decay = decay

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Start with the first weights."""
        self.n_steps_ = 0
        self.average_ = [tensor.clone() for tensor in _averaged_tensors(net)]

    def on_batch_end(self, net: Any, **kwargs: Any) -> None:
        """Follow the weights; in the first steps faster, lest the first weights stay."""
        self.n_steps_ += 1
        weight = max(1 - self.decay, 1 / (1 + self.n_steps_))
        torch._foreach_lerp_(self.average_, list(_averaged_tensors(net)), weight)

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Take the average."""
        for tensor, average in zip(_averaged_tensors(net), self.average_, strict=True):
            tensor.copy_(average)


class SameCropsEachEpoch(Callback):
    """Draw the crops of the first epoch again in each."""

    def on_epoch_begin(self, net: Any, dataset_train: Any = None, **kwargs: Any) -> None:
        """Set the sampler back."""
        if not hasattr(self, "state_"):
            self.state_ = dataset_train.generator.get_state()
        dataset_train.generator.set_state(self.state_)


class LayersOwnInitialization(Callback):
    """Draw the weights as PyTorch's layers do, the last bias too, and the same for each seed."""

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Replace the weights drawn before."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            for layer in net.module_.modules():
                if hasattr(layer, "reset_parameters"):
                    device = next(layer.parameters()).device
                    layer.cpu().reset_parameters()
                    layer.to(device)


class CorruptedAutoencoder(ConvolutionalAutoencoder):
    """See patches with noise, or with squares of something else, while training on clean ones."""

    def __init__(
        self,
        *args: Any,
        noise: float,
        square: int,
        n_squares: int,
        fill: str,
        generator: torch.Generator,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.noise, self.square, self.n_squares = noise, square, n_squares
        self.fill, self.generator = fill, generator

    def forward(self, patches: Tensor) -> Tensor:
        """Reconstruct; corrupt before, in training."""
        return super().forward(self._corrupt(patches) if self.training else patches)

    def _corrupt(self, patches: Tensor) -> Tensor:
        random = {"generator": self.generator, "device": patches.device}
        others = patches.roll(1, 0)  # The patches beside these in the batch.
        if self.noise:
            patches = patches + self.noise * torch.randn(patches.shape, **random)
        for _ in range(self.n_squares):
            grey, row, column = torch.rand((3, len(patches), 1, 1, 1), **random)
            pixels = torch.arange(self.patch_size, device=patches.device)
            reach = self.square / 2
            rows = (pixels[:, None] - row * self.patch_size).abs() < reach
            columns = (pixels - column * self.patch_size).abs() < reach
            content = grey if self.fill == "grey" else others
            patches = torch.where(rows & columns, content, patches)
        return patches

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "generator": None}


class CorruptingSegmenter(SSIMAutoencoderSegmenter):
    """Corrupt the network's input in training by more than the one square of `cutout`."""

    def __init__(
        self,
        *,
        noise: float = 0,
        square: int = 0,
        n_squares: int = 1,
        fill: str = "grey",
        **params: Any,
    ) -> None:
        super().__init__(**params)
        self.noise, self.square, self.n_squares, self.fill = noise, square, n_squares, fill

    def make_module(self, n_channels: int, generator: torch.Generator) -> nn.Module:
        return CorruptedAutoencoder(
            n_channels,
            self.latent_dim,
            self.patch_size,
            self.normalization,
            noise=self.noise,
            square=self.square,
            n_squares=self.n_squares if self.square else 0,
            fill=self.fill,
            generator=generator,
        )


class WideSegmenter(SSIMAutoencoderSegmenter):
    """Twice the channels in every hidden layer."""

    def make_module(self, n_channels: int, generator: torch.Generator) -> nn.Module:
        with twice_the_channels():
            return super().make_module(n_channels, generator)


class GroupNormalizedSegmenter(SSIMAutoencoderSegmenter):
    """Group normalization, with groups of eight channels, in the place of batch normalization."""

    def make_module(self, n_channels: int, generator: torch.Generator) -> nn.Module:
        module = super().make_module(n_channels, generator)
        for layers in (module.encoder, module.decoder):
            for index, layer in enumerate(layers):
                if isinstance(layer, nn.BatchNorm2d):
                    layers[index] = nn.GroupNorm(layer.num_features // 8, layer.num_features)
        return module


class MeanOfSSIM(nn.Module):
    """The mean of SSIM losses with several windows, on images halved again and again."""

    def __init__(self, window_sizes: tuple[int, ...], scales: tuple[int, ...]) -> None:
        super().__init__()
        self.scales = scales
        self.losses = nn.ModuleList(SSIMLoss(size) for size in window_sizes)
        self.residual_radius = max(scales) * (max(window_sizes) // 2 + 1)

    def forward(self, reconstruction: Tensor, target: Tensor) -> Tensor:
        """Average the losses."""
        pairs = [(_shrink(reconstruction, k), _shrink(target, k)) for k in self.scales]
        return torch.stack([loss(*pair) for loss in self.losses for pair in pairs]).mean()

    def residual_map(self, image: Tensor, reconstruction: Tensor) -> Tensor:
        """Average the maps, enlarged again."""
        maps = [
            interpolate(
                loss.residual_map(_shrink(image, k), _shrink(reconstruction, k))[:, None],
                image.shape[-2:],
                mode="bilinear",
            )
            for loss in self.losses
            for k in self.scales
        ]
        return torch.stack(maps).mean(dim=0)[:, 0]


class MeanOfSSIMSegmenter(SSIMAutoencoderSegmenter):
    """Compare in several windows and scales."""

    def __init__(self, *, window_sizes: Any = (11,), scales: Any = (1,), **params: Any) -> None:
        super().__init__(**params)
        self.window_sizes, self.scales = window_sizes, scales

    def make_loss(self) -> nn.Module:
        return MeanOfSSIM(self.window_sizes, self.scales)


class MixedLoss(SSIMLoss):
    """A share of absolute differences in the loss; residual maps are SSIM alone."""

    def __init__(self, l1_share: float) -> None:
        super().__init__()
        self.l1_share = l1_share

    def forward(self, reconstruction: Tensor, target: Tensor) -> Tensor:
        """Mix."""
        ssim = super().forward(reconstruction, target)
        return (1 - self.l1_share) * ssim + self.l1_share * l1_loss(reconstruction, target)


class SummedLoss(SSIMLoss):
    """The sum over pixels in the place of the mean."""

    def forward(self, reconstruction: Tensor, target: Tensor) -> Tensor:
        """Sum."""
        return super().forward(reconstruction, target) * target[0].numel()


class AveragedL2Loss(L2Loss):
    """The mean over pixels in the place of the sum."""

    def forward(self, reconstruction: Tensor, target: Tensor) -> Tensor:
        """Average."""
        return super().forward(reconstruction, target) / target[0].numel()


class UnitVarianceBound(EvidenceLowerBound):
    """The evidence lower bound with a decoder whose pixels have the variance 1."""

    def forward(self, output: tuple[Tensor, Tensor, Tensor], target: Tensor) -> Tensor:
        """Compute the bound as without training, which leaves the variance alone."""
        self.training = False
        return super().forward(output, target)


class MixedSegmenter(SSIMAutoencoderSegmenter):
    """Mix SSIM and absolute differences."""

    def __init__(self, *, l1_share: float = 0.5, **params: Any) -> None:
        super().__init__(**params)
        self.l1_share = l1_share

    def make_loss(self) -> SSIMLoss:
        return MixedLoss(self.l1_share)


class SummingSegmenter(SSIMAutoencoderSegmenter):
    """Sum over pixels."""

    def make_loss(self) -> SSIMLoss:
        return SummedLoss()


class AveragingL2Segmenter(L2AutoencoderSegmenter):
    """Average over pixels."""

    def make_loss(self) -> L2Loss:
        return AveragedL2Loss()


class UnitVarianceSegmenter(VariationalAutoencoderSegmenter):
    """Do not fit the variance of pixels."""

    def make_loss(self) -> EvidenceLowerBound:
        return UnitVarianceBound(self.kl_weight)


class ResidualAveragingSegmenter(SSIMAutoencoderSegmenter):
    """Average the residual maps of windows in the place of their reconstructions."""

    def _residual(self, image: Tensor, windows: Any) -> Tensor:
        def measure(stacked: Tensor, _: Any) -> Tensor:
            reconstructed = self.reconstruct_patches(stacked)
            return self.residual_loss().residual_map(stacked, reconstructed)[:, None]

        return self._average_windows(image, measure, windows)[0]


class Mirroring:
    """Mirror the image at its borders, so that as many windows cover them as any pixel."""

    def _compute_residual(self, image: np.ndarray) -> np.ndarray:
        margin = self._fitted_patch_size - self.stride
        height, width = image.shape[:2]
        padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
        residual = super()._compute_residual(padded)
        return residual[margin : margin + height, margin : margin + width].copy()


def mirrored(segmenter: BaseSegmenter) -> BaseSegmenter:
    """Make a copy of a fitted segmenter that mirrors the borders."""
    other = copy.copy(segmenter)
    other.__class__ = type("MirroringSegmenter", (Mirroring, type(segmenter)), {})
    return other


def twice_the_channels() -> Any:
    """Let networks that are made meanwhile have twice the channels."""
    layers = tuple((2 * channels, *rest) for channels, *rest in _autoencoder._ENCODER_LAYERS)
    return mock.patch.object(_autoencoder, "_ENCODER_LAYERS", layers)


def _averaged_tensors(net: Any) -> Any:
    state = net.module_.state_dict().values()
    return (tensor for tensor in state if tensor.is_floating_point())


def _shrink(image: Tensor, factor: int) -> Tensor:
    return image if factor == 1 else avg_pool2d(image, factor, ceil_mode=True)


# Classes, and what differs from their defaults.
CANDIDATES: dict[str, tuple[Callable, dict[str, Any]]] = {
    "average of weights, 0.99": (
        SSIMAutoencoderSegmenter,
        {"callbacks": [("average", AverageOfWeights(0.99))]},
    ),
    "average of weights, 0.998": (
        SSIMAutoencoderSegmenter,
        {"callbacks": [("average", AverageOfWeights(0.998))]},
    ),
    "average of weights, 0.998, constant rate 2e-3": (
        SSIMAutoencoderSegmenter,
        {
            "callbacks": [("average", AverageOfWeights(0.998))],
            "lr_schedule": None,
            "lr": 2e-3,
        },
    ),
    "noise 0.03": (CorruptingSegmenter, {"noise": 0.03}),
    "noise 0.1": (CorruptingSegmenter, {"noise": 0.1}),
    "two squares of 32": (CorruptingSegmenter, {"square": 32, "n_squares": 2}),
    "four squares of 16": (CorruptingSegmenter, {"square": 16, "n_squares": 4}),
    "squares of 32 of others": (CorruptingSegmenter, {"square": 32, "fill": "others"}),
    "wide": (WideSegmenter, {}),
    "wide, latent 1000": (WideSegmenter, {"latent_dim": 1000}),
    "wide, latent 1000, window 9": (WideSegmenter, {"latent_dim": 1000, "window_size": 9}),
    "group normalization": (GroupNormalizedSegmenter, {}),
    "windows 7, 11, 15": (MeanOfSSIMSegmenter, {"window_sizes": (7, 11, 15)}),
    "windows 5, 11, 21": (MeanOfSSIMSegmenter, {"window_sizes": (5, 11, 21)}),
    "scales 1, 2": (MeanOfSSIMSegmenter, {"scales": (1, 2)}),
    "scales 1, 2, 4": (MeanOfSSIMSegmenter, {"scales": (1, 2, 4)}),
    "l1 share 0.16": (MixedSegmenter, {"l1_share": 0.16}),
    "l1 share 0.5": (MixedSegmenter, {"l1_share": 0.5}),
    "PyTorch's initialization": (
        SSIMAutoencoderSegmenter,
        {"callbacks": [("initialization", LayersOwnInitialization())]},
    ),
    "same crops each epoch": (
        SSIMAutoencoderSegmenter,
        {"callbacks": [("crops", SameCropsEachEpoch())]},
    ),
    "summed": (SummingSegmenter, {}),
    "l2 averaged": (AveragingL2Segmenter, {}),
    "vae, variance 1": (UnitVarianceSegmenter, {}),
    "residual maps averaged": (ResidualAveragingSegmenter, {}),
}
