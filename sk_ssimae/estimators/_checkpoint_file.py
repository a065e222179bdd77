"""The file of a checkpoint: plain values and tensors, written and read without running code."""

import contextlib
import hashlib
import io
import os
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from sk_ssimae.estimators._precision import AUTOMATIC

_PLAIN = (type(None), bool, int, float, str, Tensor, nn.Parameter)
_DIGEST_SIZE = hashlib.sha256().digest_size
# Beyond the tensors of the state: a hundred copies of them in callbacks, or a long history.
_MORE_BYTES, _MORE_COPIES = 2**28, 100
_MOST_VALUES, _DEEPEST = 1_000_000, 50
_LONGEST_REASON = 300
_SECTIONS = ("parts", "generators", "callbacks", "history", "precision")
# Fused optimisers take for granted that these have the shapes of the weights.
_LIKE_WEIGHTS = {"exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "sum"}


def plain(value: Any) -> Any:
    """Rebuild a value from types that torch reads without running code.

    Raises
    ------
    TypeError
        If it is of another type.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if type(value) in _PLAIN:
        return value
    if type(value) in (tuple, list):
        return type(value)(plain(item) for item in value)
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    raise TypeError(
        f"checkpoint_dir must be None if the state of training contains a {type(value).__name__}, "
        f"here {value!r:.80}: only code could restore it."
    )


def plain_items(values: Mapping[str, Any]) -> dict[str, Any]:
    """Rebuild the plain values, and leave out the others."""
    kept = {}
    for name, value in values.items():
        with contextlib.suppress(TypeError):
            kept[name] = plain(value)
    return kept


def pack(state: dict[str, Any]) -> bytes:
    """Return the content of a file, with a checksum at its end, where torch.load ignores it."""
    file = io.BytesIO()
    torch.save(state, file)
    content = file.getvalue()
    return content + hashlib.sha256(content).digest()


class Expected(NamedTuple):
    """Facts about a training, with which its checkpoint is compared.

    Attributes
    ----------
    state : dict
        State at the beginning. That of a checkpoint has the same parts, generators and callbacks,
        and tensors of the same types and shapes.
    shapes : dict of list of tuple of int
        Shapes of the weights of each optimiser, by its name.
    max_epochs : int
        Largest number of epochs in the history.
    """

    state: dict[str, Any]
    shapes: dict[str, list[tuple[int, ...]]]
    max_epochs: int


def read(path: Path, expected: Expected) -> dict[str, Any]:
    """Read the state of a training, without running anything in the file.

    Raises
    ------
    ValueError
        If the file is corrupted, not a checkpoint, or not one of that training.
    """
    n_bytes = sum(value.nbytes for value in _walk(expected.state) if isinstance(value, Tensor))
    state = read_values(path, _MORE_BYTES + _MORE_COPIES * n_bytes)
    with refusing(path):
        _check_state(state, expected)
    checked: dict[str, Any] = state
    return checked


def read_values(path: Path, largest: int) -> Any:
    """Read the plain values and tensors in a file of at most so many bytes.

    Raises
    ------
    ValueError
        If the file is corrupted, larger, or not a checkpoint.
    """
    with refusing(path):
        content = _read_content(path, largest)
        _check_archive(content)
        try:
            value = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            # Torch's message recommends to run the code.
            raise ValueError("it contains more than plain values and tensors") from error
        for item in _walk(value):
            _check_value(item)
    return value


@contextlib.contextmanager
def refusing(path: Path) -> Iterator[None]:
    """Turn errors about the content of a file into one that names the file and the remedy."""
    try:
        yield
    # Torch raises errors of many types on states that it did not write.
    except (
        *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError),
        *(EOFError, zipfile.BadZipFile),
    ) as error:
        reason = str(error)[:_LONGEST_REASON]
        raise ValueError(
            f"{str(path)!r} is corrupted or not a checkpoint of this training ({reason}). Delete "
            "it, and fit starts from the beginning."
        ) from (error if reason == str(error) else None)


def check_attributes(values: Any, target: object, where: str) -> None:
    """Check that attributes of an object can be replaced: methods of its class cannot.

    Raises
    ------
    ValueError
        If a name is that of a method, or is not text.
    """
    for name in values if type(values) is dict else [None]:
        is_own = type(name) is str and (name in vars(target) or not hasattr(type(target), name))
        if not is_own:
            raise ValueError(f"its {where} must not have the attribute {name!r:.80}")


def _read_content(path: Path, largest: int) -> bytes:
    if not path.is_file():  # A pipe might never end.
        raise ValueError("it is not a file")
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > largest:
            raise ValueError(f"it must have at most {largest} bytes, got {size} instead")
        content = file.read()
    content, digest = content[:-_DIGEST_SIZE], content[-_DIGEST_SIZE:]
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("checksum mismatch")
    return content


def _check_archive(content: bytes) -> None:
    """Check that an archive is not larger when unpacked; torch writes it uncompressed."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
    is_stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
    if not is_stored or sum(member.file_size for member in members) > len(content):
        raise ValueError("its archive is compressed")


def _check_state(state: Any, expected: Expected) -> None:
    if type(state) is not dict or state.keys() != {*_SECTIONS}:
        raise ValueError(f"it must have {', '.join(_SECTIONS)}")
    for section in ("parts", "generators"):
        _check_like(state[section], expected.state[section], section)
    for name, shapes in expected.shapes.items():
        _check_averages(state["parts"][name]["state"], shapes, name)
    _check_names(state["callbacks"], expected.state["callbacks"], "callbacks")
    _check_history(state["history"], expected.max_epochs)
    _check_precision(state["precision"], expected.state["precision"])


def _walk(value: Any) -> Iterator[Any]:
    """Yield all values in nested containers, keys included.

    Raises
    ------
    ValueError
        If there are too many, such as a list that is a hundred times in a list, and so on.
    """
    levels = [iter([value])]
    n_values = 0
    while levels:
        for item in levels[-1]:
            n_values += 1
            if n_values > _MOST_VALUES or len(levels) > _DEEPEST:
                raise ValueError(f"it must have at most {_MOST_VALUES} values in {_DEEPEST} levels")
            yield item
            if isinstance(item, dict):
                levels.append(iter([*item.keys(), *item.values()]))
                break
            if isinstance(item, list | tuple):
                levels.append(iter(item))
                break
        else:
            levels.pop()


def _check_value(value: Any) -> None:
    if type(value) not in (*_PLAIN, tuple, list, dict):
        raise ValueError(f"it contains a {type(value).__name__}")
    if isinstance(value, Tensor):
        is_plain = value.layout == torch.strided and not value.is_quantized
        if not is_plain or value.nbytes > value.untyped_storage().nbytes():
            raise ValueError("it contains a tensor that is larger than its data")


def _check_like(value: Any, current: Any, where: str) -> None:
    """Check that a value can replace another: names, tensors and kinds of numbers are the same."""
    if isinstance(current, Tensor):
        _check_tensor(value, current, where)
    elif isinstance(current, dict) and current:
        _check_names(value, current, where)
        for name, item in current.items():
            _check_like(value[name], item, f"{where}.{name}")
    elif isinstance(current, list | tuple) and current and isinstance(current[0], dict):
        if type(value) is not type(current) or len(value) != len(current):
            raise ValueError(f"its {where} must have {len(current)} items")
        for item, one in zip(value, current, strict=True):
            _check_like(item, one, where)
    elif current is not None and not _is_of_kind(value, current):
        raise ValueError(f"its {where} must be a {type(current).__name__}, got {value!r:.80}")


def _check_tensor(value: Any, current: Tensor, where: str) -> None:
    is_tensor = isinstance(value, Tensor) and value.dtype == current.dtype
    if not is_tensor or value.shape != current.shape:
        raise ValueError(
            f"its {where} must be a tensor of {current.dtype} and {tuple(current.shape)}"
        )
    if current.isfinite().all() and not value.isfinite().all():
        raise ValueError(f"its {where} contains numbers that are NaN or infinite")


def _is_of_kind(value: Any, current: Any) -> bool:
    if not isinstance(current, int | float):
        return type(value) is type(current)
    # A float can represent it. Schedules also keep infinite numbers.
    return type(value) in (bool, float) or (type(value) is int and abs(value) < 2**1023)


def _check_names(value: Any, current: dict[Any, Any], where: str) -> None:
    if type(value) is not dict or value.keys() != current.keys():
        raise ValueError(f"its {where} must be those of this training: {[*current]!s:.200}")


def _check_averages(averages: Any, shapes: list[tuple[int, ...]], where: str) -> None:
    """Check that averages of gradients have the shapes of the weights."""
    for index, named in averages.items():
        for name in _LIKE_WEIGHTS & named.keys():
            average = named[name]
            if average is not None and average.shape != shapes[index]:
                raise ValueError(f"its {where} must have {name} of the shape {shapes[index]}")


def _check_precision(value: Any, current: str) -> None:
    allowed = AUTOMATIC if current in AUTOMATIC else (current,)
    if value not in allowed:
        raise ValueError(f"its precision must be one of {allowed}, got {value!r:.80}")


def _check_history(history: Any, max_epochs: int) -> None:
    if type(history) is not list or len(history) > max_epochs:
        raise ValueError(f"its history must be a list of at most {max_epochs} epochs")
    for number, row in enumerate(history, start=1):
        is_row = type(row) is dict and type(row.get("epoch")) is int and row["epoch"] == number
        is_row = is_row and type(row.get("train_loss", 0.0)) is float and row["batches"] == []
        if not is_row:
            raise ValueError(f"its history must have the epoch {number}, got {row!r:.80}")
