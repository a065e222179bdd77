"""Progress of `tune`, and the time that is left."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple


class TuningStep(NamedTuple):
    """A step of :func:`tune` that begins.

    Attributes
    ----------
    number, total : int
        Number of the candidate, counted from 1, and of all; the selection set and the last training
        count as candidates.
    doing : str
        Current work, such as "ssim: training on 34000 patches".
    following : str
        Name of the next candidate; empty for the last.
    seconds_left : float
        Seconds that are left of the budget, at least 0.

    Examples
    --------
    >>> from sk_ssimae.model_selection import TuningStep
    >>> print(TuningStep(2, 9, "ssim: training on 34000 patches", "l2", 754.0))
    step 2 of 9, at most 13 min left: ssim: training on 34000 patches, then l2
    """

    number: int
    total: int
    doing: str
    following: str
    seconds_left: float

    def __str__(self) -> str:
        left = format_seconds(self.seconds_left)
        then = f", then {self.following}" if self.following else ""
        return f"step {self.number} of {self.total}, at most {left} left: {self.doing}{then}"


def format_seconds(seconds: float) -> str:
    """Return a time in seconds, or in minutes if it is two or more."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


class Clock:
    """Budget of a tuning, in seconds of the wall clock.

    Parameters
    ----------
    budget : float
        Seconds for the whole tuning.
    spent : float
        Seconds that earlier, interrupted runs have spent.
    """

    def __init__(self, budget: float, spent: float = 0.0) -> None:
        self.budget = budget
        self._start = time.monotonic() - spent

    @property
    def elapsed(self) -> float:
        """Seconds spent so far."""
        return time.monotonic() - self._start

    @property
    def left(self) -> float:
        """Seconds left, at least 0."""
        return max(self.budget - self.elapsed, 0.0)

    def left_but(self, share: float) -> float:
        """Return the seconds left if a share of the budget is kept."""
        return self.left - share * self.budget


class Reporter:
    """Tells a function which step begins.

    Parameters
    ----------
    progress : callable or None
        Takes a TuningStep.
    clock : Clock
        Budget of the tuning.
    names : list of str
        Names of all steps, in their order.
    """

    def __init__(
        self, progress: Callable[[TuningStep], Any] | None, clock: Clock, names: list[str]
    ) -> None:
        self._progress, self._clock, self._names = progress, clock, names

    def __call__(self, name: str, doing: str) -> None:
        """Report that something is done for a step."""
        if self._progress is None:
            return
        index = self._names.index(name)
        following = self._names[index + 1] if index + 1 < len(self._names) else ""
        self._progress(
            TuningStep(index + 1, len(self._names), f"{name}: {doing}", following, self._clock.left)
        )
