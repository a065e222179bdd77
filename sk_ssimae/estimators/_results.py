"""Results of segmentation."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._inference._decision import is_finite
from sk_ssimae.estimators._region_table import Regions, tabulate_regions

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]


class SegmentedImage(NamedTuple):
    """Residual map, mask and score of an image, computed in one pass.

    Attributes
    ----------
    residual_map : array of float32, shape (h, w)
        As from ``decision_function``: high means defective.
    mask : array of bool, shape (h, w)
        As from ``predict``: True means defective.
    score : float
        As from ``score_images``: the maximum of the opened residual map.
    opened_map : array of float32, shape (h, w)
        The opened residual map, which was compared with the levels.
    threshold : float
        Value of ``threshold_``.
    good_deviation : float
        Standard deviation of good opened maps; NaN if it is unknown.
    """

    residual_map: Map
    mask: Mask
    score: float
    opened_map: Map
    threshold: float
    good_deviation: float

    def find_regions(self) -> Regions:
        """Tabulate the defective regions, as ``find_regions`` of the segmenter; at each call."""
        return tabulate_regions(
            self.mask, self.opened_map, self.residual_map, self.threshold, self.good_deviation
        )


class SegmentedBlock(NamedTuple):
    """Residual map, mask and score of a rectangle of an image.

    Attributes
    ----------
    rows, columns : slice
        Its place: ``maps[block.rows, block.columns] = block.residual_map`` writes it.
    residual_map : array of float32, shape (h, w)
        As from ``decision_function``: high means defective.
    mask : array of bool, shape (h, w)
        As from ``predict``: True means defective.
    score : float
        Maximum of the opened residual map. The greatest of all blocks equals the score of the whole
        image from ``score_images``.
    """

    rows: slice
    columns: slice
    residual_map: Map
    mask: Mask
    score: float


def check_residual(residual: Any, shape: tuple[int, ...], name: str) -> Map:
    """Check a residual that a segmenter, called `name` in messages, has computed.

    Raises
    ------
    ValueError
        If its shape is not that of the image, or it is not finite: resized, or compared with the
        threshold, it would silently lead to a wrong mask.
    """
    if np.shape(residual) != shape:
        raise ValueError(
            f"{name} must compute a residual of the height and width of the image, {shape}, got "
            f"shape {np.shape(residual)} instead."
        )
    checked: Map = np.asarray(residual, dtype=np.float32)
    if not is_finite(checked):
        raise ValueError(f"{name} must compute finite residuals, got NaN or infinity instead.")
    return checked
