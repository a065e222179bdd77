"""All segmenters of the package, found by their names."""

import importlib
import inspect
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sk_ssimae.estimators._base import BaseSegmenter


def all_segmenters() -> dict[str, type["BaseSegmenter"]]:
    """Return the classes of all segmenters that can be fitted, by name.

    Returns
    -------
    dict of type
        Those that ``sk_ssimae.estimators`` exports, without abstract bases.

    Examples
    --------
    >>> from sk_ssimae.estimators import all_segmenters
    >>> "SSIMAutoencoderSegmenter" in all_segmenters()
    True
    """
    package = importlib.import_module("sk_ssimae.estimators")
    base = package.BaseSegmenter
    exported = {name: getattr(package, name) for name in package.__all__}
    return {
        name: item
        for name, item in exported.items()
        if isinstance(item, type) and issubclass(item, base) and not inspect.isabstract(item)
    }
