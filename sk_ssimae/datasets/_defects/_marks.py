"""Families that change grey values: marks on the material."""

import numpy as np
from scipy import ndimage

from sk_ssimae.datasets._defects._canvas import Canvas, Image, Mask, blend
from sk_ssimae.datasets._defects._shapes import draw_blob, draw_curve, draw_line


def draw_cut(canvas: Canvas, amount: float, rng: np.random.Generator) -> tuple[Mask, Image]:
    """Draw a dark gash."""
    line = draw_curve(canvas.shape, rng, length=rng.uniform(0.2, 0.4), bending=0.03)
    distance = ndimage.distance_transform_edt(~line)
    width = rng.uniform(1.5, 3.0)
    depth = np.clip(1 - 0.5 * distance / width, 0, 1)
    return distance <= width, blend(canvas.image, canvas.dark, amount * depth)


def draw_scratch(canvas: Canvas, amount: float, rng: np.random.Generator) -> tuple[Mask, Image]:
    """Draw a thin, long, nearly straight line, dark or bright."""
    line = draw_curve(canvas.shape, rng, length=rng.uniform(0.4, 0.8), bending=0.002)
    region = ndimage.distance_transform_edt(~line) <= rng.uniform(0.5, 1.6)
    grey = rng.choice([canvas.dark, canvas.bright])
    return region, blend(canvas.image, float(grey), 0.9 * amount)


def draw_crease(canvas: Canvas, amount: float, rng: np.random.Generator) -> tuple[Mask, Image]:
    """Draw a fold with a bright and a dark flank, or a ridge, of low contrast."""
    line = draw_line(canvas.shape, rng, bending=0.03)
    width = max(rng.uniform(0.008, 0.016) * canvas.side, 1.2)
    distance = line.across / width
    if rng.random() < 0.5:
        profile = distance * np.exp((1 - distance**2) / 2)
    else:
        profile = np.exp(-(distance**2) / 2)
    half_length = rng.uniform(0.15, 0.3) * canvas.side
    fading = np.exp(-((line.along / half_length) ** 4))
    contrast = rng.choice([-0.4, 0.4]) * canvas.span * amount
    region = (np.abs(distance) <= 2.5) & (fading >= 0.1)
    return region, canvas.image + (contrast * fading * profile)[..., None]


def draw_contamination(
    canvas: Canvas, amount: float, rng: np.random.Generator
) -> tuple[Mask, Image]:
    """Draw a lump of dust or dirt, bright or dark, rounded by shading."""
    region = draw_blob(canvas.shape, rng, radius=rng.uniform(0.02, 0.05))
    depth = np.minimum(ndimage.distance_transform_edt(region) / 4, 1)
    sign, grey = (1, canvas.bright) if rng.random() < 0.5 else (-1, canvas.dark)
    grain = 0.05 * canvas.span * rng.standard_normal(region.shape)
    lump = grey - sign * 0.3 * canvas.span * (1 - depth) + grain
    return region, blend(canvas.image, lump[..., None], amount)


def draw_stain(canvas: Canvas, amount: float, rng: np.random.Generator) -> tuple[Mask, Image]:
    """Draw a faint shadow with a soft edge."""
    region = draw_blob(canvas.shape, rng, radius=rng.uniform(0.05, 0.1))
    depth = np.minimum(ndimage.distance_transform_edt(region) / 3, 1)
    return region, canvas.image - (0.35 * canvas.span * amount * depth)[..., None]
