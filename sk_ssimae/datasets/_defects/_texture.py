"""Families that change the texture: its sharpness, place, direction or origin."""

import numpy as np
from scipy import ndimage

from sk_ssimae.datasets._defects._canvas import Canvas, Image, Mask, blend
from sk_ssimae.datasets._defects._shapes import (
    draw_blob,
    draw_line,
    draw_strip,
    perlin_noise,
)


def draw_blur(canvas: Canvas, amount: float, rng: np.random.Generator) -> tuple[Mask, Image]:
    """Draw washed-out texture; the amount is that of the Gaussian's sigma, 3 pixels at most."""
    region = draw_blob(canvas.shape, rng, radius=rng.uniform(0.05, 0.1))
    sigma = 3.0 * amount
    return region, ndimage.gaussian_filter(canvas.image, (sigma, sigma, 0.0))


def draw_warp(canvas: Canvas, amount: float, rng: np.random.Generator) -> tuple[Mask, Image]:
    """Shift texture in a round region, most in its middle, by up to half the radius."""
    radius = max(rng.uniform(0.06, 0.12) * canvas.side, 3.0)
    centre = [rng.uniform(0.25, 0.75) * n for n in canvas.shape]
    rows, columns = np.indices(canvas.shape, dtype=float)
    distance = np.hypot(rows - centre[0], columns - centre[1])
    # Its slope is at most π / 2 per radius: with half a radius, the texture does not fold over.
    bump = np.where(distance < radius, np.cos(np.pi / 2 * distance / radius) ** 2, 0)
    angle, length = rng.uniform(0, 2 * np.pi), 0.5 * amount * radius
    places = np.stack(
        [rows + length * np.sin(angle) * bump, columns + length * np.cos(angle) * bump]
    )
    return distance < radius, _sample(canvas.image, places)


def draw_rotation(canvas: Canvas, amount: float, rng: np.random.Generator) -> tuple[Mask, Image]:
    """Draw texture turned by a quarter, as by a fault of the weave."""
    region = draw_blob(canvas.shape, rng, radius=rng.uniform(0.05, 0.1))
    rows, columns = ndimage.find_objects(region.astype(np.uint8))[0]
    size = min(max(rows.stop - rows.start, columns.stop - columns.start), canvas.side)
    first = (min(cut.start, n - size) for cut, n in zip((rows, columns), region.shape, strict=True))
    square = tuple(slice(start, start + size) for start in first)
    turned = canvas.image.copy()
    turned[square] = np.rot90(canvas.image[square])
    return region, blend(canvas.image, turned, amount)


def draw_scar(canvas: Canvas, amount: float, rng: np.random.Generator) -> tuple[Mask, Image]:
    """Paste a thin bar of another good image, turned and slightly brighter or darker.

    C.-L. Li, K. Sohn, J. Yoon, T. Pfister, "CutPaste", CVPR 2021.
    """
    line = draw_line(canvas.shape, rng, bending=0.0)
    half_width = max(rng.uniform(0.008, 0.025) * canvas.side, 1.0)
    half_length = max(rng.uniform(0.06, 0.14) * canvas.side, 2.0)
    region = (np.abs(line.across) <= half_width) & (np.abs(line.along) <= half_length)
    centre = [rng.uniform(0.25, 0.75) * n for n in canvas.other.shape[:2]]
    angle = rng.uniform(0, 2 * np.pi)
    places = np.stack(
        [
            centre[0] + line.along * np.cos(angle) + line.across * np.sin(angle),
            centre[1] + line.along * np.sin(angle) - line.across * np.cos(angle),
        ]
    )
    shift = rng.uniform(0.1, 0.2) * rng.choice([-1, 1]) * canvas.span
    return region, blend(canvas.image, _sample(canvas.other, places) + shift, amount)


def draw_foreign_texture(
    canvas: Canvas, amount: float, rng: np.random.Generator
) -> tuple[Mask, Image]:
    """Draw streaky noise of the same mean and contrast in a region of Perlin noise.

    V. Zavrtanik, M. Kristan, D. Skočaj, "DRÆM", ICCV 2021, for the regions and the opacity.
    """
    radius = max(rng.uniform(0.08, 0.14) * canvas.side, 3.0)
    centre = [rng.uniform(0.25, 0.75) * n for n in canvas.shape]
    rows, columns = np.ogrid[: canvas.shape[0], : canvas.shape[1]]
    distance = np.hypot(rows - centre[0], columns - centre[1]) / radius
    noise = perlin_noise(canvas.shape, rng, cell=max(radius / 1.5, 2.0))
    region = noise + 0.35 * (1 - distance**2) > 0.05
    region &= distance < 1.5
    sigmas = rng.uniform(0.6, 1.2), rng.uniform(1.5, 4.0)
    foreign = ndimage.gaussian_filter(rng.standard_normal(canvas.shape), rng.permutation(sigmas))
    foreign = (foreign - foreign.mean()) / max(foreign.std(), 1e-12)
    # In four standard deviations of Gaussian noise are about 95 % of its values, as in the span.
    mean = canvas.image.mean(axis=(0, 1))
    target = mean + 0.25 * canvas.span * foreign[..., None]
    return region, blend(canvas.image, target, amount)


def draw_missing_line(
    canvas: Canvas, amount: float, rng: np.random.Generator
) -> tuple[Mask, Image]:
    """Draw a strip of smeared texture, as where a thread is missing."""
    width = min(max(4, round(0.025 * canvas.side)), canvas.side // 2)
    region, axis, _ = draw_strip(canvas.shape, rng, width, margin=0)
    # The crossing threads remain, smeared along the gap.
    smeared = ndimage.uniform_filter1d(canvas.image, 4 * width + 1, axis=1 - axis)
    return region, blend(canvas.image, smeared, amount)


def draw_doubled_line(
    canvas: Canvas, amount: float, rng: np.random.Generator
) -> tuple[Mask, Image]:
    """Draw a strip of texture squeezed to half its width, with twice as many threads."""
    image = canvas.image
    half = min(max(4, round(0.03 * canvas.side)), canvas.side // 4)
    region, axis, first = draw_strip(canvas.shape, rng, 2 * half, margin=half)
    # The strip and half its width on either side are squeezed into the strip.
    first_source = 2 * (np.arange(image.shape[axis]) - first) + first - half
    squeezed = [np.take(image, first_source + shift, axis, mode="clip") for shift in (0, 1)]
    return region, blend(image, (squeezed[0] + squeezed[1]) / 2, amount)


def _sample(image: Image, places: np.ndarray) -> Image:
    """Interpolate an image (h, w, c) at places (2, h', w'), mirrored at its borders."""
    channels = [
        ndimage.map_coordinates(image[..., channel], places, order=1, mode="reflect")
        for channel in range(image.shape[-1])
    ]
    return np.stack(channels, axis=-1)
