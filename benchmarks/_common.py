"""What the benchmarks share."""

import platform
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from sk_ssimae import L2AutoencoderSegmenter, SSIMAutoencoderSegmenter, __version__
from sk_ssimae.metrics import pixel_roc_auc_score

ESTIMATORS = {"ssim": SSIMAutoencoderSegmenter, "l2": L2AutoencoderSegmenter}
SIGMAS = (0, 2, 4, 8, 12)


def smoothed_areas(residual_maps: list, masks: list) -> dict[int, float]:
    """Compute the pooled pixel ROC AUC as trained and after smoothing, as `smoothing` would."""
    return {
        sigma: pixel_roc_auc_score(masks, [gaussian_filter(r, sigma) for r in residual_maps])
        for sigma in SIGMAS
    }


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
