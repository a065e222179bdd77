import copy
import pickle

import pytest
import torch
from torch import nn

from sk_ssimae.losses import FeatureMatchingLoss, L2Loss


@pytest.fixture
def extractor():
    torch_layers = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Dropout(0.5))
    generator = torch.Generator().manual_seed(0)
    for parameter in torch_layers.parameters():
        parameter.data.uniform_(-1, 1, generator=generator)
    return torch_layers


@pytest.fixture
def pair():
    return torch.rand((2, 4, 1, 8, 8), generator=torch.Generator().manual_seed(1))


def test_loss_sums_pixels_and_features(extractor, pair):
    reconstruction, target = pair
    extractor.eval()
    features = (extractor(reconstruction) - extractor(target)).square().sum() / 4
    pixels = (reconstruction - target).square().sum() / 4
    for weight in (0, 1, 0.5):
        value = FeatureMatchingLoss(extractor, weight)(reconstruction, target)
        torch.testing.assert_close(value, pixels + weight * features)


def test_extractor_is_frozen(extractor, pair):
    loss = FeatureMatchingLoss(extractor).train()
    assert loss.training
    assert not any(module.training for module in loss.feature_extractor.modules())
    before = copy.deepcopy(loss.feature_extractor.state_dict())
    reconstruction = pair[0].requires_grad_()
    loss(reconstruction, pair[1]).backward()
    assert reconstruction.grad.abs().sum() > 0
    for parameter in loss.feature_extractor.parameters():
        assert not parameter.requires_grad
        assert parameter.grad is None
    for name, value in loss.feature_extractor.state_dict().items():
        assert torch.equal(value, before[name])


def test_the_original_extractor_is_not_modified(extractor):
    extractor.train()
    FeatureMatchingLoss(extractor)
    assert extractor.training
    assert all(parameter.requires_grad for parameter in extractor.parameters())


def test_copies_leave_out_the_extractor(extractor, pair):
    loss = FeatureMatchingLoss(extractor)
    for copied in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert copied.feature_extractor is None
        residual = copied.eval().residual_map(*pair)
        assert torch.equal(residual, L2Loss().residual_map(*pair))
    assert loss.feature_extractor is not None


def test_wrong_parameters(extractor):
    with pytest.raises(TypeError, match="feature_extractor must be a torch module, got 'alexnet'"):
        FeatureMatchingLoss("alexnet")
    with pytest.raises(
        ValueError, match=r"feature_weight must be a finite number from 0 to 1e.12, got -1"
    ):
        FeatureMatchingLoss(extractor, -1)


def test_copies_keep_other_parts(extractor, pair):
    class Scaled(FeatureMatchingLoss):
        def __init__(self):
            super().__init__(extractor)
            self.scale = nn.AvgPool2d(1)

    assert copy.deepcopy(Scaled()).scale is not None
    with pytest.raises(RuntimeError, match="A copy of the loss has no feature_extractor"):
        copy.deepcopy(FeatureMatchingLoss(extractor))(*pair)


class Pair(nn.Module):
    def forward(self, patches):
        return patches, patches


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (Pair(), r"feature_extractor must return a tensor \(N, ...\) for N=4 patches, got tuple"),
        (nn.Flatten(0), r"feature_extractor must return .* N=4 patches, got torch.Size\(\[256\]\)"),
        (nn.Conv2d(3, 1, 3), r"feature_extractor does not accept patches of shape \(4, 1, 8, 8\)"),
    ],
)
def test_wrong_extractors(wrong, message, pair):
    with pytest.raises(ValueError, match=message):
        FeatureMatchingLoss(wrong)(*pair)


def test_extractor_may_work_in_place_or_return_numbers(pair):
    reconstruction, target = pair
    before = target.clone()
    loss = FeatureMatchingLoss(nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), Mean()))
    loss(reconstruction.requires_grad_(), target).backward()
    assert torch.equal(target, before)
    assert reconstruction.grad.abs().sum() > 0


class Mean(nn.Module):
    def forward(self, features):
        return features.mean(dim=1)
