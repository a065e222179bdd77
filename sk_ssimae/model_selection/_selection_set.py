"""Good images and painted defects, to choose settings without labels."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sk_ssimae._validation import count_images, make_rng
from sk_ssimae.model_selection._painted import PaintableImages, paint_unlike
from sk_ssimae.model_selection._split import number_groups

if TYPE_CHECKING:
    from sk_ssimae.model_selection._pilot import Pilot

# Factors of the severity at the limit of detection: some defects are easier, some harder.
_SPREAD = (0.7, 1.0, 1.4)
_MOST_PAINTED = 8
#: Defects that occur on many materials.
DEFAULT_FAMILIES = (
    *("scar", "foreign_texture", "crease", "contamination", "blur", "warp", "missing_line"),
)


@dataclass(frozen=True, eq=False)
class SelectionSet:
    """Good images and painted copies of some of them; unpacks into ``X, y``.

    Attributes
    ----------
    X : array of shape (n, h, w) or (n, h, w, c), or list
        The good images as they were given, then the painted ones.
    y : array of bool, shape (n, h, w), or list of arrays of shape (h, w)
        Masks of the painted pixels, empty for good images.
    groups : array of int, shape (n,)
        Group of each image. A painted image is in the group of the good one.
    families : tuple of n str or None
        Family of the painted defect; None for a good image.
    severities : dict of str to float
        Severity of each family around which its defects are painted, in (0, 1].
    roi : list of n arrays of bool, shape (h, w), or None
        Inspected pixels of each image; None if all are.
    """

    X: Any
    y: Any
    groups: NDArray[np.intp]
    families: tuple[str | None, ...]
    severities: dict[str, float]
    roi: list[NDArray[np.bool_]] | None = None

    def __iter__(self) -> Iterator[Any]:
        return iter((self.X, self.y))


def make_selection_set(
    X: Any,
    *,
    families: Sequence[str] = DEFAULT_FAMILIES,
    n_per_family: int | None = None,
    severity: float | Mapping[str, float] | Literal["pilot"] = "pilot",
    pilot: Any = None,
    groups: ArrayLike | None = None,
    roi: Any = None,
    random_state: int | np.random.RandomState | np.random.Generator | None = None,
) -> SelectionSet:
    """Paint defects into copies of good images, to choose settings without labels.

    Pass the result to a search, with :class:`DefectFreeKFold` and with its groups: training folds
    then contain untouched good images only, and test folds other good images and painted copies of
    these. ``fit`` drops painted images, so that the refit learns from all good images.

    Defects that every candidate detects, or none, cannot tell them apart. By default a pilot is
    trained on half of the good images, and the severity of each family is set to the smallest that
    it detects on others: where the area under its per-region overlap curve, up to a false positive
    rate of 5 %, reaches one half. Defects are painted at 0.7, 1 and 1.4 times this severity.

    Parameters
    ----------
    X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays or paths
        Good images: uint8, uint16, or floats in [0, 1]. The last of 2 or 4 channels, which may be
        alpha, stays untouched.
    families : sequence of str
        Families of defects, see :func:`~sk_ssimae.datasets.draw_defects`. By default scar, foreign
        texture, crease, contamination, blur, warp and missing line.
    n_per_family : int or None, default=None
        Number of good images that are painted, each once with every family. None for all of them,
        but at most 8. A search needs at least as many as folds.
    severity : float in (0, 1], dict of str to float, or "pilot", default="pilot"
        Severity around which defects are painted; a dict has one for each family, such as
        `severities` of another set. "pilot" finds one for each family.
    pilot : segmenter or None, default=None
        Segmenter, not necessarily fitted, of which a copy is trained. None is a
        :class:`~sk_ssimae.PatchDictionarySegmenter`, which takes seconds. Unused unless `severity`
        is "pilot".
    groups : array of shape (n,), optional
        Group of each image, such as the part that it shows. None if each image is its own.
    roi : None, mask of shape (h, w), or masks of shape (n, h, w) or a sequence of (h, w)
        Region of interest: True where a pixel is inspected; a single mask holds for all images.
        Defects are painted within it only. None inspects all pixels.
    random_state : int, RandomState, Generator or None, default=None
        Seed of the painted images and their defects, and of the default pilot.

    Returns
    -------
    SelectionSet
        Images, masks, groups, families, severities and region of interest; unpacks into ``X, y``.

    Raises
    ------
    TypeError
        If images or `roi` are of another type, or `X` has no length.
    ValueError
        If a family is unknown or changes nothing in an image, another parameter is out of range, or
        a mask is not as described, or there are fewer than two images, or groups, for a pilot.

    References
    ----------
    See :doc:`/model_selection` for the evidence that painted defects choose as real ones do, and
    for their limits.

    Examples
    --------
    >>> from sk_ssimae.datasets import make_woven_fabric
    >>> from sk_ssimae.model_selection import make_selection_set
    >>> good = make_woven_fabric(4, shape=(64, 64), random_state=0)
    >>> selection = make_selection_set(
    ...     good, families=["scar", "blur"], n_per_family=2, severity=0.3, random_state=0
    ... )
    >>> selection.X.shape, selection.families
    ((8, 64, 64), (None, None, None, None, 'scar', 'blur', 'scar', 'blur'))
    """
    # These modules import scikit-learn, which the rest of this subpackage does without.
    from sk_ssimae.datasets._defects import check_families

    n_images = count_images(X)
    good = PaintableImages(X, roi)
    names = check_families(families)
    names = list(dict.fromkeys(names))
    _check_n_per_family(n_per_family, n_images)
    given = _check_severity(severity, names)
    group_of = np.arange(n_images) if groups is None else number_groups(groups, n_images)
    rng = make_rng(random_state)
    order = _spread_over_groups(group_of, rng)
    severities = given or _make_pilot(pilot, good, group_of, order, rng).find_severities(names)
    chosen = order[: min(n_images, _MOST_PAINTED) if n_per_family is None else n_per_family]
    return paint_copies(good, severities, chosen, group_of, rng)


def paint_copies(
    good: PaintableImages,
    severities: dict[str, float],
    chosen: NDArray[np.intp],
    group_of: NDArray[np.intp],
    rng: np.random.Generator,
) -> SelectionSet:
    """Paint the chosen images, each once with every family, and add them to the good ones."""
    painted, masks = [], []
    seen: set[bytes] = set()
    for number, index in enumerate(chosen):
        for name, severity in severities.items():
            level = min(severity * _SPREAD[number % len(_SPREAD)], 1.0)
            image, mask = paint_unlike(seen, good, int(index), name, level, rng)
            painted.append(image)
            masks.append(mask)
    empty = [np.zeros(good.shape(index), dtype=bool) for index in range(len(good))]
    places = [*range(len(good)), *np.repeat(chosen, len(severities)).tolist()]
    return SelectionSet(
        X=good.extended_by(painted),
        y=np.stack(empty + masks) if good.is_array else empty + masks,
        groups=group_of[places],
        families=(None,) * len(good) + tuple(severities) * len(chosen),
        severities=severities,
        roi=good.take_roi(places),
    )


def _spread_over_groups(group_of: NDArray[np.intp], rng: Any) -> NDArray[np.intp]:
    """Order images at random: first one of each group, then a second one, and so on."""
    order = rng.permutation(len(group_of))
    n_before: dict[int, int] = {}
    turns = []
    for group in group_of[order]:
        turns.append(n_before.get(group, 0))
        n_before[group] = turns[-1] + 1
    return np.asarray(order[np.argsort(turns, kind="stable")])


def _make_pilot(
    segmenter: Any, good: PaintableImages, group_of: NDArray[np.intp], order: Any, rng: Any
) -> "Pilot":
    from sk_ssimae.model_selection._pilot import Pilot

    groups = np.array(list(dict.fromkeys(group_of[order])))
    if len(groups) < 2:
        raise ValueError(
            "X must contain at least 2 images, or groups, for severity='pilot': one to train the "
            f"pilot and one to paint, got {len(groups)}. Pass more, or a number as severity."
        )
    is_trained_on = np.isin(group_of, groups[len(groups) // 2 :])
    seed = int(rng.integers(2**31))
    return Pilot.fit(
        segmenter, good, order[is_trained_on[order]], order[~is_trained_on[order]], seed
    )


def _check_n_per_family(n_per_family: Any, n_images: int) -> None:
    if n_per_family is None:
        return
    is_integer = isinstance(n_per_family, Integral) and not isinstance(n_per_family, bool)
    if not is_integer or not 1 <= n_per_family <= n_images:
        raise ValueError(
            f"n_per_family must be an integer from 1 to {n_images}, the number of images, or None, "
            f"got {n_per_family!r} instead."
        )


def _check_severity(severity: Any, families: list[str]) -> dict[str, float] | None:
    """Return the severity of each family, or None if a pilot is to find them."""
    if isinstance(severity, str) and severity == "pilot":
        return None
    if isinstance(severity, Mapping):
        missing = [family for family in families if family not in severity]
        if missing:
            raise ValueError(
                f"severity must have a number for each of the families, got none for {missing}."
            )
        return {
            family: _check_level(severity[family], f"severity[{family!r}]") for family in families
        }
    return dict.fromkeys(families, _check_level(severity, "severity"))


def _check_level(level: Any, name: str) -> float:
    is_number = isinstance(level, Real) and not isinstance(level, bool)
    number: Any = level
    if not (is_number and 0 < number <= 1):
        alternative = " or be 'pilot'" if name == "severity" else ""
        raise ValueError(f"{name} must lie in (0, 1]{alternative}, got {level!r} instead.")
    return float(number)
