"""Figure 2: patches of equal l2 residual 0.25 that differ in luminance, contrast or structure.

The paper prints no grey values, so these patches are our own. In each pair every pixel differs by
0.5, which makes the residual 0.25.
"""

import numpy as np
import torch
from _studio import Studio
from matplotlib import pyplot as plt

from sk_ssimae.losses import ssim_components, ssim_map

SIDE = 11  # The size of one window.


def run(studio: Studio) -> None:
    """Tabulate l, c, s and SSIM at the centre of each pair, and show the pairs."""
    rows = [[name, *measures(*pair).values()] for name, pair in make_pairs().items()]
    studio.save_table("figure-2", ["differ in", "l2", "l", "c", "s", "SSIM"], rows)
    figure, axes = plt.subplots(2, 3, figsize=(6, 4.2), layout="constrained")
    for column, (name, pair) in zip(axes.T, make_pairs().items(), strict=True):
        for axis, patch in zip(column, pair, strict=True):
            axis.imshow(patch, cmap="gray", vmin=0, vmax=1)
            axis.set_axis_off()
        column[0].set_title(name)
    studio.save_figure("figure-2", figure)
    plt.close(figure)


def make_pairs() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Make the pairs: black and grey, grey and a checkerboard, a checkerboard and its inverse."""
    rows, columns = np.indices((SIDE, SIDE))
    checks = ((rows + columns) % 2).astype(np.float32)
    flat = np.ones_like(checks)
    return {
        "luminance": (0.0 * flat, 0.5 * flat),
        "contrast": (0.5 * flat, checks),
        "structure": (0.25 + 0.5 * checks, 0.75 - 0.5 * checks),
    }


def measures(p: np.ndarray, q: np.ndarray) -> dict[str, float]:
    """Compare two patches in one window that covers them."""
    x, y = (torch.from_numpy(patch)[None, None] for patch in (p, q))
    middle = (0, 0, SIDE // 2, SIDE // 2)
    components = ssim_components(x, y, window_size=SIDE)
    return {
        "l2": float(((x - y) ** 2).mean()),
        "l": float(components.luminance[middle]),
        "c": float(components.contrast[middle]),
        "s": float(components.structure[middle]),
        "SSIM": float(ssim_map(x, y, window_size=SIDE)[middle]),
    }
