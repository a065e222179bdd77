"""What the benchmarks share."""

import functools
import platform
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from sk_ssimae import (
    FeatureMatchingAutoencoderSegmenter,
    L2AutoencoderSegmenter,
    SSIMAutoencoderSegmenter,
    VariationalAutoencoderSegmenter,
    __version__,
)
from sk_ssimae.metrics import pixel_roc_auc_score, pro_auc_score

# Features are those of EfficientNet-Lite0, not of the publication's AlexNet. Between good nanofibre
# patches and blurred ones they differ 800 to 2,300 times as much as pixels, in summed squares: the
# weight makes both count alike.
ESTIMATORS = {
    "ssim": SSIMAutoencoderSegmenter,
    "l2": L2AutoencoderSegmenter,
    "vae": VariationalAutoencoderSegmenter,
    "fm-efficientnet-lite0": functools.partial(
        FeatureMatchingAutoencoderSegmenter,
        feature_extractor="efficientnet-lite0",
        feature_weight=1e-3,
    ),
}
SIGMAS = (0, 2, 4, 8, 12)


def smoothed_areas(residual_maps: list, masks: list) -> dict[str, dict[int, float]]:
    """Compute pixel ROC AUC and PRO AUC as trained and after smoothing, as `smoothing` would."""
    areas: dict = {"pixel_roc_auc": {}, "pro_auc": {}}
    for sigma in SIGMAS:
        smoothed = [gaussian_filter(residual_map, sigma) for residual_map in residual_maps]
        areas["pixel_roc_auc"][sigma] = pixel_roc_auc_score(masks, smoothed)
        areas["pro_auc"][sigma] = pro_auc_score(masks, smoothed)
    return areas


def describe_machine() -> dict:
    """Tell what figures depend on."""
    return {
        "sk_ssimae": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "threads": torch.get_num_threads(),
        "machine": _processor(),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
