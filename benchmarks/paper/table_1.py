"""Table 1: the layers, read from the network itself."""

import torch
from _studio import Studio
from torch import nn

from sk_ssimae.modules import ConvolutionalAutoencoder

LATENT_DIM = 100


def run(studio: Studio) -> None:
    """Pass one patch through the network and record the output of each convolution."""
    network = ConvolutionalAutoencoder(1, LATENT_DIM, 128, None)
    rows: list[list[str]] = [["input", "128 x 128 x 1", "", "", ""]]

    def note(module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        channels, height, width = output.shape[1:]
        sizes = (module.kernel_size[0], module.stride[0], module.padding[0])
        kind = "transposed convolution" if isinstance(module, nn.ConvTranspose2d) else "convolution"
        rows.append([kind, f"{height} x {width} x {channels}", *map(str, sizes)])

    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    for module in convolutions:
        module.register_forward_hook(note)
    with torch.no_grad():
        network(torch.zeros(1, 1, 128, 128))
    n_parameters = sum(parameter.numel() for parameter in network.parameters())
    rows.append([f"parameters, d = {LATENT_DIM}", f"{n_parameters:,}", "", "", ""])
    studio.save_table("table-1", ["layer", "output", "kernel", "stride", "padding"], rows)
