"""
How do I choose settings if I have no defective images?
=======================================================

Paint defects yourself. :func:`~sk_ssimae.model_selection.make_selection_set` paints them into
copies of good images, near the limit of detection, and scikit-learn's ``GridSearchCV`` then
compares settings. :func:`~sk_ssimae.model_selection.tune` does the same for whole methods in one
call; this example shows the parts. Candidates are ranked in each family of defects, since nobody
knows which families will occur. With ``memory``, values of inference parameters need no training of
their own.
"""

import tempfile
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GridSearchCV

from sk_ssimae import PatchDictionarySegmenter
from sk_ssimae.datasets import draw_defects, make_woven_fabric
from sk_ssimae.exceptions import SelectionWarning
from sk_ssimae.model_selection import (
    DefectFreeKFold,
    FamilyScorer,
    SelectionReport,
    choose_by_rank,
    make_selection_set,
)
from sk_ssimae.plotting import ResidualMapDisplay

# %%
# Eight good images of fabric. A pilot, trained on half of them, sets the severity of each family.

X_good = make_woven_fabric(8, shape=(128, 128), thread_spacing=6, random_state=0)
selection = make_selection_set(
    X_good,
    families=["scar", "crease", "contamination", "blur", "warp"],
    n_per_family=4,
    random_state=0,
)
print({family: round(severity, 2) for family, severity in selection.severities.items()})

# %%
# The painted defects of one image, with their outlines; the centre of each, four times as large;
# the same place before. Each family changes something else: structure, grey value, sharpness or
# position.

painted = range(len(X_good), len(X_good) + 5)
fig, axes = plt.subplots(3, 5, figsize=(10, 6.4), layout="constrained")
for column, index in zip(axes.T, painted, strict=True):
    image, mask, original = selection.X[index], selection.y[index], X_good[selection.groups[index]]
    column[0].imshow(image, cmap="gray", vmin=0, vmax=1)
    column[0].contour(mask, levels=[0.5], colors="tab:red", linewidths=0.8)
    column[0].set_title(selection.families[index])
    top, left = np.argwhere(mask).mean(axis=0).astype(int) - 16
    for ax, whole in zip(column[1:], [image, original], strict=True):
        crop = whole[top : top + 32, left : left + 32]
        ax.imshow(crop, cmap="gray", vmin=0.3, vmax=0.8)
for ax in axes.ravel():
    ax.axis("off")

# %%
# The search
# ----------
#
# Eight candidates, two folds: 16 fits that learn only 4 times, because ``smoothing`` acts on
# residual maps alone. Training folds contain untouched good images, and ``groups`` keeps painted
# copies in the fold of their originals.

folder = tempfile.TemporaryDirectory()
search = GridSearchCV(
    PatchDictionarySegmenter(dictionary_size=1000, random_state=0, memory=folder.name),
    {"contrast_sigma": [0, 8], "smoothing": [0, 1, 4, 12]},
    cv=DefectFreeKFold(2),
    scoring=FamilyScorer(selection),
    refit=choose_by_rank,
)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", SelectionWarning)  # The report says it too.
    search.fit(*selection, groups=selection.groups)
    report = SelectionReport.from_cv_results(search.cv_results_)
folder.cleanup()
print(report)

# %%
# Ranks in each family, 1 for the best. The chosen candidate has the best mean rank. Two candidates
# are close, and without some families the other one would be chosen; for creases
# ``contrast_sigma=0`` ranks best. Then keep the families that resemble your defects, and search
# again.

names = [
    ", ".join(f"{name}={value}" for name, value in candidate.items())
    for candidate in report.candidates
]
# sphinx_gallery_thumbnail_number = 2
fig, ax = plt.subplots(figsize=(9, 3.6), layout="constrained")
table = np.column_stack([report.ranks, report.mean_ranks])
ax.imshow(table, cmap="viridis_r", aspect="auto", alpha=0.6)
for (row, column), rank in np.ndenumerate(table):
    weight = "bold" if row == report.best_index else "normal"
    ax.text(column, row, f"{rank:g}", ha="center", va="center", weight=weight)
ax.set_xticks(range(table.shape[1]), [*report.families, "mean"])
ax.set_yticks(range(len(names)), names)
ax.set_title("Ranks by family of painted defects; bold: chosen")

# %%
# Limits
# ------
#
# - The ranking holds for painted defects. It helps only as far as real ones resemble them, and
#   nothing in good images tells whether they do. :doc:`/model_selection` has the evidence.
# - The scores are no estimate of the accuracy on real defects: severities were set so that
#   candidates differ.
# - Small differences of ranks, here from four images of a family, may be chance.
# - As soon as there are a few labelled defects, compare the best candidates on them.
#
# The chosen one at work
# ----------------------
#
# ``search.best_estimator_`` is fitted to all good images and ready to use. Here it marks defects of
# another generator, in an image that it has not seen.

fabric = make_woven_fabric(1, shape=(128, 128), thread_spacing=6, random_state=1)
X_test, masks = draw_defects(fabric, n_defects=3, random_state=3)
ResidualMapDisplay.from_estimator(search.best_estimator_, X_test[0], masks[0])
