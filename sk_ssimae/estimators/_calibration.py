"""How a threshold was found, and for which parameters it holds."""

from typing import Any, NamedTuple

from sklearn.exceptions import NotFittedError


class Calibration(NamedTuple):
    """How `threshold_` was found.

    Attributes
    ----------
    threshold : float
        The threshold, level of the verdict.
    extent_threshold : float
        Level of the extent of regions.
    rule : {"pixel_fpr", "image_fpr"}
        Rule by which it was found.
    target_fpr : float
        False positive rate that the rule aims at.
    held_out : {"images", "regions"}
        Whether whole good images were held out, or, with few images, a band of each.
    n_held_out : int
        Number of held-out images or regions.
    parameters : dict
        Parameters of inference and decision for which the threshold holds.
    """

    threshold: float
    extent_threshold: float
    rule: str
    target_fpr: float
    held_out: str
    n_held_out: int
    parameters: dict[str, Any]

    def promise(self) -> str:
        """Return the promise of the threshold in plain words, and its limits."""
        share = f"{100 * self.target_fpr:g} %"
        held_out = f"{self.n_held_out} held-out {self.held_out}"
        if self.rule == "image_fpr":
            return (
                f"At most {share} of good images are flagged, provided future images resemble the "
                f"{held_out}. This says nothing about single pixels, nor about how many defects "
                "are found."
            )
        return (
            f"About {share} of the pixels of good images are marked, provided future images "
            f"resemble the {held_out}. This says nothing about how many good images have a marked "
            "pixel, nor about how many defects are found."
        )

    def check(self, parameters: dict[str, Any], what: str) -> None:
        """Check that parameters have the values for which the threshold was found.

        Parameters
        ----------
        parameters : dict
            Current values by name.
        what : str
            Name in the message of the result that depends on them.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If some have changed; the message names them and asks for `calibrate`.
        """
        changed = {n: value for n, value in parameters.items() if value != self.parameters.get(n)}
        if changed:
            now = ", ".join(f"{name}={value!r}" for name, value in changed.items())
            raise NotFittedError(
                f"{what} has not been calibrated for {now}: the threshold was found with other "
                "values. Call calibrate with good images, or fit again."
            )
