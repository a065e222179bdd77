import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.autograd import gradcheck

from sk_ssimae.losses import MultiScaleSSIMLoss, SSIMLoss
from sk_ssimae.losses._window import ssim_window


def random_images(*shape, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(shape, generator=generator, dtype=torch.float64)
    y = (x + 0.2 * torch.randn(shape, generator=generator, dtype=torch.float64)).clamp(0, 1)
    return x.to(dtype), y.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("shape", "window_size", "expected"),
    [
        # Reference: pytorch-msssim 1.0.0 with torch 2.x in float64, of the images of random_images:
        # ms_ssim(x, y, data_range=1, win_size=window_size, win_sigma=1.5 * window_size / 11)
        ((2, 1, 176, 176), 11, 0.8534124977804386),
        ((1, 3, 161, 200), 11, 0.852131146702924),  # Sides become odd.
        ((2, 2, 97, 117), 7, 0.8487987812682789),
        ((1, 1, 64, 80), 3, 0.8435801468040321),
    ],
)
def test_agrees_with_pytorch_msssim(shape, window_size, expected, dtype):
    x, y = random_images(*shape, dtype=dtype)
    loss = MultiScaleSSIMLoss(window_size, "gaussian")
    assert len(loss.scale_weights(*shape[-2:])) == 5
    assert 1 - loss(y, x).item() == pytest.approx(expected, abs=1e-5)


def test_of_one_pair_by_the_definition():
    x, y = random_images(1, 1, 24, 44)
    means = []
    p, q = x[0, 0].numpy(), y[0, 0].numpy()
    for scale in range(3):
        if scale:
            p, q = (image.reshape(len(image) // 2, 2, -1, 2).mean(axis=(1, 3)) for image in (p, q))
        inside = slice(2, -2), slice(2, -2)
        mean_p, mean_q, pp, qq, pq = (
            ndimage.uniform_filter(image, 5)[inside] for image in (p, q, p * p, q * q, p * q)
        )
        contrast_structure = (2 * (pq - mean_p * mean_q) + 9e-4) / (
            pp - mean_p**2 + qq - mean_q**2 + 9e-4
        )
        if scale == 2:
            luminance = (2 * mean_p * mean_q + 1e-4) / (mean_p**2 + mean_q**2 + 1e-4)
            contrast_structure = contrast_structure * luminance
        means.append(contrast_structure.mean())
    weights = np.array([0.0448, 0.2856, 0.3001])
    expected = 1 - np.prod(np.power(means, weights / weights.sum()))
    assert MultiScaleSSIMLoss(5)(y, x).item() == pytest.approx(expected, abs=1e-12)


def test_only_scales_at_which_the_window_fits():
    loss = MultiScaleSSIMLoss(11)
    assert len(loss.scale_weights(128, 300)) == 4
    assert sum(loss.scale_weights(128, 300)) == pytest.approx(1)
    assert len(MultiScaleSSIMLoss(11, n_scales=2).scale_weights(128, 128)) == 2


def test_a_single_scale_is_ssim():
    x, y = random_images(2, 3, 20, 18)
    for one in (MultiScaleSSIMLoss(11), MultiScaleSSIMLoss(5, n_scales=1)):
        ssim = SSIMLoss(one.window_size)
        for other in (y, 1 - x):  # The similarity of the second is negative.
            torch.testing.assert_close(one(other, x), ssim(other, x))
            torch.testing.assert_close(one.residual_map(x, other), ssim.residual_map(x, other))
        assert one.residual_radius >= ssim.residual_radius


@pytest.mark.parametrize("window", ["uniform", "gaussian"])
def test_identity_range_and_symmetry(window):
    x, y = random_images(2, 2, 26, 24)
    loss = MultiScaleSSIMLoss(5, window)
    assert loss(x, x).item() == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(loss(x, y), loss(y, x))
    residual = loss.residual_map(x, y)
    torch.testing.assert_close(loss.residual_map(x, x), torch.zeros_like(residual))
    assert residual.shape == (2, 26, 24)
    assert 0 < residual.min() <= residual.max() < 2
    assert loss.residual_map(x, 1 - x).max() > 1


def test_gradients():
    x, y = random_images(2, 2, 12, 13)
    loss = MultiScaleSSIMLoss(3, "gaussian")
    assert gradcheck(loss, (y.requires_grad_(), x))


def test_a_channel_that_is_dissimilar_has_no_gradient_and_spoils_no_other():
    x, y = random_images(1, 2, 24, 24)
    y[:, 0] = 1 - x[:, 0]
    y.requires_grad_()
    loss = MultiScaleSSIMLoss(5)(y, x)
    loss.backward()
    assert y.grad.isfinite().all()
    assert (y.grad[:, 0] == 0).all()
    assert (y.grad[:, 1] != 0).any()
    assert 0.5 < loss < 1


def test_residual_depends_on_pixels_within_its_radius_only():
    x, y = random_images(1, 1, 90, 90)
    loss = MultiScaleSSIMLoss(5, n_scales=3)
    changed = y.clone()
    changed[..., 45, 45] += 0.5
    rows, columns = torch.nonzero(
        (loss.residual_map(x, changed) - loss.residual_map(x, y))[0].abs() > 1e-12, as_tuple=True
    )
    assert loss.residual_radius == 10
    distances = torch.stack([rows, columns]) - 45
    assert distances.min() >= -10
    assert distances.max() == 10


def test_residual_of_large_images_is_computed_in_strips(monkeypatch):
    x, y = random_images(1, 2, 130, 30)
    loss = MultiScaleSSIMLoss(3, n_scales=2)
    whole = loss.residual_map(x, y)
    monkeypatch.setattr("sk_ssimae._formulas._ssim.PIXELS_OF_STRIP", 1)
    torch.testing.assert_close(loss.residual_map(x, y), whole)


def test_half_precision_and_autocast():
    x, y = random_images(1, 1, 32, 32, dtype=torch.float16)
    loss = MultiScaleSSIMLoss(5)
    expected = loss(y.float(), x.float())
    torch.testing.assert_close(loss(y, x), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(loss(y.float(), x.float()), expected)
    assert loss.residual_map(x, y).dtype == torch.float32


def test_window_is_not_stored():
    loss = MultiScaleSSIMLoss(7, "gaussian")
    assert loss.state_dict() == {}
    torch.testing.assert_close(loss.kernel, ssim_window(7, "gaussian"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window_size": 10}, "window_size must be an odd integer of at least 3, got 10"),
        ({"window": "box"}, "window must be 'uniform' or 'gaussian', got 'box'"),
        ({"c1": 0}, "c1 must be a finite number from 1e-06 to 1e\\+06, got 0"),
        ({"c2": "x"}, "c2 must be a finite number .*, got 'x'"),
        ({"n_scales": 0}, "n_scales must be an integer from 1 to 5, got 0"),
        ({"n_scales": 6}, "n_scales must be an integer from 1 to 5, got 6"),
        ({"n_scales": "two"}, "n_scales must be an integer from 1 to 5, got 'two'"),
        ({"n_scales": 2.5}, "n_scales must be an integer from 1 to 5, got 2.5"),
    ],
)
def test_wrong_parameters(options, message):
    with pytest.raises(ValueError, match=message):
        MultiScaleSSIMLoss(**options)


def test_wrong_images():
    loss = MultiScaleSSIMLoss()
    with pytest.raises(ValueError, match=r"target must be at least window_size=11 .* \(9, 30\)"):
        loss(torch.zeros(1, 1, 9, 30), torch.zeros(1, 1, 9, 30))
    with pytest.raises(
        ValueError, match=r"height and width must be at least window_size=11, got 9"
    ):
        loss.residual_map(torch.zeros(1, 1, 9, 30), torch.zeros(1, 1, 9, 30))
    with pytest.raises(ValueError, match="same shape"):
        loss(torch.zeros(1, 1, 20, 30), torch.zeros(1, 2, 20, 30))
    with pytest.raises(TypeError, match="reconstruction and target must be floating-point"):
        loss([[1]], torch.zeros(1, 1, 20, 30))
