"""Time the residual map of a whole image against the loop over patches of public ports.

python benchmarks/inference.py [--side 10000] [--out inference.json]

The image has the size of NanoTWICE's and the stride is 30. The loop passes one patch at a time
through the same network in PyTorch's default layout, averages in NumPy and uses scikit-image's
SSIM. The script then measures the processor time of each part of such an image, compares the
network's rate of operations with that of a large matrix product, lists its slowest layers, and
measures the peak memory for a square image of `side` pixels, in a process of its own.
"""

import copy
import multiprocessing
import resource
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from _common import fastest_in_turns, make_net, options, print_ratios, save
from skimage.metrics import structural_similarity
from torch.utils.flop_counter import FlopCounterMode

from sk_ssimae import SSIMAutoencoderSegmenter
from sk_ssimae.modules import ConvolutionalAutoencoder, fold_normalization

SHAPE = (700, 1024)
PATCH = 128
STRIDE = 30
BY_DEFAULT = SSIMAutoencoderSegmenter()
BATCH_SIZE = BY_DEFAULT.inference_batch_size
TOLERANCE = 1e-5


def main() -> None:
    """Run all measurements."""
    parser = options(__doc__)
    parser.add_argument("--side", type=int, default=10_000, help="pixels per side of the image")
    arguments = parser.parse_args()
    results = {"image": whole_image(), "parts": parts(), "network": network_rate()}
    save(results | {"memory": memory(arguments.side)}, arguments)


def whole_image() -> dict:
    """Check that the maps are equal, then compare times."""
    images = np.random.default_rng(0).random((1, *SHAPE), dtype=np.float32)
    segmenter = fit(images, latent_dim=500, taper=0, smoothing=0)
    by_default = copy.deepcopy(segmenter).set_params(
        taper=BY_DEFAULT.taper, smoothing=BY_DEFAULT.smoothing
    )
    network = copy.deepcopy(segmenter.net_.module_).to(memory_format=torch.contiguous_format)
    difference = np.abs(segmenter.decision_function(images)[0] - port(network, images[0])).max()
    if difference > TOLERANCE:
        raise ValueError(f"The maps differ by {difference:g}.")
    seconds = fastest_in_turns(
        {
            "decision_function, as published": lambda: segmenter.decision_function(images),
            "decision_function by default": lambda: by_default.decision_function(images),
            "loop over patches": lambda: port(network, images[0]),
        },
        n_turns=8,
    )
    ours = "decision_function, as published"
    print_ratios(f"one image of {SHAPE}, stride {STRIDE}", seconds, ours)
    print(f"the maps differ by at most {difference:.1e}\n")
    return {"seconds": seconds, "largest_difference": float(difference)}


def parts(n_turns: int = 6) -> dict[str, float]:
    """Measure the processor time of the parts of `decision_function`, the shortest of several."""
    images = np.random.default_rng(0).random((1, *SHAPE), dtype=np.float32)
    segmenter = fit(images, latent_dim=500)
    spent: Counter[str] = Counter()

    def timed(hook: str) -> Callable[..., Any]:
        function = getattr(segmenter, hook)

        def run(*arguments: Any) -> Any:
            start = time.process_time()
            result = function(*arguments)
            spent[hook] += time.process_time() - start
            return result

        return run

    hooks = "reconstruct_patches", "average_over_patches", "residual_over_patches"
    compute = timed("decision_function")
    for hook in hooks:  # Each calls the one before it.
        setattr(segmenter, hook, timed(hook))
    turns = []
    for _ in range(n_turns):
        spent.clear()
        compute(images)
        inner, *outer = (spent[hook] for hook in (*hooks, "decision_function"))
        turns.append([inner, *np.diff([inner, *outer])])
    names = "network", "crops and averages", "SSIM", "checks and smoothing"
    seconds = dict(zip(names, np.min(turns, axis=0).tolist(), strict=True))
    whole = sum(seconds.values())
    print(f"parts of {whole:.2f} s of processor time")
    for name, taken in seconds.items():
        print(f"  {name:<34}{taken / whole:>9.1%}")
    return seconds


def fit(images: np.ndarray, latent_dim: int, **params) -> SSIMAutoencoderSegmenter:
    """Train for two steps."""
    return SSIMAutoencoderSegmenter(
        latent_dim=latent_dim,
        n_patches=32,
        max_epochs=1,
        threshold=1.0,
        random_state=0,
        **{"patch_size": PATCH, "stride": STRIDE} | params,
    ).fit(images)


@torch.no_grad()
def port(network: ConvolutionalAutoencoder, image: np.ndarray) -> np.ndarray:
    """Compute 1 - SSIM as public ports do, but cover the far edges too."""
    network.eval()
    total, count = np.zeros_like(image), np.zeros_like(image)
    rows, columns = ([*range(0, n - PATCH, STRIDE), n - PATCH] for n in image.shape)
    for row in rows:
        for column in columns:
            pixels = np.s_[row : row + PATCH, column : column + PATCH]
            patch = torch.from_numpy(image[pixels])[None, None]
            total[pixels] += network(patch)[0, 0].numpy()
            count[pixels] += 1
    _, similarity = structural_similarity(
        image, total / count, win_size=11, data_range=1, full=True, use_sample_covariance=False
    )
    return 1 - similarity


@torch.inference_mode()
def network_rate() -> dict:
    """Compare the network's rate of operations with that of a large matrix product."""
    network = fold_normalization(make_net(500)[0])
    patches = torch.rand((BATCH_SIZE, 1, PATCH, PATCH)).contiguous(
        memory_format=torch.channels_last
    )
    with FlopCounterMode(display=False) as counter:
        network(patches)
    a, b = torch.rand((2, 2048, 2048))
    seconds = fastest_in_turns({"network": lambda: network(patches), "matrices": lambda: a @ b})
    gigaflops = {
        "network": counter.get_total_flops() / seconds["network"] / 1e9,
        "matrices": 2 * 2048**3 / seconds["matrices"] / 1e9,
    }
    share = gigaflops["network"] / gigaflops["matrices"]
    print(
        f"{BATCH_SIZE} patches: {gigaflops['network']:.0f} GFLOP/s, matrices of 2048 × 2048: "
        f"{gigaflops['matrices']:.0f} GFLOP/s, share {share:.0%}"
    )
    layers = {
        f"{index}: {layer}": lambda layer=layer, maps=maps: layer(maps)
        for index, (layer, maps) in enumerate(inputs_of_layers(network, patches))
    }
    by_layer = fastest_in_turns(layers)
    whole = sum(by_layer.values())
    print("slowest layers")
    for name, taken in sorted(by_layer.items(), key=lambda item: -item[1])[:8]:
        print(f"  {name:<92}{taken / whole:>6.1%}")
    print()
    return {"gigaflops": gigaflops, "share": share, "seconds_by_layer": by_layer}


def inputs_of_layers(network: torch.nn.Module, patches: torch.Tensor) -> list:
    """Return each layer with its input."""
    pairs = []
    for layer in (*network.encoder, *network.decoder):
        pairs.append((layer, patches.clone()))
        patches = layer(patches)
    return pairs


def memory(side: int) -> dict:
    """Measure peak memory in a new process, so that nothing earlier raised it."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        copies = pool.apply(peak_copies, (side,))
    print(f"peak memory for {side} × {side} pixels: {copies:.2f} float32 arrays of that size")
    return {"side": side, "arrays": copies}


def peak_copies(side: int) -> float:
    """Return the growth of peak memory, beyond a batch, in float32 arrays of the image's size."""
    small = np.random.default_rng(0).integers(0, 256, (1, 512, 512), dtype=np.uint8)
    segmenter = fit(small, latent_dim=100, stride=PATCH, smoothing=4)
    segmenter.predict(np.tile(small, (1, 4, 4)))  # Allocates the memory of a batch.
    large = np.resize(small, (1, side, side))
    before = peak_bytes()
    segmenter.predict(large)
    return (peak_bytes() - before) / (4 * side**2)


def peak_bytes() -> int:
    """Read the peak resident size, which Linux reports in kibibytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
