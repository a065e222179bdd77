"""Batch normalization at no cost: inference folds it into the convolution before it."""

import copy
from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.parametrize import is_parametrized

from sk_ssimae.modules._autoencoder import LatentDecoding, LatentEncoding

_FOLDABLE = (nn.Conv2d, nn.ConvTranspose2d, LatentEncoding, LatentDecoding)


def fold_normalization(module: nn.Module) -> nn.Module:
    """Copy a network for inference, with batch normalization folded into its convolutions.

    Parameters
    ----------
    module : Module
        The network, not modified.

    Returns
    -------
    Module
        A copy in evaluation mode that computes the same up to rounding. In an ``nn.Sequential``, a
        normalization that follows its convolution becomes an ``nn.Identity``; any other stays. A
        network without such a pair is returned itself, not a copy.

    Raises
    ------
    TypeError
        If `module` is not a torch module.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch module, got {module!r} instead.")
    if next(_pairs(module), None) is None:
        return module
    folded = copy.deepcopy(module).eval()
    for layers, index in list(_pairs(folded)):
        convolution: Any = layers[index]
        normalization: Any = layers[index + 1]
        transposed = isinstance(convolution, nn.ConvTranspose2d)
        layers[index] = fuse_conv_bn_eval(convolution, normalization, transpose=transposed)
        layers[index + 1] = nn.Identity()
    return folded.eval()


def _pairs(module: nn.Module) -> Iterator[tuple[nn.Sequential, int]]:
    """Yield each sequence with the index of a convolution followed by its normalization."""
    for layers in module.modules():
        if type(layers) is nn.Sequential:
            for index in range(len(layers) - 1):
                if _can_fold(layers[index], layers[index + 1]):
                    yield layers, index


def _can_fold(convolution: nn.Module, normalization: nn.Module) -> bool:
    return (
        type(normalization) is nn.BatchNorm2d
        and normalization.track_running_stats
        and type(convolution) in _FOLDABLE
        and not is_parametrized(convolution)
        # torch's folding does not support groups there.
        and not (isinstance(convolution, nn.ConvTranspose2d) and convolution.groups > 1)
    )
