"""Training of candidates in the time that is left: its speed is measured, not assumed."""

import copy
import time
import warnings
from numbers import Integral
from typing import Any, NamedTuple

# Batches per epoch, and epochs, of the training by which the speed is measured. The first epoch
# warms up.
_PROBE_BATCHES = 4
_PROBE_EPOCHS = 2
# Share of its own number of patches below which a network is not trained.
LEAST_SHARE = 0.04


class Speed(NamedTuple):
    """Measured speed of a network.

    Attributes
    ----------
    overhead : float
        Seconds of `fit` besides its epochs, such as reading images.
    patches : float
        Patches per second in training.
    """

    overhead: float
    patches: float

    def seconds(self, n_patches: float) -> float:
        """Return the seconds of a fit on a number of patches."""
        return self.overhead + n_patches / self.patches


def owners(segmenter: Any, name: str) -> list[str]:
    """Return the names under which a segmenter and the members of an ensemble have a parameter."""
    return [key for key in segmenter.get_params() if key == name or key.endswith(f"__{name}")]


def trains_in_epochs(segmenter: Any) -> bool:
    """Tell whether a segmenter, or a member, learns from a number of patches that can be set."""
    return bool(owners(segmenter, "n_patches"))


def total_patches(segmenter: Any) -> int:
    """Return the number of patches over all epochs, of all members together."""
    params = segmenter.get_params()
    return sum(
        params[name] * params[name.removesuffix("n_patches") + "max_epochs"]
        for name in owners(segmenter, "n_patches")
    )


def with_patches(segmenter: Any, total: float) -> Any:
    """Return a copy that trains on at most about that number of patches, and not on more."""
    from sklearn.base import clone

    shrunk = clone(segmenter)
    share = min(total / total_patches(segmenter), 1.0)
    params = segmenter.get_params()
    for name in owners(segmenter, "n_patches"):
        prefix = name.removesuffix("n_patches")
        batch = params[f"{prefix}batch_size"]
        # Whole batches: a last batch of one patch cannot be normalized.
        n_patches = max(int(share * params[name]) // batch, 1) * batch
        if share < 1:
            shrunk.set_params(**{name: min(n_patches, params[name])})
    return shrunk


def prepared(segmenter: Any, seed: int, checkpoint_dir: Any = None) -> Any:
    """Return an unfitted copy with seeds and, if it trains in epochs, a checkpoint folder."""
    from sklearn.base import clone

    copied = clone(segmenter)
    for name in owners(copied, "random_state"):
        if not isinstance(copied.get_params()[name], Integral):
            copied.set_params(**{name: seed})
    for name in owners(copied, "checkpoint_dir"):
        if copied.get_params()[name] is None:
            copied.set_params(**{name: checkpoint_dir})
    return copied


def measure(segmenter: Any, X: Any, roi: Any = None) -> tuple[Speed, Any]:
    """Train a copy for a moment; return its speed and the copy."""
    probe = copy.deepcopy(segmenter)
    params = probe.get_params()
    for name in owners(probe, "n_patches"):
        prefix = name.removesuffix("n_patches")
        n_patches = _PROBE_BATCHES * params[f"{prefix}batch_size"]
        probe.set_params(
            **{
                name: n_patches,
                f"{prefix}max_epochs": _PROBE_EPOCHS,
                f"{prefix}checkpoint_dir": None,
            }
        )
    start = time.monotonic()
    fit_quietly(probe, X, roi)
    return speed_of(probe, time.monotonic() - start), probe


def speed_of(fitted: Any, seconds: float) -> Speed:
    """Return the speed of a training that has taken that many seconds."""
    histories = [part.history_ for part in parts_of(fitted) if hasattr(part, "history_")]
    in_epochs = sum(sum(history[:, "dur"]) for history in histories)
    n_patches = sum(part.n_patches for part in parts_of(fitted) if hasattr(part, "history_"))
    # Not the first epoch, which warms up, and not the last alone: steps of a GAN differ.
    typical = sum(_mean_but_first(history[:, "dur"]) for history in histories)
    return Speed(max(seconds - in_epochs, 0.0), n_patches / max(typical, 1e-6))


def _mean_but_first(durations: list[float]) -> float:
    """Return the mean without the first, unless there is no other."""
    kept = durations[1:] or durations
    return sum(kept) / len(kept)


def parts_of(fitted: Any) -> list[Any]:
    """Return a fitted segmenter, or the fitted members of an ensemble."""
    members = getattr(fitted, "segmenters_", None)
    if members is None:
        return [fitted]
    return [part for member in members for part in parts_of(member)]


def fit_quietly(segmenter: Any, X: Any, roi: Any = None) -> Any:
    """Fit without warnings about a short training; an interrupted training is an interrupt."""
    from sk_ssimae.exceptions import UnlearnedTextureWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnlearnedTextureWarning)
        return fit_completely(segmenter, X, roi)


def fit_completely(segmenter: Any, X: Any, roi: Any = None) -> Any:
    """Fit; a training that the keyboard interrupted is an interrupt, not a shorter training.

    Raises
    ------
    KeyboardInterrupt
        If training was interrupted.
    """
    from sk_ssimae.exceptions import InterruptedFitWarning

    with warnings.catch_warnings():
        warnings.simplefilter("error", InterruptedFitWarning)
        try:
            fitted = segmenter.fit(X, roi=roi)
        except InterruptedFitWarning:
            raise KeyboardInterrupt from None
    for part in parts_of(fitted):
        # Between two epochs an interrupt is not recorded, as when a callback ends training.
        trains = hasattr(part, "history_") and not part.callbacks
        if trains and len(part.history_) < part.max_epochs:
            raise KeyboardInterrupt
    return fitted
