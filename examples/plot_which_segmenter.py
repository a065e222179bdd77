"""
Should I take an autoencoder, a dictionary or both?
===================================================

Both, if you do not know your defects. This example compares an SSIM autoencoder, a dictionary of
filter responses and the sum of both, on the same fabric. The dictionary trains in a second or two,
and is ahead where defects differ from the fabric in grey value. Where only the structure differs,
both find the defects, and their sum is best.
"""

import matplotlib.pyplot as plt
import numpy as np

from sk_ssimae import PatchDictionarySegmenter, SSIMAutoencoderSegmenter
from sk_ssimae.datasets import draw_defects, make_woven_fabric
from sk_ssimae.metrics import pixel_roc_auc_score, pro_auc_score

# %%
# Train on good images.

X_good = make_woven_fabric(12, shape=(128, 128), random_state=0)
segmenters = {
    "SSIM autoencoder": SSIMAutoencoderSegmenter(
        patch_size=32, stride=16, n_patches=1000, max_epochs=4, batch_size=32, random_state=0
    ),
    "patch dictionary": PatchDictionarySegmenter(random_state=0),
}
for segmenter in segmenters.values():
    segmenter.fit(X_good)

# %%
# Calibrated maps have a common unit, how improbable a residual is on good pixels, and can be added.
# :class:`~sk_ssimae.EnsembleSegmenter` does so, and finds a threshold for the sum;
# :func:`~sk_ssimae.make_default_ensemble` adds a coarse dictionary to these two.

defects = {"other grey values": ("stain", "cut"), "other structure": ("blur", "rotation")}
results = {}
for title, families in defects.items():
    images, masks = draw_defects(
        make_woven_fabric(8, shape=(128, 128), random_state=1), families=families, random_state=0
    )
    maps = {name: segmenter.calibrated_map(images) for name, segmenter in segmenters.items()}
    maps["sum"] = sum(maps.values())
    results[title] = images, masks, maps
    for name, calibrated in maps.items():
        area, pro = pixel_roc_auc_score(masks, calibrated), pro_auc_score(masks, calibrated)
        print(f"{title:<19}{name:<18}AUC {area:.3f}   PRO {pro:.3f}")

# %%
# Two images of each kind. The colours of each map span its median to its maximum.

for title, (images, masks, maps) in results.items():
    fig, axes = plt.subplots(2, 5, figsize=(11, 4.7), layout="constrained")
    fig.suptitle(f"Defects of {title}")
    for row in range(2):
        axes[row, 0].imshow(images[row], cmap="gray", vmin=0, vmax=1)
        axes[row, 1].imshow(masks[row], cmap="gray")
        for ax, calibrated in zip(axes[row, 2:], maps.values(), strict=True):
            ax.imshow(calibrated[row], cmap="magma", vmin=np.median(calibrated[row]))
    for ax, name in zip(axes[0], ["image", "truth", *maps], strict=True):
        ax.set_title(name)
    for ax in axes.ravel():
        ax.set_axis_off()
