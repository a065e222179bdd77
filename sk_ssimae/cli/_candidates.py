"""Regions that a map may contain, whatever the verdict's level, for a page that moves it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import measure

from sk_ssimae._inference._decision import Levels, extent
from sk_ssimae.cli._runs import runs_of_pixels


class Candidate(NamedTuple):
    """A connected set of pixels above the level of the extent.

    It is defective exactly if its peak exceeds the verdict's level, so that a mask at any such
    level, not below that of the extent, is the union of some candidates.

    Attributes
    ----------
    peak : float
        Highest value of the opened map in it.
    area : int
        Number of pixels.
    row, column : int
        Pixel of the peak; the first if there are several.
    runs : list of int
        Its pixels in row-major order: alternately how many pixels to pass over and how many
        belong to it.
    """

    peak: float
    area: int
    row: int
    column: int
    runs: list[int]


def find_candidates(opened_map: NDArray[np.float32], levels: Levels) -> list[Candidate]:
    """Find the candidates in an opened map of shape (h, w), highest peaks first."""
    labels, n_regions = measure.label(extent(opened_map, levels), connectivity=1, return_num=True)
    if n_regions == 0:
        return []
    numbers = np.arange(1, n_regions + 1)
    peaks = ndimage.maximum(opened_map, labels, numbers)
    places = ndimage.maximum_position(opened_map, labels, numbers)
    areas = np.bincount(labels.ravel())[1:]
    runs = _runs_of_labels(labels)
    candidates = [
        Candidate(float(peak), int(area), int(row), int(column), own)
        for peak, area, (row, column), own in zip(peaks, areas, places, runs, strict=True)
    ]
    return sorted(candidates, key=lambda candidate: -candidate.peak)


def _runs_of_labels(labels: NDArray[np.int_]) -> list[list[int]]:
    """Encode the pixels of each label from 1 on."""
    flat = labels.ravel()
    pixels = np.flatnonzero(flat)
    # Stable, so that the pixels of a label stay in row-major order.
    pixels = pixels[np.argsort(flat[pixels], kind="stable")]
    ends = np.cumsum(np.bincount(flat)[1:])
    return [runs_of_pixels(own) for own in np.split(pixels, ends[:-1])]
