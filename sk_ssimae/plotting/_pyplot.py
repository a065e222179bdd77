"""matplotlib, imported when a picture is drawn."""

from typing import Any


def import_pyplot() -> Any:
    """Import pyplot, or say how to get it.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("Plots need matplotlib: pip install 'sk-ssimae[plot]'.") from error
    return plt


def new_axes_if_none(ax: Any) -> Any:
    """Give the axes to draw on, in a new figure if there are none yet.

    Raises
    ------
    TypeError
        If `ax` is something else.
    """
    if ax is not None:
        if not hasattr(ax, "plot"):
            raise TypeError(f"ax must be matplotlib Axes, got {ax!r} instead.")
        return ax
    return import_pyplot().subplots(figsize=(5, 4.5), layout="constrained")[1]


def add_legend(ax: Any) -> None:
    """Add a legend if there is anything with a name."""
    if ax.get_legend_handles_labels()[1]:
        ax.legend(loc="lower right")
