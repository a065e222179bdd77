"""Results of segmentation."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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
    """

    residual_map: Map
    mask: Mask
    score: float


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
