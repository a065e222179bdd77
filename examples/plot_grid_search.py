"""
How do I choose settings if I have labelled defects?
====================================================

With scikit-learn's ``GridSearchCV``. A search must train on good images only, but needs scores on
defects.
:class:`~sk_ssimae.model_selection.DefectFreeKFold` returns such splits,
:class:`~sk_ssimae.metrics.SegmentationScorer` computes several scores in one pass over the test
images, and scikit-learn's ``GridSearchCV`` runs the search: first on the cores of one machine, then
on a cluster.
"""

import joblib
import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GridSearchCV

from sk_ssimae import SSIMAutoencoderSegmenter
from sk_ssimae.datasets import draw_defects, make_woven_fabric
from sk_ssimae.metrics import SegmentationScorer
from sk_ssimae.model_selection import DefectFreeKFold
from sk_ssimae.plotting import PixelRocCurveDisplay, RegionOverlapDisplay

# %%
# Twelve good images of fabric and six with synthetic defects. Masks of good images are empty. An
# image with a marked pixel is defective and is not used in training. :doc:`/model_selection`
# describes such a search on a real fabric.

X_good = make_woven_fabric(12, shape=(128, 128), thread_spacing=6, random_state=0)
X_bad, masks = draw_defects(
    make_woven_fabric(6, shape=(128, 128), thread_spacing=6, random_state=1), random_state=0
)
X = np.concatenate([X_good, X_bad])
y = np.concatenate([np.zeros(X_good.shape, dtype=bool), masks])

# %%
# The search
# ----------
#
# Four settings, two folds. ``refit`` names the score that selects the setting, which is then fitted
# to all good images. ``n_jobs=2`` trains two candidates at a time.

segmenter = SSIMAutoencoderSegmenter(
    patch_size=32, stride=16, n_patches=800, max_epochs=1, batch_size=32, random_state=0
)
search = GridSearchCV(
    segmenter,
    {"latent_dim": [10, 100], "window_size": [5, 11]},
    cv=DefectFreeKFold(n_splits=2, shuffle=True, random_state=0),
    scoring=SegmentationScorer(["pixel_roc_auc", "pro_auc"]),
    refit="pro_auc",
    n_jobs=2,
)
with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
    search.fit(X, y)
print(search.best_params_)

# %%
# The area under the per-region overlap curve gives small and large defects equal weight; large
# defects dominate the area under the pixel ROC curve.

fig, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
for ax, score in zip(axes, ["pixel_roc_auc", "pro_auc"], strict=True):
    grid = search.cv_results_[f"mean_test_{score}"].reshape(2, 2)
    ax.imshow(grid, cmap="viridis", alpha=0.5)
    for (row, column), value in np.ndenumerate(grid):
        ax.text(column, row, f"{value:.3f}", ha="center", va="center", color="k", weight="bold")
    ax.set(title=score, xlabel="window_size", ylabel="latent_dim")
    ax.set(xticks=[0, 1], xticklabels=[5, 11], yticks=[0, 1], yticklabels=[10, 100])

# %%
# Many machines
# -------------
#
# With ``backend="dask"``, joblib runs the same fits on a
# `dask <https://distributed.dask.org>`_ cluster (extra ``distributed``). Here the cluster is two
# processes on this machine; with the address of a scheduler, ``Client("tcp://...")``, it can be
# many machines. The search does not change, and neither do the scores if all workers use the same
# number of threads: sums in another order differ in the last digits, and training amplifies the
# difference. Hence one thread per worker in both searches; without ``parallel_config``, joblib's
# workers divide all cores among them.

import os

from dask.distributed import Client, SubprocessCluster

os.environ["OMP_NUM_THREADS"] = "1"  # Inherited by the processes of the cluster.
n_jobs_scores = search.cv_results_["mean_test_pro_auc"]
cluster = SubprocessCluster(
    n_workers=2, worker_kwargs={"nthreads": 1}, scheduler_kwargs={"dashboard": False}
)
with cluster, Client(cluster) as client, joblib.parallel_config(backend="dask"):
    client.wait_for_workers(2)  # Without workers, joblib would compute in this process.
    search.fit(X, y)
np.testing.assert_array_equal(search.cv_results_["mean_test_pro_auc"], n_jobs_scores)

# %%
# On images that the search has not seen
# --------------------------------------
#
# The area under the pixel ROC curve is larger than in the search, where half of the good images
# were left for training. At a false positive rate of 5 %, most of the median defect is covered,
# while a quarter of the defects are covered to a half or less.

X_test, test_masks = draw_defects(
    make_woven_fabric(6, shape=(128, 128), thread_spacing=6, random_state=2), random_state=1
)
fig, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
maps = search.best_estimator_.decision_function(X_test)
PixelRocCurveDisplay.from_predictions(test_masks, maps, name="selected", ax=axes[0])
RegionOverlapDisplay.from_predictions(test_masks, maps, name="median and quartiles", ax=axes[1])
