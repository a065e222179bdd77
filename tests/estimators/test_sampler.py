import numpy as np
import pytest
import torch

from sk_ssimae.estimators._sampler import PatchSampler

SHAPES = [(20, 30), (16, 40), (25, 16)]


def coordinate_images():
    """Make images whose channels tell where a pixel lies: image, row, column."""
    images = []
    for index, (height, width) in enumerate(SHAPES):
        rows, columns = np.mgrid[:height, :width]
        images.append(np.stack([np.full_like(rows, index), rows, columns], axis=-1))
    return [(image / 100).astype(np.float32) for image in images]


def make_sampler(images, **options):
    settings = {"patch_size": 16, "n_patches": 3000, "batch_size": 256, "dihedral": False}
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
    assert samplers[0]._buffer.dtype == torch.uint8
    batches = [next(iter(sampler))[0] for sampler in samplers]
    for batch in batches[1:]:
        torch.testing.assert_close(batch, batches[0])
    expected = np.concatenate([image.ravel() for image in as_floats]).mean()
    for sampler in samplers:
        assert sampler.mean_intensity.item() == pytest.approx(expected, rel=1e-6)
