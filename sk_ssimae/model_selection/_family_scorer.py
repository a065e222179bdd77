"""A score of residual maps for each family of painted defects."""

from typing import Any

import numpy as np

from sk_ssimae._interest import RegionsOfInterest
from sk_ssimae._validation import (
    check_mask,
    check_mask_shapes,
    check_masks,
    check_some_defective,
    count_images,
)
from sk_ssimae.metrics import pro_auc_score
from sk_ssimae.metrics._pooling import check_rate
from sk_ssimae.metrics._scorers import RequestsRoi
from sk_ssimae.model_selection._painted import key_of_mask
from sk_ssimae.model_selection._selection_set import SelectionSet


class FamilyScorer(RequestsRoi):
    """Compute the area under the per-region overlap curve of each family of painted defects.

    It is a scorer for the images of one :class:`SelectionSet`: it finds the family of an image by
    its mask. The defects of a family are compared with the good pixels of its images and with good
    images.

    Parameters
    ----------
    selection : SelectionSet
        The images that are split into folds.
    max_fpr : float in (0, 1], default=0.05
        False positive rate at which the integration stops: few good pixels may be marked.

    Raises
    ------
    TypeError
        If `selection` is no SelectionSet.
    ValueError
        If `max_fpr` is not in (0, 1].

    See Also
    --------
    choose_by_rank : The function to pass as `refit`.

    Examples
    --------
    The search returns the score of each family::

        selection = make_selection_set(X_good)
        search = GridSearchCV(segmenter, grid, cv=DefectFreeKFold(3),
                              scoring=FamilyScorer(selection), refit=choose_by_rank)
        search.fit(*selection, groups=selection.groups)
        print(SelectionReport.from_cv_results(search.cv_results_))

    ``HalvingGridSearchCV`` compares single numbers: pass ``FamilyScorer(selection).mean``.

    With a region of interest and metadata routing, each of them asks for it::

        segmenter.set_fit_request(roi=True)
        scorer = FamilyScorer(selection).set_score_request(roi=True)
        search.fit(*selection, groups=selection.groups, roi=selection.roi)
    """

    def __init__(self, selection: SelectionSet, *, max_fpr: float = 0.05) -> None:
        if not isinstance(selection, SelectionSet):
            raise TypeError(
                "selection must be a SelectionSet, as make_selection_set returns it, got "
                f"{type(selection).__name__} instead."
            )
        check_rate(max_fpr, "max_fpr")
        self.max_fpr = max_fpr
        self.families = tuple(selection.severities)
        self._family_of = {
            key_of_mask(check_mask(mask, f"y[{index}]")): family
            for index, (mask, family) in enumerate(
                zip(selection.y, selection.families, strict=True)
            )
            if family is not None
        }

    def __repr__(self) -> str:
        return f"FamilyScorer(families={self.families}, max_fpr={self.max_fpr})"

    def __call__(self, estimator: Any, X: Any, y: Any, *, roi: Any = None) -> dict[str, float]:
        """Score a fitted estimator.

        Parameters
        ----------
        estimator : fitted estimator
            Estimator whose `decision_function` returns residual maps.
        X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays or paths
            Some images of the selection set.
        y : array of shape (n, h, w), or sequence of arrays of shape (h, w)
            Their masks.
        roi : None, mask of shape (h, w), or masks of shape (n, h, w) or a sequence of (h, w)
            Region of interest, passed to `decision_function`: other pixels do not count.

        Returns
        -------
        dict of str to float
            The area by family, in [0, 1]; NaN for a family of which `X` contains no image.

        Raises
        ------
        ValueError
            If `y` contains no mask of a defect, or one of another set.
        """
        check_masks(y)
        check_some_defective(y, count_images(X))
        # Not every estimator of residual maps has the parameter.
        inspected = {} if roi is None else {"roi": roi}
        return self.score_maps(y, estimator.decision_function(X, **inspected), roi=roi)

    def score_maps(self, y: Any, residual_maps: Any, *, roi: Any = None) -> dict[str, float]:
        """Score residual maps that have been computed.

        Parameters
        ----------
        y : array of shape (n, h, w), or sequence of arrays of shape (h, w)
            Masks of some images of the selection set.
        residual_maps : array of shape (n, h, w), or sequence of arrays of shape (h, w)
            Their residual maps.
        roi : None, mask of shape (h, w), or masks of shape (n, h, w) or a sequence of (h, w)
            Region of interest: other pixels do not count.

        Returns
        -------
        dict of str to float
            The area by family, in [0, 1]; NaN for a family of which there is no image.

        Raises
        ------
        ValueError
            If `y` contains no mask of a defect, or one of another set, or masks and maps differ in
            number or shape.
        """
        check_masks(y)
        check_some_defective(y, len(residual_maps))
        masks = [check_mask(mask, f"y[{index}]") for index, mask in enumerate(y)]
        families = [self._find_family(mask, index) for index, mask in enumerate(masks)]
        check_mask_shapes(masks, residual_maps)
        rois = RegionsOfInterest(roi, len(masks))
        return {
            family: self._score(family, families, masks, residual_maps, rois)
            for family in self.families
        }

    @property
    def mean(self) -> "_MeanScorer":
        """Scorer of the mean over families, for searches that need one number.

        It is called like this scorer and returns a float in [0, 1], the mean over the families of
        which there are images. A family whose scores differ by more than those of others has more
        weight than in :func:`choose_by_rank`.
        """
        return _MeanScorer(self)

    def _find_family(self, mask: Any, index: int) -> str | None:
        if not mask.any():
            return None
        family = self._family_of.get(key_of_mask(mask))
        if family is None:
            raise ValueError(
                f"y[{index}] is not a mask of the selection set of this scorer. Pass X and y of "
                "the set unchanged to the search."
            )
        return family

    def _score(
        self,
        family: str,
        families: list[str | None],
        masks: Any,
        maps: Any,
        rois: RegionsOfInterest,
    ) -> float:
        if family not in families:
            return float(np.nan)
        used = [index for index, own in enumerate(families) if own in (None, family)]
        return pro_auc_score(
            [masks[index] for index in used],
            [maps[index] for index in used],
            max_fpr=self.max_fpr,
            roi=rois.take(used),
        )


class _MeanScorer(RequestsRoi):
    """Mean over families of a scorer, with its request for a region of interest."""

    def __init__(self, of_families: FamilyScorer) -> None:
        self._of_families = of_families
        self._roi_request = of_families._roi_request

    def __repr__(self) -> str:
        return f"{self._of_families!r}.mean"

    def __call__(self, estimator: Any, X: Any, y: Any, *, roi: Any = None) -> float:
        return float(np.nanmean([*self._of_families(estimator, X, y, roi=roi).values()]))
