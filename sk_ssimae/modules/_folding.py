"""Batch normalization without its cost: at inference it is part of the convolution before it."""

import copy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_normalization(module: nn.Module) -> nn.Module:
    """Copy a network for inference, with batch normalization folded into its convolutions.

    Parameters
    ----------
    module : Module
        Network. It is left as it is.

    Returns
    -------
    Module
        The network in evaluation mode, equal up to rounding; the module itself, switched to that
        mode, where it has no batch normalization.
    """
    module.eval()
    if not any(isinstance(layer, nn.BatchNorm2d) for layer in module.modules()):
        return module
    return _folded(copy.deepcopy(module))


def _folded(module: nn.Module) -> nn.Module:
    if type(module) is nn.Sequential:
        return nn.Sequential(*_folded_layers(module))
    for name, child in module.named_children():
        setattr(module, name, _folded(child))
    return module


def _folded_layers(layers: nn.Sequential) -> list[nn.Module]:
    folded: list[nn.Module] = []
    for layer in layers:
        before = folded[-1] if folded else None
        if (
            isinstance(layer, nn.BatchNorm2d)
            and layer.track_running_stats
            and isinstance(before, nn.Conv2d | nn.ConvTranspose2d)
        ):
            transposed = isinstance(before, nn.ConvTranspose2d)
            folded[-1] = fuse_conv_bn_eval(before, layer, transpose=transposed)
        else:
            folded.append(_folded(layer))
    return folded
