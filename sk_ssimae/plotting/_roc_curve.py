"""Draw pixel ROC curves."""

from typing import Any, ClassVar, Self

from numpy.typing import NDArray

from sk_ssimae.metrics._curve import area_up_to, curve
from sk_ssimae.metrics._pooling import pool_scores
from sk_ssimae.plotting._display import CurveDisplay

# At most about a thousand points are drawn; the area is computed from all of them.
_AREA_TOLERANCE = 1e-3


class PixelRocCurveDisplay(CurveDisplay):
    """Pixel ROC curve, pooled over images.

    Create it with :meth:`from_estimator` or :meth:`from_predictions`.

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

    _axes_settings: ClassVar = {
        "xlabel": "false positive rate",
        "ylabel": "true positive rate",
        "aspect": "equal",
    }

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

    def plot(
        self,
        ax: Any = None,
        *,
        name: str | None = None,
        plot_chance_level: bool = False,
        **kwargs: Any,
    ) -> Self:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on. By default those of a new figure.
        name : str, optional
            Name of the curve, instead of the display's.
        plot_chance_level : bool, default=False
            Whether to draw the chance line as well.
        **kwargs
            Passed to :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        Self
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed; the extra ``plot`` contains it.
        TypeError
            If `ax` is not matplotlib Axes.
        """
        super().plot(ax, name=name, **kwargs)
        if plot_chance_level:
            self.ax_.plot([0, 1], [0, 1], "k--", linewidth=1, label="chance (AUC = 0.5)")
            self._add_legend()
        return self

    @classmethod
    def _compute(cls, masks: Any, residual_maps: Any, *, name: str | None) -> Self:
        pooled = pool_scores(masks, residual_maps)
        fpr, tpr, _ = curve(pooled, _AREA_TOLERANCE)
        return cls(fpr, tpr, roc_auc=area_up_to(pooled, 1), name=name)

    def _line(self) -> tuple[NDArray[Any], NDArray[Any]]:
        return self.fpr, self.tpr

    def _label(self, name: str | None) -> str | None:
        area = None if self.roc_auc is None else f"AUC = {self.roc_auc:.3f}"
        return f"{name} ({area})" if name and area else name or area
