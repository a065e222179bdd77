"""Curves of residual maps by image, from which scores of resampled images are computed."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Counts = NDArray[np.float64]

_N_LEVELS = 1000
_MAX_FPR = 0.3


class Curves(NamedTuple):
    """Shares of the pixels above each of many levels.

    Attributes
    ----------
    good, defective : array of shape (n_images, n_levels)
        Numbers of good and of defective pixels of each image above each level.
    regions : array of shape (n_regions, n_levels)
        Shares of the pixels of each defect above each level.
    image_of_region : array of int, shape (n_regions,)
        Image of each defect.
    """

    good: Counts
    defective: Counts
    regions: Counts
    image_of_region: NDArray[np.intp]

    @classmethod
    def of_images(cls, masks: Sequence[NDArray], maps: Sequence[NDArray]) -> Self:
        """Count the pixels of residual maps above levels that all images share.

        Levels are those that given shares of the good pixels exceed, closer where few do.
        """
        masks = [np.asarray(mask) > 0 for mask in masks]
        pooled = np.sort(np.concatenate([m[~mask] for mask, m in zip(masks, maps, strict=True)]))
        shares = np.linspace(0, 1, _N_LEVELS) ** 3
        levels = np.unique(pooled[((1 - shares) * (pooled.size - 1)).astype(int)])

        def above(values: NDArray) -> Counts:
            ordered = np.sort(values)
            return ordered.size - np.searchsorted(ordered, levels, side="right").astype(float)

        good, defective, regions, image_of_region = [], [], [], []
        for index, (mask, residual_map) in enumerate(zip(masks, maps, strict=True)):
            good.append(above(residual_map[~mask]))
            defective.append(above(residual_map[mask]))
            labels, n_regions = ndimage.label(mask, np.ones((3, 3)))
            for label in range(1, n_regions + 1):
                values = residual_map[labels == label]
                regions.append(above(values) / values.size)
                image_of_region.append(index)
        # Below the lowest level are all pixels; the complement is needed for shares of all.
        totals = [np.array([[np.sum(mask == kind)] for mask in masks]) for kind in (False, True)]
        return cls(
            np.hstack([totals[0], good]),
            np.hstack([totals[1], defective]),
            np.hstack([np.ones((len(regions), 1)), regions]),
            np.array(image_of_region),
        )

    def scores(self, images: NDArray[np.intp] | None = None) -> tuple[float, float]:
        """Return pixel ROC AUC, and PRO AUC up to a false positive rate of 0.3.

        Parameters
        ----------
        images : array of int, optional
            Images that count, repeated ones several times; all once by default.
        """
        n_images = len(self.good)
        times = np.bincount(np.arange(n_images) if images is None else images, minlength=n_images)
        good, defective = times @ self.good, times @ self.defective
        fpr, tpr = (np.append(counts, 0)[::-1] / counts[0] for counts in (good, defective))
        weights = times[self.image_of_region]
        overlap = np.append(weights @ self.regions / weights.sum(), 0)[::-1]
        auc = float(np.trapezoid(tpr, fpr))
        x = np.append(fpr[fpr < _MAX_FPR], _MAX_FPR)
        return auc, float(np.trapezoid(np.interp(x, fpr, overlap), x) / _MAX_FPR)

    def save(self, path: Path) -> None:
        """Write the curves to a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, **self._asdict())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read curves from a file."""
        with np.load(path) as file:
            return cls(**file)
