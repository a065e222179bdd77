import numpy as np
import pytest
import torch

from sk_ssimae._patches import Patches, average_orientations, average_patches, taper_weights


@pytest.mark.parametrize("shape", [(1, 16, 16), (1, 17, 50), (3, 40, 33)])
@pytest.mark.parametrize("stride", [1, 5, 16])
@pytest.mark.parametrize("taper", [0, 0.25, 1])
def test_cutting_and_averaging_is_the_identity(shape, stride, taper):
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    windows = Patches.of_image(shape[1:], 16, stride)
    averaged = average_patches(image, lambda w, _: w, windows, taper=taper, batch_size=7)
    torch.testing.assert_close(averaged, image)


@pytest.mark.parametrize("taper", [0, 0.5, 1])
def test_overlaps_are_averaged(taper):
    image = torch.rand((2, 40, 37), generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    offsets = torch.rand(100, generator=generator)
    n_windows = 0

    def add_offset(windows, _):
        nonlocal n_windows
        shift = offsets[n_windows : n_windows + len(windows), None, None, None]
        n_windows += len(windows)
        return windows + shift

    windows = Patches.of_image((40, 37), 16, 10)
    averaged = average_patches(image, add_offset, windows, taper=taper, batch_size=4)
    weigh = taper_weights(16, taper)
    origins = [(r, c) for r in (0, 10, 20, 24) for c in (0, 10, 20, 21)]
    assert n_windows == len(origins)
    for row, column in [(0, 0), (15, 15), (24, 20), (39, 36), (12, 30)]:
        over = [
            (float(offset), weigh[row - r] * weigh[column - c])
            for (r, c), offset in zip(origins, offsets, strict=False)
            if r <= row < r + 16 and c <= column < c + 16
        ]
        values, weights = zip(*over, strict=True)
        expected = image[:, row, column] + np.average(values, weights=weights)
        torch.testing.assert_close(averaged[:, row, column], expected)


def test_results_do_not_depend_on_the_batches():
    image = torch.rand((1, 40, 50), generator=torch.Generator().manual_seed(0))
    maps = [
        average_patches(
            image,
            lambda w, _: torch.sin(w),
            Patches.of_image((40, 50), 16, 3),
            taper=0.25,
            batch_size=batch_size,
        )
        for batch_size in (1, 7, 1000)
    ]
    assert torch.equal(maps[0], maps[1])
    assert torch.equal(maps[0], maps[2])


def test_orientations_are_undone_before_they_are_averaged():
    windows = torch.rand((3, 2, 16, 16), generator=torch.Generator().manual_seed(0))
    seen = []

    def look(turned, origins):
        assert origins == [(0, 0), (0, 8), (8, 0)]
        seen.append(turned)
        return turned

    averaged = average_orientations(look)(windows, [(0, 0), (0, 8), (8, 0)])
    torch.testing.assert_close(averaged, windows)
    assert len({tuple(turned.flatten().tolist()) for turned in seen}) == 8
