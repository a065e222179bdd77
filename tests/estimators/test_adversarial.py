import pickle

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV

from sk_ssimae import AdversarialAutoencoderSegmenter, L1AutoencoderSegmenter
from sk_ssimae.losses import L1Loss, VariationalL1Loss
from sk_ssimae.metrics import pixel_roc_auc_scorer
from sk_ssimae.model_selection import DefectFreeKFold
from sk_ssimae.modules import ConvolutionalAutoencoder, VariationalAutoencoder
from sk_ssimae.persistence import OnnxSegmenter, export_onnx, load, save


def tensors(segmenter, part="module_"):
    return [value.clone() for value in getattr(segmenter.net_, part).state_dict().values()]


def are_equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_without_weight_it_is_the_l1_autoencoder(tiny, good):
    # Adam and batch normalization would amplify rounding.
    params = tiny | {"normalization": None, "net_params": {"optimizer": torch.optim.SGD}}
    params |= {"lr": 1e-4, "lr_schedule": None}
    plain = L1AutoencoderSegmenter(**params).fit(good)
    found = {
        weight: AdversarialAutoencoderSegmenter(**params, adversarial_weight=weight).fit(good)
        for weight in (0, 100)
    }
    differences = {
        weight: max(
            float((a - b).abs().max())
            for a, b in zip(tensors(plain), tensors(segmenter), strict=True)
        )
        for weight, segmenter in found.items()
    }
    assert differences[0] < 1e-6
    assert differences[100] > 1e-4


def test_history_says_how_the_critic_fares(tiny, good):
    segmenter = AdversarialAutoencoderSegmenter(**tiny).fit(good)
    for row in segmenter.history_:
        assert 0 <= row["critic_accuracy"] <= 1
        assert 0 < row["generated_variance"] < 2
    flat = np.full((3, 40, 56), 0.5, dtype=np.float32)
    history = AdversarialAutoencoderSegmenter(**tiny, verbose=1).fit(flat).history_
    assert history[:, "generated_variance"] == [None] * tiny["max_epochs"]


def test_a_trained_critic_tells_patches_from_reconstructions(tiny, good):
    params = tiny | {"max_epochs": 6, "adversarial_weight": 0, "critic_lr": 2e-3, "lr": 1e-5}
    history = AdversarialAutoencoderSegmenter(**params).fit(good).history_
    assert history[-1, "critic_accuracy"] > 0.9


def test_the_rate_of_the_critic_has_an_effect(tiny, good):
    nets = [
        AdversarialAutoencoderSegmenter(**tiny, critic_lr=lr, adversarial_weight=0).fit(good)
        for lr in (1e-4, 1e-3)
    ]
    assert not are_equal(*(tensors(segmenter, "critic_") for segmenter in nets))


def test_a_variational_one_decodes_the_mean(tiny, good):
    plain = AdversarialAutoencoderSegmenter(**tiny).fit(good)
    assert type(plain.net_.module_) is ConvolutionalAutoencoder
    assert type(plain.net_.criterion_) is L1Loss
    segmenter = AdversarialAutoencoderSegmenter(**tiny, variational=True, kl_weight=3).fit(good)
    network, loss = segmenter.net_.module_, segmenter.net_.criterion_
    assert type(network) is VariationalAutoencoder
    assert (type(loss), loss.kl_weight) == (VariationalL1Loss, 3)
    device = next(network.parameters()).device
    windows = torch.rand(2, 1, 16, 16).to(device)
    with torch.no_grad():
        expected = network.decode(network.encode(windows)[0])
        found = segmenter.reconstruct_patches(windows)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    np.testing.assert_array_equal(  # No noise.
        segmenter.decision_function(good), segmenter.decision_function(good)
    )


@pytest.mark.parametrize("variational", [False, True])
def test_files_and_exports(tiny, good, tmp_path, variational):
    segmenter = AdversarialAutoencoderSegmenter(**tiny, variational=variational).fit(good)
    maps = segmenter.decision_function(good)
    save(segmenter, tmp_path / "m")
    opened = load(tmp_path / "m", device=tiny["device"])
    assert opened.history_ == segmenter.history_
    np.testing.assert_array_equal(opened.decision_function(good), maps)
    export_onnx(segmenter, tmp_path / "m.onnx")
    exported = OnnxSegmenter(tmp_path / "m.onnx", n_threads=1)
    np.testing.assert_allclose(exported.decision_function(good), maps, atol=1e-5)


def test_training_goes_on_with_the_same_critic_unless_it_was_pickled(tiny, good):
    segmenter = AdversarialAutoencoderSegmenter(**tiny, critic_lr=1e-3).fit(good)
    segmenter.set_params(critic_lr=1e-12)
    critic = tensors(segmenter, "critic_")
    restored = pickle.loads(pickle.dumps(segmenter))
    assert not hasattr(restored.net_, "critic_")
    for one, is_close in ((segmenter, True), (restored, False)):
        found = tensors(one.partial_fit(good), "critic_")
        close = all(torch.allclose(a, b, atol=1e-6) for a, b in zip(critic, found, strict=True))
        assert close == is_close


def test_a_search_over_its_parameters(tiny, defective, good):
    X = np.concatenate([good, defective[0]])
    masks = np.concatenate([np.zeros_like(defective[1]), defective[1]])
    grid = {"adversarial_weight": [1, 10]}
    search = GridSearchCV(
        AdversarialAutoencoderSegmenter(**(tiny | {"max_epochs": 1}), variational=True),
        grid,
        cv=DefectFreeKFold(2),
        scoring=pixel_roc_auc_scorer,
    )
    assert search.fit(X, masks).best_params_["adversarial_weight"] in (1, 10)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_precision_is_that_of_the_network_alone(tiny, good, precision):
    exact = AdversarialAutoencoderSegmenter(**tiny).fit(good)
    rounded = AdversarialAutoencoderSegmenter(**tiny, precision=precision).fit(good)
    losses, exact_losses = (s.history_[:, "train_loss"] for s in (rounded, exact))
    assert losses != exact_losses
    np.testing.assert_allclose(losses, exact_losses, rtol=0.1)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"adversarial_weight": -1}, "The 'adversarial_weight' parameter .* must be a float in"),
        ({"critic_lr": 0}, "The 'critic_lr' parameter .* must be a float in the range"),
        ({"variational": "no"}, "The 'variational' parameter .* must be an instance of 'bool'"),
        ({"kl_weight": -1}, "The 'kl_weight' parameter .* must be a float in the range"),
        ({"net_params": {"cuda_graph": True}}, "cuda_graph must be left out: a recorded step can"),
        ({"net_params": {"critic_lr": 1.0}}, r"names that the segmenter sets itself, got \['crit"),
    ],
)
def test_wrong_parameters(tiny, good, params, message):
    with pytest.raises(ValueError, match=message):
        AdversarialAutoencoderSegmenter(**tiny, **params).fit(good)


def test_checkpoints_depend_on_the_critic(tiny, good, tmp_path):
    segmenter = AdversarialAutoencoderSegmenter(**tiny).fit(good)
    restored = pickle.loads(pickle.dumps(segmenter))  # It starts with another critic.
    for one in (segmenter, restored):
        one.set_params(checkpoint_dir=tmp_path).partial_fit(good)
    assert len(list(tmp_path.glob("*.pt"))) == 2
