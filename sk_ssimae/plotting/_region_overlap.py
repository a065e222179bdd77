"""Draw the overlap of defective regions with the segmentation against the false positive rate."""

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._validation import to_array
from sk_ssimae.metrics import region_overlap_quantiles
from sk_ssimae.metrics._pooling import check_rate
from sk_ssimae.plotting._display import CurveDisplay


class RegionOverlapDisplay(CurveDisplay):
    """Quantiles over the defective regions of their overlap with the segmentation.

    Figure 7 of the paper: for each false positive rate, the share of a region's pixels that is
    detected. The median region is a line, and each outer pair of quantiles a band. Create it with
    :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    fpr : array of shape (n_rates,)
        False positive rates.
    overlaps : array of shape (n_rates, n_quantiles)
        Quantiles of the overlap, as :func:`~sk_ssimae.metrics.region_overlap_quantiles` returns
        them.
    quantiles : sequence of float, default=(0.25, 0.5, 0.75)
        Quantiles over the regions: an odd number, ascending. The middle one is the line.
    name : str, optional
        Name of the line, for the legend.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The middle quantile.
    bands_ : list of matplotlib PolyCollection
        Bands between the outer pairs of quantiles, the outermost first.
    ax_ : matplotlib Axes
        Axes with the line.
    figure_ : matplotlib Figure
        Figure with the line.

    Raises
    ------
    ValueError
        If the number of quantiles is even or differs from the number of columns of `overlaps`, or
        they do not ascend.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ssimae.plotting import RegionOverlapDisplay
    >>> masks = np.random.default_rng(0).random((2, 32, 32)) < 0.1
    >>> residual_maps = masks + np.random.default_rng(1).normal(size=masks.shape)
    >>> display = RegionOverlapDisplay.from_predictions(masks, residual_maps, name="noise")
    >>> display.line_.get_label()
    'noise'
    """

    _axes_settings: ClassVar = {
        "xlabel": "false positive rate",
        "ylabel": "overlap with the true region",
        "ylim": (0, 1.02),
    }

    def __init__(
        self,
        fpr: NDArray[Any],
        overlaps: NDArray[Any],
        *,
        quantiles: Sequence[float] = (0.25, 0.5, 0.75),
        name: str | None = None,
    ) -> None:
        _check_quantiles(quantiles)
        if np.shape(overlaps) != (len(fpr), len(quantiles)):
            raise ValueError(
                f"overlaps must have shape (n_rates, n_quantiles), {(len(fpr), len(quantiles))}, "
                f"got {np.shape(overlaps)} instead."
            )
        self.fpr = fpr
        self.overlaps = overlaps
        self.quantiles = quantiles
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        name: str | None = None,
        ax: Any = None,
        max_fpr: float = 0.3,
        quantiles: Sequence[float] = (0.25, 0.5, 0.75),
        **plot_params: Any,
    ) -> Self:
        """Compute residual maps and plot their overlap with the true regions.

        Parameters
        ----------
        estimator, X, y, name, ax
            As for :meth:`PixelRocCurveDisplay.from_estimator`.
        max_fpr, quantiles, **plot_params
            As for :meth:`from_predictions`.

        Returns
        -------
        Self
            The display, plotted.
        """
        _check_quantiles(quantiles)
        check_rate(max_fpr, "max_fpr")
        options = {"max_fpr": max_fpr, "quantiles": quantiles}
        return super().from_estimator(estimator, X, y, name=name, ax=ax, **options, **plot_params)

    @classmethod
    def from_predictions(
        cls,
        masks: Any,
        residual_maps: Any,
        *,
        name: str | None = None,
        ax: Any = None,
        max_fpr: float = 0.3,
        quantiles: Sequence[float] = (0.25, 0.5, 0.75),
        **plot_params: Any,
    ) -> Self:
        """Plot the overlap of residual maps with the true regions.

        Parameters
        ----------
        masks, residual_maps, name, ax
            As for :meth:`PixelRocCurveDisplay.from_predictions`.
        max_fpr : float in (0, 1], default=0.3
            Largest false positive rate shown.
        quantiles : sequence of float, default=(0.25, 0.5, 0.75)
            Quantiles over the regions: an odd number, ascending.
        **plot_params
            Passed to :meth:`plot`.

        Returns
        -------
        Self
            The display, plotted.
        """
        display = cls._compute(
            masks, residual_maps, name=name, max_fpr=max_fpr, quantiles=quantiles
        )
        return display.plot(ax, **plot_params)

    @classmethod
    def _compute(
        cls,
        masks: Any,
        residual_maps: Any,
        *,
        name: str | None,
        max_fpr: float = 0.3,
        quantiles: Sequence[float] = (0.25, 0.5, 0.75),
    ) -> Self:
        _check_quantiles(quantiles)
        check_rate(max_fpr, "max_fpr")
        fpr = np.linspace(0, max_fpr, 101)
        overlaps = region_overlap_quantiles(masks, residual_maps, fpr, quantiles=quantiles)
        return cls(fpr, overlaps, quantiles=quantiles, name=name)

    def _line(self) -> tuple[NDArray[Any], NDArray[Any]]:
        return self.fpr, np.asarray(self.overlaps)[:, len(self.quantiles) // 2]

    def _draw_more(self) -> None:
        columns, color = np.asarray(self.overlaps).T, self.line_.get_color()
        self.bands_ = [
            self.ax_.fill_between(
                self.fpr, columns[i], columns[-1 - i], color=color, alpha=0.2, linewidth=0
            )
            for i in range(len(self.quantiles) // 2)
        ]


def _check_quantiles(quantiles: Sequence[float]) -> None:
    numbers = to_array(quantiles, "quantiles", "(n,)")
    is_list = numbers.dtype.kind in "biuf" and numbers.ndim == 1
    if not is_list or numbers.size % 2 == 0 or (numbers[1:] < numbers[:-1]).any():
        raise ValueError(
            "quantiles must be an odd number of values in ascending order, "
            f"got {quantiles!r} instead."
        )
