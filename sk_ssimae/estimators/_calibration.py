"""How a threshold was found, and for which parameters it holds."""

from typing import Any, NamedTuple

from sklearn.exceptions import NotFittedError

from sk_ssimae.model_selection._threshold import allows_bound, images_for_bound

# Numbers of held-out images or regions, and how many times a target of 1 % the share of good images
# flagged was at most, in nine of ten calibrations: the worst of the textures in benchmarks/results,
# verdict_synthetic.csv and verdict_bands.csv and the two of earlier maps, "_before".
_FACTORS = {"images": ((10, 5), (5, 8), (3, 11)), "regions": ((9, 11), (5, 31), (3, 81))}


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
    good_deviation : float
        Standard deviation of all pixels of the opened maps of held-out images: the unit in which
        ``find_regions`` measures the distance from the threshold.
    typical_residuals : tuple of float
        Median of the block maxima of each held-out image or region, of at most 1000 of them, for
        `check_drift`.
    block_spread : float
        Root mean square deviation of block maxima from these medians.
    parameters : dict
        Parameters of inference and decision for which the threshold holds.
    """

    threshold: float
    extent_threshold: float
    rule: str
    target_fpr: float
    held_out: str
    n_held_out: int
    good_deviation: float
    typical_residuals: tuple[float, ...]
    block_spread: float
    parameters: dict[str, Any]

    @property
    def is_guarantee(self) -> bool:
        """Whether the rule's bound holds for any distribution, or the threshold is an estimate."""
        return (
            self.rule == "image_fpr"
            and self.held_out == "images"
            and allows_bound(self.n_held_out, self.target_fpr)
        )

    def promise(self) -> str:
        """Return the promise of the threshold in plain words, and its limits."""
        share = f"{100 * self.target_fpr:g} %"
        kind = self.held_out.removesuffix("s") if self.n_held_out == 1 else self.held_out
        held_out = f"{self.n_held_out} held-out {kind}"
        if self.rule == "pixel_fpr":
            return (
                f"About {share} of the pixels of good images exceed the threshold, provided future "
                f"images resemble the {held_out}. This says nothing about how many good images "
                "are flagged, nor about how many defects are found."
            )
        if self.is_guarantee:
            return (
                f"At most {share} of good images are flagged, provided future images resemble the "
                f"{held_out}. This is a guarantee, on average over calibrations. It says nothing "
                "about how many defects are found."
            )
        return (
            f"About {share} of good images are flagged, provided future images resemble the "
            f"{held_out}. This is an estimate from few images, not a guarantee: {self._evidence()} "
            f"A guarantee needs {images_for_bound(self.target_fpr):.0f} held-out images. This says "
            "nothing about how many defects are found."
        )

    def _evidence(self) -> str:
        """Say how far estimates were off."""
        factors = [f for least, f in _FACTORS[self.held_out] if self.n_held_out >= least]
        measured = (
            f"in tests with a target of 1 % it was up to {factors[0]} times as high."
            if factors
            else "with fewer than 3 it may be off by any factor."
        )
        if self.held_out == "images":
            return measured
        return (
            f"training has seen the rest of their images, and {measured} Call calibrate with other "
            "good images for a better one."
        )

    def changed(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return those of the current values that differ from the ones it holds for."""
        return {n: value for n, value in parameters.items() if value != self.parameters.get(n)}

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
        changed = self.changed(parameters)
        if changed:
            now = ", ".join(f"{name}={value!r}" for name, value in changed.items())
            raise NotFittedError(
                f"{what} has not been calibrated for {now}: the threshold was found with other "
                "values. Call calibrate with good images, or fit again."
            )
