"""Network and loss of a fitted segmenter, and what it takes to make them anew."""

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sk_ssimae.estimators import (
    BaseSegmenter,
    FeatureMatchingAutoencoderSegmenter,
    L2AutoencoderSegmenter,
    SSIMAutoencoderSegmenter,
    VariationalAutoencoderSegmenter,
)
from sk_ssimae.losses import SSIMLoss
from sk_ssimae.persistence._container import TensorHeader

#: Parameters of a segmenter that its network keeps as attributes.
NETWORK_PARAMETERS = ("latent_dim", "patch_size", "normalization")
#: The segmenters that a file can hold, and the parameters that the loss of each keeps.
LOSS_PARAMETERS: dict[type[BaseSegmenter], tuple[str, ...]] = {
    SSIMAutoencoderSegmenter: SSIMLoss.PARAMETERS,
    L2AutoencoderSegmenter: (),
    VariationalAutoencoderSegmenter: ("kl_weight",),
    FeatureMatchingAutoencoderSegmenter: ("feature_weight",),
}

_DTYPE_NAMES = {torch.float32: "F32", torch.int64: "I64"}


class Parts(NamedTuple):
    """Network and loss; the loss of feature matching without its extractor."""

    network: nn.Module
    loss: nn.Module

    def tensors(self) -> dict[str, Tensor]:
        """Give all tensors of the two by name."""
        return {
            f"{part}.{name}": tensor
            for part, module in self._asdict().items()
            for name, tensor in module.state_dict().items()
        }

    def headers(self) -> dict[str, TensorHeader]:
        """Give types and shapes of all tensors, as safetensors names them."""
        return {
            name: TensorHeader(
                _DTYPE_NAMES.get(tensor.dtype, str(tensor.dtype)), tuple(tensor.shape)
            )
            for name, tensor in self.tensors().items()
        }


class Blueprint(NamedTuple):
    """What network and loss of a fitted segmenter were made of.

    The parameters of the segmenter itself may have been set to other values since then.

    Attributes
    ----------
    segmenter_class : type
        Key of `LOSS_PARAMETERS`.
    parameters : dict
        `NETWORK_PARAMETERS` and those of the loss, at the time of `fit`.
    n_channels : int
        Channels of the training images.
    noise_key : int
        Seed of a variational autoencoder's noise; 0 for the others, which have none.
    """

    segmenter_class: type[BaseSegmenter]
    parameters: dict[str, Any]
    n_channels: int
    noise_key: int

    def headers(self) -> dict[str, TensorHeader]:
        """Give types and shapes of the tensors that it takes, without making any.

        Raises
        ------
        ValueError
            If a parameter is out of its interval.
        RuntimeError, TypeError
            If a size is beyond what torch can count.
        """
        segmenter, generator = self._segmenter(), torch.Generator()
        with torch.device("meta"):
            network = segmenter.make_module(self.n_channels, generator)
            return Parts(network, _without_extractor(segmenter.make_loss())).headers()

    def make(self, tensors: dict[str, Tensor]) -> Parts:
        """Make network and loss, on the CPU, of tensors that have the types and shapes it takes."""
        segmenter = self._segmenter()
        generator = torch.Generator().manual_seed(self.noise_key)
        # Without weights at first: to draw them would take time and global random numbers.
        with torch.device("meta"):
            network = segmenter.make_module(self.n_channels, generator)
        # Layouts decide which kernels compute, and so the last bit: this is that of training.
        network.to_empty(device="cpu")
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # stub lacks it
        parts = Parts(network, _without_extractor(segmenter.make_loss()))
        for part, module in parts._asdict().items():
            names = list(module.state_dict())
            module.load_state_dict({name: tensors[f"{part}.{name}"] for name in names})
        return parts

    def _segmenter(self) -> BaseSegmenter:
        given = self.parameters
        if self.segmenter_class is FeatureMatchingAutoencoderSegmenter:
            given = given | {"feature_extractor": nn.Identity()}
        segmenter = self.segmenter_class(**given, stride=1)
        segmenter._check_params()
        return segmenter


def take_apart(segmenter: BaseSegmenter) -> tuple[Parts, Blueprint]:
    """Give network and loss of a fitted segmenter, and what they were made of.

    Raises
    ------
    ValueError
        If they are not what `fit` makes, but were replaced or converted afterwards.
    """
    network, loss = segmenter.net_.module_, segmenter.net_.criterion_
    cls = type(segmenter)
    parts = Parts(network, _without_extractor(loss))
    try:
        parameters = {name: getattr(network, name) for name in NETWORK_PARAMETERS}
        parameters |= {name: getattr(loss, name) for name in LOSS_PARAMETERS[cls]}
        noise_key = network.noise_key if cls is VariationalAutoencoderSegmenter else 0
        blueprint = Blueprint(cls, parameters, segmenter.n_channels_, noise_key)
        as_fitted = blueprint.headers() == parts.headers()
    except AttributeError:
        as_fitted = False
    if not as_fitted:
        raise ValueError(
            f"net_ must be as {cls.__name__} makes it in fit: its network or loss was replaced or "
            "converted. joblib.dump keeps it as it is."
        )
    return parts, blueprint


def _without_extractor(loss: nn.Module) -> nn.Module:
    """Copy a loss; copies of feature matching's leave the extractor, which only training needs."""
    return copy.copy(loss)
