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


def test_the_given_module_stays_as_it_is(extractor):
    extractor.train()
    FeatureMatchingLoss(extractor)
    assert extractor.training
    assert all(parameter.requires_grad for parameter in extractor.parameters())


def test_copies_leave_the_extractor_behind(extractor, pair):
    loss = FeatureMatchingLoss(extractor)
    for copied in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert copied.feature_extractor is None
        residual = copied.eval().residual_map(*pair)
        assert torch.equal(residual, L2Loss().residual_map(*pair))
    assert loss.feature_extractor is not None


def test_wrong_weight(extractor):
    with pytest.raises(ValueError, match="feature_weight must be at least 0, got -1"):
        FeatureMatchingLoss(extractor, -1)
