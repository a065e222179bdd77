"""Search latent dimension and window size on a real fabric: serially, on two cores, on a cluster.

python benchmarks/grid_search.py --data DIR [--bolt 02_006] [--patches 2000] [--out results.json]

DIR contains one folder per bolt with the folders good, defective and mask (default: fabric in
$SK_SSIMAE_DATA). The tiles of one image stay in one fold. All three searches use one thread per
process and must give identical scores.
"""

import argparse
import os
import time
from pathlib import Path

import joblib
import torch
from _common import options, save
from dask.distributed import Client, LocalCluster
from sklearn.model_selection import GridSearchCV

from sk_ssimae import SSIMAutoencoderSegmenter
from sk_ssimae.datasets import load_image_folder
from sk_ssimae.metrics import SegmentationScorer
from sk_ssimae.model_selection import DefectFreeKFold

GRID = {"latent_dim": [50, 200], "window_size": [5, 11]}


def main() -> None:
    """Run the search three times, print times and scores, and check that the scores are equal."""
    arguments = parse_arguments()
    bolt = arguments.data / arguments.bolt
    X, y = load_image_folder(bolt / "good", bolt / "defective", bolt / "mask", return_X_y=True)
    groups = [path.stem.split("_")[0] for path in X]
    print(f"{arguments.bolt}: {len(X)} tiles of {len(set(groups))} images")
    results: dict = {"patches": arguments.patches}
    torch.set_num_threads(1)
    first = None
    for name in ("in line", "two cores", "cluster"):
        start = time.perf_counter()
        search = run(name, arguments, X, y, groups)
        seconds = time.perf_counter() - start
        scores = {
            str(params): {
                score: float(search.cv_results_[f"mean_test_{score}"][index])
                for score in ("pixel_roc_auc", "pro_auc")
            }
            for index, params in enumerate(search.cv_results_["params"])
        }
        results[name] = {"seconds": seconds, "scores": scores, "best": search.best_params_}
        print(f"{name:<10}{seconds:>7.1f} s", flush=True)
        first = scores if first is None else first
        assert scores == first, f"{name} differs: {scores}"
    for params, by_score in first.items():
        print(params, {score: round(value, 4) for score, value in by_score.items()})
    print("all scores are identical")
    save(results, arguments)


def run(name: str, arguments: argparse.Namespace, X: list, y: list, groups: list) -> GridSearchCV:
    """Fit the search in the way that `name` selects."""
    segmenter = SSIMAutoencoderSegmenter(
        patch_size=64, n_patches=arguments.patches, max_epochs=1, random_state=0
    )
    search = GridSearchCV(
        segmenter,
        GRID,
        cv=DefectFreeKFold(3),
        scoring=SegmentationScorer(["pixel_roc_auc", "pro_auc"]),
        refit="pro_auc",
        n_jobs=1 if name == "in line" else 2,
    )
    if name != "cluster":
        with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
            return search.fit(X, y, groups=groups)
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0")
    with cluster, Client(cluster) as client, joblib.parallel_config(backend="dask"):
        client.wait_for_workers(2)  # Without workers, joblib would compute in this process.
        return search.fit(X, y, groups=groups)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = options(__doc__)
    folder = os.environ.get("SK_SSIMAE_DATA")
    parser.add_argument(
        "--data", type=Path, default=folder and Path(folder) / "fabric", required=not folder
    )
    parser.add_argument("--bolt", default="02_006")
    parser.add_argument("--patches", type=int, default=2_000, help="patches per fit")
    return parser.parse_args()


if __name__ == "__main__":
    main()
