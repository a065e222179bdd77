"""Run lengths of masks."""

import numpy as np
from numpy.typing import NDArray


def runs_of_mask(mask: NDArray[np.bool_]) -> list[int]:
    """Encode a mask: alternately how many pixels to pass over and how many are True.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ssimae.cli._runs import runs_of_mask
    >>> runs_of_mask(np.array([[False, True, True], [True, False, True]]))
    [1, 3, 1, 1]
    """
    return runs_of_pixels(np.flatnonzero(mask))


def runs_of_pixels(pixels: NDArray[np.int_]) -> list[int]:
    """Encode ascending numbers of pixels, like `runs_of_mask`."""
    if pixels.size == 0:
        return []
    is_start = np.diff(pixels, prepend=pixels[0] - 2) > 1
    starts = pixels[is_start]
    lengths = np.diff(np.flatnonzero(np.append(is_start, True)))
    ends = starts + lengths
    gaps = starts - np.concatenate([[0], ends[:-1]])
    coded: list[int] = np.stack([gaps, lengths], axis=1).ravel().tolist()
    return coded
