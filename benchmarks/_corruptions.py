"""Corruptions of training patches, for the study in corruption.py.

All take a batch (N, C, P, P) in [0, 1] and draw from a given generator on its device.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor
from torch.nn.functional import conv2d, interpolate, pad

CELL = 16  # Side in pixels of the cells of a lattice of masks.
_N_BLOBS = 2  # In each patch.
_SMALLEST_BLOB, _LARGEST_BLOB = 0.06, 0.25  # Radii, as shares of a patch.
_LONGEST_STROKE = 8.0  # Length of the longest stroke, in widths.
_SHUFFLED = 4  # Side in pixels of the cells of a patch that are shuffled.
_CUTOUT = 0.25  # Side of the square, as a share of a patch.
_MOST_NOISE = 0.1  # Standard deviation.


def corrupt(generator: Generator, patches: Tensor, corruption: str) -> tuple[Tensor, Tensor]:
    """Return input and target of training; names joined by + are applied one after another."""
    seen = target = patches
    for name in corruption.split("+"):
        if name == "noise":  # Of the photograph: in the target too.
            deviation = _MOST_NOISE * uniform(generator, len(seen), 1, 1, 1)
            noise = torch.randn(seen.shape, generator=generator, device=seen.device)
            seen = target = seen + deviation * noise
        elif name != "none":
            seen = CORRUPTIONS[name](generator, seen)
    return seen, target


def cutout(generator: Generator, patches: Tensor) -> Tensor:
    """Paint a square of one grey over each patch, as `cutout=0.25` does."""
    side = patches.shape[-1]
    grey, row, column = uniform(generator, 3, len(patches))[..., None, None, None]
    pixels = torch.arange(side, device=patches.device) + 0.5
    reach = _CUTOUT * side / 2
    rows, columns = ((pixels - centre * side).abs() < reach for centre in (row, column))
    return torch.where(rows.transpose(2, 3) & columns, grey, patches)


def mask_lattice(generator: Generator, patches: Tensor) -> Tensor:
    """Fill a quarter of all cells, in a lattice at a random place, with the mean of the patch."""
    shape = 2, len(patches)
    shifts = torch.randint(2 * CELL, shape, generator=generator, device=patches.device)
    return torch.where(lattice(patches, *shifts), patches.mean((2, 3), keepdim=True), patches)


def lattice(patches: Tensor, row_shifts: Tensor, column_shifts: Tensor) -> Tensor:
    """Mark every second cell of every second row of cells: (N, 1, P, P)."""
    pixels = torch.arange(patches.shape[-1], device=patches.device)
    rows, columns = (
        (pixels + shifts[:, None]) // CELL % 2 == 0 for shifts in (row_shifts, column_shifts)
    )
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def blobs_of(contents: Sequence[str]) -> Callable[[Generator, Tensor], Tensor]:
    """Return a corruption by blobs and strokes that are filled with these contents in turn."""

    def paint(generator: Generator, patches: Tensor) -> Tensor:
        opacities = draw_blobs(generator, *patches.shape[::3])
        for blob in range(_N_BLOBS):
            filling = fill(generator, patches, contents)
            patches = patches + opacities[:, blob : blob + 1] * (filling - patches)
        return patches.clamp(0, 1)

    return paint


def draw_blobs(generator: Generator, n_patches: int, side: int) -> Tensor:
    """Draw the opacity (N, 2, P, P) of irregular soft-edged blobs and bent strokes, up to 0.1-1."""

    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * uniform(generator, n_patches, _N_BLOBS, 1, 1)

    row, column, turn = between(0, 1), between(0, 1), between(0, math.pi)
    size = torch.exp(between(math.log(_SMALLEST_BLOB), math.log(_LARGEST_BLOB)))
    # Half of them are strokes.
    stretch = torch.exp(between(0, math.log(_LONGEST_STROKE)) * (between(0, 1) < 0.5))
    length, width = size * stretch.sqrt(), (size / stretch.sqrt()).clamp_min(1 / side)
    bend = between(-1, 1)
    # Soft edges need half the resolution.
    grid = (torch.arange(side // 2, device=generator.device) + 0.5) / (side // 2)
    down, right = grid[:, None] - row, grid - column
    along = (right * turn.cos() + down * turn.sin()) / length
    across = (down * turn.cos() - right * turn.sin()) / width
    across = across + bend * along**2 * (length / width).clamp(max=3) / 2
    distance = torch.sqrt(along**2 + across**2) + 1e-6
    cos, sin = along / distance, across / distance
    # A circle with waves of two and three periods.
    outline = 1 + between(-0.2, 0.2) * (2 * cos**2 - 1) + between(-0.2, 0.2) * 2 * cos * sin
    outline = outline + between(-0.2, 0.2) * cos * (4 * cos**2 - 3)
    outline = outline + between(-0.2, 0.2) * sin * (3 - 4 * sin**2)
    edge = between(0.5, 4) / side
    inside = torch.sigmoid((outline - distance) * (width / edge * 2))
    return _enlarge(inside * between(0.1, 1))


def fill(generator: Generator, patches: Tensor, contents: Sequence[str]) -> Tensor:
    """Make new content for each patch; the kinds take turns along the batch."""
    filling = torch.empty_like(patches)
    n_kinds = len(contents)
    first = int(torch.randint(n_kinds, (1,), generator=generator, device=generator.device))
    for number, content in enumerate(contents):
        chosen = slice((number + first) % n_kinds, None, n_kinds)
        own, others = patches[chosen], patches.roll(1, 0)[chosen]
        if len(own):
            grey = uniform(generator, len(own), 1, 1, 1)
            filling[chosen] = _CONTENTS[content](generator, own, others, grey)
    return filling


def uniform(generator: Generator, *shape: int) -> Tensor:
    """Draw numbers in [0, 1)."""
    return torch.rand(shape, generator=generator, device=generator.device)


# Contents: from patches, others of the same batch, and a grey for each.


def _grey(_: Generator, patches: Tensor, others: Tensor, grey: Tensor) -> Tensor:
    return grey.expand_as(patches)


def _noise(generator: Generator, patches: Tensor, others: Tensor, grey: Tensor) -> Tensor:
    n_patches, side = len(patches), patches.shape[-1]
    coarse, fine = (
        torch.randn((n_patches, 1, n, n), generator=generator, device=generator.device)
        for n in (side // 2, side)
    )
    share = uniform(generator, n_patches, 1, 1, 1)
    mixed = share * fine + 1.5 * (1 - share) * _enlarge(coarse)
    strength = 0.02 + 0.28 * uniform(generator, n_patches, 1, 1, 1)
    return (grey + strength * mixed).expand_as(patches)


def _other(generator: Generator, patches: Tensor, others: Tensor, grey: Tensor) -> Tensor:
    turned = others.flip(2).transpose(2, 3)
    contrast = 0.3 + 1.2 * uniform(generator, len(patches), 1, 1, 1)
    shift = -0.2 + 0.4 * uniform(generator, len(patches), 1, 1, 1)
    mean = turned.mean((2, 3), keepdim=True)
    return mean + shift + contrast * (turned - mean)


def _blurred(generator: Generator, patches: Tensor, others: Tensor, grey: Tensor) -> Tensor:
    share = uniform(generator, len(patches), 1, 1, 1)
    return share * _blur(patches, 2.0) + (1 - share) * _blur(patches, 6.0)


def _shuffled(generator: Generator, patches: Tensor, others: Tensor, grey: Tensor) -> Tensor:
    n, c, side, _ = patches.shape
    n_cells = side // _SHUFFLED
    cells = patches.reshape(n, c, n_cells, _SHUFFLED, n_cells, _SHUFFLED)
    cells = cells.permute(0, 2, 4, 1, 3, 5).reshape(n, n_cells**2, -1)
    order = uniform(generator, n, n_cells**2).argsort(1)
    cells = torch.gather(cells, 1, order[..., None].expand_as(cells))
    cells = cells.reshape(n, n_cells, n_cells, c, _SHUFFLED, _SHUFFLED)
    return cells.permute(0, 3, 1, 4, 2, 5).reshape(patches.shape)


def _blur(patches: Tensor, sigma: float) -> Tensor:
    radius = int(3 * sigma)
    offsets = torch.arange(-radius, radius + 1, device=patches.device, dtype=patches.dtype)
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(patches.shape[1], 1, 1, -1)
    padded = pad(patches, (radius,) * 4, mode="reflect")
    blurred = conv2d(padded, kernel, groups=patches.shape[1])
    return conv2d(blurred, kernel.transpose(2, 3), groups=patches.shape[1])


def _enlarge(maps: Tensor) -> Tensor:
    return interpolate(maps, scale_factor=2, mode="bilinear", align_corners=False)


_CONTENTS = {
    "grey": _grey,
    "noise": _noise,
    "other": _other,
    "blurred": _blurred,
    "shuffled": _shuffled,
}

CORRUPTIONS: dict[str, Callable[[Generator, Tensor], Tensor]] = {
    "cutout": cutout,
    "lattice": mask_lattice,
    "grey blobs": blobs_of(["grey"]),
    "blobs": blobs_of(["grey", "noise", "other"]),
    "own blobs": blobs_of(["blurred", "shuffled"]),
    "all blobs": blobs_of(["grey", "noise", "other", "blurred", "shuffled"]),
}
