"""Batch normalization without its cost: at inference it is part of the convolution before it."""

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
        Network, which is left as it is.

    Returns
    -------
    Module
        A copy in evaluation mode that computes the same up to rounding. Where a convolution is
        followed by its normalization in an ``nn.Sequential``, the latter is an ``nn.Identity`` now;
        what cannot be folded stays. A network without any such pair is not copied but returned.

    Raises
    ------
    TypeError
        If `module` is no torch module.
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
    """Give each sequence and the place in it of a convolution whose normalization follows."""
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
        # torch's folding takes no groups there.
        and not (isinstance(convolution, nn.ConvTranspose2d) and convolution.groups > 1)
    )
