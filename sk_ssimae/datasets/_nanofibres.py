"""Synthetic mats of nanofibres as seen by a scanning electron microscope."""

import math
from numbers import Real
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sk_ssimae._validation import check_number
from sk_ssimae.datasets._synthetic import Field, generate, smooth_noise

_LAYERS = 3.5  # Mean number of fibres over a pixel.


def make_nanofibres(
    n_samples: int = 10,
    *,
    shape: tuple[int, int] = (256, 256),
    fibre_diameter: float = 8.0,
    density: float = 1.0,
    random_state: int | np.random.RandomState | np.random.Generator | None = None,
) -> NDArray[np.float32]:
    """Make images of defect-free nanofibrous material.

    Thin, slightly curved fibres cross each other in all directions. As under a scanning electron
    microscope, fibres in front are nearly white and deeper ones darker, edges are brighter than the
    middle, and each fibre casts a shadow on those below.

    Parameters
    ----------
    n_samples : int, default=10
        Number of images.
    shape : tuple of two int, default=(256, 256)
        Height and width in pixels.
    fibre_diameter : float, default=8
        Mean diameter of the fibres in pixels, from 2 to 1,000.
    density : float, default=1
        Relative number of fibres, above 0 and at most 5: 0.5 draws half as many.
    random_state : int, RandomState, Generator or None, default=None
        Seed of the images; the same seed produces the same images.

    Returns
    -------
    array of float32, shape (n_samples, height, width)
        Grey values in [0, 1].

    Raises
    ------
    ValueError
        If a parameter is outside its interval.

    Examples
    --------
    >>> from sk_ssimae.datasets import make_nanofibres
    >>> fibres = make_nanofibres(2, shape=(64, 96), random_state=0)
    >>> fibres.shape, fibres.dtype
    ((2, 64, 96), dtype('float32'))
    """
    check_number(fibre_diameter, "fibre_diameter", 2, 1_000)
    if not isinstance(density, Real) or isinstance(density, bool) or not 0 < density <= 5:
        raise ValueError(f"density must be above 0 and at most 5, got {density!r} instead.")
    return generate(
        n_samples, shape, random_state, lambda rng: _mat(shape, fibre_diameter, density, rng)
    )


def _mat(
    shape: tuple[int, int], diameter: float, density: float, rng: np.random.Generator
) -> Field:
    # A straight line of random offset crosses a given pixel with probability diameter / diagonal.
    n_fibres = max(1, round(_LAYERS * density * (np.hypot(*shape) / diameter + 1)))
    # The parts of fibres outside the image are painted into a margin of one pixel.
    mat = np.full((shape[0] + 2, shape[1] + 2), 0.01, dtype=np.float32)
    # Fibres are drawn column by column, steep ones in the transposed image.
    is_steep = rng.random(n_fibres) < 0.5
    flat = _courses(n_fibres, mat.shape, diameter, rng)
    steep = _courses(n_fibres, mat.shape[::-1], diameter, rng)
    for number in range(n_fibres):  # From the bottom to the top.
        depth = 1 - number / n_fibres
        # Fitted by eye to the grey values of real mats.
        brightness = 0.015 + 0.985 * math.exp(-((_LAYERS * depth / 1.15) ** 1.6))
        if is_steep[number]:
            _lay_fibre(mat.T, steep.of_fibre(number), brightness)
        else:
            _lay_fibre(mat, flat.of_fibre(number), brightness)
    image = ndimage.gaussian_filter(mat[1:-1, 1:-1], 0.06 * diameter)
    image *= 1 + 0.02 * smooth_noise(shape, 0.5 * max(shape), rng)
    grain = rng.standard_normal(shape, dtype=np.float32)
    image += (0.006 + 0.008 * image) * grain
    return np.clip(image, 0, 1)


class _Courses(NamedTuple):
    """Courses of fibres: arrays of shape (n_fibres, n_columns)."""

    centre: Field
    """Row of a fibre's axis."""
    radius: Field
    """Half the diameter in pixels."""
    cosine: Field
    """Cosine of the angle between axis and row."""

    def of_fibre(self, number: int) -> "_Courses":
        return _Courses(*(values[number, :, None] for values in self))


def _courses(
    n_fibres: int, shape: tuple[int, ...], diameter: float, rng: np.random.Generator
) -> _Courses:
    """Draw courses that cross an image from left to right, at up to 45 degrees."""
    height, width = shape
    column = np.arange(width, dtype=np.float32)
    slope = np.tan(rng.uniform(-np.pi / 4, np.pi / 4, (n_fibres, 1))).astype(np.float32)
    reach = 0.5 * (height + np.abs(slope) * width) + diameter
    offset = rng.uniform(-reach, reach).astype(np.float32)
    bends = 0.5 * diameter * _waves(n_fibres, column, 70 * diameter, rng)
    kinks = 0.06 * diameter * _waves(n_fibres, column, 10 * diameter, rng)
    centre = 0.5 * height + offset + slope * (column - 0.5 * width) + bends + kinks
    thickness = rng.normal(1, 0.15, (n_fibres, 1)).clip(0.5, 1.6).astype(np.float32)
    swelling = 1 + 0.06 * _waves(n_fibres, column, 6 * diameter, rng)
    cosine = 1 / np.hypot(1, np.gradient(centre, axis=1))
    return _Courses(centre, 0.5 * diameter * thickness * swelling, cosine)


def _waves(n: int, along: Field, wavelength: float, rng: np.random.Generator) -> Field:
    """Draw n smooth curves of unit variance: sums of three waves of about the given length."""
    frequency = 2 * np.pi / wavelength * rng.uniform(0.5, 2, (3, n, 1)).astype(np.float32)
    phase = rng.uniform(0, 2 * np.pi, (3, n, 1)).astype(np.float32)
    curves: Field = np.sqrt(2 / 3) * np.cos(frequency * along + phase).sum(axis=0)
    return curves.astype(np.float32)


def _lay_fibre(canvas: Field, course: _Courses, brightness: float) -> None:
    """Paint a fibre and its shadow over the fibres below."""
    reach = int(np.ceil(1.9 * (course.radius / course.cosine).max())) + 1
    rows = np.rint(course.centre) + np.arange(-reach, reach + 1, dtype=np.float32)
    from_axis = (rows - course.centre) * course.cosine
    across = from_axis / course.radius
    to_axis = np.abs(across)
    place = (rows.astype(np.intp).clip(0, canvas.shape[0] - 1), np.arange(len(rows))[:, None])
    # Few electrons escape from between a fibre and the surface just below it.
    nearness = np.clip(1.9 - to_axis, 0, 0.9)
    below = canvas[place] * (1 - 0.45 * nearness * nearness)
    edge = np.minimum(to_axis, 1)
    shade = brightness * (0.92 + 0.08 * edge * edge * edge + 0.03 * across)
    covered = np.clip(course.radius - np.abs(from_axis) + 0.5, 0, 1)
    canvas[place] = below + covered * (shade - below)
