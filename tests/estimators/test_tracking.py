"""Callbacks of skorch that record experiments, and the code of docs/tracking.rst."""

import re
import threading
from collections import defaultdict
from pathlib import Path

import pytest
from sklearn.base import clone
from skorch.callbacks import MlflowLogger, TensorBoard

from sk_ssimae import SSIMAutoencoderSegmenter

PAGE = Path(__file__).parents[2] / "docs" / "tracking.rst"


class Log:
    """Like an open log of TensorBoard or a client of MLflow: it has a lock, so it has no copies."""

    def __init__(self):
        self._lock = threading.Lock()
        self.metrics = defaultdict(list)
        self.is_closed = False

    def add_scalar(self, tag, scalar_value, global_step):
        self.metrics[tag].append((global_step, scalar_value))

    def log_metric(self, run_id, key, value, step):
        assert run_id == "run"
        self.metrics[key].append((step, value))

    def close(self):
        self.is_closed = True


class Run:
    class info:  # noqa: N801  # MLflow's name
        run_id = "run"


def test_an_open_log_is_shared_with_the_copies_of_callbacks(tiny, good):
    log = Log()
    callback = TensorBoard(log)
    segmenter = SSIMAutoencoderSegmenter(**tiny, callbacks=[("log", callback)]).fit(good)
    losses = segmenter.history_[:, "train_loss"]
    assert log.metrics["Loss/train_loss"] == list(enumerate(losses, start=1))
    assert log.is_closed
    assert not hasattr(callback, "first_batch_")  # The parameter is not changed.


def test_mlflow_records_each_epoch(tiny, good):
    log = Log()
    logger = MlflowLogger(Run(), log, create_artifact=False, terminate_after_train=False)
    segmenter = SSIMAutoencoderSegmenter(**tiny, callbacks=[logger]).fit(good)
    losses = segmenter.history_[:, "train_loss"]
    assert log.metrics["train_loss"] == list(enumerate(losses, start=1))


@pytest.mark.skipif(not PAGE.is_file(), reason="the sdist has no documentation")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own.
@pytest.mark.filterwarnings("ignore::UserWarning:mlflow")
@pytest.mark.parametrize("package", ["mlflow", "tensorboard"])
def test_the_code_of_the_page_runs(package, tiny, good, tmp_path, monkeypatch):
    tracker = pytest.importorskip(package, reason="it brings dozens of packages")
    monkeypatch.chdir(tmp_path)
    if package == "mlflow":
        tracker.set_tracking_uri(f"sqlite:///{tmp_path}/runs.db")
    blocks = re.findall(r"\.\. code-block:: python\n\n((?:   .*\n|\n)+)", PAGE.read_text())
    (code,) = (block for block in blocks if package in block)
    names = {"settings": tiny, "X_good": good}
    exec(re.sub("^   ", "", code, flags=re.MULTILINE), names)
    n_epochs = len(names["segmenter"].history_)
    if package == "mlflow":
        (run,) = tracker.search_runs(output_format="list")
        steps = tracker.MlflowClient().get_metric_history(run.info.run_id, "train_loss")
        assert [step.step for step in steps] == list(range(1, n_epochs + 1))
    else:
        copy = clone(names["segmenter"])
        assert copy.callbacks[0].folder == "runs/fabric"
        assert len(list(Path("runs/fabric").iterdir())) == 1
