"""
Which autoencoder finds my defects?
===================================

It depends on how the defects differ from good texture. The four autoencoders of the paper train on
the same good images with the same budget. Each compares an image and its reconstruction in its own
way: by grey values (L2), by grey values and the features of a pretrained network (feature
matching), by the likelihood of grey values (variational), or by structure (SSIM).
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
# Good fabric for training, and fabric with synthetic defects for the test.

X_good = make_woven_fabric(12, shape=(128, 128), thread_spacing=6, random_state=0)
X_test, masks = draw_defects(
    make_woven_fabric(6, shape=(128, 128), thread_spacing=6, random_state=1), random_state=0
)

# %%
# The feature extractor is EfficientNet-Lite0, whose weights come with the extra ``features``.
# Summed squared differences are about a thousand times as large for its features as for pixels; the
# weight compensates. The paper uses AlexNet: ``feature_extractor="alexnet"``, downloaded on first
# use.

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
# The ROC curves of all pixels. Some defects are clear to all four, so the curves rise steeply at
# first. The others are clear to SSIM alone.

fig, ax = plt.subplots(figsize=(5, 4.5), layout="constrained")
for name, residual_maps in maps.items():
    PixelRocCurveDisplay.from_predictions(masks, residual_maps, name=name, ax=ax)

# %%
# Three images, their true masks and the residual maps. All four find defects that are darker or
# brighter than the fabric. The blurred spot in the second image has the grey of the fabric but
# lacks its structure. By squared difference it is even less conspicuous than the good weave around
# it: such defects pull its curve down. The colours of each map span its median to its maximum.

# sphinx_gallery_thumbnail_number = 2
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
