"""Timing: one forward pass and one whole nanofibre image, compared with the paper's V100."""

import time
from collections.abc import Callable

import numpy as np
import torch
from _common import describe_machine
from _scores import PUBLISHED_MAPS
from _studio import Studio

from sk_ssimae import SSIMAutoencoderSegmenter
from sk_ssimae.datasets import make_woven_fabric
from sk_ssimae.modules import ConvolutionalAutoencoder

PUBLISHED = {"forward pass, 128 x 128": "0.00223", "nanofibre image, 1024 x 700": "3.61"}


def run(studio: Studio) -> None:
    """Time both; the weights do not affect the time."""
    patches = make_woven_fabric(1, shape=(128, 128), random_state=0)
    segmenter = SSIMAutoencoderSegmenter(
        latent_dim=500,
        n_patches=32,
        max_epochs=1,
        patch_size=128,
        stride=30,
        threshold=1.0,
        device=studio.device,
        **PUBLISHED_MAPS,
    ).fit(patches)
    device = next(segmenter.net_.module_.parameters()).device
    network = ConvolutionalAutoencoder(1, 500, 128, None).to(device).eval()
    patch = torch.zeros(1, 1, 128, 128, device=device)
    image = np.random.default_rng(0).random((1, 700, 1024), dtype=np.float32)

    @torch.inference_mode()
    def forward() -> None:
        network(patch).cpu()  # The copy waits for a GPU.

    seconds = [fastest(forward, 50), fastest(lambda: segmenter.decision_function(image), 3)]
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    machine = machine or describe_machine()["machine"]
    rows = [
        [name, f"{ours:.5f}", machine, published]
        for (name, published), ours in zip(PUBLISHED.items(), seconds, strict=True)
    ]
    studio.save_table("timing", ["", "seconds", "machine", "published, V100"], rows)


def fastest(function: Callable[[], object], n_turns: int) -> float:
    """Return the shortest of several times: disturbances only make a function slower."""
    seconds = []
    for _ in range(n_turns + 1):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])
