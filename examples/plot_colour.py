"""
Do I need a colour camera?
==========================

You do if defects are invisible in grey images. Here a dye differs from the fabric in colour but
has the same mean of red, green and blue. The same segmenters accept colour images: patches have
three channels, and residuals are averaged over them.
"""

import matplotlib.pyplot as plt
import numpy as np

from sk_ssimae import L2AutoencoderSegmenter, SSIMAutoencoderSegmenter
from sk_ssimae.datasets import draw_defects, make_woven_fabric
from sk_ssimae.metrics import pixel_roc_auc_score

# %%
# Fabric with a warm tint and spots of dye, which move intensity from red to blue. The spots have
# the shapes of synthetic stains.

tint = np.array([1.15, 1.0, 0.85], dtype=np.float32)
size = {"shape": (160, 160), "thread_spacing": 6}
X_good = make_woven_fabric(12, random_state=0, **size)[..., None] * tint
X_test = make_woven_fabric(4, random_state=1, **size)[..., None] * tint
masks = draw_defects(X_test, families=["stain"], n_defects=2, random_state=0).masks
X_test[masks] += 0.15 * X_test[masks].mean(axis=-1, keepdims=True) * np.array([-1, 0, 1])

# %%
# Use the same budget for grey and colour images, and for the squared error and SSIM.

budget = {
    "patch_size": 32,
    "stride": 16,
    "n_patches": 500,
    "max_epochs": 4,
    "batch_size": 32,
    "smoothing": 2,
    "random_state": 0,
}
grey, colour = L2AutoencoderSegmenter(**budget), L2AutoencoderSegmenter(**budget)
ssim = SSIMAutoencoderSegmenter(**budget)
maps = {
    "L2, grey": grey.fit(X_good.mean(axis=-1)).decision_function(X_test.mean(axis=-1)),
    "L2, colour": colour.fit(X_good).decision_function(X_test),
    "SSIM, colour": ssim.fit(X_good).decision_function(X_test),
}
for name, residual_maps in maps.items():
    print(f"{name:<12} pixel ROC AUC {pixel_roc_auc_score(masks, residual_maps):.3f}")

# %%
# In grey the spots are invisible. In colour the squared error finds whole spots, by their red and
# blue values: away from the border of the image, no good thread is as bright. At the border, good
# threads of both images shown are brighter. SSIM finds only the outlines of the spots: inside, the
# threads are intact, and a change of level hardly counts. For colour defects,
# :class:`~sk_ssimae.L2AutoencoderSegmenter` is the better choice.

fig, axes = plt.subplots(2, 5, figsize=(11, 4.8), layout="constrained")
for index, row in enumerate(axes):
    row[0].imshow(X_test[index])
    row[1].imshow(X_test[index].mean(axis=-1), cmap="gray", vmin=0, vmax=1)
    for ax, residual_maps in zip(row[2:], maps.values(), strict=True):
        ax.imshow(residual_maps[index], cmap="magma")
for ax, title in zip(axes[0], ["colour image", "grey image", *maps], strict=True):
    ax.set_title(title)
for ax in axes.ravel():
    ax.set_axis_off()
