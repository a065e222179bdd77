"""The base of segmenters that compare features of an image with a dictionary of good ones."""

from abc import abstractmethod
from collections.abc import Sequence
from numbers import Integral
from typing import ClassVar, Literal, Unpack

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.utils._param_validation import Interval, StrOptions

from sk_ssimae._images import SlicedImage
from sk_ssimae._intensity import Image
from sk_ssimae._patches import Area
from sk_ssimae.estimators._base import BaseSegmenter
from sk_ssimae.estimators._grid import cells_of, interpolate, whole_area
from sk_ssimae.estimators._parameters import Parameter, Role, SegmenterParameters

Features = NDArray[np.float32]

# Features from which the dictionary is chosen: more take memory and hardly change it.
_MOST_FEATURES = 100_000
AT_LEAST_1 = Interval(Integral, 1, None, closed="left")


class DictionaryParameters(SegmenterParameters, total=False):
    """Types of the parameters of all dictionaries, for ``**shared: Unpack[...]``."""

    dictionary: Literal["random", "kmeans", "coreset"]
    dictionary_size: int
    n_components: int
    n_neighbors: int


class BaseDictionarySegmenter(BaseSegmenter):
    """Base of segmenters whose residual is the distance to the nearest features of good images.

    A family implements :meth:`fit_features`, which prepares the features, and
    :meth:`compute_features`; for images in blocks, :meth:`grid_shape`,
    :meth:`compute_area_features` and `residual_radius`. Features have no position: those of a place
    may be found anywhere.

    Parameters
    ----------
    dictionary : {"random", "kmeans", "coreset"}, default="random"
        Choice of the features that are kept: at random; the centres of k-means; or one after the
        other, the farthest from those before (k-centre greedy).
    dictionary_size : int, default=2000
        Number of features that are kept, fewer if the images have fewer.
    n_components : int, default=48
        Number of principal components to which features are reduced.
    n_neighbors : int, default=3
        Number of nearest features of the dictionary whose mean distance is the residual.
    {parameters}

    Attributes
    ----------
    dictionary_ : array of shape (m, d)
        The features that are kept, reduced.
    {attributes}
    """

    parameters: ClassVar[dict[str, Parameter]] = {
        "dictionary": Parameter(Role.NETWORK, StrOptions({"random", "kmeans", "coreset"})),
        "dictionary_size": Parameter(Role.NETWORK, AT_LEAST_1),
        "n_components": Parameter(Role.NETWORK, AT_LEAST_1),
        "n_neighbors": Parameter(Role.NETWORK, AT_LEAST_1),
    }

    #: Whether the components of features are scaled to unit variance.
    whitens: ClassVar[bool] = False

    def __init__(
        self,
        *,
        dictionary: Literal["random", "kmeans", "coreset"] = "random",
        dictionary_size: int = 2000,
        n_components: int = 48,
        n_neighbors: int = 3,
        **shared: Unpack[SegmenterParameters],
    ) -> None:
        super().__init__(**shared)
        self.dictionary = dictionary
        self.dictionary_size = dictionary_size
        self.n_components = n_components
        self.n_neighbors = n_neighbors

    @abstractmethod
    def fit_features(self, regions: Sequence[Image], rng: np.random.Generator) -> None:
        """Prepare :meth:`compute_features`: learn filters, or load a network.

        Parameters
        ----------
        regions : sequence of arrays (h, w, c)
            Good images or parts of them: uint8, or float32 with 0 and 1 at the ends of the
            intensity range.
        rng : Generator
            Source of all random numbers.
        """

    @abstractmethod
    def compute_features(self, image: Image) -> Features:
        """Compute the features (h', w', d), float32, of an image (h, w, c), on an even grid."""

    @abstractmethod
    def grid_shape(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Return rows and columns of the grid of an image of that height and width."""

    @abstractmethod
    def compute_area_features(self, image: SlicedImage, cells: Area) -> Features:
        """Compute the features of the cells of an area of the grid, from the pixels they need."""

    def fit_regions(self, regions: Sequence[Image], rng: np.random.Generator) -> None:
        """Choose the dictionary from the features of good images."""
        self.fit_features(regions, rng)
        share = -(-_MOST_FEATURES // len(regions))
        features = np.concatenate(
            [_choose(_rows(self.compute_features(region)), share, rng) for region in regions]
        )
        seed = int(rng.integers(2**31))
        n_components = min(self.n_components, *features.shape)
        solver = "full" if len(features) < 500 else "covariance_eigh"
        self.pca_ = PCA(n_components, whiten=self.whitens, svd_solver=solver)
        with np.errstate(invalid="ignore"):  # Features of constant images have no variance.
            reduced = self.pca_.fit_transform(features).astype(np.float32)
        # The layout in memory decides how products are rounded: it is that of a model file.
        self.pca_.components_ = np.ascontiguousarray(self.pca_.components_)
        dictionary = _select(reduced, self.dictionary, self.dictionary_size, rng, seed)
        self.set_dictionary(dictionary, self.n_neighbors)

    def set_projection(self, mean: Features, components: Features, variances: Features) -> None:
        """Set the principal components, of a file; statistics of training are not restored."""
        self.pca_ = PCA(len(components), whiten=self.whitens)
        self.pca_.mean_, self.pca_.components_ = mean, components
        self.pca_.explained_variance_ = variances
        self.pca_.n_components_, self.pca_.n_features_in_ = components.shape

    def set_dictionary(self, dictionary: Features, n_neighbors: int) -> None:
        """Set the dictionary (m, d), of `fit` or of a file, and prepare the search in it."""
        self.dictionary_ = np.ascontiguousarray(dictionary)
        self.neighbors_ = NearestNeighbors(
            n_neighbors=min(n_neighbors, len(dictionary)), algorithm="brute"
        )
        self.neighbors_.fit(self.dictionary_)

    def compute_residual(self, image: Image) -> NDArray[np.float32]:
        """Compute the mean distance (h, w) to the nearest features of the dictionary."""
        distances = self._distances(self.compute_features(image))
        grid, shape = distances.shape, image.shape[:2]
        return interpolate(distances, whole_area(grid), grid, whole_area(shape), shape)

    def compute_area_residual(self, image: SlicedImage, area: Area) -> NDArray[np.float32]:
        """Compute the residual of an area from the cells that it depends on."""
        grid = self.grid_shape(image.shape)
        cells = cells_of(area, grid, image.shape)
        distances = self._distances(self.compute_area_features(image, cells))
        return interpolate(distances, cells, grid, area, image.shape)

    def _distances(self, features: Features) -> Features:
        reduced = self.pca_.transform(_rows(features)).astype(np.float32)
        distances = self.neighbors_.kneighbors(reduced)[0].mean(axis=1, dtype=np.float32)
        return distances.reshape(features.shape[:2])


def _rows(features: Features) -> Features:
    return features.reshape(-1, features.shape[2])


def _choose(rows: Features, most: int, rng: np.random.Generator) -> Features:
    if len(rows) <= most:
        return rows
    return rows[np.sort(rng.choice(len(rows), most, replace=False))]


def _select(rows: Features, rule: str, size: int, rng: np.random.Generator, seed: int) -> Features:
    if len(rows) <= size:
        return rows
    if rule == "kmeans":
        clusters = MiniBatchKMeans(size, random_state=seed, n_init=1, batch_size=4096).fit(rows)
        return np.asarray(clusters.cluster_centers_, dtype=np.float32)
    if rule == "coreset":
        return rows[_farthest_first(rows, size, int(rng.integers(len(rows))))]
    return _choose(rows, size, rng)


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
