"""Synthetic defects of several families, with exact masks."""

from sk_ssimae.datasets._defects._draw import (
    LEAST_SIZE,
    DefectiveImages,
    check_changed,
    check_families,
    check_paintable,
    check_size,
    draw_defects,
)
from sk_ssimae.datasets._defects._families import FAMILIES
from sk_ssimae.datasets._defects._painting import paint_defect

__all__ = [
    "FAMILIES",
    "LEAST_SIZE",
    "DefectiveImages",
    "check_changed",
    "check_families",
    "check_paintable",
    "check_size",
    "draw_defects",
    "paint_defect",
]
