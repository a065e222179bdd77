"""Scores of a trained candidate for all settings of inference, and of the best pair together."""

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_ssimae.exceptions import IntensityRangeWarning
from sk_ssimae.model_selection._family_scorer import FamilyScorer
from sk_ssimae.model_selection._selection_report import best_by_rank
from sk_ssimae.model_selection._selection_set import SelectionSet
from sk_ssimae.model_selection._tuning._cutting import Shape
from sk_ssimae.model_selection._tuning._images import scale_size

Map = NDArray[np.float32]
Setting = Mapping[str, Any]


@dataclass(frozen=True)
class Scored:
    """Scores of a candidate for its settings, and the maps of the best.

    Attributes
    ----------
    scores : list of dict of str to float
        Scores by family, for each setting.
    best : int
        Index of the setting with the best mean rank.
    maps : list of arrays (h, w)
        Its residual maps of the selection set.
    seconds_per_map : float
        Seconds that one map has taken.
    """

    scores: list[dict[str, float]]
    best: int
    maps: list[Map] = field(repr=False)
    seconds_per_map: float


class Bench:
    """The selection set on which all candidates are ranked.

    Parameters
    ----------
    selection : SelectionSet
        Parts of good images and their painted copies.
    shapes : list of tuple of two int
        Height and width of the whole image of each.
    """

    def __init__(self, selection: SelectionSet, shapes: list[Shape]) -> None:
        self.selection, self.shapes = selection, shapes
        self.scorer = FamilyScorer(selection)
        self.seconds_per_score = 0.0
        self.good = [index for index, name in enumerate(selection.families) if name is None]
        self._inside: list[Any] = selection.roi or [None] * len(shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def score(self, maps: Sequence[Map]) -> dict[str, float]:
        """Return the scores of maps by family."""
        start = time.monotonic()
        scores = self.scorer.score_maps(self.selection.y, maps, roi=self.selection.roi)
        self.seconds_per_score = time.monotonic() - start
        return scores

    def score_settings(self, fitted: Any, settings: Sequence[Setting]) -> Scored:
        """Score a fitted segmenter for each setting.

        Settings that differ in `smoothing` alone share one computation of maps.
        """
        scores: list[dict[str, float]] = [{} for _ in settings]
        unsmoothed: dict[int, list[Map]] = {}
        seconds = []
        for group in _same_but_smoothing(settings):
            start = time.monotonic()
            maps = self._unsmoothed_maps(fitted, settings[group[0]])
            seconds.append(time.monotonic() - start)
            for index in group:
                unsmoothed[index] = maps
                scores[index] = self.score(self._smoothed(maps, fitted, settings[index]))
        best = best_by_rank([[*own.values()] for own in scores])
        maps = self._smoothed(unsmoothed[best], fitted, settings[best])
        return Scored(scores, best, maps, float(np.mean(seconds)) / len(self))

    def time_map(self, fitted: Any) -> float:
        """Return the seconds that the map of an image of the set takes."""
        start = time.monotonic()
        next(self._iter_maps(fitted, self.good[:1]))
        return time.monotonic() - start

    def combine(self, maps: Sequence[Sequence[Map]]) -> list[Map]:
        """Add maps of several segmenters in a common unit, as an ensemble does.

        The tail probabilities of the residuals are those of the good images of the set.
        """
        from sk_ssimae.estimators import TailProbability

        combined: list[Map] = []
        tails = [
            TailProbability.fit([self._inspected(own[index], index) for index in self.good])
            for own in maps
        ]
        for of_image in zip(*maps, strict=True):
            surprises = [tail.surprise(m) for tail, m in zip(tails, of_image, strict=True)]
            summed: Map = np.sum(surprises, axis=0, dtype=np.float32)
            combined.append(summed)
        return combined

    def _unsmoothed_maps(self, fitted: Any, setting: Setting) -> list[Map]:
        others = {name: value for name, value in setting.items() if name != "smoothing"}
        before = {name: fitted.get_params(deep=False)[name] for name in ("smoothing", *others)}
        fitted.set_params(**others, smoothing=0)
        try:
            return list(self._iter_maps(fitted, range(len(self))))
        finally:
            fitted.set_params(**before)

    def _inspected(self, residual_map: Map, index: int) -> Map:
        inside = self._inside[index]
        inspected: Map = residual_map if inside is None else residual_map[inside]
        return inspected

    def _iter_maps(self, fitted: Any, indices: Sequence[int]) -> Iterator[Map]:
        for index in indices:
            image, inside = self.selection.X[index], self._inside[index]
            with _resizing_parts(fitted, image.shape[:2], self.shapes[index]), _unwarned():
                residual_map: Any = fitted.decision_function([image], roi=inside)[0]
            yield residual_map

    def _smoothed(self, maps: Sequence[Map], fitted: Any, setting: Setting) -> list[Map]:
        """Smooth by the sigma of the whole images, of which the set has parts."""
        from sk_ssimae._inference._decision import smooth, smoothing_sigma
        from sk_ssimae._inference._region import Region

        smoothing = setting.get("smoothing", fitted.smoothing)
        smoothed: list[Map] = []
        for one, inside, shape in zip(maps, self._inside, self.shapes, strict=True):
            with _resizing_parts(fitted, one.shape, shape):
                region = Region.of_image(one, fitted.working_size, inside, fitted.min_image_size)
            own = smooth(region.pixels, smoothing_sigma(smoothing, shape), region.inside)
            smoothed.append(region.place(own))
        return smoothed


def n_passes(settings: Sequence[Setting]) -> int:
    """Return how many times maps are computed for settings."""
    return len(_same_but_smoothing(settings))


def _same_but_smoothing(settings: Sequence[Setting]) -> list[list[int]]:
    """Group the indices of settings that differ in `smoothing` alone."""
    groups: dict[str, list[int]] = {}
    for index, setting in enumerate(settings):
        others = {name: value for name, value in setting.items() if name != "smoothing"}
        groups.setdefault(repr(others), []).append(index)
    return list(groups.values())


@contextmanager
def _unwarned() -> Iterator[None]:
    """Ignore warnings about the intensities of painted parts, which name no image of the user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IntensityRangeWarning)
        yield


@contextmanager
def _resizing_parts(fitted: Any, part: Any, whole: Shape) -> Iterator[None]:
    """Let a segmenter resize a part of an image by the same factors as the whole image."""
    parameters = fitted.fitted_parameters_
    size = scale_size(parameters["image_size"], part, whole)
    fitted.fitted_parameters_ = parameters | {"image_size": size}
    try:
        yield
    finally:
        fitted.fitted_parameters_ = parameters
