import inspect
import random
import warnings

import numpy as np
import pytest
import torch
from skimage.io import imsave
from sklearn.exceptions import NotFittedError
from skorch import NeuralNet
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, EpochScoring, LRScheduler

from sk_ssimae import (
    GenerativeAdversarialSegmenter,
    L2AutoencoderSegmenter,
    SSIMAutoencoderSegmenter,
)
from sk_ssimae.exceptions import InterruptedFitWarning


def weights(segmenter):
    return [p.detach().cpu() for p in segmenter.net_.module_.parameters()]


class InterruptAt(Callback):
    """Press Ctrl-C after a number of batches."""

    def __init__(self, n_batches):
        self.n_batches = n_batches

    def on_batch_end(self, net, **kwargs):
        self.n_batches -= 1
        if self.n_batches == 0:
            raise KeyboardInterrupt


class StopEpochs(Callback):
    """Count epochs and see each batch."""

    def __init__(self):
        self.shapes = []

    def on_batch_end(self, net, batch=None, loss=None, **kwargs):
        assert loss.requires_grad
        self.shapes.append(tuple(batch[0].shape))


def test_training_lowers_the_loss(segmenter_class, tiny, good):
    if segmenter_class is GenerativeAdversarialSegmenter:
        return  # Its loss is a rating by a critic that learns too: it need not fall.
    segmenter = segmenter_class(**tiny).set_params(max_epochs=20).fit(good)
    losses = segmenter.history_[:, "train_loss"]
    assert all(isinstance(loss, float) for loss in losses)
    assert losses[-1] < 0.8 * losses[0]


def test_deep_network_leaves_grey_within_few_steps(good):
    # PyTorch's own initial weights leave the loss near 1 for thousands of patches.
    segmenter = SSIMAutoencoderSegmenter(
        patch_size=32, latent_dim=64, n_patches=320, max_epochs=8, normalization=None,
        threshold=0.5, random_state=0,
    )  # fmt: skip
    segmenter.fit(good)
    assert segmenter.history_[-1, "train_loss"] < 0.8


def test_history_is_one_row_an_epoch_without_batches(tiny, good):
    segmenter = SSIMAutoencoderSegmenter(**tiny).fit(good)
    assert [row["epoch"] for row in segmenter.history_] == [1, 2]
    assert all(row["batches"] == [] for row in segmenter.history_)
    assert all(row["dur"] > 0 for row in segmenter.history_)


def test_same_seed_same_weights(segmenter_class, tiny, good):
    first, again = (segmenter_class(**tiny).fit(good) for _ in range(2))
    other = segmenter_class(**tiny).set_params(random_state=1).fit(good)
    for a, b in zip(weights(first), weights(again), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(weights(first)[0], weights(other)[0])
    assert first.threshold_ == again.threshold_


def test_global_random_generators_are_untouched(segmenter_class, tiny, good):
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    segmenter_class(**tiny).set_params(random_state=None).fit(good).predict(good)
    assert random.getstate() == states[0]
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])
    assert torch.equal(torch.get_rng_state(), states[2])


def test_fit_leaves_parameters_and_images_alone(segmenter_class, tiny, good):
    images = good.copy()
    segmenter = segmenter_class(**tiny)
    before = segmenter.get_params()
    segmenter.fit(images)
    assert segmenter.get_params() == before
    np.testing.assert_array_equal(images, good)


def test_defective_images_take_no_part(segmenter_class, tiny, good, defective):
    images, masks = defective
    X = np.concatenate([images[:2], good, images[2:]])
    y = np.concatenate([masks[:2], np.zeros_like(masks), masks[2:]])
    alone = segmenter_class(**tiny).fit(good)
    for labels in (y, y.any(axis=(1, 2)), list(y)):
        mixed = segmenter_class(**tiny).fit(X, labels)
        assert mixed.n_defective_dropped_ == 4
        assert mixed.threshold_ == alone.threshold_
        assert torch.equal(weights(mixed)[0], weights(alone)[0])
    with pytest.raises(ValueError, match="marks all 4 images of X defective"):
        segmenter_class(**tiny).fit(images, masks)
    with pytest.raises(
        ValueError, match=r"y\[0\] must have the height and width of X\[0\], \(40, 56"
    ):
        segmenter_class(**tiny).fit(X, y[:, :-1])


def test_held_out_images_are_not_trained_on(tiny, good):
    many = np.concatenate([good, good[:, ::-1], good[:, :, ::-1]])
    segmenter = SSIMAutoencoderSegmenter(**tiny).fit(many)
    n_without_effect = 0
    for index in range(len(many)):
        others = many.copy()
        others[index] = 1 - others[index]
        changed = SSIMAutoencoderSegmenter(**tiny).fit(others)
        n_without_effect += torch.equal(weights(changed)[0], weights(segmenter)[0])
    assert n_without_effect == segmenter.calibration_.n_held_out == 3


def test_files_are_all_checked_before_training(segmenter_class, tiny, good, tmp_path):
    paths = [tmp_path / f"{index}.png" for index in range(4)]
    for path, image in zip(paths, good, strict=True):
        imsave(path, np.uint8(255 * image), check_contrast=False)
    whole = paths[3].read_bytes()

    class NoTraining(Callback):
        def on_train_begin(self, net, **kwargs):
            raise AssertionError("training has started")

    segmenter = segmenter_class(**tiny, callbacks=[NoTraining()])
    for content, y in ((whole[: len(whole) // 2], None), (b"", None), (b"no image", [0, 0, 0, 1])):
        paths[3].write_bytes(content)
        with pytest.raises(ValueError, match=r"X\[3\] \('.*3.png'\) cannot be read as an image"):
            segmenter.fit(paths, y)
    paths[3].write_bytes(whole)
    with pytest.raises(AssertionError, match="training has started"):
        segmenter.fit(paths)
    segmenter.set_params(callbacks=None)
    as_bytes = np.uint8(255 * good)
    expected = segmenter_class(**tiny).fit(as_bytes).decision_function(as_bytes)
    np.testing.assert_array_equal(segmenter.fit(paths).decision_function(paths), expected)


@pytest.mark.parametrize("n_batches", [1, 5])
def test_interruption_leaves_a_usable_estimator(segmenter_class, tiny, good, n_batches):
    segmenter = segmenter_class(**tiny, callbacks=[InterruptAt(n_batches)])
    message = rf"interrupted in epoch {1 + n_batches // 4}"
    with pytest.warns(InterruptedFitWarning, match=message) as record:
        segmenter.fit(good)
    assert __file__ in [warning.filename for warning in record]
    assert segmenter.predict(good).shape == good.shape
    assert np.isfinite(segmenter.threshold_)
    assert segmenter.callbacks[0].n_batches == n_batches  # The parameter is not changed.


def test_uninterrupted_training_does_not_warn(tiny, good):
    with warnings.catch_warnings():
        warnings.simplefilter("error", InterruptedFitWarning)
        SSIMAutoencoderSegmenter(**tiny).fit(good)


def test_callbacks_of_skorch(tiny, good):
    watch = StopEpochs()
    stopping = EarlyStopping(monitor="train_loss", patience=1, threshold=10, sink=lambda _: None)
    segmenter = SSIMAutoencoderSegmenter(**tiny, callbacks=[watch, ("stopping", stopping)])
    segmenter.set_params(max_epochs=10).fit(good)
    assert len(segmenter.history_) < 10
    copies = dict(segmenter.net_.callbacks_)
    assert copies["StopEpochs"].shapes[0] == (16, 1, 16, 16)
    assert watch.shapes == []


def test_learning_rate_schedule(tiny, good):
    class Rates(Callback):
        def __init__(self):
            self.rates = []

        def on_batch_begin(self, net, **kwargs):
            self.rates.append(net.optimizer_.param_groups[0]["lr"])

    def rates(**params):
        segmenter = SSIMAutoencoderSegmenter(**tiny, callbacks=[Rates()], **params)
        return dict(segmenter.set_params(max_epochs=5).fit(good).net_.callbacks_)["Rates"].rates

    assert rates(lr_schedule=None, lr=1e-3) == [1e-3] * 20
    scheduled = rates(lr=2e-3)
    peak = int(np.argmax(scheduled))
    assert scheduled[peak] == pytest.approx(2e-3, rel=0.05)
    assert 0 < peak < 10
    assert scheduled[0] == pytest.approx(2e-3 / 25)
    assert scheduled[-1] < 1e-4


def test_optimiser_is_adam_with_weight_decay(tiny, good):
    segmenter = SSIMAutoencoderSegmenter(**tiny, weight_decay=0.125).fit(good)
    assert type(segmenter.net_.optimizer_) is torch.optim.Adam
    assert segmenter.net_.optimizer_.param_groups[0]["weight_decay"] == 0.125
    assert segmenter.net_.optimizer_.param_groups[0]["betas"][1] == 0.999


def test_net_params_reach_the_net(tiny, good):
    net_params = {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.5}
    segmenter = SSIMAutoencoderSegmenter(**tiny, net_params=net_params, lr_schedule=None)
    segmenter.fit(good)
    assert type(segmenter.net_.optimizer_) is torch.optim.SGD
    assert segmenter.net_.optimizer_.param_groups[0]["momentum"] == 0.5
    with pytest.raises(ValueError, match=r"unexpected argument.*no_such"):
        segmenter.set_params(net_params={"no_such": 1}).fit(good)
    with pytest.raises(ValueError, match=r"the segmenter sets itself, got \['callbacks', 'lr'\]"):
        segmenter.set_params(net_params={"lr": 1, "callbacks": []}).fit(good)


# Parameters of skorch's net that the segmenter passes on; it sets or refuses all others.
PASSED_ON = {"optimizer", "compile"}


@pytest.mark.parametrize(
    "name", sorted({*inspect.signature(NeuralNet).parameters} - PASSED_ON - {"kwargs"})
)
def test_parameters_of_skorch_without_effect_are_refused(tiny, good, name):
    with pytest.raises(ValueError, match=rf"net_params must not contain .*'{name}'"):
        L2AutoencoderSegmenter(**tiny, net_params={name: True}).fit(good)


@pytest.mark.parametrize(
    ("net_params", "message"),
    [
        (
            {"warm_start": True},
            r"'warm_start', .* draws new weights, or .*\. partial_fit continues",
        ),
        ({"iterator_train__num_workers": 2}, r"without a data loader\. See .* n_patches and batch"),
        ({"module__latent_dim": 3}, r"'module__latent_dim', .* or override make_module\."),
        ({"criterion__alpha": 3}, r"'criterion__alpha', .* or override make_loss\."),
        ({"compile__mode": "default"}, r"nothing is compiled\. Add 'compile': True\."),
        ({"optimizer__lr": 0.1}, r"sets the rate of every step\. Set lr, or lr_schedule=None\."),
        ({"virtual_params_": {}}, r"'virtual_params_', .* names a result of training\."),
        ({"history": []}, r"'history', which has no effect: every fit starts a history of its own"),
        ({"callbacks__none__sink": 1}, r"name callbacks of the net, .*, got \['none'\]"),
    ],
)
def test_other_net_params_without_effect_are_refused(tiny, good, net_params, message):
    with pytest.raises(ValueError, match=rf"net_params must .*{message}"):
        L2AutoencoderSegmenter(**tiny, net_params=net_params).fit(good)


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (EarlyStopping(), r"got EarlyStopping with monitor='valid_loss': .* 'train_loss'\.$"),
        (EarlyStopping, r"got EarlyStopping with monitor='valid_loss'"),
        (("own", Checkpoint()), r"got own with .*'valid_loss_best': .* 'train_loss_best'\.$"),
        (LRScheduler("ReduceLROnPlateau", monitor="valid_loss"), r"got LRScheduler with monitor"),
        (EpochScoring("r2"), r"got EpochScoring with on_train=False: .* Set on_train=True\.$"),
    ],
)
def test_callbacks_that_wait_for_validation_data_are_refused(tiny, good, callback, message):
    message = message.replace("'train", "Set monitor='train")
    with pytest.raises(ValueError, match=rf"^callbacks must not .*{message}"):
        L2AutoencoderSegmenter(**tiny, callbacks=[callback]).fit(good)


def test_a_callback_may_monitor_the_score_of_another(tiny, good):
    score = EpochScoring(lambda net, X, y: 1.0, name="valid_loss", on_train=True)
    stopping = EarlyStopping(patience=1, sink=lambda _: None)
    segmenter = L2AutoencoderSegmenter(**tiny, callbacks=[("score", score), stopping])
    assert len(segmenter.set_params(max_epochs=5).fit(good).history_) == 2


def test_diverging_training_is_refused(segmenter_class, tiny, good):
    params = {"lr": 1e12, "lr_schedule": None, "normalization": None}
    message = r"Training diverged: .* in step \d, epoch [12]\. Choose a smaller lr, got 1e\+12\."
    with pytest.raises(ValueError, match=message):
        segmenter_class(**(tiny | params), net_params={"optimizer": torch.optim.SGD}).fit(good)


class Spoil(Callback):
    """Set a value to NaN after a number of steps."""

    def __init__(self, n_steps, also_press_ctrl_c=False):
        self.n_steps, self.also_press_ctrl_c = n_steps, also_press_ctrl_c

    def on_batch_end(self, net, **kwargs):
        self.n_steps -= 1
        if self.n_steps == 0:
            net.module_.decoder[-1].bias.data.fill_(float("nan"))
        if self.n_steps == -1 and self.also_press_ctrl_c:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("n_steps", "message"),
    [
        (1, "the loss is nan in step 2, epoch 1"),
        (6, "the loss is nan in step 7, epoch 2"),
        (4, "weights are not finite after an update in step 4, epoch 1"),
        (8, "weights are not finite after an update in step 8, epoch 2"),
    ],
)
def test_it_is_said_in_which_step_training_diverged(tiny, good, n_steps, message):
    segmenter = SSIMAutoencoderSegmenter(**tiny).fit(good)
    before = segmenter.decision_function(good)
    for callback in (Spoil(n_steps), Spoil(n_steps, also_press_ctrl_c=True)):
        with pytest.raises(ValueError, match=rf"{message}\. Choose a smaller lr, got 0\.004\.$"):
            segmenter.set_params(callbacks=[callback]).fit(good)
    # The results of an earlier fit stay.
    np.testing.assert_array_equal(segmenter.decision_function(good), before)
    assert np.isfinite(segmenter.threshold_)


def test_fp16_has_another_remedy(tiny, good):
    segmenter = SSIMAutoencoderSegmenter(**tiny, precision="fp16")
    segmenter.set_params(callbacks=[Spoil(1)])
    with pytest.raises(ValueError, match=r"got 0\.004, or the precision 'bf16'\.$"):
        segmenter.fit(good)


def test_divergence_in_the_last_step_is_refused(tiny, good):
    # The loss is that of the weights before the step.
    params = {"lr": 1e30, "lr_schedule": None, "n_patches": 4, "max_epochs": 1, "threshold": 0.5}
    segmenter = L2AutoencoderSegmenter(**(tiny | params))
    for method in (segmenter.fit, segmenter.decision_function, segmenter.predict):
        with pytest.raises(
            ValueError, match=r"diverged in its last step: .* smaller lr, got 1e\+30"
        ):
            method(good)


@pytest.mark.parametrize("net_params", [{"no_such": 1}, {"optimizer": 3}, {3: 4}])
def test_wrong_net_params_are_named(tiny, good, net_params):
    with pytest.raises(ValueError, match="net_params or callbacks do not suit the net: "):
        L2AutoencoderSegmenter(**tiny, net_params=net_params).fit(good)


def test_a_failed_calibration_leaves_no_old_threshold(segmenter_class, tiny, good, monkeypatch):
    segmenter = segmenter_class(**tiny).fit(good)

    def press_ctrl_c(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(segmenter, "_calibrate", press_ctrl_c, raising=True)
    with pytest.raises(KeyboardInterrupt):
        segmenter.fit(good)
    with pytest.raises(NotFittedError, match="has not been calibrated"):
        segmenter.predict(good)


@pytest.mark.parametrize(("verbose", "shown"), [(0, False), (1, True), (2, True)])
def test_progress_on_request(tiny, good, capsys, verbose, shown):
    SSIMAutoencoderSegmenter(**tiny, verbose=verbose).fit(good)
    output = capsys.readouterr()
    assert ("train_loss" in output.out) == shown
    assert ("it/s" in output.err) == (verbose == 2)


def test_augmentation_and_normalization_change_the_result(tiny, good):
    plain = SSIMAutoencoderSegmenter(**tiny).fit(good)
    for params in ({"augmentation": "dihedral"}, {"normalization": None}, {"n_patches": 66}):
        other = SSIMAutoencoderSegmenter(**(tiny | params)).fit(good)
        assert other.history_[-1, "train_loss"] != plain.history_[-1, "train_loss"]


class CountPainted(Callback):
    """Count the pixels of inputs that differ from their targets."""

    def on_train_begin(self, net, **kwargs):
        self.n_pixels_ = self.n_painted_ = 0

    def on_batch_begin(self, net, batch, **kwargs):
        patches, target = batch
        self.n_painted_ += int((patches != target).sum())
        self.n_pixels_ += target.numel()


@pytest.mark.parametrize("cutout", [0, 0.25, 0.5])
def test_cutout_paints_a_square_over_what_the_network_sees(tiny, good, cutout):
    params = tiny | {"n_patches": 500, "max_epochs": 1, "cutout": cutout}
    callbacks = [("painted", CountPainted())]
    segmenter = SSIMAutoencoderSegmenter(**params, callbacks=callbacks).fit(good)
    (count,) = [c for _, c in segmenter.net_.callbacks_ if isinstance(c, CountPainted)]
    # Along each axis the share c of the square is inside, less c / 8 at either end.
    expected = (cutout * (1 - cutout / 4)) ** 2
    assert count.n_painted_ / count.n_pixels_ == pytest.approx(expected, abs=0.01)
