"""Draw pixel ROC curves."""

from typing import Any

from numpy.typing import NDArray

from sk_ssimae._validation import check_masks, check_some_defective, count_images
from sk_ssimae.metrics._curve import area_up_to, curve
from sk_ssimae.metrics._pooling import pool_scores
from sk_ssimae.plotting._pyplot import add_legend, new_axes_if_none

# A curve is drawn by at most a thousand points; its area is computed exactly.
_AREA_TOLERANCE = 1e-3


class PixelRocCurveDisplay:
    """Pixel ROC curve, pooled over images.

    It is best made by :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    fpr, tpr : array of shape (n_thresholds,)
        False and true positive rates, ascending.
    roc_auc : float, optional
        Area under the curve, for the legend.
    name : str, optional
        Name of the curve, for the legend.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The curve.
    ax_ : matplotlib Axes
        Axes with the curve.
    figure_ : matplotlib Figure
        Figure with the curve.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ssimae.plotting import PixelRocCurveDisplay
    >>> masks = np.random.default_rng(0).random((2, 32, 32)) < 0.1
    >>> residual_maps = masks + np.random.default_rng(1).normal(size=masks.shape)
    >>> display = PixelRocCurveDisplay.from_predictions(masks, residual_maps, name="noise")
    >>> display.line_.get_label()
    'noise (AUC = 0.738)'
    """

    def __init__(
        self,
        fpr: NDArray[Any],
        tpr: NDArray[Any],
        *,
        roc_auc: float | None = None,
        name: str | None = None,
    ) -> None:
        self.fpr = fpr
        self.tpr = tpr
        self.roc_auc = roc_auc
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
        **plot_params: Any,
    ) -> "PixelRocCurveDisplay":
        """Compute residual maps and plot their curve.

        Parameters
        ----------
        estimator : fitted segmenter
            What has a `decision_function` that gives residual maps.
        X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays or paths
            Images.
        y : masks of shape (n, h, w) or a sequence of (h, w)
            1 where a pixel is defective.
        name : str, optional
            Name of the curve. By default that of the estimator's class.
        ax : matplotlib Axes, optional
            Where to draw. By default a new figure is made.
        **plot_params
            Passed on to :meth:`plot`.

        Returns
        -------
        PixelRocCurveDisplay
            The display, plotted.
        """
        check_masks(y)
        check_some_defective(y, count_images(X))
        residual_maps = estimator.decision_function(X)
        name = type(estimator).__name__ if name is None else name
        return cls.from_predictions(y, residual_maps, name=name, ax=ax, **plot_params)

    @classmethod
    def from_predictions(
        cls,
        masks: Any,
        residual_maps: Any,
        *,
        name: str | None = None,
        ax: Any = None,
        **plot_params: Any,
    ) -> "PixelRocCurveDisplay":
        """Plot the curve of residual maps.

        Parameters
        ----------
        masks : array of shape (n, h, w), or sequence of arrays (h, w)
            True, 1 or 255 where a pixel is defective, 0 elsewhere.
        residual_maps : array of shape (n, h, w), or sequence of arrays (h, w)
            Scores, high where a pixel seems defective.
        name : str, optional
            Name of the curve.
        ax : matplotlib Axes, optional
            Where to draw. By default a new figure is made.
        **plot_params
            Passed on to :meth:`plot`.

        Returns
        -------
        PixelRocCurveDisplay
            The display, plotted.
        """
        pooled = pool_scores(masks, residual_maps)
        fpr, tpr, _ = curve(pooled, _AREA_TOLERANCE)
        return cls(fpr, tpr, roc_auc=area_up_to(pooled, 1), name=name).plot(ax, **plot_params)

    def plot(
        self,
        ax: Any = None,
        *,
        name: str | None = None,
        plot_chance_level: bool = False,
        **kwargs: Any,
    ) -> "PixelRocCurveDisplay":
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw. By default a new figure is made.
        name : str, optional
            Name of the curve, instead of the display's.
        plot_chance_level : bool, default=False
            Whether to draw the line of chance too.
        **kwargs
            Passed on to :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        PixelRocCurveDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed: it comes with the extra ``plot``.
        """
        ax = new_axes_if_none(ax)
        name = self.name if name is None else name
        area = None if self.roc_auc is None else f"AUC = {self.roc_auc:.3f}"
        label = f"{name} ({area})" if name and area else name or area
        (self.line_,) = ax.plot(self.fpr, self.tpr, **({"label": label} | kwargs))
        if plot_chance_level:
            ax.plot([0, 1], [0, 1], "k--", linewidth=1, label="chance (AUC = 0.5)")
        ax.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
        add_legend(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self
