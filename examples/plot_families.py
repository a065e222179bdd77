"""
Which of the four autoencoders finds which defects?
===================================================

All four segmenters train on the same good images with the same budget. They differ in what they
compare: grey values (L2), grey values and the features of a pretrained network (feature matching),
the likelihood of grey values (variational), or structure (SSIM).
"""

import matplotlib.pyplot as plt

from sk_ssimae import (
    FeatureMatchingAutoencoderSegmenter,
    L2AutoencoderSegmenter,
    SSIMAutoencoderSegmenter,
    VariationalAutoencoderSegmenter,
)
from sk_ssimae.datasets import draw_defects, make_woven_fabric
from sk_ssimae.metrics import pixel_roc_auc_score, pro_auc_score
from sk_ssimae.plotting import PixelRocCurveDisplay

# %%
# Good fabric, and fabric with drawn defects that training never sees.

X_good = make_woven_fabric(12, shape=(128, 128), thread_spacing=6, random_state=0)
X_test, masks = draw_defects(
    make_woven_fabric(6, shape=(128, 128), thread_spacing=6, random_state=1), random_state=0
)

# %%
# The feature extractor is EfficientNet-Lite0, whose weights come with the extra ``features``. Its
# features differ about a thousand times as much as pixels, in summed squares; the weight makes up
# for it. The publication's is AlexNet, ``feature_extractor="alexnet"``, downloaded on first use.

budget = {
    "patch_size": 32,
    "stride": 16,
    "n_patches": 900,
    "max_epochs": 4,
    "batch_size": 32,
    "smoothing": 1,
    "random_state": 0,
}
segmenters = {
    "L2": L2AutoencoderSegmenter(**budget),
    "feature matching": FeatureMatchingAutoencoderSegmenter(
        feature_extractor="efficientnet-lite0", feature_weight=1e-3, **budget
    ),
    "variational": VariationalAutoencoderSegmenter(**budget),
    "SSIM": SSIMAutoencoderSegmenter(**budget),
}
maps = {}
for name, segmenter in segmenters.items():
    maps[name] = segmenter.fit(X_good).decision_function(X_test)
    area, pro = pixel_roc_auc_score(masks, maps[name]), pro_auc_score(masks, maps[name])
    print(f"{name:<17} pixel ROC AUC {area:.3f}   PRO AUC {pro:.3f}")

# %%
# Three images, their true masks and the residual maps, each from its median to its maximum.

n_shown = 3
fig, axes = plt.subplots(n_shown, 6, figsize=(11, 6), layout="constrained")
for row in range(n_shown):
    axes[row, 0].imshow(X_test[row], cmap="gray", vmin=0, vmax=1)
    axes[row, 1].imshow(masks[row], cmap="gray")
    for ax, residual_maps in zip(axes[row, 2:], maps.values(), strict=True):
        shown = residual_maps[row]
        ax.imshow(shown, cmap="magma", vmin=sorted(shown.ravel())[shown.size // 2])
for ax, title in zip(axes[0], ["image", "truth", *maps], strict=True):
    ax.set_title(title)
for ax in axes.ravel():
    ax.set_axis_off()

# %%
# All find what is darker or brighter. The blurred spot in the second image has the grey of the
# fabric: to a squared difference it is even less remarkable than the good weave around it. Such
# defects draw the other three curves towards the diagonal, and below it where they weigh most. What
# the spot lacks is structure.

fig, ax = plt.subplots(figsize=(5, 4.5), layout="constrained")
for name, residual_maps in maps.items():
    PixelRocCurveDisplay.from_predictions(masks, residual_maps, name=name, ax=ax)
