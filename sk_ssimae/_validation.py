"""Argument checks that several subpackages share."""

import math
import re
from collections.abc import Iterable, Iterator, Sequence, Sized
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_SIGN = (
    "must use 1 for defective and 0 for good, got -1 instead. Here high means defective, unlike in "
    "scikit-learn's outlier detectors, where -1 marks an outlier."
)


def first_sentence(error: Exception) -> str:
    """Return the first line of an error's message as a sentence, to embed in another message."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(" \t,;:")
    return line if line.endswith((".", "!", "?")) else f"{line}."


def make_rng(random_state: int | np.random.RandomState | np.random.Generator | None) -> Any:
    """Make a random generator without touching the global ones.

    Parameters
    ----------
    random_state : int, RandomState, Generator or None
        Seed, generator to advance, or None for fresh entropy.

    Returns
    -------
    numpy.random.Generator
        The generator.
    """
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**31))
    try:
        return np.random.default_rng(random_state)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "random_state must be a non-negative integer, a NumPy generator or None, got "
            f"{random_state!r} instead."
        ) from error


def check_number(value: Any, name: str, low: float, high: float = math.inf) -> None:
    """Check that a parameter is a finite number in [low, high].

    Raises
    ------
    ValueError
        If it is not.
    """
    number: Any = value
    is_real = isinstance(value, Real) and not isinstance(value, bool)
    if not (is_real and low <= number <= high and number < math.inf):
        interval = f"of at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
        raise ValueError(f"{name} must be a finite number {interval}, got {value!r} instead.")


def to_array(item: Any, name: str, shape: str = "(h, w)") -> NDArray[Any]:
    """Convert an argument to an array; `shape` is the expected shape named in the message.

    Raises
    ------
    TypeError
        If it is a masked array, or a torch tensor that NumPy cannot represent.
    ValueError
        If its rows are of unequal length, or NumPy cannot convert it.
    """
    item = from_torch(item, name)
    if isinstance(item, np.ma.MaskedArray):
        raise TypeError(
            f"{name} must not be a masked array, because its mask would be lost. Fill it first, "
            "with its method filled()."
        )
    try:
        return _stack_rows(np.asarray(item))
    # Objects of other libraries may raise any of these.
    except (TypeError, ValueError, RuntimeError) as error:
        found = "rows of unequal length"
        if not re.search("inhomogeneous|same shape", str(error)):
            found = f"{type(item).__name__} that NumPy cannot convert ({first_sentence(error)})"
        raise ValueError(f"{name} must have shape {shape}, got {found} instead.") from error


def _stack_rows(array: NDArray[Any]) -> NDArray[Any]:
    """Join nested arrays, which columns of lists contain, to one array of their type."""
    is_nested = array.dtype == object and array.ndim == 1 and len(array) > 0
    if is_nested and all(isinstance(row, np.ndarray) for row in array):
        return np.stack([_stack_rows(row) for row in array])
    return array


def from_torch(item: Any, name: str) -> Any:
    """Convert a torch tensor, without importing torch; return anything else unchanged."""
    if not (hasattr(item, "detach") and hasattr(item, "cpu")):  # Open files have detach too.
        return item
    try:
        return item.detach().cpu().numpy()
    except (TypeError, RuntimeError) as error:
        raise TypeError(
            f"{name} must be dense and of a type that NumPy supports, got a tensor of {item.dtype} "
            f"({item.layout}) instead. Convert it with to_dense() or float()."
        ) from error


def check_mask(mask: ArrayLike, name: str) -> NDArray[np.bool_]:
    """Convert a mask of shape (h, w) with at most two values, 0 and 1 or 255, to booleans.

    Raises
    ------
    TypeError
        If it is a masked array, or a torch tensor that NumPy cannot represent.
    ValueError
        If the mask has the wrong rank or values.
    """
    array = to_array(mask, name)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must contain numbers or booleans, got {array.dtype} instead.")
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != 2:
        raise ValueError(f"{name} must have shape (h, w), got shape {array.shape} instead.")
    if array.dtype == np.bool_:
        return array
    if array.dtype.kind in "if" and (array == -1).any():
        raise ValueError(f"{name} {_SIGN}")
    marked: NDArray[np.bool_] = np.not_equal(array, 0)
    values = np.unique(array[marked])
    if len(values) > 1 or not np.isin(values, (1, 255)).all():
        raise ValueError(
            f"{name} must contain only 0 (good) and 1 or 255 (defective), got the values "
            f"{np.array2string(values[:5], separator=', ')} besides 0. Threshold it first."
        )
    return marked


def iter_masks_and_maps(
    masks: Sequence[ArrayLike] | NDArray[Any],
    residual_maps: Sequence[ArrayLike] | NDArray[Any],
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.floating[Any]]]]:
    """Iterate over checked pairs of a mask and a residual map, both of shape (h, w).

    Raises
    ------
    ValueError
        If the lengths or shapes differ or a map is not finite; the message names the image.
    """
    masks = as_collection(masks, "masks")
    residual_maps = as_collection(residual_maps, "residual_maps")
    if len(masks) != len(residual_maps):
        raise ValueError(
            f"masks and residual_maps must have the same length, got {len(masks)} and "
            f"{len(residual_maps)} instead."
        )
    if len(masks) == 0:
        raise ValueError("masks must contain at least one image, got none.")
    for index, (mask, residual_map) in enumerate(zip(masks, residual_maps, strict=True)):
        checked_mask = check_mask(mask, f"masks[{index}]")
        scores = as_floats(residual_map, f"residual_maps[{index}]")
        if scores.shape != checked_mask.shape:
            raise ValueError(
                f"residual_maps[{index}] must have the shape of masks[{index}], "
                f"{checked_mask.shape}, got {scores.shape} instead."
            )
        if not np.isfinite(scores).all():
            raise ValueError(
                f"residual_maps[{index}] must be finite, got NaN or infinity instead. Leave this "
                "image out."
            )
        yield checked_mask, scores


def as_collection(items: Any, name: str) -> Any:
    """Return a collection as it is, and any other iterable as a list."""
    items = from_torch(items, name)
    if is_collection(items):
        return items
    if not isinstance(items, Iterable) or isinstance(items, str | np.ndarray):
        raise TypeError(f"{name} must be an array or a sequence, got {items!r} instead.")
    return list(items)


def as_floats(scores: ArrayLike, name: str, shape: str = "(h, w)") -> NDArray[np.floating[Any]]:
    """Convert numbers to float32 if that is lossless, else to float64."""
    scores = to_array(scores, name, shape)
    if scores.dtype.kind not in "biuf":
        raise ValueError(f"{name} must contain real numbers, got {scores.dtype} instead.")
    if scores.dtype in (np.float32, np.float64):
        return scores
    return scores.astype(np.float32 if np.can_cast(scores.dtype, np.float32) else np.float64)


def defect_labels(y: Any, n_images: int) -> NDArray[np.bool_]:
    """Find the defective images from masks or labels.

    Parameters
    ----------
    y : None, array of shape (n,), or masks of shape (n, h, w) or a sequence of (h, w)
        None means that all images are good; a label is 1 for a defective image and 0 for a good
        image; a mask marks defective pixels, and may be a Pillow image.
    n_images : int
        Number of images that `y` must describe.

    Returns
    -------
    array of bool, shape (n,)
        True where an image is defective.

    Raises
    ------
    TypeError
        If `y` is of another type.
    ValueError
        If the length differs, a label is neither 0 nor 1, or a mask has other values.
    """
    if y is None:
        return np.zeros(n_images, dtype=bool)
    if not is_collection(y):
        raise TypeError(f"y must be masks, labels or None, got {type(y).__name__} instead.")
    if len(y) != n_images:
        raise ValueError(
            f"y must have one label or mask per image of X, got {len(y)} labels or masks for "
            f"{n_images} images."
        )
    check = check_mask if holds_masks(y) else _check_label
    return np.array([np.any(check(item, f"y[{index}]")) for index, item in enumerate(y)])


def holds_masks(y: Any) -> bool:
    """Return whether `y` is a collection of masks rather than labels or None."""
    return is_collection(y) and len(y) > 0 and not _is_scalar(next(iter(y)))


def check_masks(y: Any) -> None:
    """Check that `y` is masks rather than labels.

    Raises
    ------
    ValueError
        If it is not.
    """
    if not holds_masks(y):
        raise ValueError(
            "y must contain a mask (h, w) for each image, got no masks: scores of residual maps "
            "compare pixels."
        )


def count_images(X: Any) -> int:
    """Count images without reading them.

    Raises
    ------
    TypeError
        If `X` has no length.
    """
    if not is_collection(X):
        raise TypeError(f"X must be an array or a sequence of images, got {X!r} instead.")
    return len(X)


def check_some_defective(y: Any, n_images: int) -> None:
    """Check that masks or labels mark at least one defect.

    Raises
    ------
    ValueError
        If they mark none.
    """
    if not defect_labels(y, n_images).any():
        raise ValueError(
            f"y must mark a defect in at least one image, got none in {n_images} images: the score "
            "is not defined. In cross-validation every test fold needs defective images: use "
            "sk_ssimae.model_selection.DefectFreeKFold. Its training folds have no defects, so "
            "training scores are not defined."
        )


def check_mask_shape(mask: Any, index: int, shape: tuple[int, ...]) -> None:
    """Check that the mask of an image has the image's height and width.

    Raises
    ------
    ValueError
        If the mask has another shape.
    """
    mask_shape = to_array(mask, f"y[{index}]").shape[:2]
    if mask_shape != shape:
        raise ValueError(
            f"y[{index}] must have the height and width of X[{index}], {shape}, got {mask_shape} "
            "instead."
        )


def check_mask_shapes(y: Any, residual_maps: Any) -> None:
    """Check that masks have the heights and widths of the residual maps of the images.

    Raises
    ------
    ValueError
        If a mask has another shape.
    """
    for index, (mask, residual_map) in enumerate(zip(y, residual_maps, strict=True)):
        check_mask_shape(mask, index, np.shape(residual_map))


def _check_label(label: Any, name: str) -> bool:
    # Structured NumPy scalars cannot be compared.
    is_structured = getattr(getattr(label, "dtype", None), "kind", "") == "V"
    is_comparable = _is_scalar(label) and not is_structured
    if is_comparable and label in (0, 1):
        return bool(label)
    if is_comparable and label == -1:
        raise ValueError(f"{name} {_SIGN}")
    raise ValueError(
        f"{name} must be 0 (good) or 1 (defective), got {label!r} instead. If y has masks, every "
        "item must be a mask."
    )


def is_collection(y: Any) -> bool:
    return isinstance(y, Sized) and not isinstance(y, str) and getattr(y, "ndim", 1) > 0


def _is_scalar(item: Any) -> bool:
    # Pillow images have no length.
    has_items = hasattr(item, "__len__") or hasattr(type(item), "__array_interface__")
    return not has_items or isinstance(item, str) or getattr(item, "ndim", 1) == 0
