import tracemalloc

import numpy as np
import pytest
import torch

from sk_ssimae.estimators._sampler import PatchSampler, _DevicePixels

SHAPES = [(20, 30), (16, 40), (25, 16)]


def coordinate_images():
    """Return images whose channels are the place of a pixel: image, row, column."""
    images = []
    for index, (height, width) in enumerate(SHAPES):
        rows, columns = np.mgrid[:height, :width]
        images.append(np.stack([np.full_like(rows, index), rows, columns], axis=-1))
    return [(image / 100).astype(np.float32) for image in images]


def make_sampler(images, **options):
    settings = {"patch_size": 16, "n_patches": 3000, "batch_size": 256}
    settings |= {"dihedral": False, "cutout": 0}
    generator = torch.Generator().manual_seed(0)
    return PatchSampler(images, **(settings | options), generator=generator)


@pytest.mark.parametrize("dihedral", [False, True])
def test_every_window_and_orientation_is_drawn(dihedral):
    origins, orientations = set(), set()
    for patches, _ in make_sampler(coordinate_images(), dihedral=dihedral):
        for index, rows, columns in np.rint(100 * patches.numpy()).astype(int):
            assert (index == index[0, 0]).all()
            across = np.stack([rows, columns], axis=-1)
            # Neighbours in the patch are neighbours in the image, in one direction throughout.
            for axis in (0, 1):
                steps = np.diff(across, axis=axis)
                assert (steps == steps[0, 0]).all()
                assert np.abs(steps[0, 0]).sum() == 1
            origins.add((index[0, 0], rows.min(), columns.min()))
            orientations.add((*(across[0, 1] - across[0, 0]), *(across[1, 0] - across[0, 0])))
    assert len(origins) == sum((h - 15) * (w - 15) for h, w in SHAPES)
    assert len(orientations) == (8 if dihedral else 1)


def test_a_pass_holds_all_patches_and_the_next_one_others():
    sampler = make_sampler(coordinate_images(), n_patches=70, batch_size=32)
    sizes = [len(patches) for patches, _ in sampler]
    assert sizes == [32, 32, 6]
    assert len(sampler) == 70
    (first, _), *_ = sampler
    (second, _), *_ = sampler
    assert not torch.equal(first, second)


def test_bytes_are_kept_as_bytes_and_scaled_in_patches():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*shape, 1), dtype=np.uint8) for shape in SHAPES]
    as_floats = [(image / 255).astype(np.float32) for image in images]
    samplers = (
        make_sampler(images),
        make_sampler(as_floats),
        make_sampler([*images[:2], as_floats[2]]),
    )
    batches = [next(iter(sampler))[0] for sampler in samplers]
    for batch in batches[1:]:
        torch.testing.assert_close(batch, batches[0])
    expected = np.concatenate([image.ravel() for image in as_floats]).mean()
    for sampler in samplers:
        assert sampler.mean_intensity.item() == pytest.approx(expected, rel=1e-6)


def test_a_copy_on_a_device_leads_to_the_same_patches():
    rng = np.random.default_rng(0)
    of_bytes = [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in SHAPES]
    mixed = [of_bytes[0], *((image / 255).astype(np.float32) for image in of_bytes[1:])]
    for images in (of_bytes, mixed):
        here, there = (make_sampler(images, dihedral=True, n_patches=64) for _ in range(2))
        there._pixels = _DevicePixels(images, there.generator.device)
        all_bytes = images is of_bytes
        assert there._pixels._buffer.dtype == (torch.uint8 if all_bytes else torch.float32)
        for (patches, _), (others, _) in zip(here, there, strict=True):
            torch.testing.assert_close(patches, others, rtol=0, atol=0)


def test_images_are_not_copied(tmp_path):
    """Not when a sampler is made, for their mean, or for patches of images in files."""
    in_file = np.memmap(tmp_path / "images", np.uint8, "w+", shape=(4, 2000, 2000, 1))
    in_file[:] = np.random.default_rng(0).integers(0, 256, in_file.shape, dtype=np.uint8)
    tracemalloc.start()
    try:
        sampler = make_sampler(list(in_file), n_patches=256)
        assert sampler.mean_intensity.item() == pytest.approx(0.5, abs=1e-3)
        (patches, _), *_ = sampler
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert patches.shape == (256, 1, 16, 16)
    assert peak < in_file[0].size / 2


def painted_pixels(sampler):
    """Return, for each patch of a pass, the pixels that differ from the target, and their greys."""
    for seen, target in sampler:
        assert seen.is_contiguous(memory_format=torch.channels_last)
        for patch, original in zip(seen, target, strict=True):
            changed = (patch != original).any(dim=0)
            yield changed.numpy(), patch[:, changed].numpy()


def test_a_square_of_one_grey_is_painted_over_each_patch():
    side, centres, greys = 32, [], []
    images = [image.repeat(3, axis=0).repeat(3, axis=1) for image in coordinate_images()]
    options = {"patch_size": side, "n_patches": 2000, "batch_size": 256}
    for changed, values in painted_pixels(make_sampler(images, cutout=0.25, **options)):
        rows, columns = np.nonzero(changed)
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert (
            changed.sum() == height * width
        )  # A rectangle: the part of a square inside the patch.
        inside = [lines.min() > 0 and lines.max() < side - 1 for lines in (rows, columns)]
        assert height == 8 if inside[0] else 4 <= height <= 8
        assert width == 8 if inside[1] else 4 <= width <= 8
        assert np.ptp(values) == 0
        centres.append((rows.mean() / side, columns.mean() / side))
        greys.append(values[0, 0])
    # Uniform: each tenth of the interval has a tenth of them, within four standard deviations.
    counts, _ = np.histogram(greys, bins=10, range=(0, 1))
    assert np.abs(counts - 200).max() < 4 * np.sqrt(200)
    assert np.ptp(centres, axis=0).min() > 0.8


def test_without_cutout_the_network_sees_what_it_is_asked_for():
    for seen, target in make_sampler(coordinate_images()):
        assert seen is target


def test_cutout_draws_the_same_crops():
    images = coordinate_images()
    plain, painted = (make_sampler(images, n_patches=64, cutout=cutout) for cutout in (0, 0.5))
    for (_, expected), (_, target) in zip(plain, painted, strict=True):
        torch.testing.assert_close(target, expected, rtol=0, atol=0)
