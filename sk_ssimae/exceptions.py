"""Warnings that a caller may want to catch."""

__all__ = ["InterruptedFitWarning"]


class InterruptedFitWarning(UserWarning):
    """Training was interrupted from the keyboard; the weights trained so far are kept."""
