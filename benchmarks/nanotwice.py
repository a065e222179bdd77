"""Train both segmenters on NanoTWICE and print pooled pixel AUCs over all 40 defective images.

python benchmarks/nanotwice.py --data DIR [--patches 100000] [--out results.json]

DIR holds Normal, Anomalous/images and Anomalous/gt (default: nanotwice in $SK_SSIMAE_DATA).
Smoothing widths are all printed, none is chosen: choosing one here would use the test masks.
"""

import argparse
import json
import os
import platform
import time
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from sk_ssimae import L2AutoencoderSegmenter, SSIMAutoencoderSegmenter, __version__
from sk_ssimae.datasets import load_nanotwice
from sk_ssimae.metrics import pixel_roc_auc_score

PUBLISHED = {"SSIMAutoencoderSegmenter": 0.966, "L2AutoencoderSegmenter": 0.688}
ESTIMATORS = {"ssim": SSIMAutoencoderSegmenter, "l2": L2AutoencoderSegmenter}
SIGMAS = (0, 2, 4, 8, 12)


def main() -> None:
    """Parse the command line, run each estimator and save the figures."""
    arguments = parse_arguments()
    data = load_nanotwice(arguments.data)
    results = {"settings": describe(arguments)}
    print(f"NanoTWICE: {len(data.good)} good images, {len(data.defective)} defective ones")
    for name in arguments.estimators:
        figures = run(ESTIMATORS[name], data, arguments)
        results[name] = figures
        if arguments.out:
            arguments.out.write_text(json.dumps(results, indent=2))


def run(estimator_class: type, data, arguments: argparse.Namespace) -> dict:
    """Train one estimator and measure it on all defective images."""
    epochs = max(1, round(arguments.patches / arguments.epoch_patches))
    segmenter = estimator_class(
        latent_dim=arguments.latent_dim,
        n_patches=min(arguments.patches, arguments.epoch_patches),
        max_epochs=epochs,
        augmentation="dihedral",
        stride=arguments.stride,
        random_state=arguments.seed,
        verbose=1,
    )
    name = estimator_class.__name__
    print(f"\n{name}: {epochs * segmenter.n_patches:,} patches")
    start = time.perf_counter()
    segmenter.fit(data.good)
    seconds = sum(segmenter.history_[:, "dur"])
    print(f"training and calibration {time.perf_counter() - start:.0f} s")
    start = time.perf_counter()
    residual_maps = segmenter.decision_function(data.defective)
    inference_seconds = time.perf_counter() - start
    auc = {}
    for sigma in SIGMAS:
        smoothed = [gaussian_filter(residual, sigma) for residual in residual_maps]
        auc[sigma] = pixel_roc_auc_score(data.masks, smoothed)
    figures = {
        "pixel_roc_auc": auc,
        "published_pixel_roc_auc": PUBLISHED[name],
        "patches": epochs * segmenter.n_patches,
        "training_seconds": seconds,
        "patches_per_second": epochs * segmenter.n_patches / seconds,
        "inference_seconds_per_image": inference_seconds / len(data.defective),
        "final_train_loss": segmenter.history_[-1, "train_loss"],
        "threshold": segmenter.threshold_,
    }
    print(
        f"trained in {seconds:.0f} s, {figures['patches_per_second']:.0f} patches/s; "
        f"{figures['inference_seconds_per_image']:.2f} s per image"
    )
    print(f"pooled pixel ROC AUC (published: {PUBLISHED[name]:.3f})")
    for sigma, area in auc.items():
        print(f"  smoothing {sigma:>2}: {area:.4f}" + ("  (as trained)" if sigma == 0 else ""))
    return figures


def describe(arguments: argparse.Namespace) -> dict:
    """Tell what the figures depend on."""
    return {
        "sk_ssimae": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "threads": torch.get_num_threads(),
        "machine": platform.processor() or platform.machine(),
        "patches": arguments.patches,
        "latent_dim": arguments.latent_dim,
        "stride": arguments.stride,
        "seed": arguments.seed,
    }


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = os.environ.get("SK_SSIMAE_DATA")
    parser.add_argument(
        "--data", type=Path, default=folder and Path(folder) / "nanotwice", required=not folder
    )
    parser.add_argument("--patches", type=int, default=100_000, help="patches per estimator")
    parser.add_argument("--epoch-patches", type=int, default=5_000)
    parser.add_argument("--latent-dim", type=int, default=500)
    parser.add_argument("--stride", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--estimators", nargs="+", choices=list(ESTIMATORS), default=["ssim", "l2"])
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
