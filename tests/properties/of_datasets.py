"""Generators and loaders of data sets."""

from typing import Any

import numpy as np
from call import Call
from hypothesis import strategies as st
from values import (
    UNIT_DTYPES,
    anything,
    as_dtype,
    layouts,
    no_integers,
    no_numbers,
    no_paths,
    others,
    root_of_data_sets,
    seeded,
    seeds,
    spoiled,
)

from sk_ssimae import datasets
from sk_ssimae.datasets._defects import FAMILIES

_sizes = st.integers(1, 40)
_states = st.sampled_from((None, 0, np.int64(7), np.random.RandomState(0), 2**40))
_common = {
    "n_samples": st.integers(1, 2),
    "shape": st.tuples(_sizes, _sizes),
    "random_state": _states,
}
_not_positive = no_integers | st.sampled_from((0, -1))


def _is_no_pair(value):
    # A NumPy number would be compared with each item.
    return not isinstance(value, tuple) or value != (1, 2)


_no_shapes = no_integers.filter(_is_no_pair) | st.sampled_from(
    ((0, 5), (5,), (5, 5, 5), (2.5, 3), 5, (-1, 4))
)
_not_finite = no_numbers | st.sampled_from((-1, float("inf"), 1e300))
_NO_SQUARES = ((1, 3), (5, 4), (3, float("inf")), (3, float("nan")), (2, 1.7e308), (3, 4, 5), 7)
_too_small = no_numbers | st.sampled_from((0, -1, float("inf"), -float("inf"), 1e300))


def _are_synthetic(result: Any, arguments: dict[str, Any]) -> None:
    assert result.dtype == np.float32
    assert result.shape == (arguments["n_samples"], *arguments["shape"])
    assert ((result >= 0) & (result <= 1)).all()


def _generator(name: str, own: dict[str, Any], refused: dict[str, Any]) -> Call:
    return Call(
        f"datasets.{name}",
        getattr(datasets, name),
        st.fixed_dictionaries(_common | own),
        _are_synthetic,
        {
            "random_state": others,
            "n_samples": others.filter(_is_small),
            "shape": others.filter(_is_small),
            **dict.fromkeys(own, others),
        },
        {"n_samples": _not_positive, "shape": _no_shapes, **refused},
    )


def _is_small(value: Any) -> bool:
    """Exclude valid values that need more memory than is available."""
    return not isinstance(value, int | float) or not value > 100


@st.composite
def _drawable(draw: Any) -> dict[str, Any]:
    shape = (draw(st.integers(1, 2)), draw(st.integers(8, 40)), draw(st.integers(8, 40)))
    channels = draw(st.sampled_from((None, 1, 2, 3, 5)))
    images = seeded(draw(seeds)).random(shape if channels is None else (*shape, channels))
    images = draw(layouts)(
        as_dtype(images, draw(st.sampled_from(("u1", "u2", ">u2", *UNIT_DTYPES))))
    )
    return {
        "images": draw(st.sampled_from((images, list(images)))),
        "families": draw(st.lists(st.sampled_from(sorted(FAMILIES)), min_size=1, max_size=3)),
        "severity": draw(st.floats(0.001, 1)),
        "n_defects": draw(st.integers(1, 3)),
        "random_state": draw(_states),
    }


def _are_drawn(result: Any, arguments: dict[str, Any]) -> None:
    good = np.asarray(arguments["images"])
    changed = result.images != good
    assert result.images.dtype == good.dtype
    assert (result.images >= 0).all()
    assert good.dtype.kind == "u" or (result.images <= 1).all()
    assert (result.masks == changed.reshape(*good.shape[:3], -1).any(axis=-1)).all()
    assert result.masks.any(axis=(1, 2)).all()
    assert [len(own) for own in result.families] == [arguments["n_defects"]] * len(good)


_no_folders = no_paths | st.sampled_from(("\0", "x" * 300, "no/such"))


def _loader(name: str, good: dict[str, Any], refused: dict[str, Any]) -> Call:
    return Call(
        f"datasets.{name}", getattr(datasets, name), st.just(good), _is_loaded, {}, refused, share=1
    )


def _is_loaded(result: Any, _: Any) -> None:
    bunches = result.values() if "data" not in result else [result]
    for bunch in bunches:
        assert [mask.shape for mask in bunch.target] == [(20, 24)] * len(bunch.data)


_root = root_of_data_sets()
_fetched = {
    "data_home": no_paths.filter(lambda path: path is not None) | st.just("no/such"),
    "url": no_paths | st.sampled_from(("", "ftp://x", "file:///etc")),
    "known_hash": st.sampled_from((3, "text", "", b"bytes", [], "md5:", "a" * 63)),
    "n_retries": no_integers | st.just(-1),
}
_own_home = {"data_home": _root, "download_if_missing": False}

CALLS = [
    _generator(
        "make_woven_fabric",
        {
            "weave": st.sampled_from(("plain", "twill", "satin")),
            "thread_spacing": st.floats(3, 10_000),
            "irregularity": st.floats(0, 10),
        },
        {"weave": others, "thread_spacing": _too_small, "irregularity": _not_finite},
    ),
    _generator(
        "make_checkerboards",
        {"square_size": st.tuples(st.floats(2, 100), st.floats(100, 10_000))},
        {"square_size": _too_small | st.sampled_from(_NO_SQUARES)},
    ),
    _generator(
        "make_nanofibres",
        {"fibre_diameter": st.floats(2, 1_000), "density": st.floats(0.01, 5)},
        {"fibre_diameter": _too_small, "density": _too_small},
    ),
    Call(
        "datasets.draw_defects",
        datasets.draw_defects,
        _drawable(),
        _are_drawn,
        {
            "images": anything,
            "families": others,
            "severity": others,
            "n_defects": others.filter(_is_small),
            "random_state": others,
        },
        {
            "families": no_numbers | st.sampled_from(("cut", ["no"], [["cut"]], [None], "")),
            "severity": no_numbers | st.sampled_from((0, -1, 1.001, 7, float("inf"), True)),
            "n_defects": _not_positive,
        },
    ),
    Call(
        "datasets.draw_defects", datasets.draw_defects, _drawable(), _are_drawn, {"images": spoiled}
    ),
    _loader(
        "load_image_folder",
        {"good": _root / "nanotwice" / "Normal"},
        {
            "good": _no_folders,
            "defective": _no_folders.filter(bool),
            "masks": _no_folders.filter(bool),
        },
    ),
    _loader(
        "load_texture", {"root": _root / "textures"}, {"root": _no_folders, "texture": no_integers}
    ),
    _loader(
        "load_mvtec_ad",
        {"root": _root, "category": "carpet"},
        {"root": _no_folders, "category": others},
    ),
    _loader("load_mvtec_textures", {"root": _root}, {"root": _no_folders}),
    _loader("load_nanotwice", {"root": _root / "nanotwice"}, {"root": _no_folders}),
    _loader("fetch_nanotwice", _own_home, _fetched),
    _loader("fetch_woven_textures", _own_home, _fetched | {"texture": no_integers}),
]
