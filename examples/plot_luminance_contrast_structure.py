"""
Does SSIM see more than a difference of grey values?
====================================================

One fabric is changed in three ways: brighter, flatter, displaced. The squared difference rates all
three equally bad. Structural similarity (SSIM) tells them apart: it is the product of luminance,
contrast and structure, each compared in a small window around every pixel. This example trains
nothing. It follows Figure 2 of the paper.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

from sk_ssimae.datasets import make_woven_fabric
from sk_ssimae.losses import ssim_components, ssim_map

# %%
# The displaced fabric sets the mean squared difference. The other two are made to match: one is
# brighter by the root of this mean, the other loses contrast in the ratio of this root to the
# standard deviation of the fabric.

shift = 1
wide = make_woven_fabric(1, shape=(96, 96 + shift), irregularity=0.5, random_state=0)[0]
fabric, displaced = wide[:, shift:], wide[:, :-shift]
rms = np.sqrt(np.mean((displaced - fabric) ** 2))
brighter = fabric + rms
flatter = fabric + (fabric.mean() - fabric) * rms / fabric.std()
changed = {"brighter": brighter, "flatter": flatter, "displaced": displaced}

# %%
# ``ssim_map`` and ``ssim_components`` take tensors of shape (N, C, H, W).


def residuals(image):
    x, y = (torch.from_numpy(a.copy())[None, None] for a in (fabric, image))
    maps = {"squared difference": (x - y) ** 2}
    maps |= {f"1 - {name}": 1 - part for name, part in ssim_components(x, y)._asdict().items()}
    maps["1 - SSIM"] = 1 - ssim_map(x, y)
    return {name: values[0, 0].numpy() for name, values in maps.items()}


maps = {name: residuals(image) for name, image in changed.items()}
for measure in maps["brighter"]:
    means = "   ".join(f"{name} {maps[name][measure].mean():z.4f}" for name in changed)
    print(f"{measure:<20}{means}")

# %%
# More light hardly counts as long as the fabric is the same. Lost contrast shows only in contrast,
# and threads displaced by one pixel show in structure. The squared differences, on a scale up to
# four times their mean, have the same sum.

fig, axes = plt.subplots(3, 7, figsize=(11, 5.3), layout="constrained")
for row, (name, image) in zip(axes, changed.items(), strict=True):
    row[0].imshow(fabric, cmap="gray", vmin=0, vmax=1)
    row[1].imshow(image, cmap="gray", vmin=0, vmax=1)
    row[0].set_ylabel(name, fontsize="large")
    for ax, (measure, shown) in zip(row[2:], maps[name].items(), strict=True):
        vmax = 4 * rms**2 if measure == "squared difference" else 1
        ax.imshow(shown, cmap="magma", vmin=0, vmax=vmax)
        ax.set_xlabel(f"mean {shown.mean():z.3f}")
for ax, title in zip(axes[0], ["fabric", "changed", *maps["brighter"]], strict=True):
    ax.set_title(title, fontsize="medium")
for ax in axes.ravel():
    ax.set(xticks=[], yticks=[])
