"""A model from its file, and what it says of an image, computed once."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sk_ssimae._inference._postprocessing import open_map
from sk_ssimae.cli._terminal import is_out_of_memory, one_line
from sk_ssimae.estimators import BaseSegmenter
from sk_ssimae.persistence._segmenter import Loaded, load_with_checksum


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


@contextmanager
def naming_what_is_too_large(image: Path) -> Iterator[None]:
    """Turn memory that runs out over an image into an error that names the image.

    Raises
    ------
    ValueError
        In the place of what NumPy and torch raise.
    """
    try:
        yield
    # What memory that runs out is raised as, by itself or as the cause of another error.
    except (MemoryError, RuntimeError, OSError, ValueError) as error:
        if not is_out_of_memory(error):
            raise
        raise ValueError(
            f"{str(image)!r} is too large for the memory here ({one_line(error):.200}). Fit with "
            "an --image-size, or with a smaller --set inference_batch_size."
        ) from error


def segment(segmenter: BaseSegmenter, image: Path) -> Segmentation:
    """Compute residual map, mask and score of an image file in one pass.

    Raises
    ------
    OSError, TypeError, ValueError
        If the file cannot be read, is no image that the segmenter takes, or is too large.
    """
    with naming_what_is_too_large(image):
        residual_map = segmenter.decision_function([image])[0]
        opened = open_map(residual_map, segmenter.opening_diameter)
        # A float64, as in predict: NumPy would round a Python float to the map's float32.
        mask = opened > np.float64(segmenter.threshold_)
        return Segmentation(residual_map, mask, float(opened.max()))


def open_model(path: Path, device: str | None = None) -> Loaded:
    """Load a model, whether or not it has a threshold.

    Raises
    ------
    OSError, ValueError
        If it cannot be loaded.
    """
    if not path.exists():
        raise FileNotFoundError(f"MODEL: there is no file {str(path)!r}. sk-ssimae fit makes one.")
    return load_with_checksum(path, device=device)


def load_model(path: Path, device: str) -> Loaded:
    """Load a model that has a threshold.

    Raises
    ------
    OSError, ValueError
        If it cannot be loaded, or its threshold was never found.
    """
    loaded = open_model(path, device)
    loaded.segmenter.threshold_  # noqa: B018  # Raises where there is none.
    return loaded


def n_complete_epochs(history: Sequence[Mapping[str, Any]]) -> int:
    """Count the epochs of a training that came to their end."""
    return sum("train_loss" in epoch for epoch in history)


def was_interrupted(segmenter: BaseSegmenter) -> bool:
    """Tell whether training ended before its last epoch did."""
    # Between two epochs the keyboard ends training, too, which the net does not note.
    return segmenter.net_.interrupted_ or len(segmenter.history_) < segmenter.max_epochs


def promise(segmenter: BaseSegmenter) -> str:
    """Say in a sentence what the threshold promises."""
    if isinstance(segmenter.threshold, str):
        return segmenter.calibration_.promise()
    return "It is a number that was given and not found on good images: it promises nothing."
