import numpy as np
import pytest

from sk_ssimae._inference._region import Region, working_pixels
from sk_ssimae.estimators._holdout import hold_out


def numbered_images(n, shape, working_shape=None):
    """Return images in which every pixel has a different value."""
    numbers = np.arange(n * shape[0] * shape[1]).reshape(n, *shape, 1)
    return [Region(image, working_shape or shape, shape) for image in numbers]


def pixels(regions):
    return np.concatenate([region.pixels.ravel() for region in regions])


@pytest.mark.parametrize(
    ("shape", "fraction"), [((40, 100), 0.2), ((100, 40), 0.5), ((32, 64), 0.2)]
)
def test_regions_are_disjoint_and_large_enough(shape, fraction):
    images = numbered_images(5, shape)
    split = hold_out(images, fraction, 16, np.random.default_rng(0))
    assert split.kind == "regions"
    together = np.concatenate([pixels(split.training), pixels(split.held_out)])
    np.testing.assert_array_equal(np.sort(together), np.arange(5 * shape[0] * shape[1]))
    assert len(split.held_out) == 5
    for region in (*split.training, *split.held_out):
        assert min(region.pixels.shape[:2]) >= 16
        assert region.working_shape == region.pixels.shape[:2]
    expected = max(16, fraction * max(shape)) / max(shape)
    assert pixels(split.held_out).size / together.size == pytest.approx(expected, abs=0.02)


def test_regions_of_resized_images_keep_their_scale():
    images = numbered_images(3, (100, 300), working_shape=(50, 60))
    split = hold_out(images, 0.2, 16, np.random.default_rng(0))
    for part, rest in zip(split.held_out, split.training, strict=True):
        assert part.pixels.shape[:2] == (100, 80)
        assert part.working_shape == (50, 16)
        assert rest.working_shape == (50, 44)
        assert part.image_shape == rest.image_shape == (100, 300)
        floats = part._replace(pixels=part.pixels / pixels(images).max())
        assert working_pixels(floats).shape == (50, 16, 1)


def test_many_images_are_held_out_whole():
    images = numbered_images(20, (16, 16))
    split = hold_out(images, 0.2, 16, np.random.default_rng(0))
    assert split.kind == "images"
    assert (len(split.training), len(split.held_out)) == (16, 4)
    assert np.intersect1d(pixels(split.training), pixels(split.held_out)).size == 0


def test_few_small_images_are_held_out_whole():
    split = hold_out(numbered_images(3, (20, 20)), 0.2, 16, np.random.default_rng(0))
    assert (split.kind, len(split.training), len(split.held_out)) == ("images", 2, 1)


def test_small_images_beside_large_ones_train_whole():
    images = [*numbered_images(1, (20, 20)), *numbered_images(1, (20, 40))]
    split = hold_out(images, 0.2, 16, np.random.default_rng(0))
    assert split.training[0] is images[0]
    assert len(split.held_out) == 1


def test_a_large_share_leaves_a_patch_to_train_on():
    split = hold_out(numbered_images(1, (40, 40)), 0.9, 16, np.random.default_rng(0))
    assert split.held_out[0].pixels.shape == (24, 40, 1)


def test_one_small_image_is_refused():
    with pytest.raises(ValueError, match=r"one good image, too small .* both need 16 pixels"):
        hold_out(numbered_images(1, (31, 31)), 0.2, 16, np.random.default_rng(0))


@pytest.mark.parametrize(("n", "n_held_out"), [(2, 1), (5, 2), (10, 3), (14, 3), (20, 4)])
def test_at_least_three_images_or_half_of_them_are_held_out(n, n_held_out):
    split = hold_out(numbered_images(n, (16, 16)), 0.2, 16, np.random.default_rng(0))
    assert (len(split.training), len(split.held_out)) == (n - n_held_out, n_held_out)


def test_some_images_always_remain_to_train_on():
    split = hold_out(numbered_images(2, (16, 16)), 0.99, 16, np.random.default_rng(0))
    assert (len(split.training), len(split.held_out)) == (1, 1)
