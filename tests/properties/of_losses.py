"""Losses and networks, which take torch tensors."""

from typing import Any

import torch
from call import Call
from hypothesis import strategies as st
from torch import nn
from values import no_integers, no_numbers, others, seeds

from sk_ssimae import losses, modules

_odd = st.sampled_from((3, 5, 7, 11))
_parameters = {
    "window_size": _odd,
    "window": st.sampled_from(("uniform", "gaussian")),
    "c1": st.floats(1e-6, 1),
    "c2": st.floats(1e-6, 1),
}
_exponents = dict.fromkeys(("alpha", "beta", "gamma"), st.sampled_from((0, 0.5, 1, 2, 3.0)))
_negative = no_numbers | st.sampled_from((-1, float("inf"), -float("inf")))
_refused = {
    "window_size": no_integers | st.sampled_from((0, 1, 2, 4, -3)),
    "window": others,
    "c1": _negative | st.just(0),
    "c2": _negative | st.just(0),
}
_of_exponents = dict.fromkeys(_exponents, _negative)


def _tensor(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@st.composite
def _pair(draw: Any) -> dict[str, Any]:
    shape = (
        draw(st.integers(1, 2)),
        draw(st.integers(1, 3)),
        draw(st.integers(1, 20)),
        draw(st.integers(1, 20)),
    )
    dtypes = st.sampled_from((torch.float32, torch.float64, torch.float16, torch.bfloat16))
    pair = {name: _tensor(shape, draw(seeds), draw(dtypes)) for name in ("x", "y")}
    if draw(st.booleans()):
        pair["y"] = pair["x"]
    if draw(st.booleans()):
        pair = {name: image.transpose(-1, -2) for name, image in pair.items()}
    return pair


def _with_pair(parameters: dict[str, Any]) -> Any:
    return st.builds(lambda pair, given: pair | given, _pair(), st.fixed_dictionaries(parameters))


@st.composite
def other_tensors(draw: Any) -> Any:
    """Draw tensors of other ranks and types, but without NaN or numbers outside [0, 1]."""
    shape = tuple(draw(st.lists(st.integers(0, 3), max_size=5)))
    dtypes = (torch.float32, torch.int64, torch.bool, torch.complex64, torch.uint8)
    return _tensor(shape, draw(seeds), draw(st.sampled_from(dtypes)))


_wild = {name: others | other_tensors() for name in ("x", "y")}
_no_tensors = others.filter(lambda value: not isinstance(value, torch.Tensor))


def _is_map(result: Any, arguments: dict[str, Any]) -> None:
    assert result.shape == arguments["x"].shape
    assert ((result >= -1.001) & (result <= 1.001)).all()


def _are_components(result: Any, arguments: dict[str, Any]) -> None:
    for component in result:
        _is_map(component, arguments)


def _loss(x: Any, y: Any, **parameters: Any) -> Any:
    loss = losses.SSIMLoss(**parameters)
    return loss(x, y), loss.residual_map(x, y)


def _multi_scale_loss(x: Any, y: Any, **parameters: Any) -> Any:
    loss = losses.MultiScaleSSIMLoss(**parameters)
    return loss(x, y), loss.residual_map(x, y)


def _large_pair(parameters: dict[str, Any]) -> Any:
    pairs = st.builds(
        lambda seed: {name: _tensor((1, 1, 16, 12), seed + ord(name)) for name in "xy"}, seeds
    )
    return st.builds(lambda pair, given: pair | given, pairs, st.fixed_dictionaries(parameters))


def _is_loss(result: Any, arguments: dict[str, Any]) -> None:
    loss, residual_map = result
    assert loss.shape == ()
    assert 0 <= loss <= 2.001
    assert residual_map.shape == (1, 16, 12)
    assert residual_map.isfinite().all()


def _is_positive(result: Any, arguments: dict[str, Any]) -> None:
    assert (result >= 0).all()
    assert result.isfinite().all()


def _elbo(kl_weight: Any) -> Any:
    patches = _tensor((2, 1, 4, 4), 0)
    return losses.EvidenceLowerBound(kl_weight)(
        (patches + 0.1, torch.zeros(2, 3), torch.zeros(2, 3)), patches
    )


def _feature_matching(feature_extractor: Any, feature_weight: Any) -> Any:
    patches = _tensor((2, 1, 4, 4), 0)
    return losses.FeatureMatchingLoss(feature_extractor, feature_weight)(patches, patches + 0.1)


def _is_finite(result: Any, arguments: dict[str, Any]) -> None:
    assert result.shape == ()
    assert result.isfinite()


@st.composite
def _distributions(draw: Any) -> dict[str, Any]:
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    return {name: 6 * _tensor(shape, draw(seeds)) - 3 for name in ("mean", "log_variance")}


_network = {
    "n_channels": st.integers(1, 3),
    "latent_dim": st.integers(1, 3),
    "patch_size": st.sampled_from((16, 32)),
    "normalization": st.sampled_from((None, "batch")),
}
_no_network = {
    "n_channels": no_integers | st.sampled_from((0, -1)),
    "latent_dim": no_integers | st.sampled_from((0, -1)),
    "patch_size": no_integers | st.sampled_from((0, -16, 8, 17)),
    "normalization": others.filter(lambda value: value is not None),
}


def _networks(name: str, **own: tuple[Any, Any]) -> Call:
    """Call a network with valid parameters; `own` has values and refused ones of its own."""

    def call(**parameters: Any) -> Any:
        network = getattr(modules, name)(**parameters).eval()
        output = network(_tensor((2, parameters["n_channels"], *[parameters["patch_size"]] * 2), 0))
        return output.reconstruction if name == "VariationalAutoencoder" else output

    def check(result: Any, arguments: dict[str, Any]) -> None:
        assert result.shape[1:3] == (arguments["n_channels"], arguments["patch_size"])
        assert result.isfinite().all()

    return Call(
        f"modules.{name}",
        call,
        st.fixed_dictionaries(_network | {key: values for key, (values, _) in own.items()}),
        check,
        {},
        _no_network | {key: refused for key, (_, refused) in own.items()},
        share=2,
    )


def _variational_l1(kl_weight: Any) -> Any:
    patches = _tensor((2, 1, 4, 4), 0)
    output = patches + 0.1, torch.zeros(2, 3), torch.zeros(2, 3)
    return losses.VariationalL1Loss(kl_weight)(output, patches)


def _rate(n_channels: Any, patch_size: Any, latent_dim: Any) -> Any:
    latent = None if latent_dim is None else _tensor((2, latent_dim), 0)
    critic = modules.Critic(n_channels, patch_size, latent_dim)
    return critic(_tensor((2, n_channels, patch_size, patch_size), 0), latent)


def _are_ratings(result: Any, arguments: dict[str, Any]) -> None:
    assert result.shape == (2,)
    assert result.isfinite().all()


def _penalty(real: Any, generated: Any) -> Any:
    return losses.gradient_penalty(lambda x: (x**2).flatten(1).sum(dim=1), real, generated)


@st.composite
def _batches(draw: Any) -> dict[str, Any]:
    shape = (draw(st.integers(1, 3)), 1, draw(st.integers(1, 3)), 2)
    return {name: [_tensor(shape, draw(seeds))] for name in ("real", "generated")}


CALLS = [
    Call(
        "losses.ssim_map",
        losses.ssim_map,
        _with_pair(_parameters | _exponents),
        _is_map,
        _wild,
        _refused | _of_exponents | {"x": _no_tensors, "y": _no_tensors},
    ),
    Call(
        "losses.ssim_components",
        losses.ssim_components,
        _with_pair(_parameters),
        _are_components,
        _wild,
        _refused | {"x": _no_tensors, "y": _no_tensors},
    ),
    Call(
        "losses.SSIMLoss",
        _loss,
        _large_pair(_parameters | _exponents),
        _is_loss,
        {},
        _refused | _of_exponents,
    ),
    Call(
        "losses.MultiScaleSSIMLoss",
        _multi_scale_loss,
        _large_pair(_parameters | {"n_scales": st.integers(1, 5)}),
        _is_loss,
        {},
        _refused | {"n_scales": no_integers | st.sampled_from((0, 6, -1, 2.5))},
    ),
    Call(
        "losses.EvidenceLowerBound",
        _elbo,
        st.fixed_dictionaries({"kl_weight": st.floats(0, 1e6)}),
        _is_finite,
        {"kl_weight": others.filter(lambda v: not isinstance(v, float))},
        {"kl_weight": _negative},
        share=1,
    ),
    Call(
        "losses.FeatureMatchingLoss",
        _feature_matching,
        st.fixed_dictionaries(
            {"feature_extractor": st.just(nn.AvgPool2d(2)), "feature_weight": st.floats(0, 1e6)}
        ),
        _is_finite,
        {"feature_weight": others.filter(lambda v: not isinstance(v, float))},
        {"feature_weight": _negative, "feature_extractor": others},
        share=1,
    ),
    Call(
        "losses.kl_divergence",
        losses.kl_divergence,
        _distributions(),
        _is_positive,
        {name: other_tensors() for name in ("mean", "log_variance")},
        dict.fromkeys(("mean", "log_variance"), _no_tensors),
        share=1,
    ),
    _networks("ConvolutionalAutoencoder"),
    _networks("VariationalAutoencoder"),
    _networks(
        "GenerativeAdversarialNetwork", encoding=(st.sampled_from(("after", "bigan")), others)
    ),
    Call(
        "modules.Critic",
        _rate,
        st.fixed_dictionaries(
            {
                "n_channels": _network["n_channels"],
                "patch_size": _network["patch_size"],
                "latent_dim": st.none() | _network["latent_dim"],
            }
        ),
        _are_ratings,
        {},
        {
            "n_channels": _no_network["n_channels"],
            "patch_size": _no_network["patch_size"],
            "latent_dim": _no_network["latent_dim"].filter(lambda value: value is not None),
        },
        share=2,
    ),
    Call(
        "losses.VariationalL1Loss",
        _variational_l1,
        st.fixed_dictionaries({"kl_weight": st.floats(0, 1e6)}),
        _is_finite,
        {},
        {"kl_weight": _negative},
        share=1,
    ),
    Call(
        "losses.gradient_penalty",
        _penalty,
        _batches(),
        _is_positive,
        {},
        dict.fromkeys(
            ("real", "generated"),
            others | other_tensors() | st.sampled_from(([], [None], [torch.ones(0, 2)])),
        ),
        share=1,
    ),
]
