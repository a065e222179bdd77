"""Difference between an exported segmenter and the original, on the user's images."""

from itertools import starmap
from typing import Any, NamedTuple

import numpy as np

from sk_ssimae._validation import check_mask_shapes, check_masks, check_some_defective
from sk_ssimae.estimators._results import Map
from sk_ssimae.estimators._segmentation import Segmentation
from sk_ssimae.metrics import pixel_roc_auc_score


class ParityReport(NamedTuple):
    """Difference between two segmenters; print it for a sentence.

    Attributes
    ----------
    n_images : int
        Number of images compared.
    max_abs_difference : float
        Largest difference between the two residuals of a pixel.
    largest_residual : float
        Largest absolute residual of the first segmenter, to compare with.
    auc_difference : float or None
        Absolute difference of the areas under the pixel ROC curves; None without masks.
    """

    n_images: int
    max_abs_difference: float
    largest_residual: float
    auc_difference: float | None

    def __str__(self) -> str:
        of_maps = (
            f"Residual maps of {self.n_images} image(s) differ by at most "
            f"{self.max_abs_difference:.1e}, where residuals reach {self.largest_residual:.3g}"
        )
        if self.auc_difference is None:
            return f"{of_maps}."
        return f"{of_maps}; their pixel ROC AUC differs by {self.auc_difference:.1e}."


def parity_report(
    segmenter: Segmentation, onnx_segmenter: Segmentation, X: Any, y: Any = None
) -> ParityReport:
    """Compare the residual maps of a segmenter with those of its export.

    Parameters
    ----------
    segmenter : fitted segmenter
        The original.
    onnx_segmenter : OnnxSegmenter
        Its export.
    X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays or paths
        Images.
    y : masks of shape (n, h, w) or a sequence of (h, w), or None, default=None
        1 where a pixel is defective, to compare the areas under the pixel ROC curves too.

    Returns
    -------
    ParityReport
        The differences.

    Raises
    ------
    TypeError, ValueError
        If an image or a mask is not as described, or `y` marks no pixel or every pixel.

    See Also
    --------
    export_onnx : Has an example.
    """
    maps, exported_maps = (list(s.iter_decision_function(X)) for s in (segmenter, onnx_segmenter))
    auc_difference = None
    if y is not None:
        check_masks(y)
        check_some_defective(y, len(maps))
        check_mask_shapes(y, maps)
        auc_difference = abs(pixel_roc_auc_score(y, maps) - pixel_roc_auc_score(y, exported_maps))
    return ParityReport(
        len(maps),
        max(starmap(_largest_difference, zip(maps, exported_maps, strict=True))),
        max(float(np.abs(residual_map).max()) for residual_map in maps),
        auc_difference,
    )


def _largest_difference(first: Map, second: Map) -> float:
    return float(np.abs(first - second).max())
