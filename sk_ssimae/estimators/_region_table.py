"""The defective regions of images as tables."""

import math
from abc import ABCMeta, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label, regionprops_table

from sk_ssimae._validation import is_collection

Regions = NDArray[np.void]

#: Columns of a table of regions.
REGION_TYPE = np.dtype(
    [
        ("label", np.int64),
        ("min_row", np.int64),
        ("min_column", np.int64),
        ("max_row", np.int64),
        ("max_column", np.int64),
        ("centroid_row", np.float64),
        ("centroid_column", np.float64),
        ("area", np.int64),
        ("peak", np.float64),
        ("mean_residual", np.float64),
        ("distance", np.float64),
    ]
)
_OF_MASK = {
    "label": "label",
    "bbox-0": "min_row",
    "bbox-1": "min_column",
    "bbox-2": "max_row",
    "bbox-3": "max_column",
    "centroid-0": "centroid_row",
    "centroid-1": "centroid_column",
    "area": "area",
}


class TabulatedRegions(metaclass=ABCMeta):
    """Segmentation that tabulates the defective regions of its masks."""

    @property
    def good_deviation(self) -> float:
        """Standard deviation of good opened maps, the unit of distances; NaN if it is unknown."""
        return math.nan

    @abstractmethod
    def segment_images(self, X: Any, *, roi: Any = None) -> Iterator[Any]:
        """Compute the results of one image at a time, each with a method ``find_regions``."""

    def find_regions(self, X: Any, *, roi: Any = None) -> list[Regions]:
        """Tabulate the defective regions of each image.

        Parameters
        ----------
        X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays or paths
            Images.
        roi : None, mask of shape (h, w), or masks of shape (n, h, w) or a sequence of (h, w)
            Region of interest: True where a pixel is inspected; a single mask holds for all images.
            None inspects all pixels.

        Returns
        -------
        list of structured arrays of shape (n_regions,)
            The regions of the masks of `predict`, numbered row by row; none for an image without
            defects. :func:`~sk_ssimae.estimators.regions_to_pandas` makes one DataFrame of them.
            The columns are

            label : int
                Number of the region in its image, from 1.
            min_row, min_column, max_row, max_column : int
                Bounding box: its rows are ``min_row:max_row``, its columns
                ``min_column:max_column``.
            centroid_row, centroid_column : float
                Mean place of its pixels.
            area : int
                Number of its pixels.
            peak : float
                Maximum of the opened residual map, above `threshold_`.
            mean_residual : float
                Mean of the residual map.
            distance : float
                How far the peak exceeds the threshold: ``(peak - threshold_) / d``, where d is the
                standard deviation of all pixels of the opened maps of the good images of
                calibration. NaN if nothing was calibrated.

        Examples
        --------
        >>> from sk_ssimae import PatchDictionarySegmenter
        >>> from sk_ssimae.datasets import make_woven_fabric
        >>> good = make_woven_fabric(12, shape=(64, 96), random_state=0)
        >>> segmenter = PatchDictionarySegmenter(random_state=0).fit(good)
        >>> images = good[:1].copy()
        >>> images[0, 20:40, 30:50] = 1  # A bright square.
        >>> (table,) = segmenter.find_regions(images)
        >>> len(table), bool(table["peak"].max() == segmenter.score_images(images)[0])
        (1, True)
        """
        return [found.find_regions() for found in self.segment_images(X, roi=roi)]


def tabulate_regions(
    mask: NDArray[np.bool_],
    opened_map: NDArray[np.float32],
    residual_map: NDArray[np.float32],
    threshold: float,
    good_deviation: float,
) -> Regions:
    """Tabulate the connected regions of a mask.

    Parameters
    ----------
    mask : array of bool, shape (h, w)
        Mask as from ``predict``.
    opened_map, residual_map : array of float32, shape (h, w)
        Opened map, for the peaks, and residual map, for the means.
    threshold : float
        The verdict's level.
    good_deviation : float
        Unit of the distances; NaN if it is unknown.

    Returns
    -------
    array of shape (n_regions,)
        A structured array with the columns that ``Segmentation.find_regions`` lists.
    """
    labels = label(mask, connectivity=1)  # As in the hysteresis of predict.
    # Minus infinity, where a pixel is not inspected, times 0 would be NaN.
    opened_map = np.where(mask, opened_map, np.float32(0))
    measured = regionprops_table(
        labels, opened_map, properties=("label", "bbox", "centroid", "area", "intensity_max")
    )
    means = regionprops_table(labels, residual_map, properties=("intensity_mean",))
    table = np.zeros(len(measured["label"]), dtype=REGION_TYPE)
    for source, column in _OF_MASK.items():
        table[column] = measured[source]
    table["peak"] = measured["intensity_max"]
    table["mean_residual"] = means["intensity_mean"]
    # Without any variation there is no unit.
    unit = good_deviation if good_deviation > 0 else np.nan
    table["distance"] = (table["peak"] - threshold) / unit
    return table


def regions_to_pandas(tables: Sequence[Any], images: Sequence[Any] | None = None) -> Any:
    """Put the tables of ``find_regions`` into one pandas DataFrame.

    Parameters
    ----------
    tables : sequence of structured arrays
        One table of regions for each image.
    images : sequence, default=None
        Name of each image; None for its index.

    Returns
    -------
    pandas.DataFrame
        A row for each region: the column ``image``, then those of the tables.

    Raises
    ------
    ImportError
        If pandas is not installed.
    TypeError, ValueError
        If `tables` is not a sequence of tables of ``find_regions``, or `images` not one of the same
        length.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ssimae import PatchDictionarySegmenter
    >>> from sk_ssimae.datasets import make_woven_fabric
    >>> from sk_ssimae.estimators import regions_to_pandas
    >>> images = make_woven_fabric(4, shape=(48, 80), random_state=0)
    >>> segmenter = PatchDictionarySegmenter(random_state=0).fit(images)
    >>> regions_to_pandas(segmenter.find_regions(images))  # doctest: +SKIP
    """
    _check_tables(tables, images)
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(
            "regions_to_pandas needs pandas. Install it, or use the tables of find_regions as they "
            "are: they are structured NumPy arrays."
        ) from error
    frame = pd.DataFrame(np.concatenate([np.zeros(0, REGION_TYPE), *tables]))
    owners = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    frame.insert(0, "image", owners if images is None else [images[int(owner)] for owner in owners])
    return frame


def _check_tables(tables: Any, images: Any) -> None:
    """Check the arguments of `regions_to_pandas`."""
    if isinstance(tables, np.ndarray) and tables.dtype == REGION_TYPE:
        raise TypeError(
            "tables must be a list of the tables that find_regions returns, got a single table "
            "instead: wrap it in a list."
        )
    if not isinstance(tables, list | tuple) or any(
        not isinstance(table, np.ndarray) or table.dtype != REGION_TYPE or table.ndim != 1
        for table in tables
    ):
        raise TypeError(
            "tables must be a list of the tables that find_regions returns, one per image, got "
            f"{type(tables).__name__} with other content instead."
        )
    if images is None:
        return
    if not is_collection(images):
        raise TypeError(
            f"images must be a sequence with a name for each table, got {images!r} instead."
        )
    if len(images) != len(tables):
        raise ValueError(
            f"images must contain a name for each of the {len(tables)} tables, got {len(images)} "
            "instead."
        )
