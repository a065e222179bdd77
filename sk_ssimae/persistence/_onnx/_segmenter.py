"""The segmenter that predicts with an ONNX file."""

import functools
import math
import os
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._areas import Area, with_halo, within
from sk_ssimae._extras import install_hint
from sk_ssimae._intensity import Image
from sk_ssimae._patches import Patches
from sk_ssimae._pixels import Conversion, as_unit_float
from sk_ssimae._sliced import SlicedImage
from sk_ssimae.estimators._reconstruction import ReconstructionMixin
from sk_ssimae.persistence._checks import refuse
from sk_ssimae.persistence._onnx._network import OnnxNetwork
from sk_ssimae.persistence._onnx._settings import Settings

# Full float32, as the original computes on a GPU.
_PROVIDER_OPTIONS = {"CUDAExecutionProvider": {"use_tf32": "0"}}


class OnnxSegmenter(ReconstructionMixin):
    """Segment images with a file of `export_onnx`, without torch.

    Residual maps, masks and scores are those of the exported segmenter, up to rounding. The file
    contains a graph and a document of settings: only ONNX's own operators are run. It needs ONNX
    Runtime: ``pip install ".[onnx]"``. A pickle, as joblib sends it to other processes,
    contains only the absolute path and the other parameters: the file is read again.

    Parameters
    ----------
    path : path
        File to read.
    providers : sequence of str or None, default=None
        Execution providers of ONNX Runtime, the first choice first, such as
        ``["CUDAExecutionProvider", "CPUExecutionProvider"]``; None is the CPU.
    n_threads : int or None, default=None
        Number of CPU threads for the network; None for one per core.

    Attributes
    ----------
    threshold_ : float
        The verdict's level: `predict` marks a region of the opened residual map only if it exceeds
        this somewhere.
    extent_threshold_ : float
        Level that all pixels of a region exceed.
    n_channels_ : int
        Number of channels that images need to have.
    settings : Settings
        Content of the file but the network: the exported class, its parameters of prediction, how
        the threshold was found, versions.

    Raises
    ------
    ImportError
        If ONNX Runtime is not installed.
    OSError
        If the file cannot be opened.
    TypeError
        If `path` is not a path.
    ValueError
        If a parameter is out of its interval; if the file was not written by `export_onnx`, was
        written by a newer version of the package, or is corrupted: the message names the file and
        the reason.

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
        # It needs Protocol Buffers, which ONNX Runtime brings.
        from sk_ssimae.persistence._onnx._file import check_size, read_model

        with source.open("rb") as file:
            try:
                check_size(os.fstat(file.fileno()).st_size)
                settings, serialized = read_model(file.read())
                session = _open(runtime, serialized, options, chosen)
            except ValueError as error:
                refuse(source, error)
        self._parameters = str(source.absolute()), chosen, n_threads
        self.settings = settings
        self.n_channels_ = settings.n_channels
        self.smoothing = settings.smoothing
        self.opening_diameter = settings.opening_diameter
        self.min_region_area = settings.min_region_area
        self._network = _make_network(runtime, session, settings)

    @property
    def threshold_(self) -> float:
        """The verdict's level: a region of the opened map is defective if it exceeds it."""
        return self.settings.threshold

    @property
    def extent_threshold_(self) -> float:
        """Level that all pixels of a defective region exceed, at most `threshold_`."""
        return self.settings.extent_threshold

    @property
    def ends_at_half_peak(self) -> bool:
        return self.settings.half_peak

    @property
    def good_deviation(self) -> float:
        """Standard deviation of good opened maps, the unit of distances; NaN if it is unknown."""
        calibration = self.settings.calibration
        return math.nan if calibration is None else float(calibration["good_deviation"])

    @property
    def working_size(self) -> tuple[int, int] | None:
        """Height and width to which images are resized; None for their own size."""
        return self.settings.image_size

    @property
    def min_image_size(self) -> int:
        """Side of a patch in pixels: images at working size are at least as large."""
        return self.settings.patch_size

    @property
    def conversion(self) -> Conversion:
        """How the pixels of images are converted."""
        return Conversion(self.settings.intensity_range, self.settings.alpha_channel)

    def residual_radius(self) -> int:
        """Return how many pixels around a pixel its residual depends on, beyond its patches."""
        return self.settings.residual.radius

    def compute_area_residual(self, image: SlicedImage, area: Area) -> NDArray[np.float32]:
        """Compute the residual of an area from the patches that it depends on."""
        seen = with_halo(area, self.residual_radius(), image.shape)
        settings = self.settings
        patches = Patches.of_image(image.shape, settings.patch_size, settings.stride).over(seen)
        planes = _as_planes(image.read(*patches.area))
        residual = settings.residual.compute(planes, self._network._replace(patches=patches))
        return residual[within(area, patches.area)]

    def __repr__(self) -> str:
        return f"<OnnxSegmenter: {self.settings.segmenter_class}, threshold_={self.threshold_:.4g}>"

    def __reduce__(self) -> tuple[Any, ...]:
        path, providers, n_threads = self._parameters
        load = functools.partial(type(self), providers=providers, n_threads=n_threads)
        return load, (path,)

    def compute_residual(self, image: Image) -> NDArray[np.float32]:
        """Compute the residual (h, w) of an image (h, w, c)."""
        return self.settings.residual.compute(_as_planes(image), self._network)

    def compute_reconstruction(self, image: Image) -> NDArray[np.float32]:
        """Compute the reconstruction (h, w, c) of an image (h, w, c)."""
        planes = _as_planes(image)
        return np.moveaxis(self._network.average(planes, self._network.reconstruct), 0, -1)


def _import_runtime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(f"OnnxSegmenter needs ONNX Runtime. {install_hint('onnx')}") from error
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
