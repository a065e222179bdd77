"""Network and loss of a fitted segmenter, and the blueprint to build them again."""

import copy
import inspect
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sk_ssimae.estimators import BaseAutoencoderSegmenter, all_segmenters
from sk_ssimae.persistence._container import TensorHeader

_DTYPE_NAMES = {torch.float32: "F32", torch.int64: "I64"}


def storable_classes() -> dict[str, type[BaseAutoencoderSegmenter]]:
    """Return the classes whose segmenters a file can contain, by name."""
    return {
        name: cls
        for name, cls in all_segmenters().items()
        if issubclass(cls, BaseAutoencoderSegmenter)
    }


class Parts(NamedTuple):
    """Network and loss, without parts that only training needs."""

    network: nn.Module
    loss: nn.Module

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors of the two by name."""
        return {
            f"{part}.{name}": tensor
            for part, module in self._asdict().items()
            for name, tensor in module.state_dict().items()
        }

    def headers(self) -> dict[str, TensorHeader]:
        """Return types and shapes of all tensors, as safetensors names them."""
        return {
            name: TensorHeader(
                _DTYPE_NAMES.get(tensor.dtype, str(tensor.dtype)), tuple(tensor.shape)
            )
            for name, tensor in self.tensors().items()
        }


class Blueprint(NamedTuple):
    """Everything that determines network and loss of a fitted segmenter, but for their tensors.

    Attributes
    ----------
    segmenter : BaseAutoencoderSegmenter
        Unfitted, with the parameters of the network as of `fit`; those of the segmenter that was
        fitted may have been set to other values since then.
    n_channels : int
        Number of channels of the training images.
    noise_key : int
        Seed of the noise of a variational autoencoder; 0 for other networks.
    """

    segmenter: BaseAutoencoderSegmenter
    n_channels: int
    noise_key: int

    @classmethod
    def of(
        cls,
        segmenter: BaseAutoencoderSegmenter,
        fitted_parameters: dict[str, Any],
        n_channels: int,
        noise_key: int,
    ) -> "Blueprint":
        """Take the parameters of the network, and of the others those without a default."""
        signature = inspect.signature(type(segmenter)).parameters
        needed = [name for name, p in signature.items() if p.default is inspect.Parameter.empty]
        parameters = {name: getattr(segmenter, name) for name in needed} | fitted_parameters
        unfitted = type(segmenter)(**parameters, stride=1)
        unfitted.check_parameters()
        return cls(unfitted, n_channels, noise_key)

    def headers(self) -> dict[str, TensorHeader]:
        """Return types and shapes of the tensors, without making any.

        Raises
        ------
        ValueError
            If a parameter is out of its interval.
        RuntimeError, TypeError
            If a size is too large for torch.
        """
        with torch.device("meta"):
            network = self.segmenter.make_module(self.n_channels, torch.Generator())
            return Parts(network, self.segmenter.make_residual_loss()).headers()

    def make(self, tensors: dict[str, Tensor]) -> Parts:
        """Build network and loss on the CPU from tensors of the right types and shapes."""
        generator = torch.Generator().manual_seed(self.noise_key)
        # Without weights at first: drawing them would take time and global random numbers.
        with torch.device("meta"):
            network = self.segmenter.make_module(self.n_channels, generator)
        # Layouts decide which kernels compute, and so the last bit: this is that of training.
        network.to_empty(device="cpu")
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # stub lacks it
        parts = Parts(network, self.segmenter.make_residual_loss())
        for part, module in parts._asdict().items():
            names = list(module.state_dict())
            module.load_state_dict({name: tensors[f"{part}.{name}"] for name in names})
        return parts


def take_apart(segmenter: BaseAutoencoderSegmenter) -> tuple[Parts, Blueprint]:
    """Return network and loss of a fitted segmenter, and their blueprint.

    Raises
    ------
    ValueError
        If they are not as `fit` makes them, but were replaced or converted afterwards.
    """
    network, loss = segmenter.net_.module_, segmenter.net_.criterion_
    # Copies of the loss of feature matching leave the extractor out.
    parts = Parts(network, copy.copy(loss))
    fitted = segmenter.fitted_parameters_
    blueprint = Blueprint.of(
        segmenter, fitted, segmenter.n_channels_, getattr(network, "noise_key", 0)
    )
    if not _are_as_fitted(parts, blueprint, fitted):
        raise ValueError(
            f"net_ must be as {type(segmenter).__name__} makes it in fit: its network or loss was "
            "replaced or converted. joblib.dump keeps it as it is."
        )
    return parts, blueprint


def _are_as_fitted(parts: Parts, blueprint: Blueprint, fitted: dict[str, Any]) -> bool:
    """Compare the class of the loss, the parameters that both parts keep, and the tensors."""
    if not isinstance(parts.loss, type(blueprint.segmenter.make_residual_loss())):
        return False
    kept = ((getattr(part, name, value), value) for part in parts for name, value in fitted.items())
    return all(now == then for now, then in kept) and blueprint.headers() == parts.headers()
