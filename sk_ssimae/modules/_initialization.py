"""Initial weights that let an autoencoder pass its input through from the first step.

PyTorch's defaults stall a network this deep. Variance-preserving weights train; orthogonal ones,
with the encoder's mirror as decoder, need far fewer patches.
"""

import math

import torch
from torch import Tensor, nn

from sk_ssimae.modules._autoencoder import LEAKY_SLOPE

_OUTPUT_SCALE = 0.1

_Convolution = nn.Conv2d | nn.ConvTranspose2d


@torch.no_grad()
def initialize_autoencoder(
    module: nn.Module, *, generator: torch.Generator, mean_intensity: Tensor
) -> None:
    """Draw the weights of an autoencoder whose decoder inverts its encoder from the start.

    Every layer keeps the variance of its activations, after He et al. [1]_ for leaky rectifiers; a
    transposed convolution counts the inputs that reach an output pixel: in_channels ·
    (kernel / stride)², or in_channels where it unfolds the latent vector. The encoder's
    convolutions are orthogonal [2]_, those of stride 1 at the centre of their kernel alone [3]_, so
    that as little as possible is lost. Each layer of the decoder that mirrors one of the encoder in
    shape starts as its transpose; others get normal weights. The last layer starts near the mean
    intensity, so that training does not begin with learning a constant.

    Parameters
    ----------
    module : Module
        Autoencoder, changed in place. Its convolutions are taken in their order: the first half is
        the encoder, the last one the output layer.
    generator : torch.Generator
        Source of the random numbers, on the module's device.
    mean_intensity : Tensor of shape (C,)
        Mean of the training images per channel, in [0, 1].

    Raises
    ------
    ValueError
        If `module` has no convolution.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren, J. Sun, "Delving Deep into Rectifiers", ICCV 2015, equation 15.
    .. [2] A. Saxe, J. McClelland, S. Ganguli, "Exact solutions to the nonlinear dynamics of
           learning in deep linear neural networks", ICLR 2014.
    .. [3] L. Xiao et al., "Dynamical Isometry and a Mean Field Theory of CNNs", ICML 2018,
           delta-orthogonal initialization.
    """
    layers = [m for m in module.modules() if isinstance(m, _Convolution)]
    if not layers:
        raise ValueError(
            f"module must have convolutions to initialize, got {type(module).__name__} without any."
        )
    encoder, decoder = layers[: len(layers) // 2], layers[len(layers) // 2 :]
    for layer in layers:
        layer.weight.normal_(0, _deviation(layer), generator=generator)
        if layer.bias is not None:
            layer.bias.zero_()
    for encoding, decoding in zip(encoder, reversed(decoder), strict=False):
        if isinstance(encoding, nn.Conv2d):
            _make_orthogonal(encoding, generator)
            _mirror(encoding, decoding)
    output = layers[-1]
    output.weight.mul_(_OUTPUT_SCALE)
    if output.bias is not None:
        output.bias.copy_(mean_intensity)


def _make_orthogonal(layer: nn.Conv2d, generator: torch.Generator) -> None:
    """Give a convolution orthogonal weights as large as the normal ones that they replace."""
    weight, n_taps = layer.weight, 1
    if layer.stride == (1, 1) and layer.padding not in ((0, 0), "valid"):
        height, width = layer.kernel_size
        weight, n_taps = layer.weight.zero_()[..., height // 2, width // 2], height * width
    gain = _deviation(layer) * math.sqrt(max(weight.flatten(1).shape) * n_taps)
    weight.copy_(nn.init.orthogonal_(torch.empty_like(weight), gain, generator=generator))


def _mirror(encoding: nn.Conv2d, decoding: _Convolution) -> None:
    """Make a layer the transpose of another, if their shapes allow it."""
    if isinstance(decoding, nn.ConvTranspose2d):
        # The encoder may output more than the latent vector, as a variational one does.
        transpose = encoding.weight[: decoding.in_channels]
    else:
        transpose = encoding.weight.transpose(0, 1).flip(-2, -1)
    if transpose.shape == decoding.weight.shape:
        decoding.weight.copy_(transpose * (_deviation(decoding) / _deviation(encoding)))


def _deviation(layer: _Convolution) -> float:
    return math.sqrt(2 / ((1 + LEAKY_SLOPE**2) * _fan_in(layer)))


def _fan_in(layer: _Convolution) -> float:
    kernel_area = layer.kernel_size[0] * layer.kernel_size[1]
    if isinstance(layer, nn.Conv2d):
        return layer.in_channels * kernel_area
    unfolds_latent = layer.stride == (1, 1) and layer.padding == (0, 0)
    if unfolds_latent:
        return layer.in_channels
    return layer.in_channels * kernel_area / (layer.stride[0] * layer.stride[1])
