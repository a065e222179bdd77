"""A segmenter trained quickly, to find out which defects are hard to detect."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sk_ssimae.metrics import pro_auc_score

if TYPE_CHECKING:
    from sk_ssimae.model_selection._painted import PaintableImages

_MAX_FPR = 0.05
_DETECTED = 0.5
_LEAST_SEVERITY = 0.02
_N_STEPS = 5
_MOST_IMAGES = 3


@dataclass(frozen=True, eq=False)
class Pilot:
    """A fitted segmenter and good images that it has not seen, with their residual maps."""

    segmenter: Any
    good: "PaintableImages"
    indices: NDArray[np.intp]
    good_maps: list[NDArray[Any]]
    seed: int

    @classmethod
    def fit(
        cls,
        segmenter: Any,
        good: "PaintableImages",
        train: NDArray[np.intp],
        test: NDArray[np.intp],
        seed: int,
    ) -> "Pilot":
        """Fit a copy of a segmenter, by default a patch dictionary, on some of the images."""
        from sklearn.base import clone

        if segmenter is None:
            from sk_ssimae.estimators import PatchDictionarySegmenter

            # The last of 2 or 4 channels, which may be alpha, is not painted.
            segmenter = PatchDictionarySegmenter(alpha_channel="drop", random_state=seed)
        elif not hasattr(segmenter, "fit") or not hasattr(segmenter, "decision_function"):
            raise TypeError(
                "pilot must be a segmenter with the methods fit and decision_function, got "
                f"{segmenter!r} instead."
            )
        fitted = clone(segmenter).fit(good.take(train), **roi_of(good, train))
        indices = test[:_MOST_IMAGES]
        maps = fitted.decision_function(good.take(indices), **roi_of(good, indices))
        return cls(fitted, good, indices, maps, seed)

    def find_severities(self, families: list[str]) -> dict[str, float]:
        """Find the smallest severity of each family that the pilot detects."""
        return {family: self._find_severity(family) for family in families}

    def _find_severity(self, family: str) -> float:
        """Bisect on a logarithmic scale; 1 if even the strongest defects are missed."""
        missed, detected = _LEAST_SEVERITY, 1.0
        for _ in range(_N_STEPS):
            severity = float(np.sqrt(missed * detected))
            if self._score(family, severity) >= _DETECTED:
                detected = severity
            else:
                missed = severity
        return detected

    def _score(self, family: str, severity: float) -> float:
        # The same generator for all severities: only contrast or displacement differ.
        rng = np.random.default_rng(self.seed)
        pairs = [self.good.paint(int(index), family, severity, rng) for index in self.indices]
        inspected = roi_of(self.good, self.indices)
        maps = self.segmenter.decision_function([image for image, _ in pairs], **inspected)
        masks = [mask for _, mask in pairs]
        masks += [np.zeros_like(mask) for mask in masks]
        roi = 2 * inspected["roi"] if inspected else None
        return pro_auc_score(masks, [*maps, *self.good_maps], max_fpr=_MAX_FPR, roi=roi)


def roi_of(good: "PaintableImages", indices: NDArray[np.intp]) -> dict[str, Any]:
    """Return the keyword `roi` for some images; none if all pixels are inspected."""
    masks = good.take_roi(indices.tolist())
    # Not every pilot has the parameter.
    return {} if masks is None else {"roi": masks}
