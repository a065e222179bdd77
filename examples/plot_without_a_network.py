"""
Can I write a segmenter without a network?
==========================================

Yes: :class:`~sk_ssimae.estimators.BaseSegmenter` knows nothing of networks. A segmenter learns from
good images in ``fit_regions`` and computes the residual of an image in ``compute_residual``.
Thresholds, blocks, pickles and grid search come with the base. Here the residual of a pixel is the
distance of the small patch around it to the nearest of k prototypes, found by k-means.
"""

from numbers import Integral

import matplotlib.pyplot as plt
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.cluster import MiniBatchKMeans
from sklearn.model_selection import GridSearchCV
from sklearn.utils._param_validation import Interval

from sk_ssimae.datasets import draw_defects, make_woven_fabric
from sk_ssimae.estimators import BaseSegmenter, Parameter, Role
from sk_ssimae.model_selection import DefectFreeKFold
from sk_ssimae.plotting import ResidualMapDisplay
from sk_ssimae.testing import image_estimator_checks

# %%
# The table ``parameters`` gives each parameter its role and its allowed values. Parameters of the
# role NETWORK describe the model itself; ``patch_size`` is also the smallest side of an image.

POSITIVE = Interval(Integral, 1, None, closed="left")


class KMeansSegmenter(BaseSegmenter):
    """Segment defects by the distance of patches to prototypes of good patches.

    Parameters
    ----------
    patch_size : int, default=9
        Side of a patch in pixels, odd.
    n_clusters : int, default=200
        Number of prototypes.
    {parameters}
    """

    parameters = {
        "patch_size": Parameter(Role.NETWORK, POSITIVE),
        "n_clusters": Parameter(Role.TRAINING, POSITIVE),
    }

    def __init__(self, *, patch_size=9, n_clusters=200, **shared):
        super().__init__(**shared)
        self.patch_size = patch_size
        self.n_clusters = n_clusters

    def fit_regions(self, regions, rng):
        patches = np.concatenate([self.patches(region, self.patch_size) for region in regions])
        some = rng.choice(patches, min(10_000, len(patches)), replace=False)
        seed = int(rng.integers(2**31))
        self.kmeans_ = MiniBatchKMeans(self.n_clusters, n_init=1, random_state=seed).fit(some)

    def compute_residual(self, image):
        patches = self.patches(image, self.min_image_size)
        return self.kmeans_.transform(patches).min(axis=1).reshape(image.shape[:2])

    def residual_radius(self):
        return self.min_image_size // 2

    @staticmethod
    def patches(image, size):
        """Cut the patch around each pixel, less its mean: (h, w, c) to (h · w, size² · c)."""
        image = image / np.float32(255) if image.dtype == np.uint8 else image
        edge = (size // 2, (size - 1) // 2)
        padded = np.pad(image, (edge, edge, (0, 0)), mode="symmetric")
        windows = sliding_window_view(padded, (size, size), axis=(0, 1))
        patches = windows.reshape(image.shape[0] * image.shape[1], -1).astype(np.float32)
        return patches - patches.mean(axis=1, keepdims=True)


# %%
# :func:`~sk_ssimae.testing.image_estimator_checks` generates the checks that every segmenter
# passes; they belong in the tests of your own.

for estimator, check in image_estimator_checks(KMeansSegmenter(n_clusters=5, random_state=0)):
    check(estimator)
    print(f"{check.__name__}: passed")

# %%
# It is a complete estimator: it calibrates itself on held-out good pixels, and takes part in a
# search that trains on good images and scores on synthetic defects.

X_good = make_woven_fabric(10, shape=(96, 96), thread_spacing=6, random_state=0)
X_test, masks = draw_defects(
    make_woven_fabric(4, shape=(96, 96), thread_spacing=6, random_state=1), random_state=0
)
X, y = np.concatenate([X_good, X_test]), np.concatenate([np.zeros_like(X_good, dtype=bool), masks])
search = GridSearchCV(
    KMeansSegmenter(random_state=0), {"n_clusters": [20, 200]}, cv=DefectFreeKFold(2)
).fit(X, y)
segmenter = search.best_estimator_
print(f"{search.best_params_}, pixel ROC AUC {search.best_score_:.3f}")
print(segmenter.calibration_.promise())
fig, axes = plt.subplots(2, 2, figsize=(7, 7), layout="constrained")
panels = ("image", "truth", "residual map", "mask")
ResidualMapDisplay.from_estimator(segmenter, X_test[0], masks[0], axes=axes.ravel(), panels=panels)
