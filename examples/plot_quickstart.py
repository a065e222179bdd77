"""
How do I find defects with good images only?
============================================

A dozen good images are enough to learn how the fabric looks; no defects have to be collected.
:func:`~sk_ssimae.make_default_ensemble` needs no choice of a method: it adds the maps of an
autoencoder, which compares an image with its reconstruction, and of two dictionaries, which compare
it with good images.
"""

import matplotlib.pyplot as plt

from sk_ssimae import make_default_ensemble
from sk_ssimae.datasets import draw_defects, make_woven_fabric
from sk_ssimae.plotting import ResidualMapDisplay

X_good = make_woven_fabric(12, random_state=0)
X_test, masks = draw_defects(make_woven_fabric(4, random_state=1), n_defects=4, random_state=38)

# %%
# Small patches and little training of the autoencoder, to take less than a minute on a CPU. The
# defaults train on patches of 128 pixels, and for longer.

segmenter = make_default_ensemble(
    autoencoder__patch_size=32,
    autoencoder__stride=16,
    autoencoder__n_patches=800,
    autoencoder__max_epochs=4,
    autoencoder__batch_size=32,
    random_state=0,
)
segmenter.fit(X_good)

# %%
# ``decision_function`` returns residual maps, ``predict`` masks. The levels that turn a map
# into a mask come from good images held out from training.

residual_maps = segmenter.decision_function(X_test)
predicted = segmenter.predict(X_test)
print(f"threshold {segmenter.threshold_:.1f}. {segmenter.calibration_.promise()}")

# %%
# Plot one image. The red outlines show the true defects, which the segmenter does not know. The
# faint bar is in the map, but no clearer than good fabric may be: the threshold misses it.

ResidualMapDisplay.from_estimator(segmenter, X_test[0], masks[0])

# %%
# With true masks, ``score`` returns the area under the ROC curve of all pixels.

print(f"pixel ROC AUC {segmenter.score(X_test, masks):.3f}")

# %%
# On the line, nobody knows the true defects. A person sees the image with a box around each region
# that was found.

# sphinx_gallery_thumbnail_number = 2
fig, ax = plt.subplots(figsize=(5, 5), layout="constrained")
ax.imshow(X_test[0], cmap="gray", vmin=0, vmax=1)
ax.contour(predicted[0], levels=[0.5], colors="tab:orange")
regions = segmenter.find_regions(X_test[:1])[0]
for top, left, bottom, right in zip(
    *(regions[name] for name in ("min_row", "min_column", "max_row", "max_column")), strict=True
):
    corner, size = (left - 4, top - 4), (right - left + 8, bottom - top + 8)
    ax.add_patch(plt.Rectangle(corner, *size, fill=False, edgecolor="tab:red", linewidth=2))
ax.set_axis_off()
