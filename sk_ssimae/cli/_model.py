"""A model from its file, and its results for an image, computed in one pass."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sk_ssimae.cli._terminal import is_out_of_memory
from sk_ssimae.cli._text import one_line
from sk_ssimae.estimators import BaseAutoencoderSegmenter, BaseSegmenter, SegmentedImage
from sk_ssimae.persistence._segmenter import Loaded, load_with_checksum


class Inspection(SegmentedImage):
    """Results of a segmenter for an image, and the numbers that tables show of them."""

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
        """Number of pixels of the largest 8-connected marked region; 0 if there is none."""
        regions, n_regions = ndimage.label(self.mask, structure=np.ones((3, 3)))
        return int(np.bincount(regions.ravel())[1:].max()) if n_regions else 0


@contextmanager
def naming_too_large_images(image: Path) -> Iterator[None]:
    """Turn an out-of-memory error into one that names the image.

    Raises
    ------
    ValueError
        Instead of the errors that NumPy and torch raise.
    """
    try:
        yield
    # Running out of memory is raised as any of these, directly or as the cause of another error.
    except (MemoryError, RuntimeError, OSError, ValueError) as error:
        if not is_out_of_memory(error):
            raise
        raise ValueError(
            f"{str(image)!r} is too large for the memory here ({one_line(error):.200}). Fit with "
            "an --image-size, or use segment_blocks in Python."
        ) from error


def segment(
    segmenter: BaseSegmenter, image: Path, inside: NDArray[np.bool_] | None = None
) -> Inspection:
    """Compute residual map, mask and score of the inspected pixels of an image file in one pass.

    Raises
    ------
    OSError, TypeError, ValueError
        If the file cannot be read, is not an image that suits the segmenter, or is too large.
    """
    with naming_too_large_images(image):
        roi = None if inside is None else [inside]
        return Inspection(*next(segmenter.segment_images([image], roi=roi)))


def open_model(path: Path, device: str | None = None) -> Loaded:
    """Load a model, whether or not it has a threshold.

    Raises
    ------
    OSError, ValueError
        If it cannot be loaded.
    """
    if not path.exists():
        raise FileNotFoundError(f"MODEL: there is no file {str(path)!r}. sk-ssimae fit writes one.")
    return load_with_checksum(path, device=device)


def load_model(path: Path, device: str) -> Loaded:
    """Load a model that has a threshold.

    Raises
    ------
    OSError, ValueError
        If it cannot be loaded, or has no threshold.
    """
    loaded = open_model(path, device)
    loaded.segmenter.threshold_  # noqa: B018  # Raises if there is none.
    return loaded


def n_complete_epochs(history: Sequence[Mapping[str, Any]]) -> int:
    """Count the complete epochs of a training."""
    return sum("train_loss" in epoch for epoch in history)


def was_interrupted(segmenter: BaseAutoencoderSegmenter) -> bool:
    """Tell whether training ended before its last epoch was complete."""
    # An interrupt between two epochs ends training too, and the net does not record it.
    return segmenter.net_.interrupted_ or len(segmenter.history_) < segmenter.max_epochs


def promise(segmenter: BaseSegmenter) -> str:
    """Return the promise of the threshold in plain words."""
    if isinstance(segmenter.threshold, str):
        return segmenter.calibration_.promise()
    return "It is a fixed number, not found on good images: it promises nothing."
