"""From good regions and parameters to a trained net."""

import contextlib
import copy
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from skorch.callbacks import ProgressBar

from sk_ssimae._intensity import Image
from sk_ssimae._interest import Inside
from sk_ssimae.estimators._arithmetic import reproducible
from sk_ssimae.estimators._checkpoint import make_checkpoint
from sk_ssimae.estimators._drawing import DrawFrom
from sk_ssimae.estimators._freed_memory import reuse_freed_memory
from sk_ssimae.estimators._initial_weights import (
    copy_weights,
    open_initial_weights,
    weights_of_network,
)
from sk_ssimae.estimators._net import ReconstructionNet, one_cycle_schedule
from sk_ssimae.estimators._net_params import check_callbacks, check_net_params
from sk_ssimae.estimators._precision import resolve_precision
from sk_ssimae.estimators._sampler import PatchSampler

if TYPE_CHECKING:
    from sk_ssimae.estimators._autoencoder import BaseAutoencoderSegmenter

# Share of the learning rate of `fit` by which training continues. A choice, not measured: a new
# cycle at the full rate might undo the earlier training.
_LOWER_RATE = 0.1


def train(
    segmenter: "BaseAutoencoderSegmenter",
    regions: Sequence[Image],
    *,
    device: torch.device,
    rng: np.random.Generator,
    inside: Sequence[Inside] | None = None,
    start: ReconstructionNet | None = None,
) -> ReconstructionNet:
    """Train the network of a segmenter on random patches of good regions.

    Parameters
    ----------
    segmenter : BaseAutoencoderSegmenter
        Its parameters have been checked.
    regions : sequence of arrays (h, w, c)
        Images or parts of images to cut patches from.
    device : torch.device
        Where to train.
    rng : Generator
        Source of all seeds.
    inside : sequence of arrays of bool (h, w), or None
        Inspected pixels of each region; None for all.
    start : ReconstructionNet or None, default=None
        Net whose weights to continue from, by a learning rate of a tenth; None to draw them, or to
        start from `initial_weights`.

    Returns
    -------
    ReconstructionNet
        The net, trained until the end or until an interrupt from the keyboard.

    Raises
    ------
    ValueError
        If training diverges, `net_params` sets parameters that it must not, or `initial_weights`
        do not suit the network.
    OSError
        If a checkpoint cannot be written, or the file of `initial_weights` cannot be opened.
    """
    initial = open_initial_weights(segmenter.initial_weights) if start is None else None
    sampler = PatchSampler(
        regions,
        inside=inside,
        patch_size=segmenter.patch_size,
        n_patches=segmenter.n_patches,
        batch_size=segmenter.batch_size,
        dihedral=segmenter.augmentation == "dihedral",
        cutout=segmenter.cutout,
        generator=torch_generator(rng, device),
    )
    weights_generator = torch_generator(rng, torch.device("cpu"))
    noise_generator = torch_generator(rng, device)
    # Layers draw default weights when they are made, those of further parts of a net included.
    with DrawFrom(torch_generator(rng, torch.device("cpu"))):
        module = segmenter.make_module(sampler.n_channels, noise_generator)
        loss = segmenter.make_loss()
        segmenter.check_hooks(module, loss)
        segmenter.initialize_module(
            module, generator=weights_generator, mean_intensity=sampler.mean_intensity.cpu()
        )
        if initial is not None:
            copy_weights(initial, segmenter, module, sampler.n_channels)
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # stub lacks it
        lr = segmenter.lr * (1 if start is None else _LOWER_RATE)
        callbacks = _callbacks(segmenter, lr)
        if segmenter.checkpoint_dir is not None:
            generators = {"patches": sampler.generator, "noise": noise_generator}
            weights = _weights_of(start) if start is not None else {}
            if initial is not None:
                weights = weights_of_network(initial)
            checkpoint = make_checkpoint(segmenter, sampler, loss, generators, weights)
            callbacks.append(("checkpoint_dir", checkpoint))
        settings: dict[str, Any] = {
            "module": module,
            "criterion": loss,
            "lr": lr,
            "max_epochs": segmenter.max_epochs,
            "batch_size": segmenter.batch_size,
            "train_split": None,
            "callbacks": callbacks,
            "device": device,
            "precision": resolve_precision(segmenter.precision, device),
            "verbose": int(segmenter.verbose),
            "generator": noise_generator,
            **segmenter.net_settings(),
        }
        net = _initialized_net(segmenter, settings, device)
        if start is not None:
            _take_weights(net, start)
    reuse_freed_memory()
    with reproducible(device):
        net.partial_fit(sampler)
    return net


def _initialized_net(
    segmenter: "BaseAutoencoderSegmenter", settings: dict[str, Any], device: torch.device
) -> ReconstructionNet:
    net_params = segmenter.net_params or {}
    defaults: dict[str, Any] = {
        "optimizer": torch.optim.Adam,
        "optimizer__weight_decay": segmenter.weight_decay,
    }
    if "optimizer" not in net_params:
        # Adam's other implementation excludes this one, and some devices lack it.
        may_be_fused = device.type in ("cpu", "cuda") and not net_params.get("optimizer__foreach")
        defaults["optimizer__fused"] = may_be_fused
    check_net_params(net_params, settings, has_schedule=segmenter.lr_schedule is not None)
    try:
        net = segmenter.net_class(**settings, **(defaults | net_params)).initialize()
    except (TypeError, ValueError) as error:
        raise ValueError(f"net_params or callbacks do not suit the net: {error}") from error
    check_callbacks(net)
    return net


def _weights_of(net: ReconstructionNet) -> dict[str, Any]:
    """Return the weights of all parts of a net, by the name of the part."""
    return {
        f"{name}.{key}": value
        for name in net._modules
        if (part := getattr(net, f"{name}_", None)) is not None
        for key, value in part.state_dict().items()
    }


def _take_weights(net: ReconstructionNet, start: ReconstructionNet) -> None:
    """Copy the weights of all parts that the other net has, which are not all after pickling."""
    for name in net._modules:
        if (former := getattr(start, f"{name}_", None)) is not None:
            getattr(net, f"{name}_").load_state_dict(former.state_dict())
    for name in net._criteria:
        if (former := getattr(start, f"{name}_", None)) is not None:
            # Model files leave parts of a loss out that only training needs.
            getattr(net, f"{name}_").load_state_dict(former.state_dict(), strict=False)


def _callbacks(segmenter: "BaseAutoencoderSegmenter", lr: float) -> list[Any]:
    callbacks: list[Any] = []
    if segmenter.lr_schedule == "one_cycle":
        n_steps = segmenter.max_epochs * math.ceil(segmenter.n_patches / segmenter.batch_size)
        callbacks.append(("lr_schedule", one_cycle_schedule(lr, n_steps)))
    if segmenter.verbose > 1:
        callbacks.append(("progress_bar", ProgressBar(postfix_keys=["event_lr"])))
    return callbacks + [_copy_callback(callback) for callback in segmenter.callbacks or []]


def _copy_callback(callback: Any) -> Any:
    """Copy a callback, because skorch keeps the state of training in it.

    Its attributes that cannot be copied are shared, such as the open log of TensorBoard.
    """
    if isinstance(callback, tuple):
        return callback[0], _copy_callback(callback[1])
    try:
        return copy.deepcopy(callback)
    except TypeError:  # Of locks, threads and open files.
        copied = copy.copy(callback)
        for name, value in vars(callback).items():
            with contextlib.suppress(TypeError):
                setattr(copied, name, copy.deepcopy(value))
        return copied


def torch_generator(rng: np.random.Generator, device: torch.device) -> torch.Generator:
    """Return a generator on a device, with a seed drawn from another one."""
    return torch.Generator(device).manual_seed(int(rng.integers(2**63)))
