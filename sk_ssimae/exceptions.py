"""Warnings that a caller may want to catch."""

__all__ = [
    "BudgetWarning",
    "IntensityRangeWarning",
    "InterruptedFitWarning",
    "ModeCollapseWarning",
    "SelectionWarning",
    "SmallImageWarning",
    "UnlearnedTextureWarning",
]


class BudgetWarning(UserWarning):
    """The time for a tuning was too short for some candidates, or was exceeded."""


class IntensityRangeWarning(UserWarning):
    """Images leave the intensity range of the model by much, or use a small part of it."""


class InterruptedFitWarning(UserWarning):
    """Training was interrupted from the keyboard; the weights trained so far are kept."""


class ModeCollapseWarning(UserWarning):
    """A generator makes nearly the same patch from all latent vectors."""


class SelectionWarning(UserWarning):
    """The choice among candidates hangs on a single family of painted defects."""


class SmallImageWarning(UserWarning):
    """Images are smaller than the patches of the model; they are extended by their mirror image."""


class UnlearnedTextureWarning(UserWarning):
    """The network reproduces hardly any structure of good images, or residuals are constant."""
