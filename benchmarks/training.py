"""Compare the training rates of fit and of a plain PyTorch loop, in patches per second.

python benchmarks/training.py [--csv FILE.csv] [--profile FILE.csv]

It needs the dependency group benchmarks, and a C++ compiler for "compiled". The plain loop uses the
same layers as PyTorch's own modules in the default layout, a DataLoader over random crops,
pytorch-msssim and Adam. The bare loop uses our modules, loss and sampler without skorch. The
overhead of skorch per step does not depend on the patch size, so it is also measured on small
patches, where it exceeds the noise. Rates of fit are those of the second epoch: compilation happens
in the first. Rows of other machines, in --csv, stay.

--profile writes instead where the time of a step goes, by layer and kind of operation, in float32
and bf16: benchmarks/results/training_profile.csv is from one thread. It does not need the group.
"""

import argparse
import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _common import describe_machine, make_net, make_sampler, print_ratios
from _rows import RESULTS, read, write
from _training_profile import write_profile
from torch import nn

from sk_ssimae import SSIMAutoencoderSegmenter
from sk_ssimae.modules import ConvolutionalAutoencoder

BATCH_SIZE = 16
LATENT_DIM = 500
COMPILED = {"net_params": {"compile": True}}
FITS: dict[str, dict[str, Any]] = {
    "fit": {},
    "fit, batches of 64": {"batch_size": 64},
    "fit, compiled": COMPILED,
    "fit in bf16": {"precision": "bf16"},
    "fit in bf16, batches of 64": {"precision": "bf16", "batch_size": 64},
    "fit in bf16, compiled": {"precision": "bf16"} | COMPILED,
}


def main() -> None:
    """Run the loops in turns and compare their best rates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", type=Path, default=RESULTS / "training.csv")
    parser.add_argument("--steps", type=int, default=24, help="steps per turn")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--profile", type=Path, help="write a profile to this CSV file instead")
    arguments = parser.parse_args()
    images = np.random.default_rng(0).integers(0, 256, (5, 700, 1024), dtype=np.uint8)
    if arguments.profile:
        write_profile(images, arguments.profile, n_steps=arguments.steps, batch_size=BATCH_SIZE)
        return
    loops = {name: functools.partial(fit, **changes) for name, changes in FITS.items()} | {
        "our bare loop": bare_loop,
        "plain PyTorch loop": plain_loop,
        "plain loop, two workers": functools.partial(plain_loop, n_workers=2),
    }
    seconds = least_seconds(loops, images, arguments.steps, arguments.turns)
    print_ratios(f"{arguments.steps} steps of {BATCH_SIZE} patches", seconds, "fit")
    small = {
        "fit": functools.partial(fit, patch_size=16),
        "our bare loop": functools.partial(bare_loop, patch_size=16),
    }
    n_steps = 10 * arguments.steps
    seconds_of_small = least_seconds(small, images, n_steps, arguments.turns)
    overhead = (seconds_of_small["fit"] - seconds_of_small["our bare loop"]) / n_steps
    share = overhead * arguments.steps / seconds["our bare loop"]
    print(f"overhead of fit over the bare loop: {1000 * overhead:.2f} ms per step, {share:.1%}")
    machine = describe_machine()
    rows = [
        {
            "loop": name,
            "patches per second": f"{arguments.steps * BATCH_SIZE / taken:.1f}",
            "relative time": f"{taken / seconds['fit']:.2f}",
            "processor": machine["machine"],
            "threads": machine["threads"],
        }
        for name, taken in seconds.items()
    ]
    here = {(row["processor"], str(row["threads"])) for row in rows}
    others = [row for row in read(arguments.csv) if (row["processor"], row["threads"]) not in here]
    write([*others, *rows], arguments.csv)


def least_seconds(
    loops: dict[str, Callable[[np.ndarray, int], float]],
    images: np.ndarray,
    n_steps: int,
    n_turns: int,
) -> dict[str, float]:
    """Run self-timed loops in turns, once to warm up; return the shortest time of each."""
    seconds = dict.fromkeys(loops, float("inf"))
    for turn in range(1 + n_turns):
        for name, loop in loops.items():
            taken = loop(images, n_steps)
            if turn:
                seconds[name] = min(seconds[name], taken)
    return seconds


def fit(images: np.ndarray, n_steps: int, patch_size: int = 128, **changes: Any) -> float:
    """Time the second epoch of a segmenter, as recorded in its history."""
    segmenter = SSIMAutoencoderSegmenter(
        patch_size=patch_size,
        stride=patch_size,
        latent_dim=LATENT_DIM,
        n_patches=n_steps * BATCH_SIZE,
        batch_size=BATCH_SIZE,
        max_epochs=2,
        augmentation="dihedral",
        threshold=1.0,
        random_state=0,
    ).set_params(**changes)
    return float(segmenter.fit(images).history_[1, "dur"])


def bare_loop(images: np.ndarray, n_steps: int, patch_size: int = 128) -> float:
    """Time our network, loss, sampler and optimiser in a minimal loop."""
    network, loss, optimizer = make_net(LATENT_DIM, patch_size)
    sampler = make_sampler(images, n_steps * BATCH_SIZE, BATCH_SIZE, patch_size)
    start = time.perf_counter()
    for patches, target in sampler:
        optimizer.zero_grad()
        loss(network(patches), target).backward()
        optimizer.step()
    return time.perf_counter() - start


def plain_loop(images: np.ndarray, n_steps: int, n_workers: int = 0) -> float:
    """Time the loop that a PyTorch user would write."""
    import pytorch_msssim

    network = plain_network()
    similarity = pytorch_msssim.SSIM(data_range=1.0, channel=1)
    optimizer = torch.optim.Adam(network.parameters(), lr=4e-3, weight_decay=1e-5)
    loader = torch.utils.data.DataLoader(
        RandomCrops(images, n_steps * BATCH_SIZE), batch_size=BATCH_SIZE, num_workers=n_workers
    )
    batches = iter(loader)
    if n_workers:  # Do not count the start of the processes.
        first = next(batches)
    start = time.perf_counter()
    total = 0.0
    for step in range(n_steps):
        patches = first if n_workers and step == 0 else next(batches)
        optimizer.zero_grad()
        loss = 1 - similarity(network(patches), patches)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return time.perf_counter() - start


def plain_network() -> nn.Module:
    """Build the same layers from PyTorch's own modules."""
    layers: list[nn.Module] = []
    ours = ConvolutionalAutoencoder(1, LATENT_DIM, 128, "batch")
    for layer in (*ours.encoder, *ours.decoder):
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            kind = nn.Conv2d if isinstance(layer, nn.Conv2d) else nn.ConvTranspose2d
            sizes = (layer.kernel_size[0], layer.stride[0], layer.padding[0])
            layers.append(kind(layer.in_channels, layer.out_channels, *sizes))
        elif isinstance(layer, nn.BatchNorm2d):
            layers.append(nn.BatchNorm2d(layer.num_features))
        else:
            layers.append(nn.LeakyReLU(0.2))
    return nn.Sequential(*layers)


class RandomCrops(torch.utils.data.Dataset):
    """Random crops, rotated and flipped, one at a time."""

    def __init__(self, images: np.ndarray, n_patches: int) -> None:
        self.images = [torch.from_numpy(image).float().div(255)[None] for image in images]
        self.n_patches = n_patches

    def __len__(self) -> int:
        return self.n_patches

    def __getitem__(self, index: int) -> torch.Tensor:
        image = self.images[int(torch.randint(len(self.images), ()))]
        row = int(torch.randint(image.shape[1] - 127, ()))
        column = int(torch.randint(image.shape[2] - 127, ()))
        patch = image[:, row : row + 128, column : column + 128].rot90(
            int(torch.randint(4, ())), (1, 2)
        )
        return patch.flip(2) if torch.rand(()) < 0.5 else patch


if __name__ == "__main__":
    main()
