"""Arguments: valid arrays of every type and layout, and invalid values of all kinds."""

import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from skimage.io import imsave

Strategy = st.SearchStrategy[Any]

UNIT_DTYPES = ("f2", "f4", "f8", ">f4", ">f8", "g")
IMAGE_DTYPES = ("?", "u1", "u2", "u4", "u8", ">u2", *UNIT_DTYPES)
NUMBER_DTYPES = ("?", "i1", "i2", "i4", "i8", ">i4", *IMAGE_DTYPES[1:])
ALL_DTYPES = (*NUMBER_DTYPES, "c8", "c16", "O", "U3", "S3", "M8[s]", "m8[s]", "i4,f4")
seeds = st.integers(0, 2**16)


def seeded(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


# Layouts: each returns the same values with another layout in memory.


def _read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


def _memory_map(array: np.ndarray) -> np.ndarray:
    if array.size == 0 or array.dtype.hasobject:
        return array
    with tempfile.TemporaryFile() as file:
        mapped = np.memmap(file, dtype=array.dtype, shape=array.shape)
    mapped[...] = array
    return mapped


def _backwards(array: np.ndarray) -> np.ndarray:
    every = (..., *(slice(None, None, -1),) * array.ndim)
    return array[every].copy()[every]


def _every_second(array: np.ndarray) -> np.ndarray:
    wide = np.repeat(array, 2, axis=-1) if array.ndim else array
    return wide[..., ::2] if array.ndim else wide


LAYOUTS = (
    np.ascontiguousarray,
    np.asfortranarray,
    _read_only,
    _memory_map,
    _backwards,
    _every_second,
)
layouts = st.sampled_from(LAYOUTS)


def as_dtype(unit: np.ndarray, dtype: str) -> np.ndarray:
    """Convert values in [0, 1] to the full range of an image type."""
    kind = np.dtype(dtype)
    if kind.kind == "u":
        return np.floor(unit * float(np.iinfo(kind).max) * 0.999).astype(kind)
    return np.rint(unit).astype(kind) if kind.kind == "b" else unit.astype(kind)


@functools.cache
def folder_of_images() -> Path:
    """Make a temporary folder of image files, left for the system to remove."""
    folder = Path(tempfile.mkdtemp(prefix="sk_ssimae-"))
    rng = seeded(0)
    for suffix in (".png", ".tif"):
        imsave(
            folder / f"good{suffix}", rng.integers(0, 256, (20, 24), np.uint8), check_contrast=False
        )
    imsave(folder / "colour.png", rng.integers(0, 256, (20, 24, 3), np.uint8), check_contrast=False)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing else")
    (folder / "empty.tif").write_bytes(b"")
    return folder


@functools.cache
def root_of_data_sets() -> Path:
    """Make a folder with a small copy of each data set."""
    root = Path(tempfile.mkdtemp(prefix="sk_ssimae-"))
    for textures in (f"textures/texture_{number}" for number in (1, 2)):
        _save(root / textures, "train/good", "test/defective", "ground_truth/defective")
    _save(root / "nanotwice", "Normal", "Anomalous/images", "Anomalous/gt")
    for category in ("carpet", "grid", "leather", "tile", "wood"):
        _save(root / category, "train/good", "test/good", "test/cut", "ground_truth/cut")
    return root


def _save(root: Path, *folders: str) -> None:
    for folder in folders:
        (root / folder).mkdir(parents=True)
        pixels = seeded(len(folder)).integers(0, 256, (20, 24), np.uint8)
        if folder.startswith("ground_truth") or folder.endswith("gt"):
            pixels = np.where(pixels > 200, 255, 0).astype(np.uint8)
        imsave(root / folder / "000.png", pixels, check_contrast=False)


# Neither arrays nor lists of arrays.

_SCALARS: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2,
        3,
        7,
        2**31,
        -(2**63),
        0.0,
        0.5,
        1.0,
        -0.5,
        2.5,
        1e300,
        1e-320,
    ),
    *(float("nan"), float("inf"), -float("inf"), 1j, "", "text", "X", "\0", "no/such/file.png"),
    *(b"bytes", Ellipsis, NotImplemented, int, np.float64(0.5), np.float32("nan"), np.int8(3)),
    *(np.datetime64("2020-01-01"), np.str_("text"), np.bool_(1), np.complex64(1), np.True_),
    *((), (0,), (1, 2), (0.5, None), frozenset({1}), range(3), Path("no/such"), slice(3)),
    *(torch.device("cpu"), np.dtype("f4")),
)
_FRESH = (
    list,
    dict,
    set,
    object,
    lambda: [[]],
    lambda: [0, 1],
    lambda: [0.5, None],
    lambda: [None, None],
    lambda: ["a", "b"],
    lambda: [[0, 1], [0]],
    lambda: [[[0, 1], [0]], [[1]]],
    lambda: {"a": 1},
    lambda: {0: np.zeros((20, 20))},
    lambda: iter([1, 2]),
    lambda: (np.zeros((20, 20)) for _ in range(2)),
    lambda: np.ma.masked_array(
        np.zeros((2, 20, 20)), np.eye(20, dtype=bool)[None].repeat(2, axis=0)
    ),
    lambda: [np.ma.masked_array(np.zeros((20, 20)), np.eye(20, dtype=bool))] * 2,
    lambda: np.array([np.zeros((20, 20)), None], dtype=object),
    lambda: torch.zeros(2, 20, 20, requires_grad=True),
    lambda: torch.zeros(2, 20, 20).bfloat16(),
    lambda: torch.zeros(2, 20, 20).to_sparse(),
    lambda: [torch.zeros(20, 20, requires_grad=True)] * 2,
    lambda: [folder_of_images() / "broken.png", folder_of_images() / "good.png"],
    lambda: [folder_of_images() / "empty.tif", folder_of_images() / "good.png"],
    lambda: [folder_of_images()] * 2,
    lambda: [np.zeros((20, 20)), "x" * 300],
    lambda: memoryview(bytes(4)),
    lambda: bytearray(4),
)
others = st.sampled_from(_SCALARS) | st.sampled_from(_FRESH).map(lambda make: make())
#: Values that are not numbers.
no_numbers = st.sampled_from(
    (None, "text", "", 1j, b"bytes", Ellipsis, (), (1, 2), Path("no/such"), int, float("nan"))
) | st.sampled_from((list, dict, set, object)).map(lambda make: make())
no_integers = no_numbers | st.sampled_from((0.5, 2.5, 1e300, float("inf"), np.float32(1.5)))
no_paths = st.sampled_from((None, 3, 0.5, 1j, b"bytes", Ellipsis, (), int)) | st.sampled_from(
    (list, dict, set, object)
).map(lambda make: make())


@st.composite
def any_arrays(draw: Any) -> np.ndarray:
    """Draw an array of any type, shape, values and layout."""
    shape = draw(
        st.lists(st.sampled_from((0, 1, 2, 3, 5, 17, 33)), max_size=5)
        .map(tuple)
        .filter(lambda shape: np.prod(shape) < 40_000)
    )
    values = np.asarray(seeded(draw(seeds)).random(shape))
    spoiled = draw(st.sampled_from(("unit", "unit", "zero", "large", "nan", "inf", "negative")))
    factors = {"zero": 0, "large": 200, "negative": -1, "nan": np.nan, "inf": np.inf}
    dtype = np.dtype(draw(st.sampled_from(ALL_DTYPES)))
    values = np.asarray(values * factors.get(spoiled, 1))
    if dtype.kind in "iubUSO" or dtype.names or dtype.kind in "Mm":
        values = np.nan_to_num(values, posinf=9, neginf=-9)
    if dtype.kind in "iu":
        values = np.clip(values, *((0, 200) if dtype.kind == "u" else (-99, 99)))
    array = (
        np.asarray(values.astype("i8")).astype(dtype)
        if dtype.kind in "Mm"
        else values.astype(dtype)
    )
    return draw(layouts)(np.asarray(array))


anything = others | any_arrays() | st.lists(any_arrays(), max_size=3)


def spoiled(good: Any) -> Strategy:
    """Draw a nearly valid value, with one item or the structure spoiled."""
    ways = (_item_spoiled, _item_spoiled, _dropped, _one_more, _transposed, _object, _nested)
    return st.tuples(st.sampled_from(ways), seeds, others).map(
        lambda drawn: drawn[0](good, *drawn[1:])
    )


def _spoil(item: Any, seed: int, other: Any) -> Any:
    array = np.atleast_1d(np.asarray(item))
    ways = [lambda: other, lambda: array[:-1], lambda: array[None], lambda: array[:0]]
    if array.size and array.dtype.kind == "f":
        ways += [functools.partial(_put, array, value) for value in (np.nan, np.inf, -1, 2)]
    elif array.size and array.dtype.kind in "iu":
        ways += [functools.partial(_put, array, value) for value in (1, 3)]
    ways += [lambda: array.astype(complex), lambda: array.astype(str), lambda: array.T]
    return ways[seed % len(ways)]()


def _put(array: np.ndarray, value: float) -> np.ndarray:
    array = array.copy()
    array[(0,) * array.ndim] = value
    return array


def as_objects(items: list[Any]) -> np.ndarray:
    array = np.empty(len(items), dtype=object)
    for index, item in enumerate(items):
        array[index] = item
    return array


def _item_spoiled(good: Any, seed: int, other: Any) -> Any:
    items = list(good)
    items[seed % len(items)] = _spoil(items[seed % len(items)], seed // len(items), other)
    return items


def _dropped(good: Any, seed: int, other: Any) -> Any:
    return list(good)[1:]


def _one_more(good: Any, seed: int, other: Any) -> Any:
    return [*good, other]


def _transposed(good: Any, seed: int, other: Any) -> Any:
    return [np.asarray(item).T for item in good]


def _object(good: Any, seed: int, other: Any) -> Any:
    items = as_objects(list(good))
    items[seed % len(items)] = other
    return items


def _nested(good: Any, seed: int, other: Any) -> Any:
    return [list(good), other]


# Stacks of images, masks and maps.

CONTAINERS = ("array", "list", "tuple", "torch", "objects", "nested")


def contain(stack: np.ndarray, container: str) -> Any:
    """Put images of one size into a container."""
    if container == "list":
        return list(stack)
    if container == "tuple":
        return tuple(stack)
    if container == "torch" and stack.dtype.isnative and stack.dtype.char in "?BbhilHefd":
        try:
            return torch.from_numpy(stack.copy())
        except TypeError:
            return stack
    if container == "objects":
        return as_objects(list(stack))
    if container == "nested" and stack.dtype.kind == "f" and stack.dtype.char in "efd":
        return stack.tolist()
    return stack


@st.composite
def images(draw: Any, *, least: int = 16, n_channels: tuple[int | None, ...] = (None,)) -> Any:
    """Draw images that segmenters must accept."""
    shape = (
        draw(st.integers(1, 3)),
        draw(st.integers(least, least + 8)),
        draw(st.integers(least, 40)),
    )
    channels = draw(st.sampled_from(n_channels))
    shape = shape if channels is None else (*shape, channels)
    stack = draw(layouts)(
        as_dtype(seeded(draw(seeds)).random(shape), draw(st.sampled_from(IMAGE_DTYPES)))
    )
    return contain(stack, draw(st.sampled_from(CONTAINERS)))


@st.composite
def masks_and_maps(draw: Any) -> dict[str, Any]:
    """Draw masks of both classes and maps to compare them with."""
    shape = tuple(draw(st.integers(1, 4)) for _ in range(3))
    rng = seeded(draw(seeds))
    masks = rng.random(shape) < draw(st.sampled_from((0.1, 0.5)))
    if masks.size == 1:
        masks = np.zeros((1, 1, 2), dtype=bool)
    masks.flat[:2] = [True, False]
    dtype = draw(st.sampled_from(NUMBER_DTYPES))
    factor = draw(st.sampled_from((1, 0, 1e-300, 1e30))) if dtype in ("f8", ">f8") else 1
    maps = np.round(rng.standard_normal(masks.shape), draw(st.sampled_from((0, 9)))) * factor
    if np.dtype(dtype).kind in "bu":
        maps = np.abs(maps)
    truth = masks.astype(draw(st.sampled_from(NUMBER_DTYPES)))
    if truth.dtype.kind == "u":
        truth = truth * truth.dtype.type(draw(st.sampled_from((1, 255))))
    return {
        "masks": contain(draw(layouts)(truth), draw(st.sampled_from(CONTAINERS))),
        "residual_maps": contain(
            draw(layouts)(maps.astype(dtype)), draw(st.sampled_from(CONTAINERS))
        ),
    }
