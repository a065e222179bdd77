"""Sparse codes of patches, the density of their indicators, and the vote of patches."""

import math

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Lasso
from sklearn.neighbors import KernelDensity

from sk_ssimae._areas import Area
from sk_ssimae._patches import Patches

Numbers = NDArray[np.float64]

# Tolerance of the lasso, relative to the squared norm of a patch: the l1 norm of a code is then
# right to about 1e-4, which is far below its spread among good patches.
_TOLERANCE = 1e-5
_MOST_SWEEPS = 100_000
# Passes over the training patches.
_N_ITERATIONS = 10
# Standard deviation of the noise of first atoms, relative to their own.
_NOISE = 0.01
# Standard deviation added to indicators, which would have none where good patches are constant.
_LEAST_DEVIATION = 1e-3


def learn_atoms(
    patches: Numbers, n_atoms: int, sparsity: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Learn a dictionary in which patches have sparse codes.

    Codes and atoms are optimised in turn, each atom as in Mairal et al., algorithm 2, but
    always scaled to norm 1. (The
    dictionaries of scikit-learn draw from NumPy's global generator.)

    Parameters
    ----------
    patches : array of shape (n, d)
        Good patches less their means.
    n_atoms : int
        Number of atoms K.
    sparsity : float
        Weight of the l1 norm of a code.
    rng : Generator
        Source of the first atoms, which are patches.

    Returns
    -------
    array of float32, shape (K, d)
        Atoms of norm 1, or 0 if no patch has any structure.

    References
    ----------
    J. Mairal, F. Bach, J. Ponce, G. Sapiro, "Online Dictionary Learning for Sparse Coding", ICML
    2009.
    """
    structured = patches[np.abs(patches).max(axis=1) > 0]
    if len(structured) == 0:
        return np.zeros((n_atoms, patches.shape[1]), dtype=np.float32)
    # With fewer patches than atoms, some are drawn twice: noise tells them apart.
    drawn = structured[np.resize(rng.permutation(len(structured)), n_atoms)]
    scale = np.linalg.norm(drawn, axis=1, keepdims=True) / math.sqrt(drawn.shape[1])
    atoms = _normalized(drawn + _NOISE * scale * rng.standard_normal(drawn.shape))
    for _ in range(_N_ITERATIONS):
        codes = SparseCoder(atoms, sparsity).encode(structured)
        _update(atoms, codes.T @ codes, codes.T @ structured)
    return atoms.astype(np.float32)


def _update(atoms: Numbers, products: Numbers, targets: Numbers) -> None:
    """Move each atom to where the error of all codes is least; one that no code uses stays."""
    for index in np.flatnonzero(np.diag(products) > 0):
        error = targets[index] - products[index] @ atoms
        moved = atoms[index] + error / products[index, index]
        if moved.any():
            atoms[index] = _normalized(moved)


def _normalized(atoms: Numbers) -> Numbers:
    normalized: Numbers = atoms / np.linalg.norm(atoms, axis=-1, keepdims=True)
    return normalized


class SparseCoder:
    """Indicators of patches: the error of their sparse codes, and the l1 norm of these.

    The code x of a patch s minimizes ‖s - xD‖₂² / 2 + λ‖x‖₁ (basis pursuit denoising).

    Parameters
    ----------
    atoms : array of shape (K, d)
        Dictionary D.
    sparsity : float
        Weight λ.
    """

    def __init__(self, atoms: NDArray[np.floating], sparsity: float) -> None:
        self.atoms = np.asarray(atoms, dtype=np.float64)
        self.sparsity = sparsity
        self.products = self.atoms @ self.atoms.T

    def encode(self, patches: Numbers) -> Numbers:
        """Compute the codes (n, K) of patches (n, d) less their means."""
        codes = np.zeros((len(patches), len(self.atoms)))
        # The code of all others is 0.
        is_coded = np.abs(patches @ self.atoms.T).max(axis=1) > self.sparsity
        if is_coded.any():
            lasso = Lasso(
                self.sparsity / patches.shape[1],  # It divides the squared error by d.
                fit_intercept=False,
                precompute=self.products,
                tol=_TOLERANCE,
                max_iter=_MOST_SWEEPS,
                random_state=np.random.RandomState(0),  # Else it draws from the global generator.
            )
            codes[is_coded] = lasso.fit(self.atoms.T, patches[is_coded].T).coef_
        return codes

    def indicators(self, patches: Numbers) -> Numbers:
        """Compute ‖s - xD‖₂ and ‖x‖₁ of patches (n, d) less their means, as (n, 2)."""
        codes = self.encode(patches)
        errors = np.linalg.norm(patches - codes @ self.atoms, axis=1)
        return np.stack([errors, np.abs(codes).sum(axis=1)], axis=1)


class IndicatorDensity:
    """Kernel density of the indicators of good patches.

    Kernels are Gaussians with the covariance of the points, scaled by Scott's rule as in
    ``scipy.stats.gaussian_kde``. Logarithms are added rather than densities, so that the result
    still falls where the density itself is 0 in floating-point numbers.

    Parameters
    ----------
    points : array of shape (n, 2)
        Indicators of good patches.
    """

    def __init__(self, points: Numbers) -> None:
        self.points = points
        n_points, n_indicators = points.shape
        covariance = np.cov(points.T) if n_points > 1 else np.zeros((n_indicators, n_indicators))
        covariance += _LEAST_DEVIATION**2 * np.eye(n_indicators)
        scott = n_points ** (-1 / (n_indicators + 4))
        # In these coordinates, each kernel is a Gaussian of deviation 1.
        self._axes = np.linalg.inv(np.linalg.cholesky(covariance)).T / scott
        self._kernels = KernelDensity(bandwidth=1).fit(points @ self._axes)
        self._highest = float(self._log_density(points).max())

    def improbability(self, indicators: Numbers) -> Numbers:
        """Return -log p of indicators (n, 2), relative to the most probable point; at least 0."""
        improbability: Numbers = np.maximum(self._highest - self._log_density(indicators), 0)
        return improbability

    def _log_density(self, indicators: Numbers) -> Numbers:
        log_density: Numbers = self._kernels.score_samples(indicators @ self._axes)
        return log_density


def vote(scores: NDArray[np.float32], patches: Patches, area: Area) -> NDArray[np.float32]:
    """Return, for each pixel, the largest value that more than half of its patches reach.

    So a pixel exceeds a threshold exactly if more than half of the patches that cover it do: it is
    their median, the lower one of an even number.

    Parameters
    ----------
    scores : array of shape (r, c)
        Score of each patch.
    patches : Patches
        Places of r · c patches, which contain all that cover the area.
    area : tuple of two slice
        Rows and columns of the image.

    Returns
    -------
    array of float32, shape (h, w)
        Values of the area.
    """
    (row_spans, row_of), (column_spans, column_of) = (
        _covering(positions, patches.patch_size, part)
        for positions, part in zip((patches.rows, patches.columns), area, strict=True)
    )
    n_columns = column_spans[:, 1] - column_spans[:, 0]
    places = column_spans[:, :1] + np.arange(n_columns.max())
    is_beyond = places >= column_spans[:, 1:]
    # Patches that do not cover a pixel come last in its order.
    padded = np.pad(scores, ((0, 0), (0, 1)), constant_values=np.inf)
    places[is_beyond] = scores.shape[1]
    rows = []
    for first, stop in row_spans:
        covering = padded[first:stop, places].transpose(1, 0, 2).reshape(len(places), -1)
        covering.sort(axis=1)
        middle = ((stop - first) * n_columns + 1) // 2 - 1
        rows.append(covering[np.arange(len(places)), middle][column_of])
    return np.stack(rows)[row_of]


def _covering(
    positions: NDArray[np.intp], size: int, part: slice
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the distinct spans (n, 2) of patches that cover pixels, and that of each pixel."""
    pixels = np.arange(part.start, part.stop)
    first = np.searchsorted(positions, pixels - size, side="right")
    stop = np.searchsorted(positions, pixels, side="right")
    spans, of_pixel = np.unique(np.stack([first, stop], axis=1), axis=0, return_inverse=True)
    return spans, of_pixel.reshape(-1)
