"""Steps shared by the displays that draw a curve."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

from numpy.typing import NDArray

from sk_ssimae._validation import check_masks, check_some_defective, count_images
from sk_ssimae.plotting._pyplot import import_pyplot


class CurveDisplay(ABC):
    """Base class of displays that draw one named line.

    A subclass stores its numbers and a `name` in its constructor, sets `_axes_settings`, and
    implements `_compute` and `_line`. It may override `_label` and `_draw_more`.
    """

    name: str | None

    _axes_settings: ClassVar[dict[str, Any]]

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
    ) -> Self:
        """Compute residual maps and plot their curve.

        Parameters
        ----------
        estimator : fitted estimator
            Estimator whose `decision_function` returns residual maps.
        X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays or paths
            Images.
        y : array of shape (n, h, w), or sequence of arrays of shape (h, w)
            Masks: True, 1 or 255 where a pixel is defective, 0 elsewhere.
        name : str, optional
            Name of the curve. By default the name of the estimator's class.
        ax : matplotlib Axes, optional
            Axes to draw on. By default those of a new figure.
        **plot_params
            Passed to :meth:`plot`.

        Returns
        -------
        Self
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
    ) -> Self:
        """Plot the curve of residual maps.

        Parameters
        ----------
        masks : array of shape (n, h, w), or sequence of arrays of shape (h, w)
            True, 1 or 255 where a pixel is defective, 0 elsewhere.
        residual_maps : array of shape (n, h, w), or sequence of arrays of shape (h, w)
            Residuals, high where a pixel looks defective.
        name : str, optional
            Name of the curve.
        ax : matplotlib Axes, optional
            Axes to draw on. By default those of a new figure.
        **plot_params
            Passed to :meth:`plot`.

        Returns
        -------
        Self
            The display, plotted.
        """
        return cls._compute(masks, residual_maps, name=name).plot(ax, **plot_params)

    def plot(self, ax: Any = None, *, name: str | None = None, **kwargs: Any) -> Self:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on. By default those of a new figure.
        name : str, optional
            Name of the curve, instead of the display's.
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
        if ax is None:
            ax = import_pyplot().subplots(figsize=(5, 4.5), layout="constrained")[1]
        elif not hasattr(ax, "plot"):
            raise TypeError(f"ax must be matplotlib Axes, got {ax!r} instead.")
        self.ax_, self.figure_ = ax, ax.figure
        label = self._label(self.name if name is None else name)
        (self.line_,) = ax.plot(*self._line(), **({"label": label} | kwargs))
        self._draw_more()
        ax.set(**self._axes_settings)
        self._add_legend()
        return self

    @classmethod
    @abstractmethod
    def _compute(cls, masks: Any, residual_maps: Any, *, name: str | None) -> Self:
        """Compute the display from residual maps."""

    @abstractmethod
    def _line(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the coordinates of the line along x and y."""

    def _label(self, name: str | None) -> str | None:
        """Return the text of the legend."""
        return name

    def _draw_more(self) -> None:  # noqa: B027
        """Add to the line, whose colour is known by now."""

    def _add_legend(self) -> None:
        if self.ax_.get_legend_handles_labels()[1]:
            self.ax_.legend(loc="lower right")
