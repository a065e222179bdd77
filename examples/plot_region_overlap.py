"""
My pixel score is high: are small defects found?
================================================

Not necessarily. If one defect is large and others are small, most defective pixels belong to the
large one. A score that counts pixels then says little about the small ones. The per-region overlap
gives small and large defects equal weight. The two scores disagree when residual maps are smoothed.
"""

import matplotlib.pyplot as plt
import numpy as np

from sk_ssimae import SSIMAutoencoderSegmenter
from sk_ssimae.datasets import draw_defects, make_woven_fabric
from sk_ssimae.metrics import pixel_roc_auc_score, pro_auc_score
from sk_ssimae.plotting import RegionOverlapDisplay

# %%
# Each image has one large blurred spot, and three small ones in its corners. The size of a
# synthetic defect grows with that of the array it is drawn into: the small ones are drawn into
# corners of 48 pixels.

X_good = make_woven_fabric(12, shape=(192, 192), thread_spacing=6, random_state=0)
X_test, masks = draw_defects(
    make_woven_fabric(6, shape=(192, 192), thread_spacing=6, random_state=1),
    families=["blur"],
    random_state=0,
)
large = masks.copy()
for seed, corner in enumerate([np.s_[:, :48, :48], np.s_[:, :48, -48:], np.s_[:, -48:, -48:]]):
    X_test[corner], small = draw_defects(X_test[corner], families=["blur"], random_state=seed)
    masks[corner] |= small
print(f"{100 * large.sum() / masks.sum():.0f} % of the defective pixels are in the large spots")

segmenter = SSIMAutoencoderSegmenter(
    patch_size=32, stride=16, n_patches=800, max_epochs=4, batch_size=32, random_state=0
).fit(X_good)

# %%
# ``smoothing``, the sigma of a Gaussian in pixels, can be set on a fitted segmenter. From 2 to 8
# pixels, the area under the pixel ROC curve hardly changes, while the area under the per-region
# overlap curve (PRO) falls.

maps, areas, pros = {}, {}, {}
for sigma in [0, 1, 2, 4, 8]:
    maps[sigma] = segmenter.set_params(smoothing=sigma).decision_function(X_test)
    areas[sigma] = pixel_roc_auc_score(masks, maps[sigma])
    pros[sigma] = pro_auc_score(masks, maps[sigma])
    print(f"smoothing={sigma}: pixel ROC AUC {areas[sigma]:.3f}   PRO AUC {pros[sigma]:.3f}")

# %%
# With 8 pixels, the large spot is as clear as before. Two of the three small ones have disappeared,
# and the third merges into a bright corner of good fabric. The line is the median region, which is
# a small one, as most regions are. The band reaches from the first to the third quartile.

fig, axes = plt.subplots(2, 3, figsize=(11, 7), layout="constrained")
shown = 0
axes[0, 0].imshow(X_test[shown], cmap="gray", vmin=0, vmax=1)
axes[0, 0].contour(masks[shown], levels=[0.5], colors="tab:red", linewidths=1)
axes[0, 0].set_title("image, outlines of the defects")
for ax, sigma in zip(axes[0, 1:], [2, 8], strict=True):
    ax.imshow(maps[sigma][shown], cmap="magma")
    ax.contour(masks[shown], levels=[0.5], colors="white", linewidths=0.7)
    ax.set_title(f"residual map, smoothing={sigma}")
for ax in axes[0]:
    ax.set_axis_off()
axes[1, 0].plot(list(areas), list(areas.values()), "o-", label="pixel ROC AUC")
axes[1, 0].plot(list(pros), list(pros.values()), "s-", label="PRO AUC")
axes[1, 0].set(xlabel="smoothing (pixels)", ylabel="score")
axes[1, 0].legend()
for ax, sigma in zip(axes[1, 1:], [2, 8], strict=True):
    RegionOverlapDisplay.from_predictions(masks, maps[sigma], name="median region", ax=ax)
