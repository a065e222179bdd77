"""Images to train and test on: synthetic textures and defects, folders and public data."""

from sk_ssimae.datasets._checkerboards import make_checkerboards
from sk_ssimae.datasets._defects import DefectiveImages, draw_defects
from sk_ssimae.datasets._fabric import make_woven_fabric
from sk_ssimae.datasets._folders import load_image_folder
from sk_ssimae.datasets._mvtec_ad import load_mvtec_ad, load_mvtec_textures
from sk_ssimae.datasets._nanofibres import make_nanofibres
from sk_ssimae.datasets._nanotwice import fetch_nanotwice, load_nanotwice
from sk_ssimae.datasets._textures import fetch_woven_textures, load_texture

__all__ = [
    "make_woven_fabric",
    "make_checkerboards",
    "make_nanofibres",
    "draw_defects",
    "DefectiveImages",
    "load_image_folder",
    "load_texture",
    "load_mvtec_ad",
    "load_mvtec_textures",
    "load_nanotwice",
    "fetch_nanotwice",
    "fetch_woven_textures",
]
