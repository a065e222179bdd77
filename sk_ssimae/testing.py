"""Checks that every estimator on images should pass, to run over your own.

scikit-learn generates a single check for an estimator that takes no 2-D arrays. These checks
replace the others. They are for estimators that

- have the methods ``fit``, ``decision_function``, ``predict`` and ``score_images``,
- have the parameters ``threshold`` and ``random_state``, and perhaps ``patch_size`` and
  ``inference_batch_size``,
- have the attributes ``threshold_`` and ``n_defective_dropped_``,
- accept arrays, lists, torch tensors and paths, and name a bad image ``X[i]`` in their messages.
"""

import pickle
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone

Check = Callable[[Any], None]

_TOLERANCE = 1e-5


def image_estimator_checks(estimator: Any) -> Iterator[tuple[Any, Check]]:
    """Generate the checks of an image estimator, as ``estimator_checks_generator`` does for others.

    Parameters
    ----------
    estimator : estimator
        Unfitted, with parameters that make it quick; it is cloned, never fitted itself. Its
        `random_state` must be an integer. The images of the checks have 2.5 times its `patch_size`,
        or 40 pixels if that is more.

    Yields
    ------
    tuple of estimator and callable
        Call the second with the first: it raises AssertionError if it fails.

    Examples
    --------
    >>> from sk_ssimae import L2AutoencoderSegmenter
    >>> from sk_ssimae.testing import image_estimator_checks
    >>> segmenter = L2AutoencoderSegmenter(
    ...     patch_size=16, stride=16, n_patches=32, max_epochs=1, random_state=0
    ... )
    >>> for estimator, check in image_estimator_checks(segmenter):
    ...     check(estimator)
    """
    for check in _CHECKS:
        yield estimator, check


def check_maps_fit_their_images(estimator: Any) -> None:
    """Check that maps and masks have the images' shape, that arrays give arrays and lists lists."""
    images = _make_images(estimator)
    fitted = clone(estimator).fit(images)
    maps, masks = fitted.decision_function(images), fitted.predict(images)
    assert maps.shape == masks.shape == images.shape
    assert (maps.dtype, masks.dtype) == (np.float32, np.bool_)
    assert np.isfinite(maps).all()
    some = [images[0], images[1][:-3, 5:]]
    for results in (fitted.decision_function(some), fitted.predict(some)):
        assert isinstance(results, list)
        assert [result.shape for result in results] == [image.shape for image in some]


def check_one_image_alone(estimator: Any) -> None:
    """Check that the map of an image does not depend on the other images."""
    images = _make_images(estimator)
    fitted = clone(estimator).fit(images)
    maps = fitted.decision_function(images)
    for index in range(len(images)):
        _assert_same(fitted.decision_function(images[index : index + 1])[0], maps[index])
    _assert_same(fitted.decision_function(images[::-1]), maps[::-1])


def check_batch_size(estimator: Any) -> None:
    """Check that the number of patches passed through the network at once changes nothing."""
    if not hasattr(estimator, "inference_batch_size"):
        return
    images = _make_images(estimator)
    fitted = clone(estimator).fit(images)
    maps = fitted.decision_function(images)
    for batch_size in (1, 3, 10_000):
        fitted.set_params(inference_batch_size=batch_size)
        _assert_same(fitted.decision_function(images), maps)


def check_dtypes(estimator: Any) -> None:
    """Check that the map of an image does not depend on the type of its pixels."""
    as_bytes = np.rint(255 * _make_images(estimator)).astype(np.uint8)
    estimator = _scaling_by_type(estimator)
    fitted = clone(estimator).fit(as_bytes)
    maps = fitted.decision_function(as_bytes)
    for images in (
        as_bytes.astype(np.uint16) * 257,
        (as_bytes / 255).astype(np.float32),
        as_bytes / 255,
        (as_bytes / 255).astype(">f4"),
    ):
        _assert_same(fitted.decision_function(images), maps)
        _assert_same(clone(estimator).fit(images).decision_function(images), maps)


def check_layouts(estimator: Any) -> None:
    """Check that the map of an image does not depend on its layout in memory."""
    images = _make_images(estimator)
    fitted = clone(estimator).fit(images)
    maps = fitted.decision_function(images)
    read_only = images.copy()
    read_only.flags.writeable = False
    for other in (
        read_only,
        np.asfortranarray(images),
        images[:, ::-1, ::-1].copy()[:, ::-1, ::-1],
        images[..., np.newaxis],
        list(images),
        torch.from_numpy(images),
    ):
        _assert_same(np.asarray(fitted.decision_function(other)), maps)
        _assert_same(np.asarray(clone(estimator).fit(other).decision_function(other)), maps)


def check_refit(estimator: Any) -> None:
    """Check that a seed determines the result, even after a fit to other images."""
    images = _make_images(estimator)
    maps = clone(estimator).fit(images).decision_function(images)
    refitted = clone(estimator).fit(images[::-1, ::-1])
    for _ in range(2):
        np.testing.assert_array_equal(refitted.fit(images).decision_function(images), maps)


def check_pickle(estimator: Any) -> None:
    """Check that a pickle restores maps, masks and threshold."""
    images = _make_images(estimator)
    fitted = clone(estimator).fit(images)
    loaded = pickle.loads(pickle.dumps(fitted))
    assert loaded.threshold_ == fitted.threshold_
    np.testing.assert_array_equal(loaded.predict(images), fitted.predict(images))
    np.testing.assert_array_equal(
        loaded.decision_function(images), fitted.decision_function(images)
    )


def check_scores_agree_with_masks(estimator: Any) -> None:
    """Check that an image scores above the threshold exactly where its mask marks a pixel."""
    images = _make_images(estimator)
    fitted = clone(estimator).fit(images)
    scores = fitted.score_images(images)
    marked = fitted.predict(images).any(axis=(1, 2))
    np.testing.assert_array_equal(scores > fitted.threshold_, marked)
    for threshold in (fitted.threshold_, *scores, *(scores - 1e-10), scores.max() + 1):
        fitted.set_params(threshold=float(threshold))
        assert fitted.threshold_ == threshold
        marked = fitted.predict(images).any(axis=(1, 2))
        np.testing.assert_array_equal(scores > fitted.threshold_, marked)


def check_inputs_stay_as_they_are(estimator: Any) -> None:
    """Check that images, parameters and the global random generators are not changed."""
    images = _make_images(estimator)
    before = images.copy()
    states = random.getstate(), pickle.dumps(np.random.get_state()), torch.get_rng_state()
    fitted = clone(estimator)
    params = fitted.get_params()
    fitted.fit(images).predict(images)
    np.testing.assert_array_equal(images, before)
    assert fitted.get_params() == params
    assert random.getstate() == states[0]
    assert pickle.dumps(np.random.get_state()) == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])


def check_defective_images_are_dropped(estimator: Any) -> None:
    """Check that images marked by `y`, by labels or by masks, take no part in training."""
    images = _make_images(estimator)
    threshold = clone(estimator).fit(images).threshold_
    noise = np.random.default_rng(1).random((1, *images.shape[1:]), dtype=np.float32)
    mixed = np.concatenate([images[:2], noise, images[2:]])
    labels = np.zeros(len(mixed), dtype=int)
    labels[2] = 1
    masks = np.zeros(mixed.shape, dtype=bool)
    masks[2, 3, 4] = True
    for y in (labels, list(labels), masks, list(masks)):
        fitted = clone(estimator).fit(mixed, y)
        assert fitted.n_defective_dropped_ == 1
        assert fitted.threshold_ == threshold


def check_wrong_images_are_refused(estimator: Any) -> None:
    """Check that unusable images raise an error that names them."""
    images = _make_images(estimator)
    estimator = _scaling_by_type(estimator)
    fitted = clone(estimator).fit(images)
    not_finite, too_high = images.copy(), images.copy()
    not_finite[1, 2, 3], too_high[1, 2, 3] = np.nan, 200
    colour = np.stack([images[0]] * 3, axis=-1)
    refused: list[tuple[Any, str]] = [
        (not_finite, "X[1]"),
        (np.where(np.isnan(not_finite), np.inf, images), "X[1]"),
        (too_high, "X[1]"),
        (images - 1, "X[0]"),
        (images[0], "list"),
        (colour, "list"),
        (images[np.newaxis, ..., np.newaxis], "X must be an array of shape"),
        (images.astype(complex), "X[0]"),
        (images.astype(str), "X[0]"),
        (images[:0], "X must contain at least one image"),
        ([], "X must contain at least one image"),
        (images[:, :0], "X[0]"),
        ([images[0], colour], "X[1]"),
        ([images[0], "no/such/file.png"], "no/such/file.png"),
        (None, "X must be an array of shape"),
    ]
    for number, (X, named) in enumerate(refused):
        for method in (fitted.decision_function, fitted.predict, clone(estimator).fit):
            try:
                method(X)
            except (TypeError, ValueError, OSError) as error:
                message = str(error)
                assert named in message, f"{named!r} is not named in: {message}"
            else:
                raise AssertionError(
                    f"Case {number} was not refused with a message that names {named!r}."
                )


_CHECKS: tuple[Check, ...] = (
    check_maps_fit_their_images,
    check_one_image_alone,
    check_batch_size,
    check_dtypes,
    check_layouts,
    check_refit,
    check_pickle,
    check_scores_agree_with_masks,
    check_inputs_stay_as_they_are,
    check_defective_images_are_dropped,
    check_wrong_images_are_refused,
)


def _scaling_by_type(estimator: Any) -> Any:
    """Return an unfitted copy that does not find its intensity range."""
    copy = clone(estimator)
    if "intensity_range" in copy.get_params():
        copy.set_params(intensity_range="dtype")
    return copy


def _make_images(estimator: Any) -> NDArray[np.float32]:
    """Generate four images of waves, a texture that any network can begin to learn."""
    rng = np.random.default_rng(0)
    size = max(getattr(estimator, "patch_size", 0), 16)
    rows, columns = np.mgrid[: 2 * size + 1, : 5 * size // 2]
    phases = rng.uniform(0, 6, size=(4, 2, 1, 1))
    waves = np.sin(rows * 0.9 + phases[:, 0]) * np.sin(columns * 0.7 + phases[:, 1])
    images = 0.5 + 0.3 * waves + 0.02 * rng.standard_normal(waves.shape)
    return np.clip(images, 0, 1).astype(np.float32)


def _assert_same(actual: Any, expected: Any) -> None:
    largest = np.abs(expected).max(initial=1)
    np.testing.assert_allclose(actual, expected, rtol=_TOLERANCE, atol=_TOLERANCE * largest)
