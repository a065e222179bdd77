"""Displays of residual maps and curves; they need the extra ``plot`` (matplotlib)."""

from sk_ssimae.plotting._region_overlap import RegionOverlapDisplay
from sk_ssimae.plotting._residual_map import ResidualMapDisplay
from sk_ssimae.plotting._roc_curve import PixelRocCurveDisplay
from sk_ssimae.plotting._selection import SelectionDisplay

__all__ = ["ResidualMapDisplay", "PixelRocCurveDisplay", "RegionOverlapDisplay", "SelectionDisplay"]
