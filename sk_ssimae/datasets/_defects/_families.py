"""The families of synthetic defects, by name."""

from sk_ssimae.datasets._defects._canvas import Drawer
from sk_ssimae.datasets._defects._marks import (
    draw_contamination,
    draw_crease,
    draw_cut,
    draw_scratch,
    draw_stain,
)
from sk_ssimae.datasets._defects._texture import (
    draw_blur,
    draw_doubled_line,
    draw_foreign_texture,
    draw_missing_line,
    draw_rotation,
    draw_scar,
    draw_warp,
)

# None may be a corruption of training images: a network that learned to remove it would be chosen
# for that.
FAMILIES: dict[str, Drawer] = {
    "blur": draw_blur,
    "contamination": draw_contamination,
    "crease": draw_crease,
    "cut": draw_cut,
    "doubled_line": draw_doubled_line,
    "foreign_texture": draw_foreign_texture,
    "missing_line": draw_missing_line,
    "rotation": draw_rotation,
    "scar": draw_scar,
    "scratch": draw_scratch,
    "stain": draw_stain,
    "warp": draw_warp,
}
