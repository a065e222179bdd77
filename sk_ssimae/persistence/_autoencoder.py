"""Network and loss of a fitted autoencoder in a file, and the history of its training."""

import copy
import inspect
from typing import Any, NamedTuple

import torch
from skorch.history import History
from torch import Tensor, nn

from sk_ssimae.estimators import BaseAutoencoderSegmenter
from sk_ssimae.estimators._arithmetic import torch_defaults
from sk_ssimae.estimators._net import ReconstructionNet
from sk_ssimae.estimators._precision import PRECISIONS
from sk_ssimae.persistence._checks import check_count, check_number, quote
from sk_ssimae.persistence._container import TensorHeader, Tensors
from sk_ssimae.persistence._families import Family
from sk_ssimae.persistence._values import decode_values, encode

_DTYPE_NAMES = {torch.float32: "F32", torch.int64: "I64"}


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
    kept = (
        (getattr(part, name, value), value)
        for part in parts
        for name, value in fitted.items()
        if name not in part._modules  # The parameter `encoder` names a kind of one.
    )
    return all(now == then for now, then in kept) and blueprint.headers() == parts.headers()


class TrainedBlueprint(NamedTuple):
    """Everything that determines a fitted autoencoder, but for its tensors."""

    segmenter: BaseAutoencoderSegmenter
    parts: Blueprint
    history: History
    interrupted: bool

    @torch_defaults()
    def headers(self) -> dict[str, TensorHeader]:
        """Return types and shapes of the tensors, without making any."""
        return self.parts.headers()

    @torch_defaults()
    def complete(self, tensors: Tensors) -> None:
        """Give the segmenter its net.

        Raises
        ------
        ValueError
            If the variance of a pixel is not above 0.
        """
        variance = tensors.get("loss.variance")
        if variance is not None and variance <= 0:
            raise ValueError(
                f"its variance of a pixel must be above 0, got {float(variance)} instead."
            )
        parts = self.parts.make({name: torch.from_numpy(t) for name, t in tensors.items()})
        self.segmenter.net_ = ReconstructionNet.of_trained(
            parts.network, parts.loss, self.history, interrupted=self.interrupted
        )
        self.segmenter.history_ = self.history


@torch_defaults()
def _describe(segmenter: BaseAutoencoderSegmenter) -> tuple[dict[str, Any], Tensors]:
    parts, blueprint = take_apart(segmenter)
    facts = {
        "noise_key": blueprint.noise_key,
        # An interrupt may have come before it was computed.
        "structure_correlation": getattr(segmenter, "structure_correlation_", None),
        "history": [_encode_row(row) for row in segmenter.history_],
        "interrupted": segmenter.net_.interrupted_,
        "precision": segmenter.precision_,
    }
    tensors = {name: tensor.detach().cpu().numpy() for name, tensor in parts.tensors().items()}
    return facts, tensors


@torch_defaults()
def _restore(segmenter: BaseAutoencoderSegmenter, document: dict[str, Any]) -> TrainedBlueprint:
    blueprint = Blueprint.of(
        segmenter,
        segmenter.fitted_parameters_,
        segmenter.n_channels_,
        check_count(document["noise_key"], "noise_key", below=2**64),
    )
    segmenter.structure_correlation_ = _read_correlation(document["structure_correlation"])
    if type(document["interrupted"]) is not bool or type(document["history"]) is not list:
        raise ValueError("its history must be a list, and whether it was interrupted a boolean.")
    if document["precision"] not in PRECISIONS:
        raise ValueError(
            f"its precision must be one of {PRECISIONS}, got {quote(document['precision'])} "
            "instead."
        )
    segmenter.precision_ = document["precision"]
    history = History(_restore_row(row) for row in document["history"])
    return TrainedBlueprint(segmenter, blueprint, history, document["interrupted"])


def _read_correlation(stored: Any) -> float | None:
    if stored is None:
        return None
    return check_number(stored, "structure_correlation", least=-1, most=1)


def _encode_row(row: dict[str, Any]) -> dict[str, Any]:
    """Encode the simple values of a row of history; callbacks may record anything."""
    encoded = {}
    for name, value in row.items():
        if name != "batches":
            try:
                encoded[name] = encode(value, name)
            except TypeError:
                continue
    return encoded


def _restore_row(stored: Any) -> dict[str, Any]:
    row = decode_values(stored, "its history")
    if type(row.get("epoch")) is not int or row["epoch"] < 1 or "batches" in row:
        raise ValueError(
            "its history must have the number of an epoch and no batches in each row, got "
            f"{quote(row)} instead."
        )
    return {"batches": [], **row}


FAMILY = Family(
    ("noise_key", "structure_correlation", "history", "interrupted", "precision"),
    _describe,
    _restore,
)
