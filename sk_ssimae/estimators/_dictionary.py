"""The base of segmenters that compare features of an image with a dictionary of good ones."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from numbers import Integral, Real
from typing import ClassVar, Literal, Unpack

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.utils._param_validation import Interval, RealNotInt, StrOptions
from threadpoolctl import threadpool_limits

from sk_ssimae._areas import Area, outside_of
from sk_ssimae._intensity import Image
from sk_ssimae._interest import resize_inside
from sk_ssimae._sliced import SlicedImage
from sk_ssimae.estimators._base import BaseSegmenter
from sk_ssimae.estimators._extension import (
    ExtendedImage,
    Readable,
    extend,
    extend_inside,
    inner_area,
)
from sk_ssimae.estimators._grid import cells_of, interpolate
from sk_ssimae.estimators._parameters import Parameter, Role, SegmenterParameters
from sk_ssimae.estimators._results import Mask

Features = NDArray[np.float32]

# Features from which the dictionary is chosen: more take memory and hardly change it.
_MOST_FEATURES = 100_000
# Share of the largest variance below which components are not amplified further.
_LEAST_VARIANCE = 1e-6
# Of features that good images repeat exactly, such as saturated areas, the spacing would be 0.
_LEAST_SPACING = 0.1
AT_LEAST_1 = Interval(Integral, 1, None, closed="left")


class DictionaryParameters(SegmenterParameters, total=False):
    """Types of the parameters of all dictionaries, for ``**shared: Unpack[...]``."""

    dictionary: Literal["random", "kmeans", "coreset"]
    dictionary_size: int
    n_components: int | float
    whitening: float
    n_neighbors: int
    density_neighbors: int


class BaseDictionarySegmenter(BaseSegmenter):
    """Base of segmenters whose residual is the distance to the nearest features of good images.

    A family implements :meth:`fit_features`, which prepares the features, and
    :meth:`compute_features`; for images in blocks, :meth:`grid_shape`,
    :meth:`compute_area_features` and `residual_radius`. Where `_padding` is not 0, these get images
    that were extended. Features have no position: those of a place may be found anywhere.

    Parameters
    ----------
    dictionary : {"random", "kmeans", "coreset"}, default="random"
        Choice of the features that are kept: at random; the centres of k-means; or one after the
        other, the farthest from those before (k-centre greedy).
    dictionary_size : int, default=4000
        Number of features that are kept, fewer if the images have fewer.
    n_components : int or float, default=64
        Number of principal components to which features are reduced; or, in (0, 1), the share of
        their variance that as few as possible keep.
    whitening : float, default=0.5
        Power in [0, 1] of their deviations by which components are divided: 0 for none, 1 for equal
        variances.
    n_neighbors : int, default=9
        Number of nearest features of the dictionary whose mean distance is the residual.
    density_neighbors : int, default=10
        Distances to a feature of the dictionary are divided by its mean distance to this number of
        others, in units of the median, as in the local outlier factor: where good features are
        sparse, a distance means less. 0 for plain distances.
    {parameters}

    Attributes
    ----------
    feature_mean_ : array of shape (d,)
        Mean of all features.
    projection_ : array of shape (d, k)
        Principal components onto which their differences to the mean are projected, scaled.
    dictionary_ : array of shape (m, k)
        The features that are kept, reduced.
    spacings_ : array of shape (m,)
        Mean distance of each to others, in units of the median; at least 0.1.
    n_features_seen_ : int
        Number of features of all training images, for which those that are kept stand.
    {attributes}
    """

    parameters: ClassVar[dict[str, Parameter]] = {
        "dictionary": Parameter(Role.NETWORK, StrOptions({"random", "kmeans", "coreset"})),
        "dictionary_size": Parameter(Role.NETWORK, AT_LEAST_1),
        "n_components": Parameter(
            Role.NETWORK, AT_LEAST_1, Interval(RealNotInt, 0, 1, closed="neither")
        ),
        "whitening": Parameter(Role.NETWORK, Interval(Real, 0, 1, closed="both")),
        "n_neighbors": Parameter(Role.NETWORK, AT_LEAST_1),
        "density_neighbors": Parameter(Role.NETWORK, Interval(Integral, 0, None, closed="left")),
    }

    _padding = 0  # Pixels by which images are extended on each side.

    def __init__(
        self,
        *,
        dictionary: Literal["random", "kmeans", "coreset"] = "random",
        dictionary_size: int = 4000,
        n_components: int | float = 64,
        whitening: float = 0.5,
        n_neighbors: int = 9,
        density_neighbors: int = 10,
        **shared: Unpack[SegmenterParameters],
    ) -> None:
        super().__init__(**shared)
        self.dictionary = dictionary
        self.dictionary_size = dictionary_size
        self.n_components = n_components
        self.whitening = whitening
        self.n_neighbors = n_neighbors
        self.density_neighbors = density_neighbors

    @abstractmethod
    def fit_features(
        self,
        regions: Sequence[Image],
        rng: np.random.Generator,
        inside: Sequence[Mask] | None = None,
    ) -> None:
        """Prepare :meth:`compute_features`: learn filters, or load a network.

        Parameters
        ----------
        regions : sequence of arrays (h, w, c)
            Good images or parts of them: uint8, or float32 with 0 and 1 at the ends of the
            intensity range.
        rng : Generator
            Source of all random numbers.
        inside : sequence of arrays of bool (h, w), or None
            Inspected pixels of each region; None for all.
        """

    @abstractmethod
    def compute_features(self, image: Image) -> Features:
        """Compute the features (h', w', d), float32, of an image (h, w, c), on an even grid."""

    @abstractmethod
    def grid_shape(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Return rows and columns of the grid of an image of that height and width."""

    @abstractmethod
    def compute_area_features(self, image: Readable, cells: Area) -> Features:
        """Compute the features of the cells of an area of the grid, from the pixels they need."""

    def fit_regions(
        self,
        regions: Sequence[Image],
        rng: np.random.Generator,
        inside: Sequence[Mask] | None = None,
    ) -> None:
        """Choose the dictionary from the features of good images, of cells at least half inside."""
        self.fit_features(regions, rng, inside)
        features, self.n_features_seen_ = self._sample_features(regions, rng, inside)
        seed = int(rng.integers(2**31))
        mean, projection = _principal_components(features, self.n_components, self.whitening)
        self.set_projection(mean, projection)
        dictionary = _select(
            self._project(features), self.dictionary, self.dictionary_size, rng, seed
        )
        self.set_dictionary(dictionary, self.n_neighbors, self.density_neighbors)

    def update_regions(
        self,
        regions: Sequence[Image],
        rng: np.random.Generator,
        inside: Sequence[Mask] | None = None,
    ) -> None:
        """Add features of other good images to the dictionary, and reduce it to its size again.

        Filters and principal components stay as of `fit`. By the rules "random" and "kmeans", old
        and new features have shares of the dictionary like the numbers of features that they stand
        for; "coreset" chooses the farthest from both, wherever they come from.
        """
        features, n_new = self._sample_features(regions, rng, inside)
        new = self._project(features)
        n_seen = self.n_features_seen_ + n_new
        fitted = self.fitted_parameters_
        rule, size = fitted["dictionary"], fitted["dictionary_size"]
        merged = _merge(self.dictionary_, new, n_new / n_seen, rule, size, rng)
        self.set_dictionary(merged, fitted["n_neighbors"], fitted["density_neighbors"])
        self.n_features_seen_ = n_seen

    def _sample_features(
        self,
        regions: Sequence[Image],
        rng: np.random.Generator,
        inside: Sequence[Mask] | None,
    ) -> tuple[Features, int]:
        """Return features of good images, at most about 100,000, and how many there are in all."""
        masks: Sequence[Mask | None] = inside or [None] * len(regions)
        share = -(-_MOST_FEATURES // len(regions))
        chosen, n_features = [], 0
        for region, mask in zip(regions, masks, strict=True):
            inspected = extend_inside(mask, region.shape[:2], self._padding)
            rows = _rows(self.compute_features(extend(region, self._padding)), inspected)
            n_features += len(rows)
            chosen.append(_choose(rows, share, rng))
        return np.concatenate(chosen), n_features

    def set_projection(self, mean: Features, projection: Features) -> None:
        """Set the mean (d,) of features and their projection (d, k), of `fit` or of a file."""
        self.feature_mean_ = mean
        # The layout in memory decides how products are rounded: it is that of a model file.
        self.projection_ = np.ascontiguousarray(projection)

    def set_dictionary(
        self, dictionary: Features, n_neighbors: int, density_neighbors: int
    ) -> None:
        """Set the dictionary (m, k), of `fit` or of a file, and prepare the search in it."""
        self.dictionary_ = np.ascontiguousarray(dictionary)
        self.neighbors_ = NearestNeighbors(
            n_neighbors=min(n_neighbors, len(dictionary)), algorithm="brute"
        )
        self.neighbors_.fit(self.dictionary_)
        # Below this, distances are rounding errors: of features that good images all share.
        terms = np.abs(self.feature_mean_) @ np.abs(self.projection_)
        resolution = float(np.finfo(np.float32).eps * np.linalg.norm(terms))
        self.spacings_ = _spacings(self.neighbors_, density_neighbors, resolution)

    def compute_residual(self, image: Image) -> NDArray[np.float32]:
        """Compute the mean distance (h, w) to the nearest features of the dictionary."""
        extended = extend(image, self._padding)
        features = self.compute_features(extended)
        grid, shape = features.shape[:2], extended.shape[:2]
        area = inner_area(image.shape, self._padding)
        cells = cells_of(area, grid, shape)
        return interpolate(self._distances(features[cells]), cells, grid, area, shape)

    def compute_area_residual(self, image: SlicedImage, area: Area) -> NDArray[np.float32]:
        """Compute the residual of an area from the cells that it depends on."""
        extended = ExtendedImage(image, self._padding)
        grid, shape = self.grid_shape(extended.shape), extended.shape
        area = outside_of(area, inner_area(image.shape, self._padding))
        cells = cells_of(area, grid, shape)
        distances = self._distances(self.compute_area_features(extended, cells))
        return interpolate(distances, cells, grid, area, shape)

    def _distances(self, features: Features) -> Features:
        distances, nearest = self.neighbors_.kneighbors(self._project(_rows(features)))
        relative = (distances / self.spacings_[nearest]).mean(axis=1)
        return relative.astype(np.float32).reshape(features.shape[:2])

    def _project(self, rows: Features) -> Features:
        return np.asarray((rows - self.feature_mean_) @ self.projection_, dtype=np.float32)


def _principal_components(
    features: Features, n_components: int | float, whitening: float
) -> tuple[Features, Features]:
    """Return the mean (d,), and a projection (d, k) onto components of scaled variance."""
    n_kept = min(n_components if n_components >= 1 else math.inf, *features.shape)
    pca = PCA(int(n_kept), svd_solver="full" if len(features) < 500 else "covariance_eigh")
    with np.errstate(invalid="ignore"):  # Features of constant images have no variance.
        pca.fit(features)
    if n_components < 1:
        shares = np.cumsum(pca.explained_variance_) / max(pca.explained_variance_.sum(), 1e-300)
        n_kept = min(int(np.searchsorted(shares, n_components)) + 1, n_kept)
    variances = np.maximum(pca.explained_variance_, _LEAST_VARIANCE * pca.explained_variance_[0])
    deviations = np.sqrt(np.where(variances > 0, variances, 1))
    projection = (pca.components_.T / deviations**whitening)[:, : int(n_kept)]
    return pca.mean_.astype(np.float32), projection.astype(np.float32)


def _spacings(neighbors: NearestNeighbors, number: int, resolution: float) -> Features:
    """Return the mean distance of each feature to others, in units of the median."""
    n_features = neighbors.n_samples_fit_
    number = min(number, n_features - 1)
    if number == 0:
        return np.ones(n_features, dtype=np.float32)
    means = neighbors.kneighbors(n_neighbors=number)[0].mean(axis=1)
    median = float(np.median(means))
    relative = means / median if median > resolution else np.ones(n_features)
    spacings: Features = np.maximum(relative, _LEAST_SPACING).astype(np.float32)
    return spacings


def _rows(features: Features, inside: Mask | None = None) -> Features:
    if inside is None:
        return features.reshape(-1, features.shape[2])
    rows: Features = features[resize_inside(inside, (features.shape[0], features.shape[1]))]
    return rows


def _choose(rows: Features, most: int, rng: np.random.Generator) -> Features:
    if len(rows) <= most:
        return rows
    return rows[np.sort(rng.choice(len(rows), most, replace=False))]


def _select(rows: Features, rule: str, size: int, rng: np.random.Generator, seed: int) -> Features:
    if len(rows) <= size:
        return rows
    if rule == "kmeans":
        clusters = MiniBatchKMeans(size, random_state=seed, n_init=1, batch_size=4096)
        # The order in which several threads add could decide when it stops, and on a busy machine
        # they wait for each other at each of many small steps.
        with threadpool_limits(1):
            clusters.fit(rows)
        return np.asarray(clusters.cluster_centers_, dtype=np.float32)
    if rule == "coreset":
        return rows[_farthest_first(rows, size, int(rng.integers(len(rows))))]
    return _choose(rows, size, rng)


def _merge(
    old: Features,
    new: Features,
    share: float,
    rule: str,
    size: int,
    rng: np.random.Generator,
) -> Features:
    """Reduce the union of a dictionary and new features to a size; `share` is that of the new."""
    if rule == "coreset":
        return _select(np.concatenate([old, new]), rule, size, rng, seed=0)
    # Where one part has fewer features than its share, the other fills the dictionary.
    n_new = min(max(round(size * share), size - len(old)), len(new))
    kept = [
        _select(rows, rule, most, rng, int(rng.integers(2**31)))
        for rows, most in ((old, size - n_new), (new, n_new))
        if most > 0
    ]
    return np.concatenate(kept)


def _farthest_first(rows: Features, size: int, first: int) -> NDArray[np.intp]:
    """Choose rows one after the other, each the farthest from those before."""
    chosen = np.empty(size, dtype=np.intp)
    squares = np.einsum("ij,ij->i", rows, rows)
    nearest = np.full(len(rows), np.inf, dtype=np.float32)
    for index in range(size):
        chosen[index] = first
        distances = squares - 2 * (rows @ rows[first]) + squares[first]
        np.minimum(nearest, distances, out=nearest)
        first = int(nearest.argmax())
    return chosen
