"""A model from its file, and what it says of an image, computed once."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sk_ssimae import persistence
from sk_ssimae.estimators import BaseSegmenter
from sk_ssimae.estimators._postprocessing import open_map


class Segmentation(NamedTuple):
    """What a segmenter says of an image.

    Attributes
    ----------
    residual_map : array of float32, shape (h, w)
        As of `decision_function`.
    mask : array of bool, shape (h, w)
        As of `predict`.
    score : float
        As of `score_images`.
    """

    residual_map: NDArray[np.float32]
    mask: NDArray[np.bool_]
    score: float

    @property
    def defective(self) -> bool:
        """Whether any pixel is marked."""
        return bool(self.mask.any())

    @property
    def marked_share(self) -> float:
        """Share of the pixels that are marked, in [0, 1]."""
        return float(self.mask.mean())

    @property
    def largest_region(self) -> int:
        """Pixels of the largest 8-connected marked region; 0 if there is none."""
        regions, n_regions = ndimage.label(self.mask, structure=np.ones((3, 3)))
        return int(np.bincount(regions.ravel())[1:].max()) if n_regions else 0


def segment(segmenter: BaseSegmenter, image: Path) -> Segmentation:
    """Compute residual map, mask and score of an image file in one pass.

    Raises
    ------
    OSError, TypeError, ValueError
        If the file cannot be read or is no image that the segmenter takes.
    """
    residual_map = segmenter.decision_function([image])[0]
    opened = open_map(residual_map, segmenter.opening_diameter)
    # A float64, as in predict: NumPy would round a Python float to the map's float32.
    mask = opened > np.float64(segmenter.threshold_)
    return Segmentation(residual_map, mask, float(opened.max()))


def open_model(path: Path, device: str | None = None) -> BaseSegmenter:
    """Load a model, whether or not it has a threshold.

    Raises
    ------
    OSError, ValueError
        If it cannot be loaded.
    """
    if not path.exists():
        raise FileNotFoundError(f"MODEL: there is no file {str(path)!r}. sk-ssimae fit makes one.")
    return persistence.load(path, device=device)


def load_model(path: Path, device: str) -> BaseSegmenter:
    """Load a model that has a threshold.

    Raises
    ------
    OSError, ValueError
        If it cannot be loaded, or its threshold was never found.
    """
    segmenter = open_model(path, device)
    segmenter.threshold_  # noqa: B018  # Raises where there is none.
    return segmenter


def checksum(path: Path) -> str:
    """Compute the SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def promise(segmenter: BaseSegmenter) -> str:
    """Say in a sentence what the threshold promises."""
    if isinstance(segmenter.threshold, str):
        return segmenter.calibration_.promise()
    return "It is a number that was given and not found on good images: it promises nothing."
