import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch.autograd import gradcheck
from torch.utils._python_dispatch import TorchDispatchMode

from sk_ssimae.losses import SSIMLoss, ssim_components, ssim_map
from sk_ssimae.losses._window import ssim_window, window_means, window_means_transposed

WINDOWS = [("uniform", 3), ("uniform", 7), ("uniform", 11), ("gaussian", 11), ("gaussian", 5)]


def random_images(*shape, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(shape, generator=generator, dtype=torch.float64)
    y = (x + 0.2 * torch.randn(shape, generator=generator, dtype=torch.float64)).clamp(0, 1)
    return x.to(dtype), y.to(dtype)


@pytest.mark.parametrize("shape", [(48, 64), (33, 40)])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"window": "gaussian", "window_size": 11}, {"gaussian_weights": True}),
        *(({"window_size": k}, {"win_size": k}) for k in (3, 7, 11, 19)),
    ],
)
def test_agrees_with_scikit_image(ours, theirs, shape):
    # Reference: skimage.metrics.structural_similarity in float64 with population moments.
    x, y = random_images(1, 1, *shape)
    _, expected = structural_similarity(
        x[0, 0].double().numpy(),
        y[0, 0].double().numpy(),
        data_range=1,
        full=True,
        use_sample_covariance=False,
        **theirs,
    )
    # Both mirror the borders, so the maps agree there too.
    np.testing.assert_allclose(ssim_map(x, y, **ours)[0, 0], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("window", "window_size"), WINDOWS)
def test_bright_flat_images_stay_exact_in_float32(window, window_size):
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((2, 2, 1, 64, 64), generator=generator, dtype=torch.float64)
    x, y = 0.9 + 1e-4 * noise
    options = {"window": window, "window_size": window_size}
    single = ssim_map(x.float(), y.float(), **options)
    # Compare at values that float32 can represent: their rounding is not an error of the map.
    exact = ssim_map(x.float().double(), y.float().double(), **options)
    assert (single.double() - exact).abs().max() < 2e-5
    assert (single.double() - ssim_map(x, y, **options)).abs().max() < 2e-5
    assert single.max() <= 1 + 1e-6


@pytest.mark.parametrize(("window", "window_size"), WINDOWS)
def test_symmetry_range_and_identity(window, window_size):
    x, y = random_images(2, 3, 32, 28, dtype=torch.float64)
    options = {"window": window, "window_size": window_size}
    similarity = ssim_map(x, y, **options)
    assert similarity.shape == x.shape
    torch.testing.assert_close(ssim_map(x, x, **options), torch.ones_like(x))
    torch.testing.assert_close(ssim_map(y, x, **options), similarity)
    assert -1 <= similarity.min() <= similarity.max() < 1


@pytest.mark.parametrize(("window", "window_size"), WINDOWS)
def test_components_multiply_to_the_similarity(window, window_size):
    x, y = random_images(1, 2, 32, 32, dtype=torch.float64)
    options = {"window": window, "window_size": window_size}
    luminance, contrast, structure = ssim_components(x, y, **options)
    torch.testing.assert_close(luminance * contrast * structure, ssim_map(x, y, **options))
    for part in (luminance, contrast):
        assert 0 <= part.min() <= part.max() <= 1 + 1e-12
    assert structure.abs().max() <= 1 + 1e-12


def test_each_component_responds_to_its_own_change():
    x, _ = random_images(1, 1, 64, 64, dtype=torch.float64)
    x = 0.3 + 0.2 * x
    brighter = ssim_components(x, x + 0.3)
    flatter = ssim_components(x, x.mean() + 0.3 * (x - x.mean()))
    other = ssim_components(x, 2 * x.mean() - x)
    assert brighter.luminance.max() < 0.95
    assert brighter.contrast.min() > 1 - 1e-9
    assert brighter.structure.min() > 1 - 1e-9
    assert flatter.contrast.max() < 0.8
    assert flatter.luminance.min() > 0.95
    assert flatter.structure.min() > 0.9
    assert other.structure.max() < 0
    assert other.contrast.min() > 1 - 1e-9


def test_components_equal_the_equations():
    x, y = random_images(1, 1, 11, 11, dtype=torch.float64)
    p, q = x.numpy().ravel(), y.numpy().ravel()
    c1, c2 = 0.01, 0.03
    covariance = np.mean((p - p.mean()) * (q - q.mean()))
    expected = (
        (2 * p.mean() * q.mean() + c1) / (p.mean() ** 2 + q.mean() ** 2 + c1),
        (2 * p.std() * q.std() + c2) / (p.var() + q.var() + c2),
        (2 * covariance + c2) / (2 * p.std() * q.std() + c2),
    )
    centre = [part[0, 0, 5, 5].item() for part in ssim_components(x, y, c1=c1, c2=c2)]
    np.testing.assert_allclose(centre, expected, rtol=1e-12)


@pytest.mark.parametrize("exponents", [(1, 1, 2), (0.5, 2, 1), (0, 0, 1), (1, 1, 0)])
def test_exponents(exponents):
    x, y = random_images(1, 1, 24, 24, dtype=torch.float64)
    alpha, beta, gamma = exponents
    luminance, contrast, structure = ssim_components(x, y)
    expected = luminance**alpha * contrast**beta * structure**gamma
    torch.testing.assert_close(ssim_map(x, y, alpha=alpha, beta=beta, gamma=gamma), expected)


def test_fractional_gamma_clamps_structure_at_zero():
    x, _ = random_images(1, 1, 24, 24, dtype=torch.float64)
    negative = (1 - x).requires_grad_()
    similarity = ssim_map(x, negative, gamma=0.5)
    assert similarity.abs().max() == 0
    similarity.sum().backward()
    assert negative.grad.isfinite().all()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"window": "gaussian"},
        {"c1": 0.01, "c2": 0.03},
        {"alpha": 0.5, "beta": 2, "gamma": 3},
        {"gamma": 0.5},
    ],
)
def test_gradients(options):
    x, y = random_images(1, 2, 8, 7, dtype=torch.float64)
    loss = SSIMLoss(5, **options)
    assert gradcheck(loss, (y.requires_grad_(), x))
    assert gradcheck(loss, (y, x.requires_grad_()))


def test_second_derivatives_raise():
    x, y = random_images(1, 1, 16, 16)
    loss = SSIMLoss(5)(y.requires_grad_(), x)
    with pytest.raises(RuntimeError, match=r"differentiated once\. For higher derivatives"):
        torch.autograd.grad(loss, y, create_graph=True)
    similarity = ssim_map(x, y, window_size=5).mean()
    (gradient,) = torch.autograd.grad(similarity, y, create_graph=True)
    assert gradient.requires_grad


def test_no_gradient_is_computed_without_need(monkeypatch):
    x, y = random_images(1, 1, 16, 16)
    loss = SSIMLoss(5)
    expected = loss(y.requires_grad_(), x).detach()
    monkeypatch.setattr("sk_ssimae.losses._similarity._half_gradient", None)
    with torch.no_grad():
        torch.testing.assert_close(loss(y, x), expected)


def test_closed_form_is_the_derivative_of_the_map():
    x, y = random_images(2, 3, 40, 36)
    loss = SSIMLoss()
    closed, of_map = y.clone().requires_grad_(), y.clone().requires_grad_()
    loss(closed, x).backward()
    loss._similarity(x, of_map).mean().neg().backward()
    torch.testing.assert_close(closed.grad, of_map.grad, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("options", [{}, {"gamma": 2}])
def test_maps_can_be_averaged_together(options, monkeypatch):
    # A GPU averages all maps in one tensor and returns views of it.
    x, y = random_images(2, 3, 40, 36)
    loss = SSIMLoss(**options)
    gradients = []
    for on_cpu in (True, False):
        monkeypatch.setattr("sk_ssimae.losses._window._is_on_cpu", lambda _, is_so=on_cpu: is_so)
        reconstruction = y.clone().requires_grad_()
        loss(reconstruction, x).backward()
        gradients.append(reconstruction.grad)
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-9)


def test_components_of_flat_images_stay_in_their_range():
    x, y = torch.full((1, 1, 24, 24), 0.5), torch.full((1, 1, 24, 24), 0.7)
    y[..., 12:] = 0.3
    for pair in ((x, x), (x, y), (y, y), (y, 1 - y)):
        _, contrast, structure = ssim_components(*pair, c2=1e-6)
        assert contrast.max() <= 1 + 1e-6
        assert structure.abs().max() <= 1 + 1e-6


def test_gradient_is_finite_on_flat_images():
    flat = torch.full((1, 1, 16, 16), 0.5)
    for options in ({}, {"gamma": 2}, {"gamma": 0.5}):
        reconstruction = flat.clone().requires_grad_()
        SSIMLoss(**options)(reconstruction, flat).backward()
        assert reconstruction.grad.isfinite().all()


@pytest.mark.parametrize(("window", "window_size"), WINDOWS)
@pytest.mark.parametrize("gamma", [1, 2])
def test_loss_is_the_mean_of_the_residual(window, window_size, gamma):
    x, y = random_images(2, 3, 40, 36, dtype=torch.float64)
    options = {"c1": 0.01, "c2": 0.03, "gamma": gamma}
    loss = SSIMLoss(window_size, window, **options)
    residual = loss.residual_map(x, y)
    similarity = ssim_map(x, y, window_size=window_size, window=window, **options)
    torch.testing.assert_close(residual, 1 - similarity.mean(dim=1))
    # The loss averages the residual over the windows inside the image.
    edge = window_size // 2
    torch.testing.assert_close(loss(y, x), residual[:, edge:-edge, edge:-edge].mean())


@pytest.mark.parametrize("options", [{}, {"gamma": 2}])
def test_autocast_keeps_single_precision(options):
    x, y = random_images(1, 2, 32, 32)
    loss = SSIMLoss(**options)
    expected, components = loss(y, x), ssim_components(x, y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(loss(y, x), expected)
        torch.testing.assert_close(ssim_components(x, y), components)


@pytest.mark.parametrize(("window", "window_size"), WINDOWS)
@pytest.mark.parametrize("gamma", [1, 2])
def test_single_precision_gives_the_same_gradient_as_double(window, window_size, gamma):
    loss = SSIMLoss(window_size, window, gamma=gamma)
    results = []
    for dtype in (torch.float32, torch.float64):
        x, y = random_images(2, 3, 24, 29, dtype=dtype)
        value = loss(y.requires_grad_(), x)
        value.backward()
        results.append((value.double(), y.grad.double()))
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-8)


def reversed_in_memory(images):
    return images.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)


@pytest.mark.parametrize(
    "lay_out",
    [lambda images: images.contiguous(memory_format=torch.channels_last), reversed_in_memory],
)
@pytest.mark.parametrize("gamma", [1, 2])
def test_memory_layout_does_not_matter(lay_out, gamma):
    x, y = random_images(2, 3, 24, 29)
    loss = SSIMLoss(7, gamma=gamma)
    loss(y.requires_grad_(), x).backward()
    other = lay_out(y.detach()).requires_grad_()
    before = other.detach().clone(), x.clone()
    loss(other, lay_out(x)).backward()
    torch.testing.assert_close(other.grad, y.grad)
    torch.testing.assert_close((other.detach(), x), before, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_gradients_have_the_dtype_of_their_image(dtype):
    x, y = random_images(2, 1, 24, 29)
    half = y.to(dtype).requires_grad_()
    SSIMLoss(7)(half, x).backward()
    assert half.grad.dtype == dtype
    single = half.detach().float().requires_grad_()
    SSIMLoss(7)(single, x).backward()
    torch.testing.assert_close(half.grad, single.grad.to(dtype))


def test_components_in_single_precision():
    x, y = random_images(2, 2, 32, 30)
    x[..., 15:], y[..., 15:] = 0.9, 0.8  # An edge next to a flat area.
    for other in (x, y):
        luminance, contrast, structure = ssim_components(x, other)
        assert contrast.max() <= 1 + 1e-6
        assert luminance.max() <= 1 + 1e-6
        assert structure.is_contiguous()
    edge = torch.full((1, 1, 32, 32), 0.9)
    edge[..., :15] = 0.1
    assert ssim_components(edge, edge, c2=1e-6).contrast.max() <= 1 + 1e-6
    # Where an image is flat, its variance is only rounding.
    structure = ssim_components(x, x).structure
    torch.testing.assert_close(structure, torch.ones_like(x), rtol=0, atol=1e-4)


def test_half_precision_is_converted_to_single():
    x, y = random_images(1, 1, 32, 32)
    x, y = x.half(), y.half()
    assert ssim_map(x, y).dtype == torch.float32
    torch.testing.assert_close(ssim_map(x, y), ssim_map(x.float(), y.float()))


def test_window_means_are_weighted_means():
    x, y = random_images(1, 6, 9, 12, dtype=torch.float64)
    weights = ssim_window(5, "gaussian")
    expected = (y[0, 2, 2:7, 4:9] * torch.outer(weights, weights)).sum()
    _, mean = window_means([x, y], weights)
    torch.testing.assert_close(mean[0, 2, 2, 4], expected)
    assert mean.shape == (1, 6, 5, 8)


def test_window_means_transposed_are_the_transpose():
    x, _ = random_images(1, 6, 9, 12, dtype=torch.float64)
    y, _ = random_images(1, 6, 5, 8, dtype=torch.float64, seed=1)
    weights = ssim_window(5, "gaussian")
    (mean,), (back,) = window_means([x], weights), window_means_transposed([y], weights)
    torch.testing.assert_close((x * back).sum(), (mean * y).sum())


def test_gaussian_widens_with_the_window():
    narrow, wide = ssim_window(11, "gaussian"), ssim_window(21, "gaussian")
    assert narrow[5] / narrow[4] == pytest.approx(np.exp(0.5 / 1.5**2))
    assert wide[10] / wide[9] == pytest.approx(np.exp(0.5 * (11 / 21 / 1.5) ** 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window_size": 10}, "window_size must be an odd integer of at least 3, got 10"),
        ({"window_size": 1}, "window_size must be an odd integer of at least 3, got 1"),
        ({"window_size": 11.0}, "window_size must be an odd integer of at least 3, got 11.0"),
        ({"window": "box"}, "window must be 'uniform' or 'gaussian', got 'box'"),
        ({"c1": 0}, "c1 must be a finite number from 1e-06 to 1e\\+06, got 0"),
        ({"c2": -1}, "c2 must be a finite number from .*, got -1"),
        ({"alpha": -1}, "alpha must be a finite number from 0 to 100, got -1"),
        ({"c1": "x"}, "c1 must be a finite number .*, got 'x'"),
        ({"c1": 1e-50}, "c1 must be a finite number .*, got 1e-50"),
        ({"c2": float("inf")}, "c2 must be a finite number .*, got inf"),
        ({"beta": 1e300}, r"beta must be a finite number .*, got 1e\+300"),
        ({"gamma": -0.5}, "gamma must be a finite number from 0 to 100, got -0.5"),
    ],
)
def test_wrong_parameters(options, message):
    x, y = random_images(1, 1, 16, 16)
    with pytest.raises(ValueError, match=message):
        ssim_map(x, y, **options)


def test_fractional_alpha_clamps_luminance_at_zero():
    # The output of the network is linear, so it may be negative.
    x = torch.full((1, 1, 16, 16), 0.05, dtype=torch.float64)
    reconstruction = (-x).requires_grad_()
    similarity = ssim_map(x, reconstruction, alpha=0.5)
    assert similarity.abs().max() == 0
    similarity.sum().backward()
    assert reconstruction.grad.isfinite().all()


def test_wrong_images():
    x, y = random_images(1, 1, 16, 16)
    with pytest.raises(ValueError, match=r"same shape \(N, C, H, W\), got \(1, 1, 16, 16\) and"):
        ssim_map(x, y[..., :8])
    with pytest.raises(ValueError, match=r"non-empty tensors of .*, got \(0, 1, 16, 16\) and"):
        ssim_map(x[:0], y[:0])
    with pytest.raises(ValueError, match=r"got \(16, 16\) and \(16, 16\)"):
        ssim_components(x[0, 0], y[0, 0])
    with pytest.raises(ValueError, match=r"at least window_size=17 pixels high and wide, got"):
        SSIMLoss(17)(y, x)
    with pytest.raises(TypeError, match=r"got torch.uint8 and torch.uint8 instead. Divide"):
        ssim_map(x.byte(), y.byte())


@pytest.mark.parametrize("options", [{}, {"window": "gaussian", "window_size": 7}, {"gamma": 2}])
def test_maps_of_flat_images_are_exact_to_rounding(options):
    # An edge between two flat areas: no common offset fits both.
    generator = torch.Generator().manual_seed(0)
    x = torch.full((1, 1, 40, 60), 0.02)
    x[..., 30:] = 0.98
    y = x + 0.003 * torch.rand(x.shape, generator=generator)
    loss = SSIMLoss(**options)
    exact = loss.residual_map(x.double(), y.double())
    residual = loss.residual_map(x, y)
    assert residual.dtype == torch.float32
    torch.testing.assert_close(residual.double(), exact, rtol=0, atol=1e-6)
    part = loss.residual_map(x[..., :45], y[..., :45])
    torch.testing.assert_close(part[..., :40], residual[..., :40], rtol=0, atol=1e-6)


class WatchSizes(TorchDispatchMode):
    """Record the number of values in the largest float64 tensor created."""

    def __init__(self):
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **kwargs or {})
        if isinstance(result, torch.Tensor) and result.dtype == torch.float64:
            self.largest = max(self.largest, result.untyped_storage().nbytes() // 8)
        return result


@pytest.mark.parametrize("options", [{}, {"gamma": 2}])
def test_maps_are_computed_in_strips(options, monkeypatch):
    x, y = random_images(2, 3, 120, 20)
    loss = SSIMLoss(3, **options)
    whole, similarity = loss.residual_map(x, y), loss.similarity_map(x, y)
    monkeypatch.setattr("sk_ssimae._formulas._ssim.PIXELS_OF_STRIP", 1000)
    with WatchSizes() as watch:
        in_strips = loss.residual_map(x, y)
    torch.testing.assert_close(in_strips, whole, rtol=0, atol=1e-5)
    torch.testing.assert_close(loss.similarity_map(x, y), similarity, rtol=0, atol=1e-5)
    # A strip of 4 · 3 rows, with a border of 1 pixel on each side.
    assert watch.largest == 2 * 3 * 14 * 22
