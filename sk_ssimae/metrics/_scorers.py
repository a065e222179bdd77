"""Scorers for scikit-learn's model selection: callables ``(estimator, X, y)``."""

from collections.abc import Callable, Sequence
from typing import Any, Self

from sk_ssimae._validation import (
    check_mask_shapes,
    check_masks,
    check_some_defective,
    count_images,
    is_collection,
)
from sk_ssimae.metrics._precision_recall import pixel_average_precision_score, pixel_f1_max_score
from sk_ssimae.metrics._regions import pro_auc_score
from sk_ssimae.metrics._roc import image_roc_auc_score, pixel_roc_auc_score


def _pixel_f1_max(masks: Any, residual_maps: Any, roi: Any) -> float:
    return pixel_f1_max_score(masks, residual_maps, roi=roi).f1


_SCORES: dict[str, Callable[..., float]] = {
    "pixel_roc_auc": pixel_roc_auc_score,
    "pixel_average_precision": pixel_average_precision_score,
    "pixel_f1_max": _pixel_f1_max,
    "pro_auc": pro_auc_score,
    "image_roc_auc": image_roc_auc_score,
}


class RequestsRoi:
    """Mixin of scorers that ask scikit-learn's metadata routing for a region of interest."""

    _roi_request: bool | str | None = None

    def set_score_request(self, *, roi: bool | str | None) -> Self:
        """Ask scikit-learn's metadata routing for a region of interest.

        Parameters
        ----------
        roi : bool, str or None
            True to take the value passed as ``roi``, False to leave it, a name to take the value
            passed under that name, and None to raise an error if any is passed.

        Returns
        -------
        self
            The scorer.
        """
        self._roi_request = roi
        return self

    def get_metadata_routing(self) -> Any:
        """Return the metadata that the scorer asks for, as a ``MetadataRequest``."""
        from sklearn.utils.metadata_routing import MetadataRequest  # Metrics do without it.

        request = MetadataRequest(owner=self)
        request.score.add_request(param="roi", alias=self._roi_request)
        return request


class SegmentationScorer(RequestsRoi):
    """Compute several scores from one pass over the images, as a dict.

    Parameters
    ----------
    scores : sequence of str, default=all
        Any of ``"pixel_roc_auc"``, ``"pixel_average_precision"``, ``"pixel_f1_max"``,
        ``"pro_auc"`` and ``"image_roc_auc"``. For the last, an image's score is the maximum of its
        residual map, and `X` must contain good images.

    Raises
    ------
    ValueError
        If a name is unknown, or there is none.

    Examples
    --------
    In a search, `refit` names the score that selects the parameters::

        GridSearchCV(segmenter, grid, cv=DefectFreeKFold(3), scoring=SegmentationScorer(),
                     refit="pro_auc")

    With metadata routing, a region of interest passed as `roi` to ``fit`` of the search goes to
    the segmenters and to the scorer if both ask for it::

        segmenter.set_fit_request(roi=True)
        SegmentationScorer().set_score_request(roi=True)
    """

    def __init__(self, scores: Sequence[str] = tuple(_SCORES)) -> None:
        is_right = is_collection(scores) and len(scores) > 0
        if not is_right or not all(isinstance(name, str) and name in _SCORES for name in scores):
            raise ValueError(
                f"scores must be a sequence of names from {list(_SCORES)}, got {scores!r} instead."
            )
        self.scores = scores

    def __repr__(self) -> str:
        return f"SegmentationScorer(scores={tuple(self.scores)})"

    def __call__(self, estimator: Any, X: Any, y: Any, *, roi: Any = None) -> dict[str, float]:
        """Score a fitted estimator.

        Parameters
        ----------
        estimator : fitted estimator
            Estimator whose `decision_function` returns residual maps.
        X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays or paths
            Images, good and defective.
        y : array of shape (n, h, w), or sequence of arrays of shape (h, w)
            Masks: True, 1 or 255 where a pixel is defective, 0 elsewhere. For ``"image_roc_auc"``
            alone, labels of shape (n,) are enough.
        roi : None, mask of shape (h, w), or masks of shape (n, h, w) or a sequence of (h, w)
            Region of interest, passed to `decision_function` and to the scores: pixels where it is
            False or 0 are left out. None to inspect all pixels.

        Returns
        -------
        dict of str to float
            The scores by name.

        Raises
        ------
        ValueError
            If a score needs masks and `y` contains none, or `y` marks no defect.
        """
        needs_masks = set(self.scores) != {"image_roc_auc"}
        if needs_masks:
            check_masks(y)
        check_some_defective(y, count_images(X))
        # Not every estimator of residual maps has the parameter.
        inspected = {} if roi is None else {"roi": roi}
        residual_maps = estimator.decision_function(X, **inspected)
        if needs_masks:
            check_mask_shapes(y, residual_maps)
        return {name: _SCORES[name](y, residual_maps, roi=roi) for name in self.scores}


def pixel_roc_auc_scorer(estimator: Any, X: Any, y: Any, *, roi: Any = None) -> float:
    """Score a fitted estimator by :func:`pixel_roc_auc_score`; see :class:`SegmentationScorer`."""
    return _score("pixel_roc_auc", estimator, X, y, roi)


def pixel_average_precision_scorer(estimator: Any, X: Any, y: Any, *, roi: Any = None) -> float:
    """Score a fitted estimator by :func:`pixel_average_precision_score`."""
    return _score("pixel_average_precision", estimator, X, y, roi)


def pixel_f1_max_scorer(estimator: Any, X: Any, y: Any, *, roi: Any = None) -> float:
    """Score a fitted estimator by :func:`pixel_f1_max_score`, without the threshold."""
    return _score("pixel_f1_max", estimator, X, y, roi)


def pro_auc_scorer(estimator: Any, X: Any, y: Any, *, roi: Any = None) -> float:
    """Score a fitted estimator by :func:`pro_auc_score`."""
    return _score("pro_auc", estimator, X, y, roi)


def image_roc_auc_scorer(estimator: Any, X: Any, y: Any, *, roi: Any = None) -> float:
    """Score a fitted estimator by :func:`image_roc_auc_score` of the maxima of its residual maps.

    To use `score_images`, which takes the maxima of opened maps, call
    ``image_roc_auc_score(y, segmenter.score_images(X))``.
    """
    return _score("image_roc_auc", estimator, X, y, roi)


def _score(name: str, estimator: Any, X: Any, y: Any, roi: Any) -> float:
    return SegmentationScorer([name])(estimator, X, y, roi=roi)[name]
