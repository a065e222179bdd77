"""matplotlib, imported only when something is drawn."""

from typing import Any

from sk_ssimae._extras import install_hint


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
        raise ImportError(f"Plots need matplotlib. {install_hint('plot')}") from error
    return plt
