"""Segmenters, their files, and plots of their results."""

import copy
import functools
import math
import tempfile
from pathlib import Path
from typing import Any, get_args

import matplotlib.pyplot as plt
import numpy as np
from call import Call
from hypothesis import strategies as st
from sklearn.utils._param_validation import make_constraint
from torch import nn
from values import (
    anything,
    folder_of_images,
    images,
    masks_and_maps,
    no_integers,
    no_paths,
    others,
    seeds,
    spoiled,
)

import sk_ssimae
from sk_ssimae import estimators, persistence, plotting
from sk_ssimae.estimators._variational import Measure

_TINY = {
    "latent_dim": 2,
    "patch_size": 16,
    "stride": 8,
    "n_patches": 4,
    "batch_size": 4,
    "max_epochs": 1,
    "random_state": 0,
    "device": "cpu",
}
_CLASSES = {
    "SSIMAutoencoderSegmenter": {},
    "MultiScaleSSIMAutoencoderSegmenter": {"window_size": 5},
    "L2AutoencoderSegmenter": {},
    "L1AutoencoderSegmenter": {},
    "VariationalAutoencoderSegmenter": {"n_samples": 2, "n_posteriors": 5},
    "FeatureMatchingAutoencoderSegmenter": {"feature_extractor": nn.AvgPool2d(4)},
    "AdversarialAutoencoderSegmenter": {},
    # Two steps: one for the generator, one for the encoder.
    "GenerativeAdversarialSegmenter": {"batch_size": 2},
}
# Parameters whose valid values may need too much memory or time.
_TOO_LARGE = {
    *("latent_dim", "patch_size", "image_size", "n_patches", "max_epochs", "n_samples"),
    *("n_posteriors", "search_steps"),
}


def _make(name: str, **params: Any) -> Any:
    return getattr(sk_ssimae, name)(**(_TINY | _CLASSES[name] | params))


@functools.cache
def _fitted(name: str, n_channels: int | None) -> Any:
    shape = (2, 24, 33) if n_channels is None else (2, 24, 33, n_channels)
    return _make(name).fit(np.random.default_rng(0).random(shape, dtype=np.float32))


# Results of a segmenter for images.


def _are_maps(dtype: type) -> Any:
    def check(result: Any, arguments: dict[str, Any]) -> None:
        X = arguments["X"]
        is_array = hasattr(X, "shape") and str(X.dtype) != "object"
        assert isinstance(result, np.ndarray if is_array else list)
        assert len(result) == len(X)
        for one, image in zip(result, X, strict=True):
            assert one.dtype == dtype
            if isinstance(image, np.ndarray):
                assert one.shape[:2] == image.shape[:2]
            assert np.isfinite(one).all()

    return check


def _are_scores(result: Any, arguments: dict[str, Any]) -> None:
    assert result.shape == (len(arguments["X"]),)
    assert np.isfinite(result).all()


def _is_unit(result: Any, _: Any) -> None:
    assert 0 <= result <= 1


def _is_calibrated(result: Any, _: Any) -> None:
    assert np.isfinite(result.threshold_)


def _is_drift(result: Any, arguments: dict[str, Any]) -> None:
    assert 0 <= result.p_value <= 1
    assert 0 <= result.flagged_p_value <= 1
    assert result.n_flagged <= result.n_images == len(arguments["X"])
    assert result.action in ("none", "calibrate", "train")


def _predict(method: str) -> Any:
    def call(X: Any, name: str, **y: Any) -> Any:
        fitted = copy.copy(_fitted(name, None))
        result = getattr(fitted, method)(X, **y)
        return list(result) if method == "iter_decision_function" else result

    return call


_names = st.sampled_from(tuple(_CLASSES))
_seen = st.fixed_dictionaries({"X": images(n_channels=(None, 1, 2)), "name": _names})


def _predictions(method: str, check: Any) -> list[Call]:
    name = f"BaseSegmenter.{method}"
    return [
        Call(name, _predict(method), _seen, check, {"X": anything}),
        Call(name, _predict(method), _seen, check, {"X": spoiled}),
    ]


@st.composite
def _judged(draw: Any) -> dict[str, Any]:
    X = draw(images())
    masks = np.zeros((len(X), *np.asarray(X[0]).shape), dtype=bool)
    masks[:, 2:5, 3:9] = True
    return {"X": X, "name": draw(_names), "y": draw(st.sampled_from((masks, list(masks))))}


# Fits.


def _is_fitted(result: Any, arguments: dict[str, Any]) -> None:
    assert result.n_channels_ >= 1
    assert np.isfinite(result.threshold_)
    assert all(np.isfinite(row["train_loss"]) for row in result.history_)


def _computing(segmenter: Any) -> Any:
    """Compute a map, which raises if training diverged, and return the segmenter."""
    height = max(segmenter.patch_size, 24)
    maps = segmenter.decision_function(np.full((1, height, height, segmenter.n_channels_), 0.5))
    assert np.isfinite(maps).all()
    return segmenter


def _is_default_ensemble(result: Any, arguments: dict[str, Any]) -> None:
    parameters = result.get_params()
    pretrained = arguments.pop("pretrained")
    for name, value in arguments.items():
        # Numbers of NumPy are read as Python's.
        assert parameters[name] is value or isinstance(value, np.generic)
    names = [name for name, _ in result.segmenters]
    assert names == ["autoencoder", "dictionary", "coarse_dictionary"] + ["features"] * pretrained


def _fit(name: str, X: Any, y: Any = None) -> Any:
    return _computing(_make(name).fit(X, y))


@st.composite
def _fittable(draw: Any) -> dict[str, Any]:
    # Large enough for two regions in a single image.
    X = draw(images(least=40, n_channels=(None, None, 1, 2, 3, 5)))
    n = len(X)
    ys = [None, [0] * n, np.zeros(n)]
    if n > 1:
        ys.append([1, *[0] * (n - 1)])
    return {"name": draw(_names), "X": X, "y": draw(st.sampled_from(ys))}


_PIXELS = np.random.default_rng(0).random((3, 40, 44), dtype=np.float32)


def _of_parameters(name: str) -> Call:
    cls = getattr(sk_ssimae, name)
    constraints = {
        parameter: [make_constraint(constraint) for constraint in allowed]
        for parameter, allowed in cls._parameter_constraints.items()
    }

    def is_refused(parameter: str) -> Any:
        return lambda value: not any(c.is_satisfied_by(value) for c in constraints[parameter])

    def call(**params: Any) -> Any:
        # A new dict each time: segmenters store their parameters.
        return _computing(_make(name, **params).fit(_PIXELS))

    return Call(
        name,
        call,
        st.just({}),
        _is_fitted,
        {p: others for p in constraints if p not in _TOO_LARGE},
        {p: others.filter(is_refused(p)) for p in constraints},
        share=12,
    )


_some = st.sampled_from
_combinations = st.fixed_dictionaries(
    {
        "latent_dim": st.integers(1, 4),
        "patch_size": _some((16, 32)),
        "normalization": _some((None, "batch")),
        "image_size": _some((None, 32, (32, 40))),
        "n_patches": st.integers(2, 9),
        "augmentation": _some((None, "dihedral")),
        "max_epochs": st.integers(1, 2),
        "batch_size": st.integers(1, 9),
        "lr": st.floats(1e-9, 1e-1) | _some((1.0, 1e10, 1e30)),
        "lr_schedule": _some((None, "one_cycle")),
        "precision": _some(("auto", "float32", "bf16")),
        "weight_decay": st.floats(0, 1) | _some((1e10, 1e30)),
        "random_state": seeds,
        "stride": st.integers(5, 32) | st.just("auto"),
        "taper": st.floats(0, 1),
        "inference_batch_size": st.integers(3, 40),
        "smoothing": _some(("auto", 0, 0.5, 3, 1000)),
        "test_time_augmentation": _some((None, "dihedral")),
        "threshold": _some(("pixel_fpr", "image_fpr", 0.5, -1)),
        "target_fpr": st.floats(1e-9, 0.999999),
        "extent_threshold": _some(("half_peak", "pixel_fpr", 0.5, -1)),
        "extent_fpr": st.floats(1e-9, 0.999999),
        "validation_fraction": st.floats(1e-9, 0.999999),
        "opening_diameter": st.integers(0, 20),
        "min_region_area": st.integers(0, 40),
        "net_params": _some((None, {}, {"optimizer__betas": (0.8, 0.9)})),
    }
)
_OF_CLASS = {
    "SSIMAutoencoderSegmenter": {
        "window_size": _some((3, 5, 11, 15)),
        "window": _some(("uniform", "gaussian")),
        "c1": st.floats(1e-6, 1e6),
        "c2": st.floats(1e-6, 1e6),
        **dict.fromkeys(("alpha", "beta", "gamma"), _some((0, 0.5, 1, 3, 100))),
        "residual_params": _some((None, {}, {"gamma": 3, "c2": 3e-3}, {"window_size": 3})),
        "absolute_weight": st.floats(0, 1000),
    },
    "MultiScaleSSIMAutoencoderSegmenter": {
        "window_size": _some((3, 5, 11, 15)),
        "window": _some(("uniform", "gaussian")),
        "c1": st.floats(1e-6, 1e6),
        "c2": st.floats(1e-6, 1e6),
    },
    "L2AutoencoderSegmenter": {},
    "L1AutoencoderSegmenter": {},
    "VariationalAutoencoderSegmenter": {
        "n_samples": st.integers(1, 3),
        "kl_weight": st.floats(0, 1e6),
        "residual": _some(get_args(Measure)),
        "n_posteriors": st.integers(1, 9),
    },
    "FeatureMatchingAutoencoderSegmenter": {"feature_weight": st.floats(0, 1e6)},
    "AdversarialAutoencoderSegmenter": {
        "variational": st.booleans(),
        "kl_weight": st.floats(0, 1e6),
        "adversarial_weight": st.floats(0, 1e6),
        "critic_lr": st.floats(1e-6, 1e-2),
    },
    "GenerativeAdversarialSegmenter": {
        "encoder": _some(("after", "bigan", "search")),
        "encoder_share": st.floats(0.01, 0.99),
        "critic_steps": st.integers(1, 3),
        "critic_lr": st.floats(1e-6, 1e-2),
        "feature_weight": st.floats(0, 1e6),
        "search_steps": st.integers(1, 3),
        "search_lr": st.floats(1e-3, 1),
    },
}


def _of_combinations(name: str) -> Call:
    """Combine valid values of all parameters: an error must name incompatible ones."""

    def call(params: Any) -> Any:
        return _computing(_make(name, **params).fit(_PIXELS))

    both = st.builds(lambda a, b: a | b, _combinations, st.fixed_dictionaries(_OF_CLASS[name]))
    parameters = sorted(getattr(sk_ssimae, name)._parameter_constraints)
    return Call(
        f"{name} (combinations)",
        call,
        both.map(lambda params: {"params": params}),
        _is_fitted,
        share=8,
        may_name=parameters,
    )


# Files.


def _save_and_load(name: str, path: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "segmenter.safetensors") if path is None else path
        persistence.save(_fitted(name, None), place)
        return persistence.load(place)


def _is_loaded(result: Any, arguments: dict[str, Any]) -> None:
    assert result.threshold_ == _fitted(arguments["name"], None).threshold_


_no_files = no_paths.filter(lambda path: path is not None) | st.sampled_from(
    ("", ".", "\0", "x" * 300, "no/such/folder/file", Path("no/such"))
)


def _load(path: Any, device: Any) -> Any:
    return persistence.load(path, device=device)


@functools.cache
def _saved() -> Path:
    path = folder_of_images() / "segmenter.safetensors"
    persistence.save(_fitted("L2AutoencoderSegmenter", None), path)
    return path


def _save(segmenter: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        persistence.save(segmenter, Path(folder, "file"))


@functools.cache
def _exported(name: str = "L2AutoencoderSegmenter") -> Path:
    path = folder_of_images() / f"{name}.onnx"
    persistence.export_onnx(_fitted(name, None), path)
    return path


def _export(segmenter: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        persistence.export_onnx(segmenter, Path(folder, "file"))


def _compare(X: Any, name: str, y: Any = None) -> Any:
    exported = persistence.OnnxSegmenter(_exported(name), n_threads=1)
    return persistence.parity_report(_fitted(name, None), exported, X, y)


def _is_alike(result: Any, _: Any) -> None:
    assert result.max_abs_difference < 1e-4


# Blocks.


@st.composite
def _sliced(draw: Any) -> dict[str, Any]:
    image = np.asarray(draw(images())[0])
    return {"image": image, "name": draw(_names), "block_size": draw(st.integers(5, 40))}


def _blocks(image: Any, name: str, block_size: Any) -> Any:
    return list(_fitted(name, None).segment_blocks(image, block_size=block_size))


def _are_tables(result: Any, arguments: dict[str, Any]) -> None:
    assert len(result) == len(arguments["X"])
    for table in result:
        assert (table["area"] > 0).all()
        assert not (table["distance"] <= 0).any()


def _names_no_table(value: Any) -> bool:
    return value is not None and (not hasattr(value, "__len__") or len(value) > 0)


def _to_pandas(tables: Any, images: Any) -> Any:
    try:
        return estimators.regions_to_pandas(tables, images)
    except ImportError as error:  # An optional package, found missing after all other checks.
        if "needs pandas" not in str(error):
            raise
        return None


def _cover_the_image(result: Any, arguments: dict[str, Any]) -> None:
    assert sum(block.mask.size for block in result) == math.prod(arguments["image"].shape[:2])
    for block in result:
        assert np.isfinite(block.residual_map).all()


# Plots.


def _close(function: Any) -> Any:
    def call(**arguments: Any) -> Any:
        try:
            return function(**arguments)
        finally:
            plt.close("all")

    return call


def _is_drawn(result: Any, _: Any) -> None:
    assert result.figure_ is not None


@st.composite
def _shown(draw: Any) -> dict[str, Any]:
    X = draw(images(least=16, n_channels=(None, 1, 3)))
    image = X[0]
    shape = np.asarray(image).shape[:2]
    rng = np.random.default_rng(draw(seeds))
    given = {
        "mask": rng.random(shape) < 0.5,
        "true_mask": rng.random(shape) < 0.1,
        "reconstruction": rng.random(shape),
    }
    kept = draw(st.lists(st.sampled_from(sorted(given)), unique=True))
    return {
        "image": image,
        "residual_map": rng.standard_normal(shape).astype(
            draw(st.sampled_from(("f4", "f8", "f2")))
        ),
        **{name: given[name] for name in kept},
    }


_pairs = masks_and_maps()
_display = _close(plotting.ResidualMapDisplay.from_predictions)
_options = {
    "panels": others.filter(lambda v: v is not None),
    "vmax": others.filter(lambda v: not isinstance(v, float | np.floating | type(None))),
    "cmap": others.filter(lambda v: v is not None),
}
_arrays = dict.fromkeys(("image", "residual_map", "mask", "true_mask", "reconstruction"), anything)

_judged_exports = _judged().filter(lambda arguments: "Feature" not in arguments["name"])
CALLS = [
    *_predictions("decision_function", _are_maps(np.float32)),
    *_predictions("iter_decision_function", lambda result, arguments: None),
    *_predictions("predict", _are_maps(np.bool_)),
    *_predictions("score_images", _are_scores),
    *_predictions("reconstruct", _are_maps(np.float32)),
    *_predictions("calibrate", _is_calibrated),
    *_predictions("check_drift", _is_drift),
    Call(
        "BaseSegmenter.partial_fit",
        _predict("partial_fit"),
        st.fixed_dictionaries({"X": images(least=40), "name": _names}),
        _is_fitted,
        {"X": anything},
        share=4,
    ),
    Call(
        "estimators.Drift",
        lambda: estimators.Drift(0.001, 0.5, 1.0, 0, 5, 5).advice(),
        st.just({}),
        lambda result, arguments: None,
        share=1,
    ),
    Call(
        "BaseSegmenter.score",
        _predict("score"),
        _judged(),
        _is_unit,
        {"X": anything, "y": anything},
    ),
    Call(
        "BaseSegmenter.score", _predict("score"), _judged(), _is_unit, {"X": spoiled, "y": spoiled}
    ),
    Call(
        "BaseSegmenter.fit", _fit, _fittable(), _is_fitted, {"X": anything, "y": anything}, share=12
    ),
    Call("BaseSegmenter.fit", _fit, _fittable(), _is_fitted, {"X": spoiled}, share=12),
    *_predictions("find_regions", _are_tables),
    Call(
        "estimators.regions_to_pandas",
        _to_pandas,
        st.just({"tables": [], "images": None}),
        lambda result, arguments: None,
        {},
        {"tables": others.filter(lambda v: v != []), "images": others.filter(_names_no_table)},
        share=1,
    ),
    *map(_of_parameters, _CLASSES),
    *map(_of_combinations, _CLASSES),
    Call(
        "paper_protocol",
        sk_ssimae.paper_protocol,
        st.fixed_dictionaries({"dataset": st.sampled_from(("nanotwice", "textures"))}),
        lambda result, arguments: None,
        {},
        {"dataset": others},
        share=1,
    ),
    Call(
        "make_default_ensemble",
        sk_ssimae.make_default_ensemble,
        st.fixed_dictionaries(
            {
                "pretrained": st.booleans(),
                "combination": st.sampled_from(("sum", "max")),
                "dictionary__stride": st.just(8),
            }
        ),
        _is_default_ensemble,
        {"random_state": others, "dictionary__stride": others, "pretrained": others},
        {"no_parameter": others},
        share=1,
    ),
    Call(
        "estimators.Calibration",
        lambda: estimators.Calibration(
            1.0, 0.5, "image_fpr", 0.01, "images", 3, 0.1, (0.5,), 0.1, {}
        ).promise(),
        st.just({}),
        lambda result, arguments: None,
        share=1,
    ),
    Call(
        "persistence.save",
        _save_and_load,
        st.fixed_dictionaries(
            {"name": _names.filter(lambda n: "Feature" not in n), "path": st.none()}
        ),
        _is_loaded,
        {},
        {"path": _no_files},
        share=2,
    ),
    Call(
        "persistence.save",
        _save,
        st.builds(lambda: {"segmenter": _fitted("L2AutoencoderSegmenter", None)}),
        lambda result, arguments: None,
        {},
        {"segmenter": others},
        share=1,
    ),
    Call(
        "persistence.load",
        _load,
        st.builds(lambda: {"path": _saved(), "device": None}),
        lambda result, arguments: result.decision_function(_PIXELS),
        {"device": others},
        {"path": _no_files},
        share=2,
    ),
    Call(
        "persistence.export_onnx",
        _export,
        st.builds(lambda: {"segmenter": _fitted("L2AutoencoderSegmenter", None)}),
        lambda result, arguments: None,
        {},
        {"segmenter": others},
        share=1,
    ),
    Call(
        "persistence.OnnxSegmenter",
        persistence.OnnxSegmenter,
        st.builds(lambda: {"path": _exported(), "providers": None, "n_threads": 1}),
        lambda result, arguments: result.decision_function(_PIXELS),
        {},
        {
            "path": _no_files,
            "n_threads": no_integers,
            "providers": others.filter(lambda v: v is not None),
        },
        share=1,
    ),
    Call(
        "persistence.parity_report", _compare, _judged_exports, _is_alike, {"X": spoiled}, share=2
    ),
    Call(
        "BaseSegmenter.segment_blocks",
        _blocks,
        _sliced(),
        _cover_the_image,
        {"image": anything},
        {"block_size": no_integers | st.sampled_from((0, -1))},
    ),
    Call(
        "plotting.SelectionDisplay",
        _close(lambda **given: plotting.SelectionDisplay(**given).plot()),
        st.fixed_dictionaries(
            {
                "scores": st.sampled_from(([[0.5, 1], [0, 0.2]], np.ones((2, 2)))),
                "families": st.just(["scar", "blur"]),
                "candidates": st.just(["ssim", "l2"]),
                "mean_ranks": st.sampled_from(([1, 2], np.array([1.5, 1.5]))),
                "best_index": st.sampled_from((0, 1)),
            }
        ),
        _is_drawn,
        {},
        {
            "scores": st.sampled_from((None, [[1, 2]], np.ones(2), "text")),
            "mean_ranks": st.sampled_from((None, [1], np.ones((2, 2)), "text")),
            "best_index": st.sampled_from((-1, 2)),
        },
        share=1,
    ),
    Call("plotting.ResidualMapDisplay", _display, _shown(), _is_drawn, _arrays, _options, share=2),
    *(
        Call(
            f"plotting.{name}",
            _close(getattr(plotting, name).from_predictions),
            _pairs,
            _is_drawn,
            {"masks": spoiled, "residual_maps": spoiled},
            refused,
            share=2,
        )
        for name, refused in (
            ("PixelRocCurveDisplay", {"ax": others.filter(lambda v: v is not None)}),
            (
                "RegionOverlapDisplay",
                {
                    "ax": others.filter(lambda v: v is not None),
                    "max_fpr": others.filter(
                        lambda v: (
                            type(v) not in (bool, int, float) and not isinstance(v, np.generic)
                        )
                    ),
                    "quantiles": others.filter(lambda v: not isinstance(v, tuple | list | range)),
                },
            ),
        )
    ),
]
