"""
What is wrong with this fabric?
===============================

A dozen good images say what the fabric looks like; nobody has to collect defects. The segmenter
learns to reproduce good fabric from them. Where an image and its reconstruction differ in
structure, something does not belong there.
"""

from sk_ssimae import SSIMAutoencoderSegmenter
from sk_ssimae.datasets import draw_defects, make_woven_fabric
from sk_ssimae.plotting import ResidualMapDisplay

X_good = make_woven_fabric(12, random_state=0)
X_test, masks = draw_defects(make_woven_fabric(4, random_state=1), n_defects=4, random_state=3)

# %%
# Small patches and little training, for some ten seconds on a CPU. The defaults train on patches of
# 128 pixels, and for longer.

segmenter = SSIMAutoencoderSegmenter(
    patch_size=32, stride=16, n_patches=800, max_epochs=4, batch_size=32, random_state=0
)
segmenter.fit(X_good)

# %%
# ``decision_function`` gives the residual maps, ``predict`` the masks. The threshold between them
# comes from good images that training has not seen.

residual_maps = segmenter.decision_function(X_test)
predicted = segmenter.predict(X_test)
print(f"threshold {segmenter.threshold_:.3f}. {segmenter.calibration_.promise()}")

# %%
# One image. Red is the outline of what was drawn, which the segmenter does not know.

ResidualMapDisplay.from_estimator(segmenter, X_test[0], masks[0])

# %%
# With true masks there are scores: this is the area under the ROC curve of all pixels.

print(f"pixel ROC AUC {segmenter.score(X_test, masks):.3f}")
