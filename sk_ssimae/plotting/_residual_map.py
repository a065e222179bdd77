"""Draw an image, its true mask, reconstruction, residual map and predicted mask side by side."""

from collections.abc import Hashable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sk_ssimae._images import Images
from sk_ssimae._pixels import Conversion, as_unit_float, check_image
from sk_ssimae._validation import as_floats, check_mask, check_number, is_collection
from sk_ssimae.plotting._pyplot import import_pyplot


class ResidualMapDisplay:
    """Residual map of an image, next to the image, its masks and its reconstruction.

    Create it with :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    image : array of shape (h, w) or (h, w, c)
        Image, floats in [0, 1] or unsigned integers.
    residual_map : array of shape (h, w)
        Residuals, high where a pixel looks defective.
    mask : array of shape (h, w), optional
        Predicted mask, True where a pixel is marked as defective.
    true_mask : array of shape (h, w), optional
        True mask; its outline is also drawn on the predicted mask.
    reconstruction : array of the shape of `image`, optional
        Reconstruction of the image.

    Attributes
    ----------
    figure_ : matplotlib Figure
        Figure of the last plot.
    axes_ : array of matplotlib Axes
        Axes of the last plot, one per panel.

    Raises
    ------
    TypeError, ValueError
        If the image is invalid, or an array differs from it in height or width, or contains
        invalid values.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ssimae.plotting import ResidualMapDisplay
    >>> image = np.random.default_rng(0).random((32, 32))
    >>> display = ResidualMapDisplay(image, residual_map=image**2, mask=image > 0.9)
    >>> display.plot().axes_.shape
    (3,)
    """

    def __init__(
        self,
        image: ArrayLike,
        residual_map: ArrayLike,
        *,
        mask: ArrayLike | None = None,
        true_mask: ArrayLike | None = None,
        reconstruction: ArrayLike | None = None,
    ) -> None:
        self.image = as_unit_float(check_image(image, "image"))
        self.residual_map = as_floats(residual_map, "residual_map")
        self.mask = None if mask is None else check_mask(mask, "mask")
        self.true_mask = None if true_mask is None else check_mask(true_mask, "true_mask")
        self.reconstruction = (
            None if reconstruction is None else as_floats(reconstruction, "reconstruction")
        )
        shape = self.image.shape[:2]
        for name in ("residual_map", "mask", "true_mask", "reconstruction"):
            array = getattr(self, name)
            if array is None:
                continue
            largest_rank = 3 if name == "reconstruction" else 2
            if array.shape[:2] != shape or array.ndim > largest_rank:
                raise ValueError(
                    f"{name} must have the image's height and width, {shape}, got "
                    f"{array.shape} instead."
                )
            if array.size == 0 or not np.isfinite(array).all():
                raise ValueError(f"{name} must contain finite numbers, got none, NaN or infinity.")

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        image: Any,
        true_mask: ArrayLike | None = None,
        **plot_params: Any,
    ) -> Self:
        """Segment an image and plot the result.

        Parameters
        ----------
        estimator : fitted segmenter
            Segmenter with `decision_function` and `predict`. If it also has `reconstruct`, the
            reconstruction is shown.
        image : array of shape (h, w) or (h, w, c), or path
            One image.
        true_mask : array of shape (h, w), optional
            True mask.
        **plot_params
            Passed to :meth:`plot`.

        Returns
        -------
        Self
            The display, plotted.
        """
        # Pipelines and searches do not say how they convert images.
        conversion = getattr(estimator, "conversion", Conversion())
        shown = np.clip(as_unit_float(Images([image], conversion=conversion)[0]), 0, 1)
        # Segmenters without a network reconstruct nothing.
        reconstruct = getattr(estimator, "reconstruct", None)
        return cls.from_predictions(
            shown,
            estimator.decision_function([image])[0],
            mask=estimator.predict([image])[0],
            true_mask=true_mask,
            reconstruction=None if reconstruct is None else reconstruct([image])[0],
            **plot_params,
        )

    @classmethod
    def from_predictions(
        cls,
        image: ArrayLike,
        residual_map: ArrayLike,
        *,
        mask: ArrayLike | None = None,
        true_mask: ArrayLike | None = None,
        reconstruction: ArrayLike | None = None,
        **plot_params: Any,
    ) -> Self:
        """Plot the results of a segmenter.

        Parameters
        ----------
        image, residual_map, mask, true_mask, reconstruction
            As for the constructor.
        **plot_params
            Passed to :meth:`plot`.

        Returns
        -------
        Self
            The display, plotted.
        """
        display = cls(
            image,
            residual_map,
            mask=mask,
            true_mask=true_mask,
            reconstruction=reconstruction,
        )
        return display.plot(**plot_params)

    def plot(
        self,
        axes: Sequence[Any] | NDArray[Any] | None = None,
        *,
        panels: Sequence[str] | None = None,
        vmax: float | None = None,
        cmap: str = "magma",
        titles: bool = True,
    ) -> Self:
        """Draw one panel per array of the display.

        Parameters
        ----------
        axes : sequence of matplotlib Axes, optional
            Axes to draw on, one per panel. By default those of a new figure.
        panels : sequence of str, optional
            Panels to draw, from ``"image"``, ``"truth"``, ``"reconstruction"``,
            ``"residual map"`` and ``"mask"``. By default all for which the display has an array.
        vmax : float, optional
            Residual at the bright end of the colour map; set it to compare maps of several images
            on one scale. By default the map's maximum.
        cmap : str, default="magma"
            Colour map of the residuals.
        titles : bool, default=True
            Whether each panel has a title.

        Returns
        -------
        Self
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed; the extra ``plot`` contains it.
        TypeError
            If `axes` are not matplotlib Axes, or `cmap` is not a name.
        ValueError
            If the display has no array for a panel, the number of axes differs from that of the
            panels, or `vmax` is below 0 and below all residuals.
        """
        pictures = self._pictures()
        chosen = list(pictures) if panels is None else _check_panels(panels, pictures)
        # Residuals start at 0, but negative log-likelihoods may lie below.
        vmin = min(0, float(self.residual_map.min()))
        if vmax is not None:
            check_number(vmax, "vmax", vmin)
        if not isinstance(cmap, Hashable):
            raise TypeError(f"cmap must be the name of a colour map, got {cmap!r} instead.")
        if axes is None:
            axes = _new_axes(len(chosen))
        axes = np.atleast_1d(np.asarray(axes, dtype=object))
        if not all(hasattr(ax, "imshow") for ax in axes):
            raise TypeError(f"axes must be a sequence of matplotlib Axes, got {axes!r} instead.")
        if len(axes) != len(chosen):
            raise ValueError(
                f"axes must have one item for each of the {len(chosen)} panels, {chosen}, got "
                f"{len(axes)} instead."
            )
        for ax, panel in zip(axes, chosen, strict=True):
            if panel == "residual map":
                ax.imshow(pictures[panel], cmap=cmap, vmin=vmin, vmax=vmax)
            else:
                ax.imshow(pictures[panel], cmap="gray", vmin=0, vmax=1)
            if panel == "mask" and self.true_mask is not None and self.true_mask.any():
                ax.contour(self.true_mask, levels=[0.5], colors="tab:red", linewidths=1)
            ax.set_axis_off()
            if titles:
                ax.set_title(panel)
        self.axes_ = axes
        self.figure_ = axes[0].figure
        return self

    def _pictures(self) -> dict[str, NDArray[Any]]:
        pictures = {
            "image": _displayable(self.image),
            "truth": self.true_mask,
            "reconstruction": _displayable(self.reconstruction),
            "residual map": self.residual_map,
            "mask": self.mask,
        }
        return {panel: picture for panel, picture in pictures.items() if picture is not None}


def _check_panels(panels: Any, pictures: dict[str, NDArray[Any]]) -> list[str]:
    chosen = list(panels) if is_collection(panels) else []
    if not chosen or not all(isinstance(panel, str) and panel in pictures for panel in chosen):
        raise ValueError(f"panels must be chosen from {list(pictures)}, got {panels!r} instead.")
    return chosen


def _displayable(image: NDArray[Any] | None) -> NDArray[Any] | None:
    """Keep three channels as colours, and average any other number of channels."""
    if image is None:
        return None
    if image.ndim == 3 and image.shape[-1] != 3:
        image = image.mean(axis=-1)
    return np.clip(image, 0, 1)


def _new_axes(n_panels: int) -> Any:
    return import_pyplot().subplots(1, n_panels, figsize=(3 * n_panels, 3.5), layout="constrained")[
        1
    ]
