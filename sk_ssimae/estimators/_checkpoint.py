"""Checkpoints: the whole state of training, from which an interrupted fit resumes."""

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import torch
from skorch.callbacks import Callback, PrintLog
from torch import Tensor, nn

import sk_ssimae
from sk_ssimae._atomic import replace_file
from sk_ssimae.estimators._checkpoint_file import (
    Expected,
    check_attributes,
    pack,
    plain,
    plain_items,
    read,
    refusing,
)
from sk_ssimae.estimators._memory import hash_parameter
from sk_ssimae.estimators._parameters import Role
from sk_ssimae.estimators._sampler import PatchSampler

if TYPE_CHECKING:
    from sk_ssimae.estimators._autoencoder import BaseAutoencoderSegmenter

# They act through seeds, images and weights, which are told apart by themselves.
_SEEN_OTHERWISE = {"random_state", "validation_fraction", "image_size", "initial_weights"}


class Checkpoint(Callback):
    """Write the state of training to a file before the first epoch and after each; resume from it.

    It holds all modules, criteria and optimisers of the net, the generators, and the state of all
    other callbacks, which come before it: attributes that are numbers, texts, tensors, tuples,
    lists or dicts of these, or objects with a ``state_dict``, such as schedules. Other attributes
    are as ``on_train_begin`` leaves them.

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
        """Resume where the checkpoint was written, or write the first one."""
        if self.path.exists():
            self._restore(net)
        else:
            # Fail before the first epoch if the file cannot be written.
            self._write(net)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Replace the checkpoint by a current one."""
        self._write(net)

    def _state(self, net: Any) -> dict[str, Any]:
        return {
            "parts": {name: plain(part.state_dict()) for name, part in self._parts(net)},
            "generators": {name: part.get_state() for name, part in self.generators.items()},
            "callbacks": {name: plain_items(vars(other)) for name, other in self._others(net)},
            "history": [plain_items(row | {"batches": []}) for row in net.history],
            "precision": net.precision,
        }

    def _write(self, net: Any) -> None:
        try:
            replace_file(self.path, pack(self._state(net)))
        except OSError as error:
            reason = error.strerror or str(error)
            raise OSError(
                error.errno,
                f"The checkpoint cannot be written ({reason}); the previous one is unchanged. Fix "
                "the cause or choose another checkpoint_dir, and fit again",
                str(self.path),
            ) from error
        except KeyboardInterrupt:
            net.interrupted_ = True
            raise

    def _restore(self, net: Any) -> None:
        state = read(self.path, self._expected(net))
        with refusing(self.path):
            for name, part in self._parts(net):
                part.load_state_dict(state["parts"][name])
            for name, generator in self.generators.items():
                generator.set_state(state["generators"][name])
            for name, other in self._others(net):
                check_attributes(state["callbacks"][name], other, name)
                vars(other).update(state["callbacks"][name])
        net.history.extend(state["history"])
        # Chosen by the machine where training began, which may be another one.
        net.precision = state["precision"]
        if net.verbose:
            print(f"Training resumes after epoch {len(net.history)}, from {str(self.path)!r}.")

    def _expected(self, net: Any) -> Expected:
        optimizers = {name: getattr(net, f"{name}_") for name in net._optimizers}
        shapes = {
            name: [tuple(one.shape) for group in optimizer.param_groups for one in group["params"]]
            for name, optimizer in optimizers.items()
        }
        return Expected(self._state(net), shapes, net.max_epochs)

    def _parts(self, net: Any) -> Iterator[tuple[str, Any]]:
        """Yield all parts with a state of their own."""
        for name in (*net._modules, *net._optimizers):
            yield name, getattr(net, f"{name}_")
        for name in net._criteria:
            # A copy shares the tensors and leaves out a feature extractor, which never changes.
            yield name, copy.copy(getattr(net, f"{name}_"))
        yield "scaler", net._scaler
        for name, other in self._others(net):
            for attribute, value in vars(other).items():
                if hasattr(value, "load_state_dict") and not isinstance(value, type):
                    yield f"{name}.{attribute}", value

    def _others(self, net: Any) -> Iterator[tuple[str, Callback]]:
        """Yield the other callbacks but the table of losses, which prints its header again."""
        for name, callback in net.callbacks_:
            if callback is not self and not isinstance(callback, PrintLog):
                yield name, callback


def make_checkpoint(
    segmenter: "BaseAutoencoderSegmenter",
    sampler: PatchSampler,
    loss: nn.Module,
    generators: dict[str, torch.Generator],
    weights: Mapping[str, Tensor],
) -> Checkpoint:
    """Return the callback for this run's file in `checkpoint_dir`; create the folder if needed.

    The name of the file is a hash of everything that determines the weights: the segmenter's class,
    its parameters of network and training, the images, the tensors of the loss, the weights that
    training continues from, the seeds, the kind of device, and the versions of torch and this
    package. Another run has another file.

    Parameters
    ----------
    segmenter : BaseAutoencoderSegmenter
        Its parameters have been checked; `checkpoint_dir` is not None.
    sampler : PatchSampler
        Holds the images.
    loss : Module
        The loss before training.
    generators : dict of torch.Generator
        Sources of the random numbers of training, none of which has been used.
    weights : mapping of str to Tensor
        Weights that training continues or starts from; empty if they are drawn.

    Raises
    ------
    OSError
        If the folder does not exist and cannot be created.
    TypeError
        If a parameter of training cannot be pickled, so that runs cannot be told apart by it.
    """
    folder = Path(segmenter.checkpoint_dir or "")
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(
            f"checkpoint_dir must be a folder, got the file {str(folder)!r} instead."
        )
    folder.mkdir(parents=True, exist_ok=True)
    cls = type(segmenter)
    described = {
        "class": f"{cls.__module__}.{cls.__qualname__}",
        "parameters": {
            name: _hash(getattr(segmenter, name), name)
            for name in cls.parameter_names(Role.NETWORK, Role.TRAINING)
            if name not in _SEEN_OTHERWISE
        },
        "images": sampler.hash_images(),
        "loss": {name: _hash(_array(value), name) for name, value in loss.state_dict().items()},
        "weights": {name: _hash(_array(value), name) for name, value in weights.items()},
        "seeds": [generator.initial_seed() for generator in generators.values()],
        "device": sampler.generator.device.type,
        "versions": (str(torch.__version__), sk_ssimae.__version__),
    }
    return Checkpoint(folder / f"{cls.__name__}-{joblib.hash(described)}.pt", generators)


def _hash(value: Any, name: str) -> str:
    if isinstance(value, nn.Module):  # Its weights are among the tensors of the loss.
        value = str(value)
    return hash_parameter(value, name, "checkpoint_dir")


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().double().numpy()
