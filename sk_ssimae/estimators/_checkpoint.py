"""Checkpoints: the whole state of training, from which a fit that was killed goes on."""

import contextlib
import copy
import hashlib
import io
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from skorch.callbacks import Callback, PrintLog
from torch import Tensor, nn

import sk_ssimae
from sk_ssimae._atomic import replace_file
from sk_ssimae.estimators._parameters import SegmenterParameters
from sk_ssimae.estimators._sampler import PatchSampler

# Parameters that training does without, or that act on it through seeds, images and device.
_NOT_OF_TRAINING = {
    *("checkpoint_dir", "random_state", "device", "verbose", "stride", "inference_batch_size"),
    *("taper", "smoothing", "test_time_augmentation", "opening_diameter"),
    *("threshold", "target_fpr", "validation_fraction"),
}
_PLAIN = (type(None), bool, int, float, str, Tensor, nn.Parameter)
_DIGEST_SIZE = hashlib.sha256().digest_size


class Checkpoint(Callback):
    """Write the state of training to a file before the first epoch and after each; go on from it.

    It comes after all other callbacks, whose state it writes and restores. Of their attributes it
    knows numbers, texts, tensors, and tuples, lists and dicts of these, and what has a
    ``state_dict``, such as schedules. Others are as ``on_train_begin`` leaves them.

    Parameters
    ----------
    path : Path
        The file. It belongs to one run, which its name identifies.
    generators : dict of torch.Generator
        Sources of the random numbers of training.
    """

    def __init__(self, path: Path, generators: dict[str, torch.Generator]) -> None:
        self.path = path
        self.generators = generators

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Go on where the checkpoint was written, or write the first one."""
        if self.path.exists():
            self._restore(net)
        else:
            # What cannot be written is known before an epoch was spent.
            self._write(net)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Replace the checkpoint by one of now."""
        self._write(net)

    def _state(self, net: Any) -> dict[str, Any]:
        return {
            "parts": {name: _plain(part.state_dict()) for name, part in self._parts(net)},
            "generators": {name: part.get_state() for name, part in self.generators.items()},
            "callbacks": {name: _plain_items(vars(other)) for name, other in self._others(net)},
            "history": [_plain_items(row | {"batches": []}) for row in net.history],
        }

    def _write(self, net: Any) -> None:
        try:
            replace_file(self.path, _pack(self._state(net)))
        except OSError as error:
            reason = error.strerror or str(error)
            raise OSError(
                error.errno,
                f"The checkpoint cannot be written ({reason}); the one before is as it was. Mend "
                "that or choose another checkpoint_dir, and fit again",
                str(self.path),
            ) from error
        except KeyboardInterrupt:
            net.interrupted_ = True
            raise

    def _restore(self, net: Any) -> None:
        state = _read(self.path)
        for name, part in self._parts(net):
            part.load_state_dict(state["parts"][name])
        for name, generator in self.generators.items():
            generator.set_state(state["generators"][name])
        for name, other in self._others(net):
            vars(other).update(state["callbacks"][name])
        net.history.extend(state["history"])
        if net.verbose:
            print(f"Training goes on after epoch {len(net.history)}, from {str(self.path)!r}.")

    def _parts(self, net: Any) -> Iterator[tuple[str, Any]]:
        """Give what has a state of its own."""
        # A copy shares the tensors and leaves a feature extractor behind, which never changes.
        yield from {
            "network": net.module_,
            "loss": copy.copy(net.criterion_),
            "optimizer": net.optimizer_,
            "scaler": net._scaler,
        }.items()
        for name, other in self._others(net):
            for attribute, value in vars(other).items():
                if hasattr(value, "load_state_dict") and not isinstance(value, type):
                    yield f"{name}.{attribute}", value

    def _others(self, net: Any) -> Iterator[tuple[str, Callback]]:
        """Give the other callbacks, but for the table of losses, which prints its header again."""
        for name, callback in net.callbacks_:
            if callback is not self and not isinstance(callback, PrintLog):
                yield name, callback


def make_checkpoint(
    params: SegmenterParameters,
    sampler: PatchSampler,
    loss: nn.Module,
    generators: dict[str, torch.Generator],
) -> Checkpoint:
    """Make the callback for the file of this run in `checkpoint_dir`, and the folder if need be.

    The name of the file is a hash of what determines the weights: the segmenter's class and its
    parameters of training, the images, the tensors of the loss, the seeds, the kind of device, and
    the versions of torch and this package. Another run has another file.

    Parameters
    ----------
    params : SegmenterParameters
        Checked parameters; `checkpoint_dir` is not None.
    sampler : PatchSampler
        Holds the images.
    loss : Module
        The loss before training.
    generators : dict of torch.Generator
        Sources of the random numbers of training, none of which has been used.

    Raises
    ------
    OSError
        If there is no such folder and it cannot be made.
    TypeError
        If a parameter of training cannot be pickled, and so not be told from another.
    """
    folder = Path(params.checkpoint_dir or "")
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(
            f"checkpoint_dir must be a folder, got the file {str(folder)!r} instead."
        )
    folder.mkdir(parents=True, exist_ok=True)
    cls = type(params)
    described = {
        "class": f"{cls.__module__}.{cls.__qualname__}",
        "parameters": {
            name: _hash(value, name)
            for name, value in params.get_params(deep=False).items()
            if name not in _NOT_OF_TRAINING
        },
        "images": sampler.hash_images(),
        "loss": {name: _hash(_array(value), name) for name, value in loss.state_dict().items()},
        "seeds": [generator.initial_seed() for generator in generators.values()],
        "device": sampler.generator.device.type,
        "versions": (str(torch.__version__), sk_ssimae.__version__),
    }
    return Checkpoint(folder / f"{cls.__name__}-{joblib.hash(described)}.pt", generators)


def _hash(value: Any, name: str) -> str:
    if isinstance(value, nn.Module):  # Its weights are among the tensors of the loss.
        value = str(value)
    try:
        return str(joblib.hash(value))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError(
            f"{name} must be such that it can be pickled, with checkpoint_dir, which tells runs "
            f"apart by it: define functions and classes in a module, not within others ({error})."
        ) from error


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().double().numpy()


def _plain(value: Any) -> Any:
    """Rebuild a value of the types that torch reads without trust.

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
        return type(value)(_plain(item) for item in value)
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    raise TypeError(
        f"checkpoint_dir must be None with states of training that hold a {type(value).__name__}, "
        f"here {value!r:.80}, which only code could restore."
    )


def _plain_items(values: Mapping[str, Any]) -> dict[str, Any]:
    """Rebuild what is plain of the values, and leave out what is not."""
    kept = {}
    for name, value in values.items():
        with contextlib.suppress(TypeError):
            kept[name] = _plain(value)
    return kept


def _pack(state: dict[str, Any]) -> bytes:
    """Make the content of a file, with a checksum at its end, where torch.load overlooks it."""
    file = io.BytesIO()
    torch.save(state, file)
    content = file.getvalue()
    return content + hashlib.sha256(content).digest()


def _read(path: Path) -> dict[str, Any]:
    """Read a file without running anything that it may hold.

    Raises
    ------
    ValueError
        If it is damaged or no checkpoint.
    """
    content = path.read_bytes() if path.is_file() else b""  # A pipe might never end.
    content, digest = content[:-_DIGEST_SIZE], content[-_DIGEST_SIZE:]
    if hashlib.sha256(content).digest() != digest:
        raise ValueError(
            f"{str(path)!r} is damaged or no checkpoint. Delete it, and fit starts from the "
            "beginning."
        )
    state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return state
