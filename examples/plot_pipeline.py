"""
Should I correct uneven light first?
====================================

Measure it. A preprocessing step is a step of a scikit-learn ``Pipeline``, and ``cross_validate``
compares the pipeline with the segmenter alone. The folds of
:class:`~sk_ssimae.model_selection.DefectFreeKFold` train on good images only, and
:class:`~sk_ssimae.metrics.SegmentationScorer` computes several scores in one pass over the test
images.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy import ndimage
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sk_ssimae import L2AutoencoderSegmenter
from sk_ssimae.datasets import draw_defects, make_woven_fabric
from sk_ssimae.metrics import SegmentationScorer
from sk_ssimae.model_selection import DefectFreeKFold

# %%
# Good and defective fabric under a lamp at a different position for each image.

size = {"shape": (128, 128), "thread_spacing": 6}
X_good = make_woven_fabric(12, random_state=0, **size)
X_bad, masks = draw_defects(
    make_woven_fabric(6, random_state=1, **size), families=["stain", "cut"], random_state=0
)
y = np.concatenate([np.zeros(X_good.shape, dtype=bool), masks])
lamps = np.random.default_rng(0).uniform(0, 128, (len(y), 2))
distances = np.hypot(*(np.indices((128, 128))[:, None] - lamps.T[..., None, None]))
X = np.concatenate([X_good, X_bad]) * (0.35 + 0.75 * np.exp(-((distances / 80) ** 2)))

# %%
# The step divides each image by a blurred copy of itself. It learns nothing, so a function is
# enough.


def correct_light(images):
    light = ndimage.gaussian_filter(images, sigma=(0, 12, 12))
    return np.clip(0.4 * images / light, 0, 1)


segmenter = L2AutoencoderSegmenter(
    patch_size=32, stride=16, n_patches=500, max_epochs=4, batch_size=32, random_state=0
)
candidates = {
    "uncorrected": segmenter,
    "corrected": make_pipeline(FunctionTransformer(correct_light), segmenter),
}

# %%
# Two folds, two scores. The warning is of a fold without the correction: trained this briefly, the
# network has learned hardly any texture.

results = {}
for name, candidate in candidates.items():
    results[name] = cross_validate(
        candidate,
        X,
        y,
        cv=DefectFreeKFold(n_splits=2),
        scoring=SegmentationScorer(["pixel_roc_auc", "pro_auc"]),
        return_estimator=True,
    )
    for score in ["pixel_roc_auc", "pro_auc"]:
        folds = "  ".join(f"{value:.3f}" for value in results[name][f"test_{score}"])
        print(f"{name:<11} {score:<14} {folds}")

# %%
# The masks of both folds. A defect is found if one of its pixels is marked. The correction finds
# one more, and flags a good image or two: the networks are small, and the good images are few.

for name, result in results.items():
    n_found, n_flagged = 0, 0
    folds = DefectFreeKFold(n_splits=2).split(X, y)
    for fitted, (_, in_test) in zip(result["estimator"], folds, strict=True):
        marked = fitted.predict(X[in_test])
        n_found += (marked & y[in_test]).any(axis=(1, 2)).sum()
        n_flagged += marked[~y[in_test].any(axis=(1, 2))].any(axis=(1, 2)).sum()
    print(f"{name:<11} defects found: {n_found} of 6   good images flagged: {n_flagged} of 12")

# %%
# A defective image of the first fold, and the results of that fold's segmenters. A pipeline has the
# ``decision_function`` and ``predict`` of its last step. In uneven light, good threads at the
# border differ from their reconstruction more than the defect does; after the correction, the
# defect differs most.

_, in_test = next(DefectFreeKFold(n_splits=2).split(X, y))
shown = in_test[-2]
fig, axes = plt.subplots(2, 3, figsize=(9, 6), layout="constrained")
for row, (name, result) in zip(axes, results.items(), strict=True):
    image = X[[shown]]
    row[0].imshow(
        (image if name == "uncorrected" else correct_light(image))[0], cmap="gray", vmin=0, vmax=1
    )
    row[0].set_title(f"image, {name}")
    row[1].imshow(result["estimator"][0].decision_function(image)[0], cmap="magma")
    row[1].set_title("residual map")
    row[2].imshow(result["estimator"][0].predict(image)[0], cmap="gray")
    row[2].contour(y[shown], levels=[0.5], colors="tab:red", linewidths=1)
    row[2].set_title("mask")
for ax in axes.ravel():
    ax.set_axis_off()
