"""matplotlib, imported only when something is drawn."""

from typing import Any


def import_pyplot() -> Any:
    """Import pyplot.

    Raises
    ------
    ImportError
        If matplotlib is not installed; the message says how to install it.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("Plots need matplotlib: pip install 'sk-ssimae[plot]'.") from error
    return plt
