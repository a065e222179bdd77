"""Parameters and callbacks of skorch that would have no effect here, or break the net."""

from collections.abc import Collection
from typing import Any

from skorch import NeuralNet
from skorch.callbacks import BatchScoring, EpochScoring

_NO_LOADER = (
    "patches are cropped on the device, without a data loader. See the parameters n_patches and "
    "batch_size"
)
_NO_PREDICTION = "the segmenter predicts without it. Leave it out"
#: Parameters of skorch's net that its own steps here do not read, and the way that works.
_WITHOUT_EFFECT = {
    "iterator_train": _NO_LOADER,
    "iterator_valid": _NO_LOADER,
    "dataset": _NO_LOADER,
    "predict_nonlinearity": _NO_PREDICTION,
    "use_caching": _NO_PREDICTION,
    "warm_start": "every fit draws new weights, or starts from initial_weights. partial_fit "
    "continues from those of the last fit, checkpoint_dir resumes an interrupted one",
    "torch_load_kwargs": "nothing is loaded by skorch. Use sk_ssimae.persistence",
    "history": "every fit starts a history of its own. Leave it out",
    "module": "the network is made by the segmenter. Set its parameters, or override make_module",
    "criterion": "the loss is made by the segmenter. Set its parameters, or override make_loss",
}


def check_net_params(
    net_params: dict[Any, Any], own: Collection[str], *, has_schedule: bool
) -> None:
    """Check that `net_params` sets nothing of the segmenter's own, and nothing without effect.

    Parameters
    ----------
    net_params : dict
        Parameters of the net that the user gives.
    own : collection of str
        Names that the segmenter sets itself.
    has_schedule : bool
        Whether the segmenter schedules the learning rate.

    Raises
    ------
    ValueError
        If it does; the message names the remedy.
    """
    names = [name for name in net_params if isinstance(name, str)]
    if taken := sorted({*own} & {*names}):
        raise ValueError(
            f"net_params must not contain names that the segmenter sets itself, got {taken}. It "
            "may contain, for example, optimizer or optimizer__betas."
        )
    for name in names:
        if reason := _without_effect(name, net_params, has_schedule):
            raise ValueError(
                f"net_params must not contain {name!r}, which has no effect: {reason}."
            )


def check_callbacks(net: NeuralNet) -> None:
    """Check that callbacks wait for no validation data, which training has not.

    Parameters
    ----------
    net : NeuralNet
        Initialised net.

    Raises
    ------
    ValueError
        If one scores validation data, or monitors such a score and no other callback records it;
        also if the parameters of the net name a callback that it does not have.
    """
    known = {name for name, _ in net._uniquely_named_callbacks()}
    given = {name.split("__")[1] for name in vars(net) if name.startswith("callbacks__")}
    if unknown := sorted(given - known):
        raise ValueError(
            f"net_params must name callbacks of the net, {sorted(known)}, got {unknown} instead."
        )
    # skorch's own, which records nothing without validation data, is called like its score.
    scores = {getattr(item, "name", name) for name, item in net.callbacks_ if name != "valid_loss"}
    for name, item in net.callbacks_:
        if isinstance(item, EpochScoring | BatchScoring) and not item.on_train:
            raise ValueError(
                f"callbacks must not score validation data, got {name} with on_train=False: "
                "held-out pixels take no part in training. Set on_train=True."
            )
        monitor = getattr(item, "monitor", None)
        if not isinstance(monitor, str) or not monitor.startswith("valid_"):
            continue
        if monitor.removesuffix("_best") not in scores:
            raise ValueError(
                f"callbacks must not monitor scores on validation data, got {name} with "
                f"monitor={monitor!r}: held-out pixels take no part in training. Set "
                f"monitor={monitor.replace('valid_', 'train_', 1)!r}."
            )


def _without_effect(name: str, net_params: dict[Any, Any], has_schedule: bool) -> str | None:
    """Return why a parameter has no effect, and the remedy; None if it has one."""
    part, _, option = name.partition("__")
    if part in _WITHOUT_EFFECT:
        return _WITHOUT_EFFECT[part]
    if part == "compile" and option and not net_params.get("compile"):
        return "nothing is compiled. Add 'compile': True"
    if name == "optimizer__lr" and has_schedule:
        return "the schedule sets the rate of every step. Set lr, or lr_schedule=None"
    if name.endswith("_"):
        return "it names a result of training. Leave it out"
    return None
