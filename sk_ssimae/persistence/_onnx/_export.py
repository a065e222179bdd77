"""Export of a fitted segmenter to an ONNX file."""

import os
import platform
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

import sk_ssimae
from sk_ssimae._atomic import replace_file
from sk_ssimae._extras import install_hint
from sk_ssimae.estimators import (
    BaseAutoencoderSegmenter,
    BaseSegmenter,
    Calibration,
    all_segmenters,
)
from sk_ssimae.estimators._residuals import Residual
from sk_ssimae.persistence._autoencoder import take_apart
from sk_ssimae.persistence._onnx._settings import Settings, describe

# Hooks that determine the residual. A class that overrides one needs a numpy_residual of its own.
_OF_THE_RESIDUAL = (
    *("make_loss", "residual_loss", "residual_over_patches", "reconstruct_patches"),
    "compute_residual",
)


def export_onnx(segmenter: BaseAutoencoderSegmenter, path: str | os.PathLike[str]) -> None:
    """Write a fitted segmenter to an ONNX file, for :class:`OnnxSegmenter` or any ONNX runtime.

    The graph takes a batch of any number of ``patches`` (N, C, P, P) in [0, 1] and returns their
    ``reconstructions``. That of a variational autoencoder also takes ``noise`` (N, S, d) for
    S samples of each patch, zeros for the mean. The steps before and after the network, up to the
    threshold, are described in the metadata by one JSON document. Either the whole file is written,
    or an error is raised and a file that was there before is unchanged.

    It needs the package onnx: ``pip install ".[onnx]"``.

    Parameters
    ----------
    segmenter : segmenter of this package
        Fitted, with a threshold for the residual maps as they are set now.
    path : path
        File to write, usually with the suffix ".onnx".

    Raises
    ------
    ImportError
        If onnx is not installed.
    sklearn.exceptions.NotFittedError
        If the segmenter is not fitted, or has no threshold.
    TypeError
        If it has no network of this package, as with a Pipeline, its class does not implement
        `numpy_residual`, or its residual needs the posteriors of training patches.
    ValueError
        If a parameter is out of its interval, weights are not finite, the network was replaced
        after `fit`, or the file would be larger than `OnnxSegmenter` reads.
    OSError
        If the file cannot be written.

    See Also
    --------
    OnnxSegmenter : Computes from the file.
    save : Writes a file that can be opened as the segmenter itself.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sk_ssimae import L2AutoencoderSegmenter
    >>> from sk_ssimae.datasets import make_woven_fabric
    >>> from sk_ssimae.persistence import OnnxSegmenter, export_onnx, parity_report
    >>> good = make_woven_fabric(2, shape=(48, 48), random_state=0)
    >>> segmenter = L2AutoencoderSegmenter(
    ...     patch_size=16, stride=16, n_patches=64, max_epochs=1, random_state=0
    ... ).fit(good)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export_onnx(segmenter, Path(folder) / "fabric.onnx")
    ...     exported = OnnxSegmenter(Path(folder) / "fabric.onnx", n_threads=1)
    >>> exported
    <OnnxSegmenter: L2AutoencoderSegmenter, threshold_=...>
    >>> parity_report(segmenter, exported, good).max_abs_difference < 1e-4
    True
    """
    _check_class(segmenter)
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be the path of a file, got {type(path).__name__} instead.")
    try:
        import onnx
    except ImportError as error:
        raise ImportError(f"export_onnx needs onnx. {install_hint('onnx')}") from error
    # They need Protocol Buffers, which onnx brings.
    from sk_ssimae.persistence._onnx._file import pack, read_model
    from sk_ssimae.persistence._onnx._graph import make_model

    segmenter.check_ready()
    take_apart(segmenter)  # Raises if network or loss is not as fitted.
    settings = _settings(segmenter, {"onnx": onnx.__version__})
    document = describe(settings)
    model = make_model(segmenter.net_.inference_module_, samples=settings.is_variational)
    content = pack(model.SerializeToString(), document)
    try:
        read_model(content)
    except ValueError as error:
        raise ValueError(f"segmenter cannot be exported, because {error}") from error
    replace_file(Path(path), content)


def _settings(segmenter: BaseAutoencoderSegmenter, versions: dict[str, str]) -> Settings:
    network = segmenter.net_.module_
    threshold, calibration = float(segmenter.threshold_), None
    if isinstance(segmenter.threshold, str):
        found: Calibration = segmenter.calibration_
        calibration = found._replace(target_fpr=float(found.target_fpr))._asdict()
        del calibration["parameters"]  # Those of an export cannot be changed.
        # Exports do not check drift.
        del calibration["typical_residuals"], calibration["block_spread"]
    return Settings(
        segmenter_class=type(segmenter).__name__,
        n_channels=segmenter.n_channels_,
        latent_dim=int(network.latent_dim),
        patch_size=int(network.patch_size),
        stride=segmenter.stride_,
        taper=float(segmenter.taper),
        inference_batch_size=int(segmenter.inference_batch_size),
        image_size=segmenter.working_size,
        intensity_range=segmenter.conversion.intensity_range,
        alpha_channel=segmenter.conversion.alpha_channel,
        smoothing="auto" if segmenter.smoothing == "auto" else float(segmenter.smoothing),
        test_time_augmentation=segmenter.test_time_augmentation,
        opening_diameter=int(segmenter.opening_diameter),
        min_region_area=int(segmenter.min_region_area),
        threshold=threshold,
        extent_threshold=float(segmenter.extent_threshold_),
        half_peak=segmenter.ends_at_half_peak,
        calibration=calibration,
        residual=_residual(segmenter),
        versions={
            "python": platform.python_version(),
            "sk_ssimae": sk_ssimae.__version__,
            "torch": str(torch.__version__),
            "numpy": np.__version__,
            **versions,
        },
    )


def _residual(segmenter: BaseAutoencoderSegmenter) -> Residual:
    residual = segmenter.numpy_residual()
    if not isinstance(residual, Residual):
        raise TypeError(
            f"numpy_residual of {type(segmenter).__name__} must return one of "
            f"{[cls.__name__ for cls in get_args(Residual)]}, got {residual!r} instead."
        )
    return residual


def _check_class(segmenter: Any) -> None:
    if not isinstance(segmenter, BaseAutoencoderSegmenter):
        exported = [
            name
            for name, cls in all_segmenters().items()
            if issubclass(cls, BaseAutoencoderSegmenter)
        ]
        remedy = (
            "Its model file, of persistence.save, opens on other computers; that of a "
            "PatchDictionarySegmenter needs no PyTorch."
            if isinstance(segmenter, BaseSegmenter)
            else "Export the last step of a Pipeline, or the best_estimator_ of a search."
        )
        raise TypeError(
            f"segmenter must be one of {exported}, got {type(segmenter).__name__} instead. {remedy}"
        )
    known = _owner(segmenter, "numpy_residual")
    changed = [hook for hook in _OF_THE_RESIDUAL if _owner(segmenter, hook) not in known.__mro__]
    if changed:
        raise TypeError(
            f"{type(segmenter).__name__} must implement numpy_residual to be exported, because it "
            f"changes {', '.join(changed)} of {known.__name__}."
        )


def _owner(segmenter: BaseAutoencoderSegmenter, name: str) -> type:
    """Return the class that defines a method."""
    return next(cls for cls in type(segmenter).__mro__ if name in vars(cls))
