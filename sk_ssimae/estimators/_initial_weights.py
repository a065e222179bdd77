"""Weights of a fitted segmenter's network, from which the training of another one starts."""

from typing import TYPE_CHECKING, Any

from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from sk_ssimae.estimators._base import BaseSegmenter

if TYPE_CHECKING:
    from sk_ssimae.estimators._autoencoder import BaseAutoencoderSegmenter

_SIZES = ("latent_dim", "patch_size", "normalization")


def open_initial_weights(initial_weights: Any) -> "BaseAutoencoderSegmenter | None":
    """Return the fitted segmenter that the parameter `initial_weights` stands for.

    Parameters
    ----------
    initial_weights : None, segmenter or path
        Checked value of the parameter. A path is that of a file of `persistence.save`; nothing in
        it is run.

    Returns
    -------
    BaseAutoencoderSegmenter or None
        Segmenter with a network: the one given, or the only one in an ensemble. None for None.

    Raises
    ------
    ValueError
        If it is not fitted, has no network or several, or the file is not one of `save`.
    OSError
        If the file cannot be opened.
    """
    if initial_weights is None:
        return None
    segmenter = initial_weights
    if not isinstance(segmenter, BaseSegmenter):
        # Persistence is a level above: it reads files of all segmenters.
        from sk_ssimae.persistence import load

        try:
            segmenter = load(initial_weights, device="cpu")
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"initial_weights must be an existing file, got {str(initial_weights)!r} instead. "
                "Check the path."
            ) from error
        except ValueError as error:
            raise ValueError(
                "initial_weights must be a fitted segmenter or a file of persistence.save, got "
                f"{str(initial_weights)!r} instead ({error})"
            ) from error
    check_is_fitted(
        segmenter,
        "fitted_parameters_",
        msg="initial_weights must be a fitted segmenter, got a %(name)s that is not fitted "
        "instead. Fit it first; in the grid of a search, which clones its values, give a path.",
    )
    members = [segmenter, *getattr(segmenter, "segmenters_", ())]
    networks = [member for member in members if hasattr(member, "net_")]
    if len(networks) != 1:
        raise ValueError(
            "initial_weights must be a segmenter with one network, got "
            f"{type(segmenter).__name__} with {len(networks)} instead. Choose a fitted autoencoder."
        )
    found: BaseAutoencoderSegmenter = networks[0]
    return found


def weights_of_network(segmenter: "BaseAutoencoderSegmenter") -> dict[str, Tensor]:
    """Return the weights and averages of a fitted network by name, without those of its loss."""
    weights: dict[str, Tensor] = segmenter.net_.module_.state_dict()
    return weights


def copy_weights(
    start: "BaseAutoencoderSegmenter",
    segmenter: "BaseAutoencoderSegmenter",
    module: nn.Module,
    n_channels: int,
) -> None:
    """Copy the weights of a fitted segmenter's network into a new one.

    Parameters
    ----------
    start : BaseAutoencoderSegmenter
        Fitted.
    segmenter : BaseAutoencoderSegmenter
        The one that is being fitted.
    module : Module
        Its network, which has not been trained.
    n_channels : int
        Number of channels of its training images.

    Raises
    ------
    ValueError
        If the two networks do not have the same tensors; the message names the differences.
    """
    given, own = weights_of_network(start), module.state_dict()
    shapes = [{name: tuple(one.shape) for name, one in tensors.items()} for tensors in (given, own)]
    if shapes[0] != shapes[1]:
        expected, got = _differences(start, segmenter, module, n_channels)
        raise ValueError(
            f"initial_weights must be those of a network with {expected}, got {got} instead. Set "
            "the same parameters and use images of as many channels, or set initial_weights=None."
        )
    module.load_state_dict(given)


def _differences(
    start: "BaseAutoencoderSegmenter",
    segmenter: "BaseAutoencoderSegmenter",
    module: nn.Module,
    n_channels: int,
) -> tuple[str, str]:
    """Name the sizes in which two networks differ, of the new network first."""
    former: Any = start.net_.module_
    own = {name: getattr(segmenter, name) for name in _SIZES} | {"n_channels_": n_channels}
    given = {name: start.fitted_parameters_.get(name) for name in _SIZES}
    given["n_channels_"] = start.n_channels_
    differing = [name for name in own if own[name] != given[name]]
    if type(former) is not type(module) or not differing:
        return _describe(module), _describe(former)
    new, old = (
        ", ".join(f"{name}={sizes[name]!r}" for name in differing) for sizes in (own, given)
    )
    return new, old


def _describe(module: nn.Module) -> str:
    n_weights = sum(parameter.numel() for parameter in module.parameters())
    return f"the layers of {type(module).__name__} ({n_weights} weights)"
