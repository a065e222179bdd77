"""A model from its file, and its results for an image, computed in one pass."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._out_of_memory import is_out_of_memory
from sk_ssimae.cli._text import one_line
from sk_ssimae.estimators import BaseSegmenter, SegmentedImage
from sk_ssimae.estimators._region_table import Regions
from sk_ssimae.persistence._segmenter import Loaded, load_with_checksum


class Inspection(SegmentedImage):
    """Results of a segmenter for an image, and the numbers that tables show of them."""

    @cached_property
    def regions(self) -> Regions:
        """Table of the regions, as from `find_regions`."""
        return self.find_regions()

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
        """Number of pixels of the largest region; 0 if there is none."""
        return int(self.regions["area"].max(initial=0))


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
    if path.is_dir():
        raise IsADirectoryError(
            f"MODEL must be a file, got the folder {str(path)!r} instead. sk-ssimae fit writes one."
        )
    return load_with_checksum(path, device=device)


def load_model(path: Path, device: str, threshold: float | None = None) -> Loaded:
    """Load a model that has a threshold, or give it one.

    Raises
    ------
    OSError, ValueError
        If it cannot be loaded, or has no threshold.
    """
    loaded = open_model(path, device)
    if threshold is not None:
        loaded.segmenter.set_params(threshold=threshold)
    loaded.segmenter.threshold_  # noqa: B018  # Raises if there is none.
    return loaded


def n_complete_epochs(history: Sequence[Mapping[str, Any]]) -> int:
    """Count the complete epochs of a training."""
    return sum("train_loss" in epoch for epoch in history)


def fitted_parts(segmenter: BaseSegmenter) -> dict[str, Any]:
    """Return the fitted members of an ensemble by name, those of nested ensembles too.

    Any other segmenter is its own part, with an empty name.
    """
    if "segmenters" not in segmenter.parameters:
        return {"": segmenter}
    members: Mapping[str, BaseSegmenter] = getattr(segmenter, "named_segmenters_", {})
    return {
        f"{name}__{inner}".removesuffix("__"): part
        for name, member in members.items()
        for inner, part in fitted_parts(member).items()
    }


def was_interrupted(segmenter: BaseSegmenter) -> bool:
    """Tell whether training of the segmenter, or of a member, ended before its last epoch."""
    return any(map(stopped_early, fitted_parts(segmenter).values()))


def stopped_early(part: Any) -> bool:
    """Tell whether a segmenter that trains in epochs ended before its last one was complete."""
    if "max_epochs" not in part.parameters:
        return False
    # An interrupt between two epochs ends training too, and the net does not record it.
    return bool(part.net_.interrupted_ or len(part.history_) < part.max_epochs)


def promise(segmenter: BaseSegmenter) -> str:
    """Return the promise of the threshold in plain words."""
    if isinstance(segmenter.threshold, str):
        return segmenter.calibration_.promise()
    return "It is a fixed number, not found on good images: it promises nothing."
