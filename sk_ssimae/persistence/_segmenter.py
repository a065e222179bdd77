"""Saving and loading a fitted segmenter."""

import hashlib
import os
from pathlib import Path
from typing import Any, NamedTuple

import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sk_ssimae._atomic import replace_file
from sk_ssimae.estimators import BaseAutoencoderSegmenter, BaseSegmenter
from sk_ssimae.estimators._arithmetic import torch_defaults
from sk_ssimae.estimators._net import ReconstructionNet, resolve_device
from sk_ssimae.persistence._checks import quote, refuse
from sk_ssimae.persistence._container import TensorHeader, pack, read_header, read_tensors
from sk_ssimae.persistence._document import describe, restore
from sk_ssimae.persistence._parts import storable_classes, take_apart


@torch_defaults()
def save(segmenter: BaseAutoencoderSegmenter, path: str | os.PathLike[str]) -> None:
    """Save a fitted segmenter to a file that can be opened without trusting its source.

    The file is in the safetensors format: weights, and one JSON document with the class, the
    parameters, the threshold and how it was found, the losses of the epochs, and the versions of
    the libraries. It is about 20 kB larger than the weights. Either the whole file is written, or
    an error is raised and a file that was there before is unchanged.

    Parameters
    ----------
    segmenter : segmenter of this package
        Fitted. Three parameters that only training uses cannot be stored: `callbacks`,
        `net_params`, and a `random_state` that is a generator. They are None when loaded.
        Parameters of the machine are not stored either, and have their defaults when loaded:
        `device`, `verbose`, `checkpoint_dir` and `inference_batch_size`.
    path : path
        File to write, usually with the suffix ".safetensors".

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the segmenter is not fitted.
    TypeError
        If it is not an autoencoder of this package, as with a Pipeline or an ensemble, or a
        parameter can only be restored by code, such as a module as `feature_extractor`. Use
        ``joblib.dump`` for those.
    ValueError
        If a parameter is out of its interval, weights are not finite, or the network was replaced
        after `fit`.
    OSError
        If the file cannot be written.

    See Also
    --------
    load : Opens the file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sk_ssimae import L2AutoencoderSegmenter
    >>> from sk_ssimae.datasets import make_woven_fabric
    >>> from sk_ssimae.persistence import load, save
    >>> good = make_woven_fabric(2, shape=(48, 48), random_state=0)
    >>> segmenter = L2AutoencoderSegmenter(
    ...     patch_size=16, stride=16, n_patches=64, max_epochs=1, random_state=0
    ... ).fit(good)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(segmenter, Path(folder) / "fabric.safetensors")
    ...     loaded = load(Path(folder) / "fabric.safetensors")
    >>> bool((loaded.decision_function(good) == segmenter.decision_function(good)).all())
    True
    """
    _check_class(segmenter)
    target = _as_path(path)
    check_is_fitted(segmenter, "net_")
    segmenter.check_parameters()
    parts, blueprint = take_apart(segmenter)
    document = describe(segmenter, blueprint)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in parts.tensors().items()}
    _check_finite(tensors, "net_")
    replace_file(target, pack(document, tensors))


class Loaded(NamedTuple):
    """Content of a file: the segmenter, the document, and the SHA-256 of its bytes."""

    segmenter: BaseAutoencoderSegmenter
    document: dict[str, Any]
    sha256: str


def load(
    path: str | os.PathLike[str], *, device: str | torch.device | None = None
) -> BaseAutoencoderSegmenter:
    """Load a segmenter from a file of `save`.

    Nothing in the file is run, whatever it contains: the class is looked up in a fixed table, every
    parameter is checked as in `fit`, and weights are read only if their types and shapes are those
    of the network that the parameters describe. Memory stays proportional to the size of the file.
    The checksum detects corruption, not forgery.

    Parameters
    ----------
    path : path
        File to read.
    device : str, torch.device or None, default=None
        Value for the parameter `device`, which files do not store; None for its default, "auto".
        Weights are on the CPU until they are used, so that a segmenter trained on a GPU opens
        anywhere.

    Returns
    -------
    segmenter
        Fitted. On the same device with the same versions, its results are identical to those of the
        saved one. It can be calibrated, cloned and fitted again; its `net_` has neither optimiser
        nor callbacks.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it was not written by `save`, was written by a newer version of the package, or is
        corrupted: the message names the file and the reason.

    See Also
    --------
    save : Writes the file, with an example.
    """
    return load_with_checksum(path, device=device).segmenter


@torch_defaults()
def load_with_checksum(
    path: str | os.PathLike[str], *, device: str | torch.device | None = None
) -> Loaded:
    """Load like `load`, and return the SHA-256 of the file too; it is opened once."""
    source = _as_path(path)
    if device is not None:
        resolve_device(device)
    if source.exists() and not source.is_file():  # A pipe or a device might never end.
        raise ValueError(f"path must name a file, got {str(source)!r} instead.")
    try:
        loaded = _load(source)
    # NumPy and torch raise other types on numbers that are too large for them.
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:
        refuse(source, error)
    if device is not None:
        loaded.segmenter.set_params(device=device)
    return loaded


def _load(path: Path) -> Loaded:
    with path.open("rb") as file:
        header = read_header(file)
        description = restore(header.document)
        _check_headers(header.tensors, description.blueprint.headers())
        tensors = read_tensors(file)
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    _check_finite(tensors, "it")
    variance = tensors.get("loss.variance")
    if variance is not None and variance <= 0:
        raise ValueError(f"its variance of a pixel must be above 0, got {float(variance)} instead.")
    parts = description.blueprint.make(tensors)
    segmenter = description.segmenter
    segmenter.net_ = ReconstructionNet.of_trained(
        parts.network, parts.loss, description.history, interrupted=description.interrupted
    )
    segmenter.history_ = description.history
    return Loaded(segmenter, header.document, sha256)


def _check_class(segmenter: Any) -> None:
    classes = storable_classes()
    if type(segmenter) in classes.values():
        return
    name = type(segmenter).__name__
    if isinstance(segmenter, BaseSegmenter):
        raise TypeError(
            f"segmenter must be one of {list(classes)}, got {name} instead, which only its own "
            "code can restore: use joblib.dump."
        )
    raise TypeError(
        f"segmenter must be one of {list(classes)}, got {name} instead. Save the segmenter itself: "
        "the last step of a Pipeline, the best_estimator_ of a search."
    )


def _as_path(path: Any) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be the path of a file, got {type(path).__name__} instead.")
    if "\0" in str(path):
        raise ValueError(f"path must not hold a null character, got {str(path)!r} instead.")
    return Path(path)


def _check_headers(found: dict[str, TensorHeader], expected: dict[str, TensorHeader]) -> None:
    for name in sorted({*found, *expected}):
        if found.get(name) != expected.get(name):
            raise ValueError(
                f"its parameters describe a network with {_say(name, expected)}, but it contains "
                f"{_say(name, found)}."
            )


def _say(name: str, headers: dict[str, TensorHeader]) -> str:
    if name not in headers:
        return f"no {name:.80}"
    header = headers[name]
    return f"{name:.80} of {header.dtype:.80} {quote(header.shape)}"


def _check_finite(tensors: dict[str, Tensor], where: str) -> None:
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ValueError(f"{where} contains weights that are NaN or infinite, in {name}.")
