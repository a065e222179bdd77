"""
Which threshold should I choose?
================================

Keep the default, ``threshold="image_fpr"``, to decide about parts: it limits the share of good
images that are flagged. ``"pixel_fpr"`` limits the share of good pixels above the threshold, and
flags most good images. Both are computed from good images only, so neither says how many defects
are found. ``predict`` cuts a residual map at two levels: a region is marked if it exceeds the
higher one, the threshold of the verdict, somewhere; its pixels exceed the lower one. By default, a
region also ends at half of its local peak, and opening removes thin parts; here both are switched
off. This example shows both levels, and checks both promises on new good images.
"""

import matplotlib.pyplot as plt
import numpy as np

from sk_ssimae import SSIMAutoencoderSegmenter
from sk_ssimae.datasets import draw_defects, make_woven_fabric
from sk_ssimae.model_selection import image_fpr_threshold, pixel_fpr_threshold

# %%
# Images for training, for calibration and for the check, all good.

fabric = make_woven_fabric(320, shape=(64, 64), thread_spacing=6, random_state=0)
X_train, X_calibration, X_new = np.split(fabric, [20, 120])
segmenter = SSIMAutoencoderSegmenter(
    patch_size=32,
    stride=32,
    n_patches=600,
    max_epochs=3,
    batch_size=32,
    extent_threshold="pixel_fpr",
    opening_diameter=0,
    random_state=0,
).fit(X_train)

# %%
# A larger image with defects. Some good pixels exceed the level of the extent, because one in a
# hundred does. Their regions do not reach the level of the verdict.

good = make_woven_fabric(6, shape=(256, 256), thread_spacing=6, random_state=1)
X_defective, masks = draw_defects(
    make_woven_fabric(1, shape=(256, 256), thread_spacing=6, random_state=2),
    families=["cut", "contamination"],
    n_defects=2,
    random_state=1,
)
segmenter.set_params(stride=16).calibrate(good)
residual_map = segmenter.decision_function(X_defective)[0]
pictures = {
    "image": (X_defective[0], "gray"),
    "residual map": (residual_map, "magma"),
    "above the level of the extent": (residual_map > segmenter.extent_threshold_, "gray"),
    "regions above that of the verdict": (segmenter.predict(X_defective)[0], "gray"),
}
fig, axes = plt.subplots(1, 4, figsize=(13, 3.6), layout="constrained")
for ax, (title, (picture, cmap)) in zip(axes, pictures.items(), strict=True):
    ax.imshow(picture, cmap=cmap, vmin=0, vmax=1)
    ax.contour(masks[0], levels=[0.5], colors="tab:red", linewidths=1)
    ax.set(title=title, xticks=[], yticks=[])

# %%
# ``calibrate`` computes both levels on other images, without training. ``image_fpr`` with 1 % needs
# at least 99 of them for a guarantee; with ten it is an estimate.

segmenter.set_params(stride=32)
for rule, n_calibration in [("pixel_fpr", 100), ("image_fpr", 100), ("image_fpr", 10)]:
    segmenter.set_params(threshold=rule).calibrate(X_calibration[:n_calibration])
    marked = segmenter.predict(X_new)
    print(segmenter.calibration_.promise())
    print(
        f"    threshold {segmenter.threshold_:.3f}, measured: {100 * marked.mean():.2f} % of the "
        f"pixels, {100 * marked.any(axis=(1, 2)).mean():.1f} % of the images"
    )

# %%
# The same for many target rates. Residual maps do not depend on the threshold and are computed
# once. As there is no opening, the functions behind the two rules can use them directly.

calibration_maps = segmenter.decision_function(X_calibration)
new_maps = segmenter.decision_function(X_new)
calibration_scores, new_scores = (maps.max(axis=(1, 2)) for maps in (calibration_maps, new_maps))
targets = np.geomspace(0.01, 0.3, 12)
pixel_thresholds = np.array([pixel_fpr_threshold(calibration_maps, t) for t in targets])
image_thresholds = np.array([image_fpr_threshold(calibration_scores, t) for t in targets])


def shares_above(scores, thresholds):
    return [(scores > threshold).mean() for threshold in thresholds]


# %%
# Each rule keeps only its own promise. If one pixel in a hundred is marked, most good images have a
# marked pixel. If at most one image in a hundred is flagged, hardly any pixel is marked. The second
# promise is a bound on the average over calibrations: with 100 images, a single calibration may
# lie below the line or somewhat above it. With the lowest targets, both shares are 0 here.

# sphinx_gallery_thumbnail_number = 2
fig, axes = plt.subplots(1, 2, figsize=(9.5, 4.4), layout="constrained", sharex=True, sharey=True)
for ax, title, thresholds in zip(
    axes, ["pixel_fpr", "image_fpr"], [pixel_thresholds, image_thresholds], strict=True
):
    ax.plot(targets, targets, color="0.6", label="as promised")
    ax.plot(targets, shares_above(new_maps, thresholds), "o", label="good pixels marked")
    ax.plot(targets, shares_above(new_scores, thresholds), "s", label="good images flagged")
    ax.set(xscale="log", title=f'threshold="{title}"', xlabel="target_fpr")
    ax.set_yscale("symlog", linthresh=1e-6)
axes[0].set_ylabel("measured share")
axes[0].legend()
