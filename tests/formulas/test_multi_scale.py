"""Similarity at several scales is the same for NumPy arrays and torch tensors."""

import numpy as np
import pytest
import torch

from sk_ssimae._formulas._multi_scale import (
    count_scales,
    reach,
    scale_weights,
    similarity_at_pixels,
)

KERNEL = np.array([0.25, 0.5, 0.25])
CONSTANTS = 1e-4, 9e-4


def images(height, width):
    x = np.random.default_rng(0).random((2, height, width))
    return x, 0.9 - 0.5 * x + 0.2 * np.random.default_rng(1).random(x.shape)


@pytest.mark.parametrize(
    ("shape", "window_size", "expected"),
    [
        ((128, 128), 11, 4),
        ((128, 300), 11, 4),
        ((161, 161), 11, 5),
        ((160, 160), 11, 4),
        ((16, 16), 11, 1),
        ((512, 512), 3, 5),
        ((10, 90), 11, 0),
    ],
)
def test_scales_at_which_the_window_fits(shape, window_size, expected):
    assert count_scales(shape, window_size) == expected


def test_fewer_weights_are_divided_by_their_sum():
    printed = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. (2003), section 4.
    assert scale_weights(5) == printed
    np.testing.assert_allclose(scale_weights(3), np.array(printed[:3]) / sum(printed[:3]))
    assert scale_weights(1) == (1,)


@pytest.mark.parametrize("n_scales", [1, 2, 4])
def test_similarity_at_pixels(n_scales):
    edge = reach(3, n_scales)
    x, y = images(20 + 2 * edge, 17 + 2 * edge)
    weights = scale_weights(n_scales)
    of_numpy = similarity_at_pixels(x, y, KERNEL, weights, *CONSTANTS)
    of_torch = similarity_at_pixels(*map(torch.from_numpy, (x, y, KERNEL)), weights, *CONSTANTS)
    assert of_numpy.shape == (2, 20, 17)
    np.testing.assert_allclose(of_numpy, of_torch, rtol=0, atol=1e-12)


def of_one_window(p, q):
    """Compare two windows of equal shape under the kernel, by the definitions."""
    weights = np.outer(KERNEL, KERNEL)
    p_mean, q_mean = (weights * p).sum(), (weights * q).sum()
    p_var, q_var = (weights * (p - p_mean) ** 2).sum(), (weights * (q - q_mean) ** 2).sum()
    covariance = (weights * (p - p_mean) * (q - q_mean)).sum()
    c1, c2 = CONSTANTS
    luminance = (2 * p_mean * q_mean + c1) / (p_mean**2 + q_mean**2 + c1)
    return luminance, (2 * covariance + c2) / (p_var + q_var + c2)


@pytest.mark.parametrize("pixel", [(0, 0), (7, 3), (19, 16)])
def test_a_scale_is_that_of_averaged_pixels_around_the_pixel(pixel):
    edge, weights = reach(3, 3), scale_weights(3)
    x, y = images(20 + 2 * edge, 17 + 2 * edge)
    expected = 0
    for scale, weight in enumerate(weights):
        step = 2**scale
        first_row, first_column = (place + edge - 3 * step // 2 for place in pixel)
        windows = [
            image[0, first_row : first_row + 3 * step, first_column : first_column + 3 * step]
            .reshape(3, step, 3, step)
            .mean(axis=(1, 3))
            for image in (x, y)
        ]
        luminance, structure = of_one_window(*windows)
        expected += weight * structure * (luminance if scale == 2 else 1)
    found = similarity_at_pixels(x, y, KERNEL, weights, *CONSTANTS)[0][pixel]
    np.testing.assert_allclose(found, expected, rtol=1e-10)
