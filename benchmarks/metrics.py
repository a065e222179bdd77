"""Time the pixel metrics against scikit-learn's and the peers', on synthetic residual maps.

python benchmarks/metrics.py [--peers DIR] [--megapixels 8 30] [--out metrics.json]

The peers' dependencies take several gigabytes. The peers are therefore installed without them, and
their other imports are replaced by empty modules:

    pip install torchmetrics lightning-utilities
    pip install --no-deps --target DIR anomalib==2.7.0 pyimgano==0.9.1 imgad==0.6.0 adeval==1.1.0 \
        opencv-python-headless
"""

import argparse
import importlib.util
import sys
import time
import tracemalloc
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _common import options, save
from scipy.ndimage import gaussian_filter
from sklearn.metrics import average_precision_score, roc_auc_score

from sk_ssimae import metrics

SHAPE = (1024, 700)


def main() -> None:
    """Time all scores at each size, compute them on skewed maps too, and save the results."""
    arguments = parse_arguments()
    results: dict = {}
    peers = load_peers(arguments.peers) if arguments.peers else {}
    for megapixels in arguments.megapixels:
        masks, plain = make_maps(round(megapixels * 1e6 / (SHAPE[0] * SHAPE[1])))
        share = masks.mean()
        print(f"\n{plain.size / 1e6:.1f} million pixels, {share:.1%} defective, float32")
        print(f"{'score':<31}{'by':<24}{'seconds':>9}{'ratio':>8}{'value':>9}{'skewed':>9}")
        skewed = np.exp(4 * plain)
        for score, contenders in contenders_by_score(peers).items():
            rows = results.setdefault(f"{megapixels:g} megapixels", {}).setdefault(score, {})
            for name, compute in contenders.items():
                seconds, value = best_of_three(compute, masks, plain)
                rows[name] = {"seconds": seconds, "value": value, "skewed": compute(masks, skewed)}
                ratio = seconds / rows["sk_ssimae"]["seconds"]
                print(
                    f"{score:<31}{name:<24}{seconds:>9.3f}{ratio:>8.1f}{value:>9.4f}"
                    f"{rows[name]['skewed']:>9.4f}",
                    flush=True,
                )
            rows["sk_ssimae"]["peak_memory"] = peak_memory(contenders["sk_ssimae"], masks, plain)
            print(f"{'':<31}peak memory {rows['sk_ssimae']['peak_memory']:.1f} x the scores")
    save(results, arguments)


def make_maps(n_images: int) -> tuple[np.ndarray, np.ndarray]:
    """Make smooth noise with higher values in about fourteen regions per image."""
    rng = np.random.default_rng(0)
    masks = np.zeros((n_images, *SHAPE), dtype=bool)
    maps = np.empty(masks.shape, dtype=np.float32)
    for mask, scores in zip(masks, maps, strict=True):
        blobs = gaussian_filter(rng.normal(size=SHAPE), 8)
        mask[:] = blobs > np.quantile(blobs, 0.97)
        noise = gaussian_filter(rng.normal(size=SHAPE), 2)
        scores[:] = noise / noise.std() + 1.5 * gaussian_filter(mask.astype(float), 3)
    return masks, maps


def contenders_by_score(peers: dict[str, Callable]) -> dict[str, dict[str, Callable]]:
    """Return the implementations of each score; each maps masks and maps to a number."""

    def pooled(function: Callable) -> Callable:
        return lambda masks, maps: function(masks.ravel(), maps.ravel())

    return {
        "pixel_roc_auc_score": {
            "sk_ssimae": metrics.pixel_roc_auc_score,
            "scikit-learn": pooled(roc_auc_score),
        },
        "pixel_average_precision_score": {
            "sk_ssimae": metrics.pixel_average_precision_score,
            "scikit-learn": pooled(average_precision_score),
        },
        "pro_auc_score": {"sk_ssimae": metrics.pro_auc_score, **peers},
    }


def load_peers(folder: Path) -> dict[str, Callable]:
    """Import the peers' region metrics from the folder where they are installed."""
    sys.path.append(str(folder))
    np.trapz = np.trapezoid  # noqa: NPY201, adeval uses the name removed in NumPy 2.4
    return {
        "anomalib (exact)": anomalib_score(folder),
        "pyimgano (200 thresholds)": pyimgano_score(folder),
        "imgad (500 thresholds)": imgad_score(folder),
        "adeval (1000 bins)": adeval_score(),
    }


def anomalib_score(folder: Path) -> Callable:
    """Load anomalib's AUPRO with its own connected components, which use OpenCV."""
    import torch

    stub("anomalib", "anomalib.metrics", "anomalib.utils", "kornia", "kornia.contrib")
    sys.modules["kornia.contrib"].connected_components = None  # Used on a GPU only.
    components = load_file(
        folder / "anomalib/utils/cv/connected_components.py", "anomalib.utils.cv"
    )
    stub("anomalib.metrics.base", "anomalib.metrics.utils", "anomalib.metrics.pro")
    sys.modules["anomalib.metrics.base"].AnomalibMetric = type("AnomalibMetric", (), {})
    sys.modules["anomalib.metrics.utils"].plot_metric_curve = None
    for name in ("connected_components_cpu", "connected_components_gpu"):
        setattr(sys.modules["anomalib.metrics.pro"], name, getattr(components, name))
    aupro = load_file(folder / "anomalib/metrics/aupro.py", "anomalib.metrics.aupro")

    def score(masks: np.ndarray, maps: np.ndarray) -> float:
        metric = aupro._AUPRO(fpr_limit=0.3)
        metric.update(torch.from_numpy(maps), torch.from_numpy(masks.astype(np.int32)))
        return float(metric.compute())

    return score


def pyimgano_score(folder: Path) -> Callable:
    """Load pyimgano's AUPRO."""
    module = load_file(folder / "pyimgano/evaluation.py", "pyimgano_evaluation")
    return lambda masks, maps: module.compute_aupro(masks, maps, integration_limit=0.3)


def imgad_score(folder: Path) -> Callable:
    """Load imgad's AUPRO, which does not use the modules that its file imports."""
    names = {
        "detectors": ("BaseDetector", "build_detector"),
        "detectors.zero_shot": ("needs_text",),
        "features": ("FeatureExtractor", "build_extractor"),
        "preprocessing": ("build_preprocessing",),
        "progress": ("BenchmarkProgress", "ensure_console", "fmt_duration", "logger", "step"),
    }
    stub("imgad", *(f"imgad.{name}" for name in names))
    for name, attributes in names.items():
        for attribute in attributes:
            setattr(sys.modules[f"imgad.{name}"], attribute, None)
    module = load_file(folder / "imgad/evaluation.py", "imgad.evaluation")
    return lambda masks, maps: module.aupro(masks, maps, max_fpr=0.3)


def adeval_score() -> Callable:
    """Load adeval's AUPRO, which also computes two pixel scores."""
    from adeval.mem_effic import auroc_aupr_aupro

    return lambda masks, maps: auroc_aupr_aupro(maps, masks.astype(np.uint8))[2]


def stub(*names: str) -> None:
    """Register empty modules for packages that are not installed."""
    for name in names:
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = []


def load_file(path: Path, name: str) -> types.ModuleType:
    """Import one file of a package without importing the package."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def best_of_three(compute: Callable, masks: np.ndarray, maps: np.ndarray) -> tuple[float, float]:
    """Return the shortest time of three calls, and the value."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        value = compute(masks, maps)
        times.append(time.perf_counter() - start)
    return min(times), float(value)


def peak_memory(compute: Callable, masks: np.ndarray, maps: np.ndarray) -> float:
    """Measure the peak allocation of a call, in multiples of the score array's size."""
    tracemalloc.start()
    compute(masks, maps)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / maps.nbytes


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = options(__doc__)
    parser.add_argument("--peers", type=Path, help="folder where the peers are installed")
    parser.add_argument("--megapixels", type=float, nargs="+", default=[8, 30])
    return parser.parse_args()


if __name__ == "__main__":
    main()
