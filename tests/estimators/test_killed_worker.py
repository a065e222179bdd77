"""A cluster started as the documentation says, of which one worker is lost in the middle."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
import skimage.io
from sklearn.model_selection import GridSearchCV

from sk_ssimae import SSIMAutoencoderSegmenter
from sk_ssimae.datasets import draw_defects, make_woven_fabric
from sk_ssimae.model_selection import DefectFreeKFold

pytestmark = pytest.mark.slow  # Three processes import torch.

_WAIT = 300  # Seconds; a loaded machine takes long to import torch.


class Cluster:
    """A scheduler and two workers, each with its nanny in a session of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.processes = []
        self.scheduler_file = str(folder / "scheduler.json")
        self.start("scheduler", "--host", "127.0.0.1", "--port", "0")
        for _ in range(2):
            self.start("worker", "--nthreads", "1")

    def start(self, command, *options):
        dask = Path(sys.executable).with_name("dask")
        options = ["--scheduler-file", self.scheduler_file, "--no-dashboard", *options]
        with (self.folder / f"{len(self.processes)}.log").open("w") as log:
            process = subprocess.Popen(
                [
                    dask,
                    command,
                    "--scheduler-file",
                    self.scheduler_file,
                    "--no-dashboard",
                    *options,
                ],
                cwd=self.folder,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)

    def kill_busy_worker(self, client):
        """Kill a worker and its nanny, as if the machine were lost, in its second task."""
        address, process = next(iter(client.run(os.getpid).items()))
        self.killed = threading.Event()

        def kill():
            keys = set()
            while len(keys) < 2:
                keys |= {*client.processing().get(address, ())}
                time.sleep(0.005)
            os.killpg(os.getpgid(process), signal.SIGKILL)
            self.killed.set()

        threading.Thread(target=kill, daemon=True).start()

    def stop(self):
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def cluster(tmp_path):
    pytest.importorskip("distributed", reason="the extra distributed is missing")
    made = Cluster(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def client(cluster):
    from distributed import Client

    with Client(scheduler_file=cluster.scheduler_file, timeout=_WAIT) as client:
        client.wait_for_workers(2, timeout=_WAIT)
        client.run(exec, "import sk_ssimae; sk_ssimae.SSIMAutoencoderSegmenter")
        yield client


@pytest.fixture
def fabric():
    """Return images, four of them good, and their masks."""
    good = make_woven_fabric(8, shape=(40, 56), thread_spacing=6, random_state=0)
    defective, masks = draw_defects(good[:4], random_state=0)
    return np.concatenate([good[4:], defective]), np.concatenate([np.zeros_like(masks), masks])


@pytest.fixture
def search(tiny):
    segmenter = SSIMAutoencoderSegmenter(**tiny)
    folds = DefectFreeKFold(2)
    grid = {"latent_dim": [4, 8, 12]}
    return GridSearchCV(segmenter, grid, cv=folds, refit=False, error_score="raise")


def test_a_search_loses_nothing(cluster, client, fabric, search):
    X, y = fabric
    expected = search.fit(X, y).cv_results_["mean_test_score"]
    cluster.kill_busy_worker(client)
    with joblib.parallel_config(backend="dask", scatter=[X, y]):
        scores = search.fit(X, y).cv_results_["mean_test_score"]
    assert cluster.killed.is_set()
    assert len(client.ncores()) == 1
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_predictions_lose_nothing(cluster, client, fabric, tiny, tmp_path):
    X, y = fabric
    paths = [str(tmp_path / f"{index}.png") for index in range(20)]
    for path, image in zip(paths, np.resize(X, (20, *X.shape[1:])), strict=True):
        skimage.io.imsave(path, np.rint(255 * image).astype(np.uint8), check_contrast=False)
    # Slow enough that many images are left when the worker is killed.
    slow = tiny | {"stride": 1, "test_time_augmentation": "dihedral"}
    segmenter = SSIMAutoencoderSegmenter(**slow).fit(X, y)
    expected = segmenter.predict(paths)
    cluster.kill_busy_worker(client)
    with joblib.parallel_config(backend="dask"):
        chunks = joblib.Parallel()(joblib.delayed(segmenter.predict)([path]) for path in paths)
    assert cluster.killed.is_set()
    assert len(client.ncores()) == 1
    for found, mask in zip((mask for chunk in chunks for mask in chunk), expected, strict=True):
        np.testing.assert_array_equal(found, mask)


def test_arrays_that_only_the_lost_worker_held_are_lost(cluster, client):
    from distributed.client import FutureCancelledError

    matrix = np.random.default_rng(0).normal(size=(700, 700))
    processes = client.run(os.getpid)

    def kill_holder():
        holders = []
        while not holders:
            held = client.has_what().items()
            holders = [address for address, keys in held if any("ndarray" in key for key in keys)]
            time.sleep(0.005)
        os.killpg(os.getpgid(processes[holders[0]]), signal.SIGKILL)

    threading.Thread(target=kill_holder, daemon=True).start()
    with joblib.parallel_config(backend="dask"), pytest.raises(FutureCancelledError):
        joblib.Parallel()(joblib.delayed(np.linalg.cond)(matrix) for _ in range(20))
