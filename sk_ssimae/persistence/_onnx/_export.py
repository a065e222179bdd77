"""Writing a fitted segmenter to an ONNX file."""

import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch

import sk_ssimae
from sk_ssimae._atomic import replace_file
from sk_ssimae.estimators import BaseSegmenter, Calibration, SSIMAutoencoderSegmenter
from sk_ssimae.estimators import VariationalAutoencoderSegmenter as Variational
from sk_ssimae.persistence._onnx._file import pack
from sk_ssimae.persistence._onnx._residuals import (
    DivergenceResidual,
    L2Residual,
    LikelihoodResidual,
    Residual,
    SSIMResidual,
)
from sk_ssimae.persistence._onnx._settings import Settings, describe
from sk_ssimae.persistence._parts import LOSS_PARAMETERS, take_apart


def export_onnx(segmenter: BaseSegmenter, path: str | os.PathLike[str]) -> None:
    """Write a fitted segmenter to an ONNX file, for :class:`OnnxSegmenter` or any ONNX runtime.

    The graph takes a batch of windows of any number, ``windows`` (N, C, P, P) in [0, 1], and gives
    their ``reconstructions``. That of a variational autoencoder also takes ``noise`` (N, S, d) for
    S samples of each window, zeros for the mean. What comes before and after the network, up to the
    threshold, is in the metadata as one JSON document. Either the whole file is written, or an
    error is raised and the file that was there before stays as it was.

    It needs the package onnx: ``pip install "sk-ssimae[onnx]"``.

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
        If it is not one of this package's, such as a Pipeline or a family of your own, whose
        residual only its own code can compute.
    ValueError
        If a parameter is out of its interval, weights are not finite, or the network was replaced
        after `fit`.
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
        raise ImportError('export_onnx needs onnx: pip install "sk-ssimae[onnx]".') from error
    from sk_ssimae.persistence._onnx._graph import make_model

    segmenter._check_ready()
    take_apart(segmenter)  # Refuses a network or loss that is not as fitted.
    document = describe(_settings(segmenter, {"onnx": onnx.__version__}))
    model = make_model(segmenter.net_.inference_module_)
    replace_file(Path(path), pack(model.SerializeToString(), document))


def _settings(segmenter: BaseSegmenter, versions: dict[str, str]) -> Settings:
    network, size = segmenter.net_.module_, segmenter.image_size
    threshold, calibration = float(segmenter.threshold_), None
    if isinstance(segmenter.threshold, str):
        found: Calibration = segmenter.calibration_
        calibration = found._replace(target_fpr=float(found.target_fpr))._asdict()
    return Settings(
        segmenter_class=type(segmenter).__name__,
        n_channels=segmenter.n_channels_,
        latent_dim=int(network.latent_dim),
        patch_size=int(network.patch_size),
        stride=int(segmenter.stride),
        taper=float(segmenter.taper),
        inference_batch_size=int(segmenter.inference_batch_size),
        image_size=None if size is None else _as_pair(size),
        smoothing="auto" if segmenter.smoothing == "auto" else float(segmenter.smoothing),
        test_time_augmentation=segmenter.test_time_augmentation,
        opening_diameter=int(segmenter.opening_diameter),
        threshold=threshold,
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


def _residual(segmenter: BaseSegmenter) -> Residual:
    loss = segmenter._criterion()
    if isinstance(segmenter, SSIMAutoencoderSegmenter):
        kernel = tuple(loss.kernel.cpu().double().tolist())
        parameters = ("c1", "c2", "alpha", "beta", "gamma")
        return SSIMResidual(kernel, **{name: float(getattr(loss, name)) for name in parameters})
    if isinstance(segmenter, Variational) and segmenter.residual == "kl":
        return DivergenceResidual()
    if isinstance(segmenter, Variational):
        key = segmenter.net_.module_.noise_key
        return LikelihoodResidual(float(loss.variance), int(segmenter.n_samples), int(key))
    return L2Residual()


def _as_pair(size: Any) -> tuple[int, int]:
    height, width = size if isinstance(size, tuple) else (size, size)
    return int(height), int(width)


def _check_class(segmenter: Any) -> None:
    if type(segmenter) not in LOSS_PARAMETERS:
        raise TypeError(
            f"segmenter must be one of {[cls.__name__ for cls in LOSS_PARAMETERS]}, got "
            f"{type(segmenter).__name__} instead: the residual of another is known to its code "
            "alone. Of a Pipeline export the last step, of a search best_estimator_."
        )
