"""Steps recorded on a GPU. All but one test need one: ``pytest --device cuda``."""

import joblib
import numpy as np
import pytest
import torch
from skorch.callbacks import GradientNormClipping
from torch import nn

from sk_ssimae import SSIMAutoencoderSegmenter
from sk_ssimae.losses import SSIMLoss

RECORDED = {"cuda_graph": True}


@pytest.fixture
def gpu(device):
    if torch.device(device).type != "cuda":
        pytest.skip("no GPU")


@pytest.fixture
def many_steps(tiny):
    """Two shapes of batches, each often enough to be recorded."""
    return {**tiny, "n_patches": 100, "batch_size": 16, "max_epochs": 6, "threshold": 1.0}


def ends(segmenter):
    """Give what training ends with, to the bit."""
    tensors = [
        *segmenter.net_.module_.state_dict().values(),
        *segmenter.net_.criterion_.state_dict().values(),
    ]
    losses = segmenter.history_[:, "train_loss"]
    return [tensor.cpu().numpy().tobytes() for tensor in tensors], losses


def test_device_without_graphs(tiny, good):
    segmenter = SSIMAutoencoderSegmenter(**tiny | {"device": "cpu"}, net_params=RECORDED)
    with pytest.raises(ValueError, match=r"net_params.*cuda_graph=True.*'cpu'"):
        segmenter.fit(good)


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("precision", ["float32", "bf16", "fp16"])
def test_recorded_steps_compute_the_same(segmenter_class, many_steps, good, precision):
    many_steps["augmentation"] = "dihedral"
    fits = [
        segmenter_class(**many_steps, net_params={"precision": precision, **recorded}).fit(good)
        for recorded in ({}, RECORDED)
    ]
    assert ends(fits[0]) == ends(fits[1])


@pytest.mark.usefixtures("gpu")
def test_callbacks_reach_recorded_gradients(many_steps, good):
    params = many_steps | {"callbacks": [("clip", GradientNormClipping(1e-3))]}
    fits = [
        SSIMAutoencoderSegmenter(**params, net_params=net_params).fit(good)
        for net_params in (None, RECORDED)
    ]
    assert ends(fits[0]) == ends(fits[1])
    unclipped = SSIMAutoencoderSegmenter(**many_steps, net_params=RECORDED).fit(good)
    assert ends(unclipped) != ends(fits[1])


@pytest.mark.usefixtures("gpu")
def test_resume_and_pickle(many_steps, good, tmp_path):
    def fit(**params):
        return SSIMAutoencoderSegmenter(**many_steps | params, net_params=RECORDED).fit(good)

    whole = fit()
    path = tmp_path / "segmenter.joblib"
    joblib.dump(whole, path)
    np.testing.assert_array_equal(
        joblib.load(path).decision_function(good), whole.decision_function(good)
    )
    again = fit(checkpoint_dir=tmp_path / "checkpoints")
    assert ends(fit(checkpoint_dir=tmp_path / "checkpoints")) == ends(again) == ends(whole)


class LossThatReads(SSIMLoss):
    def forward(self, reconstruction, target):
        loss = super().forward(reconstruction, target)
        return loss * 2 if loss.item() > 1 else loss


class SegmenterThatReads(SSIMAutoencoderSegmenter):
    def make_loss(self) -> nn.Module:
        return LossThatReads()


@pytest.mark.usefixtures("gpu")
def test_what_depends_on_values_is_refused(many_steps, good):
    many_steps["patch_size"] = 16
    segmenter = SegmenterThatReads(**many_steps, net_params=RECORDED)
    with pytest.raises(ValueError, match=r"cuda_graph.*must not depend on values"):
        segmenter.fit(good)
    segmenter.set_params(net_params=None).fit(good)
