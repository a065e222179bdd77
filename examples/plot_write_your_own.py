"""
How do I write my own segmenter?
================================

A family of autoencoders is a loss, optionally a network, and a small class over
:class:`~sk_ssimae.estimators.BaseAutoencoderSegmenter`. Training, patches, thresholds, checks,
documentation of the shared parameters, pickles and grid search come with the base. This example
adds an absolute error that ignores small differences.
"""

import warnings
from numbers import Real

import matplotlib.pyplot as plt
from sklearn.utils._param_validation import Interval
from torch import nn

from sk_ssimae.datasets import draw_defects, make_woven_fabric
from sk_ssimae.estimators import BaseAutoencoderSegmenter, Parameter, Role
from sk_ssimae.exceptions import UnlearnedTextureWarning
from sk_ssimae.plotting import ResidualMapDisplay
from sk_ssimae.testing import image_estimator_checks

# %%
# The loss is a torch module with two methods. Training minimises ``forward``, computed from the
# output of the network for patches (N, C, P, P) and from the patches; ``residual_map`` turns an
# image and its reconstruction into residuals (N, H, W). Here differences count beyond a tolerance.


class TolerantL1Loss(nn.Module):
    residual_radius = 0  # Pixels around a pixel that its residual depends on: segment_blocks.

    def __init__(self, tolerance):
        super().__init__()
        self.tolerance = tolerance

    def forward(self, reconstruction, target):
        return (reconstruction - target).abs().flatten(1).sum(dim=1).mean()

    def residual_map(self, image, reconstruction):
        return ((image - reconstruction).abs() - self.tolerance).clamp_min(0).mean(dim=1)


# %%
# The segmenter stores its own parameters, lists each with its role and allowed values, and returns
# the loss. The parameters of all autoencoders replace ``**shared`` in its signature. A second
# method, ``make_module``, would return a network of its own, whose weights and shape are kept.


class TolerantAutoencoderSegmenter(BaseAutoencoderSegmenter):
    """Segment defects by the absolute error of a reconstruction, beyond a tolerance.

    Parameters
    ----------
    tolerance : float, default=0
        Differences of intensities up to this value are ignored, in [0, 1).
    {parameters}
    """

    parameters = {
        "tolerance": Parameter(Role.NETWORK, Interval(Real, 0, 1, closed="left")),
    }

    def __init__(self, *, tolerance=0.0, **shared):
        super().__init__(**shared)
        self.tolerance = tolerance

    def make_loss(self):
        return TolerantL1Loss(self.tolerance)


# %%
# :func:`~sk_ssimae.testing.image_estimator_checks` generates the checks that every segmenter
# passes; they belong in the tests of your own.

quick = TolerantAutoencoderSegmenter(
    patch_size=16, stride=16, n_patches=32, max_epochs=1, random_state=0
)
with warnings.catch_warnings():
    # The network learns nothing from 32 patches. The checks do not need it to.
    warnings.simplefilter("ignore", UnlearnedTextureWarning)
    for estimator, check in image_estimator_checks(quick):
        check(estimator)
        print(f"{check.__name__}: passed")

# %%
# It is a complete estimator: it trains, calibrates itself and marks a defect of the fabric.

X_good = make_woven_fabric(12, shape=(128, 128), thread_spacing=6, random_state=0)
X_test, masks = draw_defects(
    make_woven_fabric(4, shape=(128, 128), thread_spacing=6, random_state=1), random_state=0
)
segmenter = TolerantAutoencoderSegmenter(
    tolerance=0.02, patch_size=32, stride=16, n_patches=1500, max_epochs=4, random_state=0
).fit(X_good)
print(f"pixel ROC AUC {segmenter.score(X_test, masks):.3f}")
fig, axes = plt.subplots(2, 2, figsize=(7, 7), layout="constrained")
panels = ("image", "reconstruction", "residual map", "mask")
ResidualMapDisplay.from_estimator(segmenter, X_test[0], masks[0], axes=axes.ravel(), panels=panels)
