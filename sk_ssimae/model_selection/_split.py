"""Cross-validation that trains on good images only and tests on good and defective ones."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sk_ssimae._validation import count_images, defect_labels, make_rng, to_array

Indices = NDArray[np.intp]


class DefectFreeKFold:
    """Split images into folds that train on good images only and test on both kinds.

    Good and defective images are distributed over the test folds separately, so that each fold has
    its share of both. The training set of a fold is the good images of the other folds. Every image
    is tested once.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2. The data must contain at least as many good images and as many
        defective images, or groups with them.
    shuffle : bool, default=False
        Whether to distribute images, or groups, in random order.
    random_state : int, RandomState, Generator or None, default=None
        Seed of the random order. Unused if `shuffle` is False.

    Raises
    ------
    ValueError
        If `n_splits` is not an integer of at least 2.

    Examples
    --------
    >>> from sk_ssimae.model_selection import DefectFreeKFold
    >>> labels = [0, 0, 0, 0, 1, 1]
    >>> for train, test in DefectFreeKFold(n_splits=2).split(labels, labels):
    ...     print(train, test)
    [2 3] [0 1 4]
    [0 1] [2 3 5]
    """

    def __init__(
        self,
        n_splits: int = 5,
        *,
        shuffle: bool = False,
        random_state: int | np.random.RandomState | np.random.Generator | None = None,
    ) -> None:
        if not isinstance(n_splits, int | np.integer) or n_splits < 2:
            raise ValueError(
                f"n_splits must be an integer of at least 2, got {n_splits!r} instead."
            )
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.random_state = random_state

    def __repr__(self) -> str:
        return (
            f"DefectFreeKFold(n_splits={self.n_splits}, shuffle={self.shuffle}, "
            f"random_state={self.random_state})"
        )

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds; the arguments exist for compatibility."""
        return self.n_splits

    def get_metadata_routing(self) -> Any:
        """Return the metadata that `split` asks for, as a ``MetadataRequest``."""
        from sklearn.utils.metadata_routing import MetadataRequest  # This module does without.

        request = MetadataRequest(owner=self)
        request.split.add_request(param="groups", alias=True)
        return request

    def split(
        self, X: Sequence[Any] | NDArray[Any], y: Any, groups: ArrayLike | None = None
    ) -> Iterator[tuple[Indices, Indices]]:
        """Generate the indices of the training and test images of each fold.

        Parameters
        ----------
        X : array or sequence of length n
            Images; only their number matters.
        y : array of shape (n,) or (n, h, w), or sequence of arrays of shape (h, w)
            Labels, 1 for a defective image and 0 for a good one; or masks, in which a single marked
            pixel makes the image defective.
        groups : array of shape (n,), optional
            Group of each image, such as the part it was cut from. In a fold, images of one group
            are never in both training and test set.

        Yields
        ------
        train : array of int
            Indices of good images, ascending.
        test : array of int
            Indices of good and defective images, ascending.

        Raises
        ------
        TypeError
            If `X` has no length, or `y` is neither masks nor labels.
        ValueError
            If `y` is missing or invalid, there are too few good or defective images or groups, or
            the groups do not allow both kinds in each fold.
        """
        if y is None:
            raise ValueError("y must be masks or labels that mark the defective images, got None.")
        n_images = count_images(X)
        if n_images == 0:
            raise ValueError("X must contain at least one image, got none.")
        defective = defect_labels(y, n_images)
        group_of = np.arange(n_images) if groups is None else number_groups(groups, n_images)
        fold_of = self._distribute(defective, group_of)
        for fold in range(self.n_splits):
            in_test = fold_of == fold
            yield np.flatnonzero(~in_test & ~defective), np.flatnonzero(in_test)

    def _distribute(self, defective: NDArray[np.bool_], group_of: Indices) -> Indices:
        """Return the test fold of each image."""
        n_groups = int(group_of.max()) + 1
        n_defective = np.bincount(group_of[defective], minlength=n_groups)
        n_good = np.bincount(group_of[~defective], minlength=n_groups)
        for kind, counts in (("defective", n_defective), ("good", n_good)):
            if np.count_nonzero(counts) < self.n_splits:
                raise ValueError(
                    f"n_splits={self.n_splits} needs at least {self.n_splits} {kind} images, or "
                    f"groups with one, got {np.count_nonzero(counts)}."
                )
        order = np.arange(n_groups)
        if self.shuffle:
            order = make_rng(self.random_state).permutation(n_groups)
        # Large groups first; the small ones then even out the folds.
        order = order[np.lexsort((-n_good[order], -n_defective[order]))]
        if n_groups == len(group_of):
            return self._distribute_in_order(defective, order)
        fold_of_group = np.empty(n_groups, dtype=np.intp)
        totals = np.zeros((self.n_splits, 2), dtype=np.intp)
        for group in order:
            counts = np.array([n_defective[group], n_good[group]])
            # Prefer folds that lack a kind of this group, then those with the fewest of that kind.
            lacks_nothing = ~((totals == 0) & (counts > 0)).any(axis=1)
            keys = totals if counts[0] else totals[:, ::-1]
            fold = int(np.lexsort((keys[:, 1], keys[:, 0], lacks_nothing))[0])
            fold_of_group[group] = fold
            totals[fold] += counts
        if not totals.all():
            raise ValueError(
                "groups leave a fold without good or without defective images, got "
                f"n_splits={self.n_splits}. Choose fewer splits, smaller groups, or "
                "shuffle differently."
            )
        return fold_of_group[group_of]

    def _distribute_in_order(self, defective: NDArray[np.bool_], order: Indices) -> Indices:
        """Distribute single images; neighbours share a fold, as in KFold."""
        fold_of = np.empty(len(order), dtype=np.intp)
        for kind in (True, False):
            for fold, images in enumerate(
                np.array_split(order[defective[order] == kind], self.n_splits)
            ):
                fold_of[images] = fold
        return fold_of


def number_groups(groups: ArrayLike, n_images: int) -> Indices:
    """Return the group of each image as a number, counted from 0."""
    group_array = to_array(groups, "groups", "(n,)")
    try:
        numbers: Indices = np.unique(group_array, return_inverse=True)[1]
    except TypeError as error:
        raise ValueError(f"groups must be integers or strings, one per image: {error}.") from error
    if group_array.shape != (n_images,):
        raise ValueError(
            f"groups must name one group for each of the {n_images} images, got shape "
            f"{group_array.shape} instead."
        )
    return numbers
