"""Variance-preserving initial weights: PyTorch's defaults stall an autoencoder this deep."""

import math

import torch
from torch import Tensor, nn

from sk_ssimae.modules._autoencoder import LEAKY_SLOPE

_OUTPUT_SCALE = 0.1


@torch.no_grad()
def initialize_autoencoder(
    module: nn.Module, *, generator: torch.Generator, mean_intensity: Tensor
) -> None:
    """Draw the weights of an autoencoder so that its activations keep their variance.

    Convolutions get normal weights after He et al. (2015) for leaky rectifiers. A transposed
    convolution counts the inputs that reach an output pixel: in_channels · (kernel / stride)², or
    in_channels where it unfolds the latent vector. The last layer starts near the mean intensity,
    so that training does not begin with learning a constant.

    Parameters
    ----------
    module : Module
        Autoencoder, changed in place. Its last convolution is taken as the output layer.
    generator : torch.Generator
        Source of the random numbers, on the module's device.
    mean_intensity : Tensor of shape (C,)
        Mean of the training images per channel, in [0, 1].

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun, "Delving Deep into Rectifiers", ICCV 2015, equation 15.
    """
    layers = [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    for layer in layers:
        deviation = math.sqrt(2 / ((1 + LEAKY_SLOPE**2) * _fan_in(layer)))
        layer.weight.normal_(0, deviation, generator=generator)
        if layer.bias is not None:
            layer.bias.zero_()
    output = layers[-1]
    output.weight.mul_(_OUTPUT_SCALE)
    if output.bias is not None:
        output.bias.copy_(mean_intensity)


def _fan_in(layer: nn.Conv2d | nn.ConvTranspose2d) -> float:
    kernel_area = layer.kernel_size[0] * layer.kernel_size[1]
    if isinstance(layer, nn.Conv2d):
        return layer.in_channels * kernel_area
    unfolds_latent = layer.stride == (1, 1) and layer.padding == (0, 0)
    if unfolds_latent:
        return layer.in_channels
    return layer.in_channels * kernel_area / (layer.stride[0] * layer.stride[1])
