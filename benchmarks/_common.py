"""Helpers shared by the benchmarks."""

import argparse
import json
import os
import platform
import resource
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import torch

from sk_ssimae import __version__
from sk_ssimae.estimators import BaseAutoencoderSegmenter, BaseSegmenter
from sk_ssimae.estimators._adversarial_net import AdversarialNet
from sk_ssimae.estimators._net import resolve_device
from sk_ssimae.estimators._sampler import PatchSampler
from sk_ssimae.losses import SSIMLoss
from sk_ssimae.modules import ConvolutionalAutoencoder, initialize_autoencoder

# Patches of the paper: those of these records, with a stride that suits them.
PATCHES_OF_PAPER: dict[str, Any] = {"patch_size": 128, "stride": 30}
N_EPOCHS = 10  # A number of patches is split evenly over these.
# Features of EfficientNet-Lite0 instead of AlexNet's. Between good nanofibre patches and blurred
# ones, their summed squared differences are 800 to 2,300 times those of the pixels: this weight
# balances the two.
EFFICIENTNET = {"feature_extractor": "efficientnet-lite0", "feature_weight": 1e-3}

# Parameters that do not make a stored model invalid; callbacks are compared separately.
_OF_THIS_RUN = {
    *("verbose", "device", "checkpoint_dir", "net_params", "callbacks", "inference_batch_size"),
}


class Trained(NamedTuple):
    """A fitted segmenter, the machine and versions that it was trained with, and the cost.

    The cost is None if the fit was interrupted and resumed.
    """

    segmenter: BaseAutoencoderSegmenter
    machine: dict
    cost: dict | None


def describe_machine() -> dict:
    """Return the versions and the hardware that results depend on."""
    return {
        "sk_ssimae": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "threads": torch.get_num_threads(),
        "machine": _processor(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def options(description: str) -> argparse.ArgumentParser:
    """Make a parser with the option common to all scripts."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    return parser


def save(results: dict, arguments: argparse.Namespace) -> None:
    """Write results, with versions and hardware, if a file was given."""
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps({"settings": describe_machine()} | results, indent=2))


def write_whole(path: Path, save: Callable[[Path], Any]) -> None:
    """Write a temporary file and rename it, so that the file is complete or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def train_once(segmenter: BaseAutoencoderSegmenter, good: Sequence, path: Path) -> Trained:
    """Fit a segmenter and store it in a file, or load it if the file exists.

    On a GPU, training steps are recorded, which is faster and gives the same weights, unless a
    critic takes part.
    During training, checkpoints next to the file let an interrupted fit resume.

    Raises
    ------
    KeyboardInterrupt
        If training was interrupted: a partly trained segmenter is not stored.
    SystemExit
        If the stored segmenter has other parameters, for example after a change of defaults.
    """
    params = {k: v for k, v in segmenter.get_params().items() if k not in _OF_THIS_RUN}
    # Callbacks have no equality of their own: compare their attributes.
    params["callbacks"] = repr([vars(_unnamed(callback)) for callback in segmenter.callbacks or []])
    if path.exists():
        kept = joblib.load(path)
        changed = sorted(k for k in params if kept["params"].get(k) != params[k])
        if changed:
            raise SystemExit(f"{path} was trained with other {', '.join(changed)}: move it away.")
        return Trained(kept["segmenter"], kept["machine"], kept.get("cost"))
    checkpoints = path.with_suffix(".checkpoints")
    resumed = checkpoints.exists()
    on_gpu = resolve_device(segmenter.device).type == "cuda"
    is_recorded = on_gpu and not issubclass(segmenter.net_class, AdversarialNet)
    segmenter.set_params(checkpoint_dir=checkpoints, net_params={"cuda_graph": is_recorded})
    cost = fit_and_measure(segmenter, good)
    if segmenter.net_.interrupted_:
        raise KeyboardInterrupt
    segmenter.set_params(checkpoint_dir=None, net_params=None)
    kept = {"segmenter": segmenter, "params": params, "machine": describe_machine()}
    kept["cost"] = None if resumed else cost
    write_whole(path, lambda temporary: joblib.dump(kept, temporary))
    shutil.rmtree(checkpoints)
    return Trained(segmenter, kept["machine"], kept["cost"])


def fit_and_measure(segmenter: BaseSegmenter, good: Sequence) -> dict:
    """Fit a segmenter; return the seconds and the peak memory of this process in MiB."""
    start = time.perf_counter()
    segmenter.fit(good)
    return {"seconds": time.perf_counter() - start, "mib": peak_mib()}


def peak_mib() -> float:
    """Return the peak memory of this process in MiB; it needs Linux."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def fastest_in_turns(
    contenders: dict[str, Callable[[], object]],
    *,
    n_turns: int = 15,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Time functions in turns and return the shortest time of each, in seconds.

    In turns, so that other work on the machine affects all alike. The shortest, because
    disturbances only make a function slower. `time.process_time` as clock leaves out the time in
    which other processes had the processor, and adds up that of all threads.
    """
    seconds = dict.fromkeys(contenders, float("inf"))
    for _ in range(2 + n_turns):
        for name, function in contenders.items():
            start = clock()
            function()
            seconds[name] = min(seconds[name], clock() - start)
    return seconds


def print_ratios(title: str, seconds: dict[str, float], ours: str) -> None:
    """Print times, and their ratios to ours."""
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
    """Make a sampler of randomly rotated and flipped patches."""
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
    """Make a function that takes one training step on a batch of random patches."""
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
