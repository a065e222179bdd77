"""Many images: in constant memory, from many threads, in many processes."""

import gc
import math
import pickle
import threading
import time
import tracemalloc
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import skimage.io
from sklearn.model_selection import GridSearchCV
from torch import nn

from sk_ssimae import SSIMAutoencoderSegmenter
from sk_ssimae._reading import _files
from sk_ssimae.datasets import draw_defects, load_image_folder, make_woven_fabric
from sk_ssimae.estimators import _net
from sk_ssimae.model_selection import DefectFreeKFold

N_THREADS = 8


class Made(Sequence):
    """Images that are generated on access and not stored."""

    def __init__(self, n_images, shape):
        self._n_images, self._shape = n_images, shape

    def __len__(self):
        return self._n_images

    def __getitem__(self, index):
        if index >= self._n_images:
            raise IndexError(index)
        return np.random.default_rng(index).random(self._shape, dtype=np.float32)


def test_maps_are_not_kept(tiny, good):
    segmenter = SSIMAutoencoderSegmenter(**tiny).fit(good)
    shape, n_images = (24, 32), 120
    images = Made(n_images, shape)
    segmenter.decision_function([images[0]])  # This makes the network of inference.
    gc.collect()
    tracemalloc.start()
    try:
        n_maps = sum(1 for _ in segmenter.iter_decision_function(images))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert n_maps == n_images
    # One image, its map and the buffers of smoothing: a third of the memory of all maps.
    assert peak < n_images / 3 * 4 * math.prod(shape)


def test_threads_compute_as_one_does(segmenter_class, tiny, good):
    # Not used before, so that all threads find the network unprepared.
    segmenter = pickle.loads(pickle.dumps(segmenter_class(**tiny).fit(good)))
    images = Made(16, (24, 32))

    def compute(image):
        X = [image]
        return segmenter.decision_function(X), segmenter.predict(X), segmenter.score_images(X)

    with ThreadPoolExecutor(N_THREADS) as pool:
        found = list(pool.map(compute, images))
    for results, image in zip(found, images, strict=True):
        for result, expected in zip(results, compute(image), strict=True):
            np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


def in_threads(function):
    """Call a function in threads that start together."""
    barrier = threading.Barrier(N_THREADS)

    def wait_and_call(index):
        barrier.wait()
        return function(index)

    with ThreadPoolExecutor(N_THREADS) as pool:
        return list(pool.map(wait_and_call, range(N_THREADS)))


def test_threads_share_one_folded_network(tiny, good, monkeypatch):
    segmenter = SSIMAutoencoderSegmenter(**tiny, threshold=1.0).fit(good)
    del segmenter.net_.__dict__["_inference"]  # Made when fit judged the network.
    n_folded = 0
    fold = _net.fold_normalization

    def fold_slowly(module):
        nonlocal n_folded
        n_folded += 1
        time.sleep(0.05)
        return fold(module)

    monkeypatch.setattr(_net, "fold_normalization", fold_slowly)
    in_threads(lambda _: segmenter.score_images(good))
    assert n_folded == 1


def test_a_network_in_use_is_left_alone(segmenter_class, tiny, good, monkeypatch):
    segmenter = segmenter_class(**tiny, threshold=1.0, normalization=None).fit(good)
    segmenter.score_images(good)
    touched = []

    def touch(module, *_):
        touched.append(module)
        return module

    monkeypatch.setattr(nn.Module, "_apply", touch)
    monkeypatch.setattr(nn.Module, "train", touch)
    segmenter.score_images(good)
    assert not touched
    segmenter.net_.module_.training = True
    segmenter.score_images(good)
    assert touched  # Parts that are not ready are prepared again.


def test_reading_in_threads_leaves_warnings_as_they_are(tmp_path, monkeypatch):
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    skimage.io.imsave(tmp_path / "image.png", image, check_contrast=False)
    convert = _files.of_pillow

    def convert_slowly(image):
        # Threads that begin last end last, and would restore the settings of earlier ones.
        time.sleep(0.01)
        return convert(image)

    monkeypatch.setattr(_files, "of_pillow", convert_slowly)
    before = list(warnings.filters)

    def read_after_others(index):
        time.sleep(0.002 * index)
        return _files.read_image(tmp_path / "image.png", "X[0]").pixels

    for found in in_threads(read_after_others):
        np.testing.assert_array_equal(found, image)
    assert warnings.filters == before


@pytest.fixture
def folder(tmp_path):
    """Return a folder of good and defective images with masks."""
    good = make_woven_fabric(8, shape=(40, 56), thread_spacing=6, random_state=0)
    defective, masks = draw_defects(good[:4], random_state=0)
    for name, images in [("good", good[4:]), ("defective", defective), ("mask", masks)]:
        (tmp_path / name).mkdir()
        for index, image in enumerate(images):
            path = tmp_path / name / f"{index}.png"
            skimage.io.imsave(path, (255 * image).astype(np.uint8), check_contrast=False)
    return tmp_path


@pytest.fixture
def cluster(monkeypatch):
    """Start two worker processes with one thread each."""
    distributed = pytest.importorskip("distributed", reason="the extra distributed is missing")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with distributed.LocalCluster(**settings) as made, distributed.Client(made) as client:
        client.wait_for_workers(2)
        yield client


def test_a_cluster_computes_as_one_process_does(cluster, folder, tiny):
    X, y = load_image_folder(
        folder / "good", folder / "defective", folder / "mask", return_X_y=True
    )
    segmenter = SSIMAutoencoderSegmenter(**tiny).fit(X, y)
    search = GridSearchCV(segmenter, {"latent_dim": [4, 8]}, cv=DefectFreeKFold(2), refit=False)
    expected = segmenter.predict(X)
    expected_scores = search.fit(X, y).cv_results_["mean_test_score"]
    with joblib.parallel_config(backend="dask"):
        calls = [
            joblib.delayed(segmenter.predict)(X[start : start + 3]) for start in range(0, 8, 3)
        ]
        masks = [mask for chunk in joblib.Parallel()(calls) for mask in chunk]
        scores = search.fit(X, y).cv_results_["mean_test_score"]
    np.testing.assert_array_equal(masks, expected)
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-5)
    assert len(cluster.run(lambda: None)) == 2
