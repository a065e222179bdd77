"""Synthetic defects of several families, with exact masks."""

from sk_ssimae.datasets._defects._draw import DefectiveImages, draw_defects
from sk_ssimae.datasets._defects._families import FAMILIES
from sk_ssimae.datasets._defects._painting import paint_defect

__all__ = ["FAMILIES", "DefectiveImages", "draw_defects", "paint_defect"]
