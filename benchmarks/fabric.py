"""Train the segmenters on real woven fabrics with the same budget and print their scores.

python benchmarks/fabric.py --data DIR [--patches 8000] [--out results.json]

DIR holds one folder a bolt with the folders good, defective and mask (default: fabric in
$SK_SSIMAE_DATA). Every smoothing width is printed, none is chosen.
"""

import argparse
import json
import os
import time
from pathlib import Path

from _common import ESTIMATORS, SIGMAS, describe_machine, smoothed_areas

from sk_ssimae.datasets import load_image_folder


def main() -> None:
    """Parse the command line, run each estimator on each bolt and save the figures."""
    arguments = parse_arguments()
    results: dict = {"settings": describe_machine() | {"seed": arguments.seed}}
    bolts = sorted(folder for folder in arguments.data.iterdir() if folder.is_dir())
    print(f"{'bolt':<8}{'segmenter':<23}{'seconds':>8}   pixel ROC AUC and PRO, smoothing {SIGMAS}")
    for bolt in bolts:
        data = load_image_folder(bolt / "good", bolt / "defective", bolt / "mask")
        for name, estimator_class in ESTIMATORS.items():
            n_patches = arguments.patches
            segmenter = estimator_class(
                latent_dim=100,
                n_patches=n_patches // 10,
                max_epochs=10,
                random_state=arguments.seed,
            )
            start = time.perf_counter()
            segmenter.fit(data.good)
            seconds = time.perf_counter() - start
            areas = smoothed_areas(segmenter.decision_function(data.defective), data.masks)
            results[f"{bolt.name} {name}"] = {"seconds": seconds, "patches": n_patches, **areas}
            shown = "   ".join(
                " ".join(f"{area:.4f}" for area in by_sigma.values()) for by_sigma in areas.values()
            )
            print(f"{bolt.name:<8}{name:<23}{seconds:>8.0f}   {shown}", flush=True)
            if arguments.out:
                arguments.out.write_text(json.dumps(results, indent=2))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = os.environ.get("SK_SSIMAE_DATA")
    parser.add_argument(
        "--data", type=Path, default=folder and Path(folder) / "fabric", required=not folder
    )
    parser.add_argument("--patches", type=int, default=8_000, help="patches per estimator and bolt")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
