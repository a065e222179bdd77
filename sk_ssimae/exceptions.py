"""Warnings that a caller may want to catch."""

__all__ = ["InterruptedFitWarning", "UnlearnedTextureWarning"]


class InterruptedFitWarning(UserWarning):
    """Training was interrupted from the keyboard; the weights trained so far are kept."""


class UnlearnedTextureWarning(UserWarning):
    """The network reproduces hardly any structure of good images, or residuals are constant."""
