"""Where the time of a training step goes, by layer and kind of operation."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _common import describe_machine, make_net, make_sampler
from _rows import write
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function

from sk_ssimae.estimators._freed_memory import reuse_freed_memory

PATCH_SIZE, LATENT_DIM = 64, 100  # The defaults of segmenters.
N_WARMUP = 3
STEP, LAYER = "step", "layer "
SAMPLING, LOSS, OPTIMISER = "sampling", "SSIM loss", "optimiser"
OTHER = "other"
KINDS = {nn.BatchNorm2d: "normalisation", nn.LeakyReLU: "activation"}
CONVERSIONS = ("aten::_to_copy", "ToCopyBackward0")
COLUMNS = ("precision", "part", "layer", "milliseconds", "share", "patches", "processor", "threads")


def write_profile(images: np.ndarray, path: Path, *, n_steps: int, batch_size: int) -> None:
    """Profile steps in float32 and bf16, and write a table: parts of a step, then its layers."""
    machine = describe_machine()
    rows = []
    for precision in ("float32", "bf16"):
        milliseconds = profile_steps(images, precision, n_steps, batch_size)
        whole = sum(milliseconds.values())
        parts: dict[str, float] = defaultdict(float)
        for (part, _), taken in milliseconds.items():
            parts[part] += taken
        of_layers = {key: taken for key, taken in milliseconds.items() if key[1]}
        for (part, layer), taken in ({(p, ""): t for p, t in parts.items()} | of_layers).items():
            values = precision, part, layer, f"{taken:.3f}", f"{taken / whole:.4f}", batch_size
            row = dict(zip(COLUMNS, values, strict=False))
            rows.append(row | {"processor": machine["machine"], "threads": machine["threads"]})
            if not layer:
                print(f"{precision:<9}{part:<16}{taken:>9.2f} ms{taken / whole:>8.1%}")
    write(rows, path, COLUMNS)


def profile_steps(
    images: np.ndarray, precision: str, n_steps: int, batch_size: int
) -> dict[tuple[str, str], float]:
    """Return the milliseconds of each part and layer.

    They are sums over operations, of the shortest time of each over the steps: other work on the
    machine only makes an operation slower. A backward operation belongs to the layer of its forward
    operation, which has the same sequence number.
    """
    reuse_freed_memory()  # As `fit` does.
    network, loss, optimizer = make_net(LATENT_DIM, PATCH_SIZE)
    with ExitStack() as stack:
        for index, layer in enumerate((*network.encoder, *network.decoder)):
            kind = KINDS.get(type(layer), "convolutions")
            _label(layer, f"{LAYER}{kind}/{index} {_describe(layer)}", stack)

        def run(n: int) -> None:
            sampler = make_sampler(images, n * batch_size, batch_size, PATCH_SIZE)
            batches = iter(sampler)
            for _ in range(n):
                with record_function(STEP):
                    with record_function(SAMPLING):
                        patches, target = next(batches)
                    with record_function(OPTIMISER):
                        optimizer.zero_grad()
                    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                        output = network(patches)
                        with record_function(LOSS):
                            value = loss(output, target)
                    value.backward()
                    with record_function(OPTIMISER):
                        optimizer.step()

        run(N_WARMUP)
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            run(n_steps)
    events = profiled.events()
    layer_of = {
        event.sequence_nr: label
        for event in events
        if event.sequence_nr >= 0 and (label := _first(event, LAYER))
    }
    found: dict[tuple[str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for event in sorted(events, key=lambda event: event.time_range.start):
        step = next((one for one in _ancestors(event) if one.name == STEP), None)
        if step is not None:
            found[_key(event, layer_of)][step.id].append(event.self_cpu_time_total / 1000)
    return {
        key: sum(map(min, *steps.values())) for key, steps in found.items() if len(steps) == n_steps
    }


def _describe(layer: nn.Module) -> str:
    """Return the kind of a layer, and the shape of its weights if it has any."""
    weight = getattr(layer, "weight", None)
    shape = "" if weight is None else " " + " × ".join(map(str, weight.shape))
    return f"{type(layer).__name__}{shape}"


def _label(layer: nn.Module, label: str, stack: ExitStack) -> None:
    """Record the forward pass of a layer under a label, until the stack is closed."""
    opened: list[Any] = []

    def begin(*_: Any) -> None:
        opened.append(record_function(label))
        opened[-1].__enter__()

    def end(*_: Any) -> None:
        opened.pop().__exit__(None, None, None)

    stack.callback(layer.register_forward_pre_hook(begin).remove)
    stack.callback(layer.register_forward_hook(end).remove)


def _key(event: Any, layer_of: dict[int, str]) -> tuple[str, str]:
    """Return part and layer of an operation; the layer is empty outside the network."""
    ancestors = list(_ancestors(event))
    for part in (SAMPLING, LOSS, OPTIMISER):
        if any(one.name == part for one in ancestors):
            return part, ""
    if any("_MeanSimilarityBackward" in one.name for one in ancestors):
        return LOSS, ""
    label = _first(event, LAYER) or next(
        (layer_of[one.sequence_nr] for one in ancestors if one.sequence_nr in layer_of), None
    )
    if label is None:
        return OTHER, ""
    kind, _, layer = label.removeprefix(LAYER).partition("/")
    if any(name in one.name for one in ancestors for name in CONVERSIONS):
        return "conversions", layer
    return kind, layer


def _first(event: Any, prefix: str) -> str | None:
    return next((one.name for one in _ancestors(event) if one.name.startswith(prefix)), None)


def _ancestors(event: Any) -> Iterator[Any]:
    """Yield an operation and those that contain it, from the inside."""
    while event is not None:
        yield event
        event = event.cpu_parent
