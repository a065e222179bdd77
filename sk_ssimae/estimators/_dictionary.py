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

from sk_ssimae._intensity import Image
from sk_ssimae._interest import resize_inside
from sk_ssimae._pixels import resize
from sk_ssimae.estimators._base import BaseSegmenter
from sk_ssimae.estimators._parameters import Parameter, Role, SegmenterParameters
from sk_ssimae.estimators._results import Mask

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
    :meth:`compute_features`. Features have no position: those of a place may be found anywhere.

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

    def fit_regions(
        self,
        regions: Sequence[Image],
        rng: np.random.Generator,
        inside: Sequence[Mask] | None = None,
    ) -> None:
        """Choose the dictionary from the features of good images, at least half of them inside."""
        self.fit_features(regions, rng, inside)
        share = -(-_MOST_FEATURES // len(regions))
        masks = inside or [None] * len(regions)
        features = np.concatenate(
            [
                _choose(_rows(self.compute_features(region), mask), share, rng)
                for region, mask in zip(regions, masks, strict=True)
            ]
        )
        seed = int(rng.integers(2**31))
        n_components = min(self.n_components, *features.shape)
        solver = "full" if len(features) < 500 else "covariance_eigh"
        self.pca_ = PCA(n_components, whiten=self.whitens, svd_solver=solver)
        with np.errstate(invalid="ignore"):  # Features of constant images have no variance.
            reduced = self.pca_.fit_transform(features).astype(np.float32)
        self.dictionary_ = _select(reduced, self.dictionary, self.dictionary_size, rng, seed)
        n_neighbors = min(self.n_neighbors, len(self.dictionary_))
        self.neighbors_ = NearestNeighbors(n_neighbors=n_neighbors, algorithm="brute")
        self.neighbors_.fit(self.dictionary_)

    def compute_residual(self, image: Image) -> NDArray[np.float32]:
        """Compute the mean distance (h, w) to the nearest features of the dictionary."""
        features = self.compute_features(image)
        reduced = self.pca_.transform(_rows(features)).astype(np.float32)
        distances = self.neighbors_.kneighbors(reduced)[0].mean(axis=1, dtype=np.float32)
        return resize(distances.reshape(features.shape[:2]), (image.shape[0], image.shape[1]))


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
