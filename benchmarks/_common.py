"""What the benchmarks share."""

import argparse
import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import torch

from sk_ssimae import __version__
from sk_ssimae.estimators import BaseSegmenter
from sk_ssimae.estimators._net import resolve_device
from sk_ssimae.estimators._sampler import PatchSampler
from sk_ssimae.losses import SSIMLoss
from sk_ssimae.modules import ConvolutionalAutoencoder, initialize_autoencoder

N_EPOCHS = 10  # That a number of patches is shared out over.
BOLTS = ("02_006", "00_002", "01_023")  # Of the fabrics; recipes are chosen on the first.
# NanoTWICE's ITIA1108, 1115, 1127, 1131 and 1135, counted from 0: recipes are chosen on these.
CHOOSING_IMAGES = (7, 14, 26, 30, 34)
# Features of EfficientNet-Lite0 in the place of AlexNet's. Between good nanofibre patches and
# blurred ones they differ 800 to 2,300 times as much as pixels do, in summed squares: this weight
# makes both count alike.
EFFICIENTNET = {"feature_extractor": "efficientnet-lite0", "feature_weight": 1e-3}

_OF_THIS_RUN = {
    *("verbose", "device", "checkpoint_dir", "net_params", "callbacks", "inference_batch_size"),
}


class Trained(NamedTuple):
    """A fitted segmenter, and on what machine and with what versions it was trained."""

    segmenter: BaseSegmenter
    machine: dict


def describe_machine() -> dict:
    """Tell what figures depend on."""
    return {
        "sk_ssimae": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "threads": torch.get_num_threads(),
        "machine": _processor(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def options(description: str) -> argparse.ArgumentParser:
    """Start a command line with the option that all scripts have."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    return parser


def save(figures: dict, arguments: argparse.Namespace) -> None:
    """Write figures with what they depend on, if a file is named."""
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps({"settings": describe_machine()} | figures, indent=2))


def write_whole(path: Path, save: Callable[[Path], Any]) -> None:
    """Write a file beside its place and move it there, so that it is whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def train_once(
    segmenter: BaseSegmenter, good: Sequence, path: Path, *, precision: str = "float32"
) -> Trained:
    """Fit a segmenter and keep it in a file, or take the one that is there.

    On a GPU steps are recorded, which gives the same weights in less time.
    Until it is kept, checkpoints beside the file let a fit that was killed go on.

    Raises
    ------
    KeyboardInterrupt
        If the keyboard ended training: a segmenter trained in part is not kept.
    SystemExit
        If the one that is there has other parameters, as after a change of defaults.
    """
    params = {k: v for k, v in segmenter.get_params().items() if k not in _OF_THIS_RUN}
    params["precision"] = precision
    # Callbacks are equal if they were made alike.
    params["callbacks"] = repr([vars(_unnamed(callback)) for callback in segmenter.callbacks or []])
    if path.exists():
        kept = joblib.load(path)
        changed = sorted(k for k in params if kept["params"].get(k) != params[k])
        if changed:
            raise SystemExit(f"{path} was trained with other {', '.join(changed)}: move it away.")
        return Trained(kept["segmenter"], kept["machine"])
    checkpoints = path.with_suffix(".checkpoints")
    on_gpu = resolve_device(segmenter.device).type == "cuda"
    net_params = {"precision": precision, "cuda_graph": on_gpu}
    segmenter.set_params(checkpoint_dir=checkpoints, net_params=net_params).fit(good)
    if segmenter.net_.interrupted_:
        raise KeyboardInterrupt
    segmenter.set_params(checkpoint_dir=None, net_params=None)
    kept = {"segmenter": segmenter, "params": params, "machine": describe_machine()}
    write_whole(path, lambda temporary: joblib.dump(kept, temporary))
    shutil.rmtree(checkpoints)
    return Trained(segmenter, kept["machine"])


def fastest_in_turns(
    contenders: dict[str, Callable[[], object]], *, n_turns: int = 15
) -> dict[str, float]:
    """Time functions one after the other, again and again; give the least seconds of each.

    In turns, because other work on the machine then slows all alike; the least, because nothing
    makes a function faster than it is.
    """
    seconds = dict.fromkeys(contenders, float("inf"))
    for _ in range(2 + n_turns):
        for name, function in contenders.items():
            start = time.perf_counter()
            function()
            seconds[name] = min(seconds[name], time.perf_counter() - start)
    return seconds


def print_ratios(title: str, seconds: dict[str, float], ours: str) -> None:
    """Print times and how many times ours they are."""
    print(title)
    for name, taken in seconds.items():
        print(f"  {name:<34}{1000 * taken:>9.1f} ms{taken / seconds[ours]:>8.2f} x")


def make_net(
    latent_dim: int, patch_size: int = 128, device: torch.device | str = "cpu"
) -> tuple[ConvolutionalAutoencoder, SSIMLoss, torch.optim.Optimizer]:
    """Make network, loss and optimiser as `SSIMAutoencoderSegmenter.fit` does by default."""
    network = ConvolutionalAutoencoder(1, latent_dim, patch_size, "batch")
    initialize_autoencoder(
        network,
        generator=torch.Generator().manual_seed(0),
        mean_intensity=torch.tensor([0.5]),
    )
    network.to(device=device, memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=4e-3, weight_decay=1e-5, fused=True)
    return network, SSIMLoss().to(device), optimizer


def make_sampler(
    images: np.ndarray,
    n_patches: int,
    batch_size: int,
    patch_size: int = 128,
    device: torch.device | str = "cpu",
) -> PatchSampler:
    """Make the sampler of patches, turned and flipped."""
    return PatchSampler(
        [image[..., None] for image in images],
        patch_size=patch_size,
        n_patches=n_patches,
        batch_size=batch_size,
        dihedral=True,
        cutout=0,
        generator=torch.Generator(device).manual_seed(0),
    )


def make_training_step(batch_size: int, latent_dim: int = 500) -> Callable[[], None]:
    """Make a function that takes one step on a batch of made patches."""
    network, loss, optimizer = make_net(latent_dim)
    patches = torch.rand((batch_size, 1, 128, 128), generator=torch.Generator().manual_seed(0))

    def step() -> None:
        optimizer.zero_grad()
        loss(network(patches), patches).backward()
        optimizer.step()

    return step


def _unnamed(callback: Any) -> Any:
    return callback[1] if isinstance(callback, tuple) else callback


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
