"""Saving and loading a fitted segmenter."""

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sk_ssimae._atomic import replace_file
from sk_ssimae.estimators import BaseSegmenter
from sk_ssimae.persistence._checks import quote, refuse
from sk_ssimae.persistence._container import (
    TensorHeader,
    Tensors,
    pack,
    read_header,
    read_tensors,
)
from sk_ssimae.persistence._document import describe_file, restore_file
from sk_ssimae.persistence._parameters import check_class

if TYPE_CHECKING:
    import torch


def save(segmenter: BaseSegmenter, path: str | os.PathLike[str]) -> None:
    """Save a fitted segmenter to a file that can be opened without trusting its source.

    The file is in the safetensors format: the tensors of the results of `fit`, such as weights,
    and one JSON document with the class, the parameters, the threshold and how it was found, the
    losses of the epochs, and the versions of the libraries. It is about 40 kB larger than the
    weights, and the posteriors of a variational autoencoder. The file of an ensemble contains its
    members. Either the whole file is written, or an error is raised and a file that was there
    before is unchanged.

    Parameters
    ----------
    segmenter : segmenter of this package
        Fitted. Four values of parameters that only training uses cannot be stored: `callbacks`,
        `net_params`, a `random_state` that is a generator, and `initial_weights` that are a
        segmenter; a path is stored. They are None when loaded.
        Parameters of the machine are not stored either, and have their defaults when loaded:
        `device`, `verbose`, `checkpoint_dir`, `memory`, `inference_batch_size`, `n_jobs`
        and `max_image_pixels`. A feature extractor is stored by its name or path.
    path : path
        File to write, usually with the suffix ".safetensors".

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the segmenter is not fitted.
    TypeError
        If it, or a member of an ensemble, is not a segmenter of this package, as with a Pipeline,
        or a parameter can only be restored by code, such as a module as `feature_extractor`. Use
        ``joblib.dump`` for those.
    ValueError
        If a parameter is out of its interval, weights are not finite, or results of `fit` were
        replaced.
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
    check_class(segmenter)
    target = _as_path(path)
    check_is_fitted(segmenter, "fitted_parameters_")
    segmenter.check_parameters()
    document, tensors = describe_file(segmenter)
    tensors = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    _check_finite(tensors, "segmenter")
    declared = {name: TensorHeader.of(tensor) for name, tensor in tensors.items()}
    if restore_file(document).headers() != declared:
        raise ValueError(
            f"The results of fit must be as {type(segmenter).__name__} makes them, but some were "
            "replaced or converted. joblib.dump keeps them as they are."
        )
    replace_file(target, pack(document, tensors))


class Loaded(NamedTuple):
    """Content of a file: the segmenter, the document, and the SHA-256 of its bytes."""

    segmenter: BaseSegmenter
    document: dict[str, Any]
    sha256: str


def load(
    path: str | os.PathLike[str], *, device: "str | torch.device | None" = None
) -> BaseSegmenter:
    """Load a segmenter from a file of `save`.

    Nothing in the file is run, whatever it contains: the class is looked up in a fixed table, every
    parameter is checked as in `fit`, and tensors are read only if their types and shapes are those
    that the document describes. PyTorch is imported only for networks. Memory stays proportional to
    the size of the file. The checksum detects corruption, not forgery.

    Parameters
    ----------
    path : path
        File to read.
    device : str, torch.device or None, default=None
        Value for the parameter `device`, which files do not store, of the segmenter or of those
        members of an ensemble that have it; None for its default, "auto". Weights are on the CPU
        until they are used, so that a segmenter trained on a GPU opens anywhere.

    Returns
    -------
    segmenter
        Fitted. On the same device with the same versions, its results are identical to those of the
        saved one. It can be calibrated, cloned and fitted again; the `net_` of an autoencoder has
        neither optimiser nor callbacks. The feature extractor of a `FeatureDictionarySegmenter` is
        opened by its name on first use.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it was not written by `save`, was written by a newer version of the package, or is
        corrupted: the message names the file and the reason. Or if `device` is not one that the
        segmenter can use.

    See Also
    --------
    save : Writes the file, with an example.
    """
    return load_with_checksum(path, device=device).segmenter


def load_with_checksum(
    path: str | os.PathLike[str], *, device: "str | torch.device | None" = None
) -> Loaded:
    """Load like `load`, and return the SHA-256 of the file too; it is opened once."""
    source = _as_path(path)
    if source.exists() and not source.is_file():  # A pipe or a device might never end.
        raise ValueError(f"path must name a file, got {str(source)!r} instead.")
    try:
        loaded = _load(source)
    # NumPy and torch raise other types on numbers that are too large for them.
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:
        refuse(source, error)
    if device is not None:
        _set_device(loaded.segmenter, device)
    return loaded


def _load(path: Path) -> Loaded:
    with path.open("rb") as file:
        header = read_header(file)
        restored = restore_file(header.document)
        _check_headers(header.tensors, restored.headers())
        tensors = read_tensors(file)
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    _check_finite(tensors, "it")
    return Loaded(restored.complete(tensors), header.document, sha256)


def _set_device(segmenter: BaseSegmenter, device: "str | torch.device") -> None:
    """Set the device of a segmenter, or of the segmenters of an ensemble, fitted and not.

    Raises
    ------
    TypeError, ValueError
        If it is not a device that can be used here, or another one than the CPU for a segmenter
        that computes with NumPy.
    """
    networks = [part for part in _parts(segmenter) if "device" in part.parameters]
    if networks:
        from sk_ssimae.estimators._net import resolve_device

        resolve_device(device)
    elif str(device) not in ("auto", "cpu"):
        raise ValueError(
            f"device must be 'auto' or 'cpu' for {type(segmenter).__name__}, which computes on the "
            f"CPU, got {device!r} instead."
        )
    for network in networks:
        network.set_params(device=device)


def _parts(segmenter: BaseSegmenter) -> list[BaseSegmenter]:
    """Return a segmenter and all that it consists of."""
    unfitted = [member for _, member in getattr(segmenter, "segmenters", ())]
    members = [*unfitted, *getattr(segmenter, "segmenters_", ())]
    return [segmenter, *(part for member in members for part in _parts(member))]


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
                f"its document describes {_say(name, expected)}, but it contains "
                f"{_say(name, found)}."
            )


def _say(name: str, headers: dict[str, TensorHeader]) -> str:
    if name not in headers:
        return f"no {name:.80}"
    header = headers[name]
    return f"{name:.80} of {header.dtype:.80} {quote(header.shape)}"


def _check_finite(tensors: Tensors, where: str) -> None:
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise ValueError(f"{where} contains values that are NaN or infinite, in {name}.")
