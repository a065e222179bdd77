"""Images to train and test on: made textures, drawn defects, loaders for public data."""

from sk_ssimae.datasets._defects import DefectiveImages, draw_defects
from sk_ssimae.datasets._fabric import make_woven_fabric
from sk_ssimae.datasets._folders import load_image_folder, load_nanotwice

__all__ = [
    "DefectiveImages",
    "draw_defects",
    "load_image_folder",
    "load_nanotwice",
    "make_woven_fabric",
]
