import errno
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch.callbacks import Callback, EarlyStopping
from skorch.utils import noop

from sk_ssimae import L2AutoencoderSegmenter, SSIMAutoencoderSegmenter
from sk_ssimae.estimators import _checkpoint
from sk_ssimae.estimators._sampler import PatchSampler
from sk_ssimae.exceptions import InterruptedFitWarning

N_STEPS = 2  # In an epoch of `tiny`.


@pytest.fixture(scope="module")
def tiny(tiny):
    return tiny | {"n_patches": 32, "max_epochs": 3, "threshold": 1.0}


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def kill(monkeypatch):
    """End training at a step, counted from 1 over the epochs of one fit."""
    cut = PatchSampler._cut

    def kill(at_step, error=Killed):
        steps = iter(range(1, at_step))

        def cut_until(*args):
            if next(steps, None) is None:
                raise error
            return cut(*args)

        monkeypatch.setattr(PatchSampler, "_cut", cut_until)

    yield kill
    monkeypatch.setattr(PatchSampler, "_cut", cut)


@pytest.fixture
def resume(kill):
    """Fit three times: killed in the second epoch, killed in the third, and to the end."""

    def resume(segmenter, images, kills=(N_STEPS + 2, N_STEPS + 1)):
        for step in kills:
            kill(step)
            with pytest.raises(Killed):
                segmenter.fit(images)
        kill(at_step=1000)
        return segmenter.fit(images)

    return resume


def state(segmenter):
    """Return the final state of a fit, without its seconds."""
    net = segmenter.net_
    tensors = [*net.module_.state_dict().values(), *net.criterion_.state_dict().values()]
    history = [{name: value for name, value in row.items() if name != "dur"} for row in net.history]
    return [tensor.cpu().numpy().tobytes() for tensor in tensors], history, segmenter.threshold_


def only_file(folder):
    (path,) = folder.iterdir()
    return path


def test_a_fit_that_was_killed_ends_as_if_it_had_not_been(
    segmenter_class, tiny, good, tmp_path, resume
):
    params = tiny | {"augmentation": "dihedral", "threshold": "pixel_fpr"}
    uninterrupted = segmenter_class(**params).fit(good)
    resumed = resume(segmenter_class(**params, checkpoint_dir=tmp_path / "new" / "folder"), good)
    assert state(resumed) == state(uninterrupted)


@pytest.mark.parametrize(
    "params",
    [
        {"lr_schedule": None, "normalization": None, "n_patches": 30},
        {"lr": np.float64(1e-3), "precision": "fp16"},
        {"net_params": {"optimizer": torch.optim.SGD, "optimizer__momentum": np.float64(0.9)}},
    ],
    ids=["constant_rate", "fp16", "momentum"],
)
def test_other_training(tiny, good, tmp_path, resume, params):
    uninterrupted = L2AutoencoderSegmenter(**(tiny | params)).fit(good)
    resumed = resume(L2AutoencoderSegmenter(**(tiny | params), checkpoint_dir=tmp_path), good)
    assert state(resumed) == state(uninterrupted)
    scalers = [fitted.net_._scaler.state_dict() for fitted in (resumed, uninterrupted)]
    assert scalers[0] == scalers[1]


class Memory(Callback):
    """Record training in attributes that a checkpoint stores, and in one that it does not."""

    def __init__(self):
        self.rates = []
        self.average = torch.nn.Linear(1, 1)
        self.opaque = object()

    def on_batch_begin(self, net, **kwargs):
        self.rates.append(net.optimizer_.param_groups[0]["lr"])
        self.average.weight.data.fill_(len(self.rates))


def test_callbacks_go_on(tiny, good, tmp_path, resume):
    def segmenter(**params):
        stopping = EarlyStopping(
            "train_loss", patience=2, threshold=10, threshold_mode="abs", load_best=True, sink=noop
        )
        callbacks = [Memory(), stopping]
        return SSIMAutoencoderSegmenter(**(tiny | {"max_epochs": 9}), callbacks=callbacks, **params)

    uninterrupted = segmenter().fit(good)
    resumed = resume(segmenter(checkpoint_dir=tmp_path), good)
    assert len(resumed.history_) == len(uninterrupted.history_) == 3
    assert state(resumed) == state(uninterrupted)
    memories = [dict(fitted.net_.callbacks_)["Memory"] for fitted in (resumed, uninterrupted)]
    assert memories[0].rates == memories[1].rates
    assert memories[0].average.weight.item() == 3 * N_STEPS


def test_a_finished_fit_is_not_trained_again(tiny, good, tmp_path, kill):
    first = SSIMAutoencoderSegmenter(**tiny, checkpoint_dir=tmp_path)
    first.set_params(threshold="pixel_fpr").fit(good)
    kill(at_step=1)
    with pytest.raises(Killed):  # Other images are held out, so training differs.
        clone(first).set_params(validation_fraction=0.5).fit(good)
    again = clone(first).set_params(smoothing=0, stride=16, target_fpr=0.1).fit(good)
    assert state(again)[:2] == state(first)[:2]
    assert again.threshold_ != first.threshold_


def test_every_parameter_has_its_file_but_those_that_training_does_without(tiny, good, tmp_path):
    changed = {
        "latent_dim": 9, "patch_size": 32, "normalization": None, "image_size": 48,
        "intensity_range": (0, 2), "alpha_channel": "keep",
        "n_patches": 31, "augmentation": "dihedral", "cutout": 0.5, "max_epochs": 2,
        "batch_size": 15, "lr": 1e-3, "lr_schedule": None, "weight_decay": 0, "random_state": 1,
        "precision": "bf16",
        "callbacks": [Memory()], "net_params": {"optimizer__betas": (0.8, 0.99)},
        "threshold": "pixel_fpr",  # With it, images are held out.
        "window_size": 9, "window": "gaussian", "alpha": 2, "beta": 2, "gamma": 2, "c1": 1e-3,
        "c2": 1e-3,
    }  # fmt: skip
    same = {
        "verbose": 1, "stride": 16, "inference_batch_size": 1, "smoothing": 0, "target_fpr": 0.1,
        "taper": 1, "test_time_augmentation": "dihedral", "opening_diameter": 0,
        "validation_fraction": 0.4, "max_image_pixels": 10**6, "images_in_memory": False,
        "residual_params": {"gamma": 2},
        "absolute_weight": 3, "extent_threshold": 0.1, "extent_fpr": 0.2, "min_region_area": 3,
    }  # fmt: skip
    plain = SSIMAutoencoderSegmenter(**tiny, checkpoint_dir=tmp_path)
    others = {"device", "checkpoint_dir", "memory", "initial_weights"}
    assert {*changed, *same} == {*plain.get_params()} - others

    def name(images=good, **params):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_checkpoint.Checkpoint, "on_train_begin", stop)
            with pytest.raises(Killed) as stopped:
                clone(plain).set_params(**params).fit(images)
        return str(stopped.value)

    def stop(checkpoint, net, **kwargs):
        raise Killed(checkpoint.path.name)

    assert name(**same) == name()
    assert name(random_state=np.random.default_rng(0)) == name()
    others = [name(**{parameter: value}) for parameter, value in changed.items()]
    others += [name(images=1 - good), name(images=good[:3]), name(images=good[::-1])]
    assert len({name(), *others}) == 1 + len(others)


def test_extractors_are_told_apart_by_their_weights(tiny, good, tmp_path):
    from sk_ssimae import FeatureMatchingAutoencoderSegmenter

    for seed in (0, 0, 1):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            extractor = torch.nn.Conv2d(1, 2, 4)
        FeatureMatchingAutoencoderSegmenter(
            feature_extractor=extractor, **(tiny | {"max_epochs": 1}), checkpoint_dir=tmp_path
        ).fit(good)
    assert len(list(tmp_path.iterdir())) == 2


def test_another_version_of_torch_trains_again(tiny, good, tmp_path, monkeypatch):
    segmenter = SSIMAutoencoderSegmenter(**tiny, checkpoint_dir=str(tmp_path)).fit(good)
    monkeypatch.setattr(torch, "__version__", "0.1")
    segmenter.fit(good)
    assert len(list(tmp_path.iterdir())) == 2


def test_callbacks_that_cannot_be_told_apart(tiny, good, tmp_path):
    callbacks = [EarlyStopping("train_loss", sink=lambda text: None)]
    segmenter = SSIMAutoencoderSegmenter(**tiny, callbacks=callbacks, checkpoint_dir=tmp_path)
    with pytest.raises(TypeError, match="callbacks must be picklable"):
        segmenter.fit(good)


def test_a_state_that_only_code_could_restore(tiny, good, tmp_path):
    class Odd(torch.optim.SGD):
        def state_dict(self):
            return {"state": object()}

    net_params = {"optimizer": torch.optim.SGD}
    segmenter = SSIMAutoencoderSegmenter(
        **tiny, net_params=net_params, checkpoint_dir=tmp_path, lr_schedule=None
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.SGD, "state_dict", Odd.state_dict)
        with pytest.raises(TypeError, match=r"checkpoint_dir must be None if .* a object"):
            segmenter.fit(good)
    assert list(tmp_path.iterdir()) == []


class RunsCode:
    def __reduce__(self):
        return exec, ("raise SystemExit('code was run')",)


def test_damage_is_told_and_nothing_is_run(tiny, good, tmp_path):
    segmenter = SSIMAutoencoderSegmenter(**tiny, checkpoint_dir=tmp_path).fit(good)
    path = only_file(tmp_path)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    code = pickle.dumps(RunsCode())
    for content in (whole[:-1], b"", bytes(flipped), code):
        path.write_bytes(content)
        with pytest.raises(
            ValueError, match=rf"{path.name}' is corrupted or not a checkpoint .* Delete"
        ):
            segmenter.fit(good)
    path.write_bytes(_checkpoint.pack({"parts": RunsCode()}))
    with pytest.raises(
        ValueError, match=r"\(it contains more than plain values and tensors\)\. Delete it"
    ):
        segmenter.fit(good)
    path.unlink()
    segmenter.fit(good)
    assert path.exists()


def test_a_full_disk_is_told_before_training(tiny, good, tmp_path, kill, disk_full):
    kill(at_step=1)
    segmenter = SSIMAutoencoderSegmenter(**tiny, checkpoint_dir=tmp_path)
    with pytest.raises(OSError, match=r"checkpoint cannot be written \(File too large\).*\.pt'"):
        segmenter.fit(good)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_leaves_the_checkpoint(tiny, good, tmp_path, kill, monkeypatch):
    segmenter = SSIMAutoencoderSegmenter(**tiny, checkpoint_dir=tmp_path)
    kill(at_step=N_STEPS + 2)
    with pytest.raises(Killed):
        segmenter.fit(good)
    kill(at_step=1000)
    path = only_file(tmp_path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        message = r"\(No space left on device\); the previous one is unchanged.*another checkp"
        with pytest.raises(OSError, match=message) as raised:
            segmenter.fit(good)
    assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, str(path))
    assert only_file(tmp_path) == path
    assert path.read_bytes() == before
    uninterrupted = SSIMAutoencoderSegmenter(**tiny).fit(good)
    assert state(segmenter.fit(good)) == state(uninterrupted)


def test_after_ctrl_c_another_fit_goes_on(tiny, good, tmp_path, kill):
    segmenter = SSIMAutoencoderSegmenter(**tiny, checkpoint_dir=tmp_path)
    kill(N_STEPS + 2, KeyboardInterrupt)
    with pytest.warns(InterruptedFitWarning, match="interrupted in epoch 2 of 3"):
        segmenter.fit(good)
    assert segmenter.predict(good).shape == good.shape
    kill(at_step=1000)
    assert state(segmenter.fit(good)) == state(SSIMAutoencoderSegmenter(**tiny).fit(good))


def test_ctrl_c_while_a_checkpoint_is_written(tiny, good, tmp_path, monkeypatch):
    write, calls = _checkpoint.replace_file, []

    def interrupt_second(path, content):
        calls.append(path)
        if len(calls) == 2:
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(_checkpoint, "replace_file", interrupt_second)
    segmenter = SSIMAutoencoderSegmenter(**tiny, checkpoint_dir=tmp_path)
    with pytest.warns(InterruptedFitWarning, match="interrupted in epoch 1 of 3"):
        segmenter.fit(good)
    assert state(segmenter.fit(good)) == state(SSIMAutoencoderSegmenter(**tiny).fit(good))


def test_what_diverged_is_not_written(tiny, good, tmp_path, monkeypatch):
    segmenter = SSIMAutoencoderSegmenter(**tiny, checkpoint_dir=tmp_path)
    cut, calls = PatchSampler._cut, []

    def cut_nan(*args):
        calls.append(args)
        return cut(*args) * (float("nan") if len(calls) == 2 * N_STEPS + 2 else 1)

    monkeypatch.setattr(PatchSampler, "_cut", cut_nan)
    with pytest.raises(ValueError, match="the loss is nan in step 6, epoch 3"):
        segmenter.fit(good)
    kept = torch.load(only_file(tmp_path), weights_only=True)
    assert [row["epoch"] for row in kept["history"]] == [1, 2]
    assert all(tensor.isfinite().all() for tensor in kept["parts"]["module"].values())


def test_identical_fits_at_once(tiny, good, tmp_path):
    segmenters = [SSIMAutoencoderSegmenter(**tiny, checkpoint_dir=tmp_path) for _ in range(2)]
    threads = [threading.Thread(target=each.fit, args=(good,)) for each in segmenters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = state(SSIMAutoencoderSegmenter(**tiny).fit(good))
    assert all(state(segmenter) == expected for segmenter in segmenters)
    assert state(SSIMAutoencoderSegmenter(**tiny, checkpoint_dir=tmp_path).fit(good)) == expected


def test_a_run_needs_a_seed_and_a_folder(tiny, good, tmp_path):
    segmenter = SSIMAutoencoderSegmenter(**tiny, checkpoint_dir=tmp_path)
    with pytest.raises(ValueError, match="random_state must not be None with checkpoint_dir"):
        clone(segmenter).set_params(random_state=None).fit(good)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(NotADirectoryError, match="checkpoint_dir must be a folder, got the file"):
        segmenter.set_params(checkpoint_dir=file).fit(good)
    with pytest.raises(ValueError, match="'checkpoint_dir' parameter"):
        segmenter.set_params(checkpoint_dir=1).fit(good)


def test_it_is_said_that_training_goes_on(tiny, good, tmp_path, resume, capsys):
    segmenter = SSIMAutoencoderSegmenter(**tiny, checkpoint_dir=tmp_path, verbose=1)
    resume(segmenter, good, kills=[2 * N_STEPS + 2])
    said = capsys.readouterr().out
    assert said.count("Training resumes after epoch 2, from") == 1
    assert said.count("train_loss") == 2  # The header of both tables.


def test_fits_killed_by_the_system():
    script = Path(__file__).with_name("kill_fits.py")
    command = [sys.executable, "-W", "ignore", str(script), "--kills", "3"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
