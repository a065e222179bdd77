"""Measure training speed on a GPU, count synchronizing calls, and compare results.

python benchmarks/gpu.py [--device cuda] [--steps 300] [--out gpu.json]

- Patches per second of fit and of a bare loop, by batch size and precision, with and without
  recorded steps.
- Calls of a fit that wait for the GPU; their number must not grow with the number of steps.
- Differences in weights between two fits with one seed, and between recorded and plain steps.
- Differences in residual maps between values of `inference_batch_size`, and between GPU and CPU.
"""

import copy
import itertools
import time
import warnings

import numpy as np
import torch
from _common import PATCHES_OF_PAPER, make_net, make_sampler, options, save

from sk_ssimae import SSIMAutoencoderSegmenter
from sk_ssimae.datasets import make_nanofibres

BATCH_SIZES = (16, 128)
PRECISIONS = ("float32", "bf16", "fp16")


def main() -> None:
    """Run all measurements."""
    parser = options(__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--steps", type=int, default=300, help="steps per turn")
    parser.add_argument("--side", type=int, default=700, help="pixels per side of the images")
    arguments = parser.parse_args()
    images = make_nanofibres(5, shape=(arguments.side, arguments.side), random_state=0)
    device = torch.device(arguments.device)
    results = {
        "rates": rates(images, device, arguments.steps),
        "waits": waits(images, device) if device.type == "cuda" else None,
        "differences": differences(images, device),
    }
    save(results, arguments)


def rates(images: np.ndarray, device: torch.device, n_steps: int) -> dict[str, float]:
    """Measure patches per second in the second epoch of fit and the second turn of the loop."""
    found = {}
    recorded = (False, True) if device.type == "cuda" else (False,)
    for batch_size, precision, graph in itertools.product(BATCH_SIZES, PRECISIONS, recorded):
        params = {"batch_size": batch_size, "precision": precision}
        segmenter = fit(
            images, device, n_steps, max_epochs=2, net_params={"cuda_graph": graph}, **params
        )
        name = f"fit, batches of {batch_size}, {precision}{', recorded' if graph else ''}"
        found[name] = n_steps * batch_size / segmenter.history_[-1, "dur"]
    for batch_size in BATCH_SIZES:
        seconds = bare_loop(images, device, n_steps, batch_size)
        found[f"bare loop, batches of {batch_size}"] = n_steps * batch_size / seconds
    for name, rate in found.items():
        print(f"{name:<40}{rate:>9.0f} patches per second")
    return found


def fit(
    images: np.ndarray, device: torch.device, n_steps: int, **params
) -> SSIMAutoencoderSegmenter:
    """Train for `n_steps` steps per epoch."""
    defaults = PATCHES_OF_PAPER | {
        "latent_dim": 500,
        "batch_size": 16,
        "max_epochs": 1,
        "threshold": 1.0,
    }
    params = defaults | params
    n_patches = n_steps * params["batch_size"]
    segmenter = SSIMAutoencoderSegmenter(
        n_patches=n_patches, device=device, random_state=0, **params
    )
    return segmenter.fit(images)


def bare_loop(images: np.ndarray, device: torch.device, n_steps: int, batch_size: int) -> float:
    """Time our network, loss, sampler and optimiser in a minimal loop."""
    network, loss, optimizer = make_net(500, device=device)
    sampler = make_sampler(images, n_steps * batch_size, batch_size, device=device)
    for _ in range(2):
        wait_for(device)
        start = time.perf_counter()
        for patches, target in sampler:
            optimizer.zero_grad()
            loss(network(patches), target).backward()
            optimizer.step()
        wait_for(device)
        seconds = time.perf_counter() - start
    return seconds


def waits(images: np.ndarray, device: torch.device) -> dict[str, int]:
    """Count the calls that wait for the GPU in short and long fits, as reported by torch."""
    found = {}
    for precision, n_steps in itertools.product(PRECISIONS, (10, 100)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            fit(images, device, n_steps, precision=precision)
            torch.cuda.set_sync_debug_mode("default")
        name = f"{precision}, {n_steps} steps"
        found[name] = sum("synchroniz" in str(warning.message) for warning in caught)
        print(f"{name:<40}{found[name]:>9} calls that wait")
    return found


def differences(images: np.ndarray, device: torch.device) -> dict[str, float]:
    """Compare results that must be equal, or may differ only by rounding."""
    segmenter, again = (fit(images, device, 100) for _ in range(2))
    found = {"weights of two fits": difference_of_weights(segmenter, again)}
    if device.type == "cuda":
        recorded = fit(images, device, 100, net_params={"cuda_graph": True})
        found["weights, steps recorded or not"] = difference_of_weights(segmenter, recorded)
    maps = segmenter.decision_function(images[:1])
    for batch_size in (1, 7, 64):
        other = copy.deepcopy(segmenter).set_params(inference_batch_size=batch_size)
        difference = np.abs(other.decision_function(images[:1]) - maps).max()
        found[f"maps, inference_batch_size={batch_size}"] = float(difference)
    on_cpu = copy.deepcopy(segmenter).set_params(device="cpu").decision_function(images[:1])
    found["maps, from the CPU"] = float(np.abs(on_cpu - maps).max())
    for name, difference in found.items():
        print(f"{name:<40}{difference:>9.1e} largest difference")
    return found


def difference_of_weights(*segmenters: SSIMAutoencoderSegmenter) -> float:
    """Return the largest difference between two networks' weights."""
    weights = (segmenter.net_.module_.state_dict().values() for segmenter in segmenters)
    return max(float((a - b).abs().max()) for a, b in zip(*weights, strict=True))


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
