import torch

from sk_ssimae.losses import L1Loss, L2Loss


def test_loss_sums_over_pixels_and_averages_over_the_batch():
    target = torch.zeros(2, 3, 4, 5)
    reconstruction = target.clone()
    reconstruction[0] = 1
    assert L2Loss()(reconstruction, target) == 3 * 4 * 5 / 2
    assert L1Loss()(reconstruction, target) == 3 * 4 * 5 / 2
    assert L1Loss()(-0.5 * reconstruction, target) == 3 * 4 * 5 / 4


def test_residual_averages_over_channels():
    image = torch.zeros(1, 2, 4, 4)
    reconstruction = image.clone()
    reconstruction[0, 1, 2, 3] = 0.5
    residual = L2Loss().residual_map(image, reconstruction)
    assert residual.shape == (1, 4, 4)
    assert residual[0, 2, 3] == 0.125
    assert residual.sum() == 0.125


def test_absolute_residual_averages_over_channels():
    image = torch.zeros(1, 2, 4, 4)
    reconstruction = image.clone()
    reconstruction[0, 1, 2, 3] = -0.5
    residual = L1Loss().residual_map(image, reconstruction)
    assert residual.shape == (1, 4, 4)
    assert residual[0, 2, 3] == 0.25
    assert residual.sum() == 0.25
