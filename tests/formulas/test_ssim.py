"""Each formula computes the same for NumPy arrays and torch tensors."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from sk_ssimae._formulas import _ssim

C1, C2 = 1e-4, 9e-4


def images():
    x = np.random.default_rng(0).random((2, 3, 40, 13))
    y = 0.9 - 0.5 * x + 0.2 * np.random.default_rng(1).random(x.shape)
    y[..., 20:, :] = x[..., 20:, :] = 0.5  # A flat half.
    return x, y


def average(maps):
    """Average 3 × 3 pixels, in either library."""
    sums = [
        sum(
            m[..., i : m.shape[-2] - 2 + i, j : m.shape[-1] - 2 + j]
            for i in range(3)
            for j in range(3)
        )
        for m in maps
    ]
    return [total / 9 for total in sums]


def assert_same(of_numpy, of_torch):
    for array, tensor in zip(of_numpy, of_torch, strict=True):
        assert isinstance(array, np.ndarray)
        assert isinstance(tensor, torch.Tensor)
        np.testing.assert_allclose(array, tensor.numpy(), rtol=0, atol=1e-12)


def in_both(function):
    x, y = images()
    of_numpy = function(x, y)
    of_torch = function(torch.from_numpy(x), torch.from_numpy(y))
    assert_same(of_numpy, of_torch)
    return of_numpy


def centred(x, y):
    offset = _ssim.common_offset(x, y)
    return x - offset, y - offset, offset


def test_moments():
    m = in_both(lambda x, y: _ssim.moments(*centred(x, y), average))
    x, y = images()
    window = (..., slice(5, 8), slice(5, 8))
    of_window = [m_[0, 1, 5, 5] for m_ in (m.level_x, m.level_y, m.var_sum, m.cov_xy)]
    p, q = x[0, 1][window].ravel(), y[0, 1][window].ravel()
    covariance = np.mean((p - p.mean()) * (q - q.mean()))
    np.testing.assert_allclose(
        of_window, [p.mean(), q.mean(), p.var() + q.var(), covariance], rtol=1e-12
    )


def test_similarity():
    parts = in_both(lambda x, y: _ssim.similarity(_ssim.moments(*centred(x, y), average), C1, C2))
    assert np.abs(parts.product).max() <= 1 + 1e-12


def test_components_multiply_to_the_product():
    parts = in_both(lambda x, y: _ssim.components(*centred(x, y), average, C1, C2))
    product = _ssim.similarity(_ssim.moments(*centred(*images()), average), C1, C2).product
    np.testing.assert_allclose(_ssim.weighted_product(parts, 1, 1, 1), product, rtol=1e-9)


@pytest.mark.parametrize("exponents", [(1, 1, 2), (0.5, 2, 1.5), (0, 0.5, 3)])
def test_weighted_product(exponents):
    def weighted(x, y):
        parts = _ssim.components(*centred(x, y), average, C1, C2)
        return [_ssim.weighted_product(parts, *exponents)]

    in_both(weighted)


def test_fractional_powers_clamp_negative_components_and_keep_nan():
    structure = np.array([-0.5, 0.0, 0.25, np.nan])
    one = np.ones_like(structure)
    expected = [0, 0, 0.5, np.nan]
    parts = _ssim.Components(one, one, structure)
    np.testing.assert_array_equal(_ssim.weighted_product(parts, 1, 1, 0.5), expected)
    parts = _ssim.Components(*map(torch.from_numpy, parts))
    np.testing.assert_array_equal(_ssim.weighted_product(parts, 1, 1, 0.5), expected)


def test_equation_8_applies_to_exponents_of_1_only():
    assert _ssim.has_product_form(1, 1.0, 1)
    assert not _ssim.has_product_form(1, 1, 2)


@pytest.mark.parametrize("pixels_of_strip", [1, 2**20])
@pytest.mark.parametrize("window_size", [3, 31])  # 31: mirrored more than once across 13 columns.
def test_strips_join_to_the_filtered_image(monkeypatch, pixels_of_strip, window_size):
    monkeypatch.setattr(_ssim, "PIXELS_OF_STRIP", pixels_of_strip)
    edge = window_size // 2
    x, y = images()
    rows = []
    for strips in zip(
        _ssim.iter_strips(x, y, window_size),
        _ssim.iter_strips(torch.from_numpy(x), torch.from_numpy(y), window_size),
        strict=True,
    ):
        assert_same(*strips)
        mean = ndimage.uniform_filter(strips[0][1], window_size, axes=(-2, -1))
        rows.append(mean[..., edge:-edge, edge:-edge])
    assert len(rows) > 1 or pixels_of_strip > 1 or window_size == 31
    expected = ndimage.uniform_filter(y, window_size, axes=(-2, -1), mode="reflect")
    np.testing.assert_allclose(np.concatenate(rows, axis=-2), expected, rtol=1e-12)


def test_mirrored_borders():
    (padded,) = in_both(lambda x, y: [_ssim.pad_symmetric(y, 2)])
    _, y = images()
    borders = ((0, 0), (0, 0), (2, 2), (2, 2))
    np.testing.assert_array_equal(padded, np.pad(y, borders, mode="symmetric"))
