"""Train the segmenters on NanoTWICE with one budget and score all 40 defective images.

python benchmarks/nanotwice.py --data DIR [--patches 100000] [--out results.json]

DIR holds Normal, Anomalous/images and Anomalous/gt (default: nanotwice in $SK_SSIMAE_DATA).
Smoothing widths are all printed, none is chosen: choosing one here would use the test masks. The
features matched are those of EfficientNet-Lite0 (extra features), not of the publication's AlexNet.
"""

import argparse
import json
import os
import time
from pathlib import Path

from _common import ESTIMATORS, describe_machine, smoothed_areas

from sk_ssimae.datasets import load_nanotwice

PUBLISHED = {"ssim": 0.966, "l2": 0.688}


def main() -> None:
    """Parse the command line, run each estimator and save the figures."""
    arguments = parse_arguments()
    data = load_nanotwice(arguments.data)
    settings = {key: value for key, value in vars(arguments).items() if key not in ("data", "out")}
    results = {"settings": describe_machine() | settings}
    print(f"NanoTWICE: {len(data.good)} good images, {len(data.defective)} defective ones")
    for name in arguments.estimators:
        results[name] = run(name, data, arguments)
        if arguments.out:
            arguments.out.write_text(json.dumps(results, indent=2))


def run(name: str, data, arguments: argparse.Namespace) -> dict:
    """Train one estimator and measure it on all defective images."""
    n_epochs = max(1, round(arguments.patches / arguments.epoch_patches))
    segmenter = ESTIMATORS[name](
        latent_dim=arguments.latent_dim,
        n_patches=min(arguments.patches, arguments.epoch_patches),
        max_epochs=n_epochs,
        augmentation="dihedral",
        stride=arguments.stride,
        random_state=arguments.seed,
        verbose=1,
    )
    n_patches = n_epochs * segmenter.n_patches
    print(f"\n{name}: {n_patches:,} patches")
    segmenter.fit(data.good)
    seconds = sum(segmenter.history_[:, "dur"])
    start = time.perf_counter()
    residual_maps = segmenter.decision_function(data.defective)
    inference_seconds = time.perf_counter() - start
    figures = {
        **smoothed_areas(residual_maps, data.masks),
        "published_pixel_roc_auc": PUBLISHED.get(name),
        "patches": n_patches,
        "training_seconds": seconds,
        "patches_per_second": n_patches / seconds,
        "inference_seconds_per_image": inference_seconds / len(data.defective),
        "final_train_loss": segmenter.history_[-1, "train_loss"],
        "threshold": segmenter.threshold_,
    }
    print(
        f"trained in {seconds:.0f} s, {figures['patches_per_second']:.0f} patches/s; "
        f"{figures['inference_seconds_per_image']:.2f} s per image"
    )
    print(f"pixel ROC AUC (published: {PUBLISHED.get(name, 'not stated')}) and PRO AUC")
    for sigma, area in figures["pixel_roc_auc"].items():
        note = "  (as trained)" if sigma == 0 else ""
        print(f"  smoothing {sigma:>2}: {area:.4f}  {figures['pro_auc'][sigma]:.4f}{note}")
    return figures


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
    parser.add_argument(
        "--estimators", nargs="+", choices=list(ESTIMATORS), default=list(ESTIMATORS)
    )
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
