"""From good regions and parameters to a trained net."""

import copy
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from skorch.callbacks import ProgressBar
from torch import nn

from sk_ssimae._inference._region import Region, working_pixels
from sk_ssimae.estimators._arithmetic import reproducible
from sk_ssimae.estimators._checkpoint import make_checkpoint
from sk_ssimae.estimators._net import ReconstructionNet, one_cycle_schedule
from sk_ssimae.estimators._parameters import SegmenterParameters
from sk_ssimae.estimators._sampler import PatchSampler
from sk_ssimae.modules import initialize_autoencoder

_GLOBAL_GENERATOR = threading.Lock()


def train(
    params: SegmenterParameters,
    regions: Sequence[Region],
    make_module: Callable[[int, torch.Generator], nn.Module],
    make_loss: Callable[[], nn.Module],
    *,
    device: torch.device,
    rng: np.random.Generator,
) -> ReconstructionNet:
    """Train a network on random patches of good regions.

    Parameters
    ----------
    params : SegmenterParameters
        Checked parameters.
    regions : sequence of Region
        What to cut patches from.
    make_module : callable
        From the number of channels and a generator to an autoencoder, whose weights are then
        drawn here.
    make_loss : callable
        Gives the loss.
    device : torch.device
        Where to train.
    rng : Generator
        Source of all seeds.

    Returns
    -------
    ReconstructionNet
        The net, trained as far as the keyboard let it.

    Raises
    ------
    ValueError
        If training diverges, or `net_params` sets what it must not.
    OSError
        If a checkpoint cannot be written.
    """
    sampler = PatchSampler(
        [working_pixels(region) for region in regions],
        patch_size=params.patch_size,
        n_patches=params.n_patches,
        batch_size=params.batch_size,
        dihedral=params.augmentation == "dihedral",
        cutout=params.cutout,
        generator=_torch_generator(rng, device),
    )
    weights_generator = _torch_generator(rng, torch.device("cpu"))
    noise_generator = _torch_generator(rng, device)
    # Layers draw default weights from the global generator as they are made. It is one for all
    # threads.
    with _GLOBAL_GENERATOR, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(rng.integers(2**63)))
        module, loss = make_module(sampler.n_channels, noise_generator), make_loss()
    initialize_autoencoder(
        module, generator=weights_generator, mean_intensity=sampler.mean_intensity.cpu()
    )
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # stub lacks it
    callbacks = _callbacks(params)
    if params.checkpoint_dir is not None:
        generators = {"patches": sampler.generator, "noise": noise_generator}
        checkpoint = make_checkpoint(params, sampler, loss, generators)
        callbacks.append(("checkpoint_dir", checkpoint))
    settings: dict[str, Any] = {
        "module": module,
        "criterion": loss,
        "lr": params.lr,
        "max_epochs": params.max_epochs,
        "batch_size": params.batch_size,
        "train_split": None,
        "callbacks": callbacks,
        "device": device,
        "verbose": int(params.verbose),
    }
    net_params = params.net_params or {}
    defaults: dict[str, Any] = {
        "optimizer": torch.optim.Adam,
        "optimizer__weight_decay": params.weight_decay,
    }
    if "optimizer" not in net_params:
        # Its other implementation excludes this one, and some devices lack it.
        may_be_fused = device.type in ("cpu", "cuda") and not net_params.get("optimizer__foreach")
        defaults["optimizer__fused"] = may_be_fused
    if settings.keys() & net_params.keys():
        raise ValueError(
            "net_params must not set what the segmenter's own parameters set, got "
            f"{sorted(settings.keys() & net_params.keys())}; what they may set is, for example, "
            "optimizer or optimizer__betas."
        )
    try:
        net = ReconstructionNet(**settings, **(defaults | net_params)).initialize()
    except (TypeError, ValueError) as error:
        raise ValueError(f"net_params or callbacks do not suit the net: {error}") from error
    with reproducible(device):
        net.partial_fit(sampler)
    return net


def _callbacks(params: SegmenterParameters) -> list[Any]:
    callbacks: list[Any] = []
    if params.lr_schedule == "one_cycle":
        n_steps = params.max_epochs * math.ceil(params.n_patches / params.batch_size)
        callbacks.append(("lr_schedule", one_cycle_schedule(params.lr, n_steps)))
    if params.verbose > 1:
        callbacks.append(("progress_bar", ProgressBar(postfix_keys=["event_lr"])))
    # Copies, because skorch keeps the state of training in them.
    return callbacks + copy.deepcopy(params.callbacks or [])


def _torch_generator(rng: np.random.Generator, device: torch.device) -> torch.Generator:
    return torch.Generator(device).manual_seed(int(rng.integers(2**63)))
