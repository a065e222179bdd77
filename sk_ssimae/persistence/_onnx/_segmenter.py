"""The segmenter that computes from an ONNX file."""

import functools
import os
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._images import Image, as_unit_float
from sk_ssimae._inference._segmentation import Segmentation
from sk_ssimae.persistence._onnx._file import read_document
from sk_ssimae.persistence._onnx._network import OnnxNetwork
from sk_ssimae.persistence._onnx._settings import Settings, restore

# Full float32, as the original computes on a GPU.
_PROVIDER_OPTIONS = {"CUDAExecutionProvider": {"use_tf32": "0"}}


class OnnxSegmenter(Segmentation):
    """Segment images with a file that `export_onnx` has written, without torch.

    Residual maps, masks and scores are those of the segmenter that was exported, up to rounding.
    The file is a graph and a document of settings: nothing in it is run but ONNX's own operators.
    It needs ONNX Runtime: ``pip install "sk-ssimae[onnx]"``. A pickle, as joblib sends it to other
    processes, holds the absolute path and the other parameters alone: the file is read again.

    Parameters
    ----------
    path : path
        File to read.
    providers : sequence of str or None, default=None
        What ONNX Runtime computes with, the first choice first, such as
        ``["CUDAExecutionProvider", "CPUExecutionProvider"]``; None is the CPU.
    n_threads : int or None, default=None
        Threads of a CPU that the network takes; None is one for each of its cores.

    Attributes
    ----------
    threshold_ : float
        Threshold that `predict` compares opened residual maps with.
    n_channels_ : int
        Channels that images must have.
    settings : Settings
        All that the file says beside the network: the class that was exported, its parameters that
        matter here, how the threshold was found, versions.

    Raises
    ------
    ImportError
        If ONNX Runtime is not installed.
    OSError
        If the file cannot be opened.
    TypeError
        If `path` is none.
    ValueError
        If a parameter is out of its interval; if the file was not written by `export_onnx`, was
        written by a newer version of the package, or is damaged: the message names the file and
        what is wrong with it.

    See Also
    --------
    export_onnx : Writes the file, with an example.
    parity_report : Compares the two segmenters on your images.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        providers: Sequence[str] | None = None,
        n_threads: int | None = None,
    ) -> None:
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"path must be the path of a file, got {type(path).__name__} instead.")
        if "\0" in str(path):
            raise ValueError(f"path must not hold a null character, got {str(path)!r} instead.")
        runtime = _import_runtime()
        chosen = _check_providers(providers, runtime.get_available_providers())
        options = _make_options(runtime, n_threads)
        source = Path(path)
        if source.exists() and not source.is_file():  # A pipe or a device might never end.
            raise ValueError(f"path must name a file, got {str(source)!r} instead.")
        content = source.read_bytes()
        try:
            settings = restore(read_document(content))
            session = _open(runtime, content, options, chosen)
            _check_session(session, settings)
        # Beside our own, what Python raises on bytes that are no message.
        except (ValueError, TypeError) as error:
            raise ValueError(f"{str(source)!r} cannot be loaded: {error}") from error
        self._parameters = str(source.absolute()), chosen, n_threads
        self.settings = settings
        self.n_channels_ = settings.n_channels
        self.image_size = settings.image_size
        self.smoothing = settings.smoothing
        self.opening_diameter = settings.opening_diameter
        self._fitted_patch_size = settings.patch_size
        self._network = _make_network(runtime, session, settings)

    @property
    def threshold_(self) -> float:
        """Residual above which a pixel of the opened map counts as defective."""
        return self.settings.threshold

    def __repr__(self) -> str:
        return f"<OnnxSegmenter: {self.settings.segmenter_class}, threshold_={self.threshold_:.4g}>"

    def __reduce__(self) -> tuple[Any, ...]:
        path, providers, n_threads = self._parameters
        load = functools.partial(type(self), providers=providers, n_threads=n_threads)
        return load, (path,)

    def _compute_residual(self, image: Image) -> NDArray[np.float32]:
        residual = self.settings.residual.compute(_as_planes(image), self._network)
        return residual.astype(np.float32, copy=False)

    def _compute_reconstruction(self, image: Image) -> NDArray[np.float32]:
        planes = _as_planes(image)
        return np.moveaxis(self._network.average(planes, self._network.reconstruct), 0, -1)


def _import_runtime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            'OnnxSegmenter needs ONNX Runtime: pip install "sk-ssimae[onnx]".'
        ) from error
    return onnxruntime


def _check_providers(providers: Sequence[str] | None, available: list[str]) -> list[str]:
    if providers is None:
        return ["CPUExecutionProvider"]
    if isinstance(providers, str) or not isinstance(providers, Sequence) or not providers:
        raise ValueError(f"providers must be a list of names or None, got {providers!r} instead.")
    for provider in providers:
        if not isinstance(provider, str) or provider not in available:
            raise ValueError(
                f"providers must be among those of the installed ONNX Runtime, {available}, got "
                f"{provider!r} instead. Those of GPUs come with other builds, such as "
                "onnxruntime-gpu."
            )
    return list(providers)


def _make_options(runtime: Any, n_threads: int | None) -> Any:
    options = runtime.SessionOptions()
    if n_threads is None:
        return options
    if isinstance(n_threads, bool) or not isinstance(n_threads, Integral) or n_threads < 1:
        raise ValueError(
            f"n_threads must be a positive integer or None, got {n_threads!r} instead."
        )
    options.intra_op_num_threads = int(n_threads)
    return options


def _open(runtime: Any, content: bytes, options: Any, providers: list[str]) -> Any:
    try:
        return runtime.InferenceSession(
            content,
            options,
            providers=[(name, _PROVIDER_OPTIONS.get(name, {})) for name in providers],
        )
    except Exception as error:  # ONNX Runtime's errors have no base of their own.
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"ONNX Runtime refuses it ({reason:.200}).") from error


def _check_session(session: Any, settings: Settings) -> None:
    """Check that the network takes and gives what the settings say."""
    side = settings.patch_size
    expected: dict[str, list[Any]] = {"windows": [settings.n_channels, side, side]}
    results = {"reconstructions"}
    if settings.is_variational:
        expected["noise"] = ["samples", settings.latent_dim]
        results |= {"mean", "log_variance"}
    found = {node.name: node.shape[1:] for node in session.get_inputs()}
    if found != expected or {node.name for node in session.get_outputs()} != results:
        raise ValueError(f"its settings describe a network that takes {expected}, got {found}.")


def _make_network(runtime: Any, session: Any, settings: Settings) -> OnnxNetwork:
    path_only = runtime.RunOptions()
    path_only.only_execute_path_to_fetches = True
    return OnnxNetwork(
        session,
        path_only,
        patch_size=settings.patch_size,
        stride=settings.stride,
        taper=settings.taper,
        batch_size=settings.inference_batch_size,
        every_orientation=settings.test_time_augmentation is not None,
        latent_dim=settings.latent_dim if settings.is_variational else None,
    )


def _as_planes(image: Image) -> NDArray[np.float32]:
    return np.ascontiguousarray(np.moveaxis(as_unit_float(image), -1, 0))
