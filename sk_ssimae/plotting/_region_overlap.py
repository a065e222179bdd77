"""Draw how far defective regions are covered, against the false positive rate."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._validation import (
    check_masks,
    check_some_defective,
    count_images,
    to_array,
)
from sk_ssimae.metrics import region_overlap_quantiles
from sk_ssimae.metrics._pooling import check_rate
from sk_ssimae.plotting._pyplot import add_legend, new_axes_if_none


class RegionOverlapDisplay:
    """Quantiles over the defective regions of their overlap with the segmentation.

    Figure 7 of the publication: for each false positive rate, the share of a region's pixels that
    is detected, for the median region as a line and between an outer pair of quantiles as a band.
    It is best made by :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    fpr : array of shape (n_rates,)
        False positive rates.
    overlaps : array of shape (n_rates, n_quantiles)
        Quantiles of the overlap, as :func:`~sk_ssimae.metrics.region_overlap_quantiles` gives them.
    quantiles : sequence of float, default=(0.25, 0.5, 0.75)
        Which quantiles: an odd number, ascending. The middle one is drawn as a line.
    name : str, optional
        Name of the line, for the legend.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The middle quantile.
    bands_ : list of matplotlib PolyCollection
        What lies between each outer pair of quantiles, the outermost first.
    ax_ : matplotlib Axes
        Axes with the line.
    figure_ : matplotlib Figure
        Figure with the line.

    Raises
    ------
    ValueError
        If the number of quantiles is even or not that of the overlaps' columns, or they do not
        ascend.

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
                f"overlaps must have shape {(len(fpr), len(quantiles))}, rates by quantiles, got "
                f"{np.shape(overlaps)} instead."
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
    ) -> "RegionOverlapDisplay":
        """Compute residual maps and plot the overlap with the true regions.

        Parameters
        ----------
        estimator : fitted segmenter
            What has a `decision_function` that gives residual maps.
        X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays or paths
            Images.
        y : masks of shape (n, h, w) or a sequence of (h, w)
            1 where a pixel is defective.
        name : str, optional
            Name of the line. By default that of the estimator's class.
        ax : matplotlib Axes, optional
            Where to draw. By default a new figure is made.
        max_fpr : float in (0, 1], default=0.3
            Largest false positive rate shown.
        quantiles : sequence of float, default=(0.25, 0.5, 0.75)
            Which quantiles over the regions: an odd number, ascending.
        **plot_params
            Passed on to :meth:`plot`.

        Returns
        -------
        RegionOverlapDisplay
            The display, plotted.
        """
        _check_quantiles(quantiles)
        check_rate(max_fpr, "max_fpr")
        check_masks(y)
        check_some_defective(y, count_images(X))
        return cls.from_predictions(
            y,
            estimator.decision_function(X),
            name=type(estimator).__name__ if name is None else name,
            ax=ax,
            max_fpr=max_fpr,
            quantiles=quantiles,
            **plot_params,
        )

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
    ) -> "RegionOverlapDisplay":
        """Plot the overlap of residual maps with the true regions.

        Parameters
        ----------
        masks : array of shape (n, h, w), or sequence of arrays (h, w)
            True, 1 or 255 where a pixel is defective, 0 elsewhere.
        residual_maps : array of shape (n, h, w), or sequence of arrays (h, w)
            Scores, high where a pixel seems defective.
        name : str, optional
            Name of the line.
        ax : matplotlib Axes, optional
            Where to draw. By default a new figure is made.
        max_fpr : float in (0, 1], default=0.3
            Largest false positive rate shown.
        quantiles : sequence of float, default=(0.25, 0.5, 0.75)
            Which quantiles over the regions: an odd number, ascending.
        **plot_params
            Passed on to :meth:`plot`.

        Returns
        -------
        RegionOverlapDisplay
            The display, plotted.
        """
        _check_quantiles(quantiles)
        check_rate(max_fpr, "max_fpr")
        fpr = np.linspace(0, max_fpr, 101)
        overlaps = region_overlap_quantiles(masks, residual_maps, fpr, quantiles=quantiles)
        return cls(fpr, overlaps, quantiles=quantiles, name=name).plot(ax, **plot_params)

    def plot(
        self, ax: Any = None, *, name: str | None = None, **kwargs: Any
    ) -> "RegionOverlapDisplay":
        """Draw the middle quantile and the bands between the others.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw. By default a new figure is made.
        name : str, optional
            Name of the line, instead of the display's.
        **kwargs
            Passed on to :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        RegionOverlapDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed: it comes with the extra ``plot``.
        """
        ax = new_axes_if_none(ax)
        columns, middle = np.asarray(self.overlaps).T, len(self.quantiles) // 2
        name = self.name if name is None else name
        (self.line_,) = ax.plot(self.fpr, columns[middle], **({"label": name} | kwargs))
        self.bands_ = [
            ax.fill_between(
                self.fpr,
                columns[index],
                columns[-1 - index],
                color=self.line_.get_color(),
                alpha=0.2,
                linewidth=0,
            )
            for index in range(middle)
        ]
        ax.set(xlabel="false positive rate", ylabel="overlap with the true region", ylim=(0, 1.02))
        add_legend(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _check_quantiles(quantiles: Sequence[float]) -> None:
    numbers = to_array(quantiles, "quantiles", "(n,)")
    is_list = numbers.dtype.kind in "biuf" and numbers.ndim == 1
    if not is_list or numbers.size % 2 == 0 or (numbers[1:] < numbers[:-1]).any():
        raise ValueError(
            f"quantiles must be an odd number of them, ascending, got {quantiles!r} instead."
        )
