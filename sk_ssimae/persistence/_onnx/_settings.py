"""Everything that a file stores but the network, as JSON and back."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from sk_ssimae._formulas._multi_scale import count_scales
from sk_ssimae._intensity import IntensityRange
from sk_ssimae.estimators._residuals import (
    LARGEST_ABSOLUTE_WEIGHT,
    DivergenceResidual,
    L1Residual,
    L2Residual,
    LikelihoodResidual,
    MultiScaleSSIMResidual,
    ReconstructionErrorResidual,
    Residual,
    SSIMResidual,
)
from sk_ssimae.persistence._checks import (
    check_count,
    check_format,
    check_keys,
    check_number,
    check_versions,
    quote,
    read_intensity_range,
)

FORMAT = "sk_ssimae.onnx"
#: Raise it with every change of a document or a graph once a version has been released.
FORMAT_VERSION = 1

# As for the parameters of segmenters, in modules that import scikit-learn.
_LARGEST_LENGTH, _LARGEST_AREA, _LARGEST_EXPONENT, _CONSTANTS = 1000, 10**6, 100, (1e-6, 1e6)
_SMALLEST_WINDOW = 3

_RESIDUALS: dict[str, type[Residual]] = {
    "l2": L2Residual,
    "l1": L1Residual,
    "ssim": SSIMResidual,
    "ms-ssim": MultiScaleSSIMResidual,
    "likelihood": LikelihoodResidual,
    "reconstruction_error": ReconstructionErrorResidual,
    "divergence": DivergenceResidual,
}


class Settings(NamedTuple):
    """Settings with which a segmenter computes, and facts about it.

    Attributes
    ----------
    segmenter_class : str
        Class of the segmenter that was exported.
    n_channels, latent_dim, patch_size : int
        Sizes of the network.
    stride, taper, inference_batch_size, smoothing, test_time_augmentation
        Parameters of the segmenter.
    opening_diameter, min_region_area
        Likewise.
    image_size : tuple of two int or None
        That parameter, as height and width.
    intensity_range : IntensityRange or None
        Value of `intensity_range_`.
    alpha_channel : {"auto", "drop", "keep"}
        That parameter.
    threshold, extent_threshold : float
        Values of `threshold_` and `extent_threshold_`.
    half_peak : bool
        Whether regions end at half of their local peaks.
    calibration : dict or None
        How it was found, as in `calibration_`; None if it was given as a number.
    residual : Residual
        Residual of images and their reconstructions.
    versions : dict
        Versions of the libraries that wrote the file, for the record.
    """

    segmenter_class: str
    n_channels: int
    latent_dim: int
    patch_size: int
    stride: int
    taper: float
    inference_batch_size: int
    image_size: tuple[int, int] | None
    intensity_range: IntensityRange | None
    alpha_channel: str
    smoothing: float | str
    test_time_augmentation: str | None
    opening_diameter: int
    min_region_area: int
    threshold: float
    extent_threshold: float
    half_peak: bool
    calibration: dict[str, Any] | None
    residual: Residual
    versions: dict[str, Any]

    @property
    def is_variational(self) -> bool:
        """Whether the network computes distributions of latent vectors."""
        return isinstance(
            self.residual, LikelihoodResidual | ReconstructionErrorResidual | DivergenceResidual
        )

    @property
    def n_samples(self) -> int:
        """Number of samples of each patch."""
        n_samples: int = getattr(self.residual, "n_samples", 1)
        return n_samples


def describe(settings: Settings) -> dict[str, Any]:
    """Return settings as a document for JSON."""
    kinds = {cls: kind for kind, cls in _RESIDUALS.items()}
    residual = {"kind": kinds[type(settings.residual)], **settings.residual._asdict()}
    described = {**settings._asdict(), "residual": residual}
    return {"format": FORMAT, "version": FORMAT_VERSION, **described}


def restore(document: dict[str, Any]) -> Settings:
    """Read a document of `describe`.

    Raises
    ------
    ValueError
        If anything is missing, unknown, of another type or out of its interval.
    """
    check_format(document, FORMAT, FORMAT_VERSION)
    check_keys(document, ("format", "version", *Settings._fields), "its document")
    values = {name: document[name] for name in Settings._fields}
    for name in ("n_channels", "latent_dim", "patch_size", "inference_batch_size"):
        check_count(values[name], name, least=1)
    check_count(values["stride"], "stride", least=1, below=values["patch_size"] + 1)
    check_count(values["opening_diameter"], "opening_diameter", below=_LARGEST_LENGTH + 1)
    check_count(values["min_region_area"], "min_region_area", below=_LARGEST_AREA + 1)
    threshold = check_number(values["threshold"], "threshold")
    check_number(values["extent_threshold"], "extent_threshold", most=threshold)
    if type(values["half_peak"]) is not bool:
        raise ValueError("its half_peak must be true or false.")
    check_number(values["taper"], "taper", least=0, most=1)
    if values["smoothing"] != "auto":
        check_number(values["smoothing"], "smoothing", least=0, most=_LARGEST_LENGTH)
    if values["test_time_augmentation"] not in (None, "dihedral"):
        raise ValueError("its test_time_augmentation must be null or 'dihedral'.")
    name = values["segmenter_class"]
    if type(name) is not str or not name.isidentifier():
        raise ValueError(f"its segmenter_class must be the name of a class, got {quote(name)}.")
    check_versions(values["versions"])
    _check_calibration(values["calibration"])
    values["image_size"] = _read_image_size(values["image_size"], values["patch_size"])
    values["intensity_range"] = read_intensity_range(values["intensity_range"])
    if values["alpha_channel"] not in ("auto", "drop", "keep"):
        raise ValueError("its alpha_channel must be 'auto', 'drop' or 'keep'.")
    values["residual"] = _read_residual(values["residual"], values["patch_size"])
    return Settings(**values)


def _check_calibration(stored: Any) -> None:
    if stored is None:
        return
    if type(stored) is not dict:
        raise ValueError("its calibration must be an object or null.")
    names = (
        *("threshold", "extent_threshold", "rule", "target_fpr", "held_out", "n_held_out"),
        "good_deviation",
    )
    check_keys(stored, names, "its calibration")
    check_number(stored["good_deviation"], "good_deviation", least=0)
    threshold = check_number(stored["threshold"], "threshold")
    check_number(stored["extent_threshold"], "extent_threshold", most=threshold)
    target_fpr = check_number(stored["target_fpr"], "target_fpr")
    check_count(stored["n_held_out"], "n_held_out", least=1)
    is_known = stored["rule"] in ("pixel_fpr", "image_fpr")
    is_known &= stored["held_out"] in ("images", "regions")
    if not (is_known and 0 < target_fpr < 1):
        raise ValueError("its calibration holds values that no calibration has.")


def _read_image_size(stored: Any, patch_size: int) -> tuple[int, int] | None:
    if stored is None:
        return None
    if type(stored) is not list or len(stored) != 2:
        raise ValueError(
            f"its image_size must be two integers or null, got {quote(stored)} instead."
        )
    height, width = (check_count(side, "image_size", least=patch_size) for side in stored)
    return height, width


def _read_residual(stored: Any, patch_size: int) -> Residual:
    kind = stored.get("kind") if type(stored) is dict else None
    if type(kind) is not str or kind not in _RESIDUALS:
        raise ValueError(
            f"its residual must be of a kind among {list(_RESIDUALS)}, got {quote(kind)} instead."
        )
    cls = _RESIDUALS[kind]
    check_keys(stored, ("kind", *cls._fields), "its residual")
    readers = _READERS | {
        "kernel": partial(_read_kernel, patch_size=patch_size),
        "n_scales": partial(_read_scales, patch_size=patch_size),
    }
    values: dict[str, Any] = {name: readers[name](stored[name], name) for name in cls._fields}
    return cls(**values)


def _read_kernel(stored: Any, name: str, patch_size: int) -> tuple[float, ...]:
    is_list = type(stored) is list
    if not is_list or not _SMALLEST_WINDOW <= len(stored) <= patch_size or len(stored) % 2 == 0:
        raise ValueError(
            f"its {name} must be an odd number of weights, at most patch_size={patch_size}."
        )
    weights = tuple(check_number(weight, name, least=0) for weight in stored)
    if not math.isclose(sum(weights), 1, rel_tol=1e-6):
        raise ValueError(f"its {name} must have the sum 1, got {sum(weights):g} instead.")
    return weights


def _read_scales(stored: Any, name: str, patch_size: int) -> int:
    most = count_scales((patch_size, patch_size), _SMALLEST_WINDOW)
    return check_count(stored, name, least=1, below=most + 1)


def _read_positive(stored: Any, name: str) -> float:
    return check_number(stored, name, least=math.ulp(0.0))


def _read_constant(stored: Any, name: str) -> float:
    least, most = _CONSTANTS
    return check_number(stored, name, least=least, most=most)


def _read_exponent(stored: Any, name: str) -> float:
    return check_number(stored, name, least=0, most=_LARGEST_EXPONENT)


def _read_weight(stored: Any, name: str) -> float:
    return check_number(stored, name, least=0, most=LARGEST_ABSOLUTE_WEIGHT)


def _read_samples(stored: Any, name: str) -> int:
    return check_count(stored, name, least=1)


def _read_key(stored: Any, name: str) -> int:
    return check_count(stored, name, below=2**64)


_READERS: dict[str, Callable[[Any, str], Any]] = {
    "c1": _read_constant,
    "c2": _read_constant,
    "variance": _read_positive,
    "alpha": _read_exponent,
    "beta": _read_exponent,
    "gamma": _read_exponent,
    "absolute_weight": _read_weight,
    "n_samples": _read_samples,
    "noise_key": _read_key,
}
