"""Maps, masks and scores of images, given the residual of each."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._areas import Area
from sk_ssimae._images import Images
from sk_ssimae._inference._decision import (
    Levels,
    image_score,
    mark,
    open_map,
    smooth,
    smoothing_sigma,
)
from sk_ssimae._inference._region import Region, crop, extend, working_pixels
from sk_ssimae._intensity import Image
from sk_ssimae._pixels import Conversion, resize
from sk_ssimae._sliced import SlicedImage
from sk_ssimae._validation import check_mask_shape, check_masks, check_some_defective
from sk_ssimae.estimators._blocks import (
    check_block_size,
    segment_blocks,
    with_halo,
    within,
)
from sk_ssimae.estimators._region_table import TabulatedRegions
from sk_ssimae.estimators._results import (
    Map,
    Mask,
    SegmentedBlock,
    SegmentedImage,
    check_residual,
)
from sk_ssimae.metrics import pixel_roc_auc_score

_Scalar = TypeVar("_Scalar", bound=np.generic)


class Segmentation(TabulatedRegions):
    """Segment images by residuals that a subclass computes, with whatever library it uses.

    Prediction alone: there is no ``fit``. A subclass has the attributes below and implements
    :meth:`compute_residual`; it may override :meth:`compute_area_residual` for images larger than
    memory, and :meth:`check_ready`.

    Attributes
    ----------
    n_channels_ : int
        Number of channels that images need to have.
    smoothing : float or "auto"
        Sigma in pixels of the Gaussian that smooths residual maps; "auto" is a hundredth of the
        image's shorter side.
    opening_diameter : int
        Diameter in pixels of the disk with which residual maps are opened before the decision.
    min_region_area : int
        Pixels of the smallest region that counts.
    """

    n_channels_: int
    smoothing: Any
    opening_diameter: Any
    min_region_area: Any = 0

    @property
    @abstractmethod
    def threshold_(self) -> float:
        """The verdict's level: a region of the opened map is defective if it exceeds it."""

    @property
    def extent_threshold_(self) -> float:
        """Level that all pixels of a defective region exceed, at most `threshold_`."""
        return self.threshold_

    @property
    def ends_at_half_peak(self) -> bool:
        """Whether regions end at half of their local peaks."""
        return False

    @abstractmethod
    def compute_residual(self, image: Image) -> Map:
        """Compute the residual of an image.

        Parameters
        ----------
        image : array of shape (h, w, c)
            Image at working size: uint8, or float32 with 0 and 1 at the ends of the intensity
            range.

        Returns
        -------
        array of float32, shape (h, w)
            Residual, high where a pixel is unusual. It must not depend on other images.
        """

    @property
    def working_size(self) -> tuple[int, int] | None:
        """Height and width to which images are resized; None for their own size."""
        return None

    @property
    def min_image_size(self) -> int:
        """Smallest height and width in pixels of an image at working size."""
        return 1

    @property
    def conversion(self) -> Conversion:
        """How the pixels of images are converted: intensity range, alpha channel, limits."""
        return Conversion()

    def residual_radius(self) -> int | None:
        """Return how many pixels around a pixel its residual depends on; None if unknown."""
        return None

    def check_ready(self) -> None:  # a hook that may stay empty
        """Check everything that may have changed since `fit`, and prepare for prediction.

        It is called once by each method that predicts, before any image is read.
        """

    def compute_area_residual(self, image: SlicedImage, area: Area) -> Map:
        """Compute the residual of an area of an image that may be larger than memory.

        This default reads the area with a margin of :meth:`residual_radius` and calls
        :meth:`compute_residual`. It is right for residuals that depend on nothing farther away and
        not on the place in the image.

        Parameters
        ----------
        image : SlicedImage
            The image; ``image.read(rows, columns)`` reads a part of it.
        area : tuple of two slice
            Rows and columns.

        Returns
        -------
        array of float32, shape (h, w)
            Residual of the area.
        """
        radius = max(self.residual_radius() or 0, self.min_image_size)
        outer = with_halo(area, radius, image.shape)
        return self.compute_residual(image.read(*outer))[within(area, outer)]

    def decision_function(self, X: Any, *, roi: Any = None) -> NDArray[np.float32] | list[Map]:
        """Compute the residual map of each image: high means defective.

        Parameters
        ----------
        X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays or paths
            Images with the channels of those in `fit`; their height and width may differ.
        roi : None, mask of shape (h, w), or masks of shape (n, h, w) or a sequence of (h, w)
            Region of interest: True where a pixel is inspected; a single mask holds for all images.
            None inspects all pixels.

        Returns
        -------
        array of float32, shape (n, h, w), or list of arrays (h, w)
            An array for an array, a list for a sequence. Maps are smoothed unless `smoothing` is 0.
            They are 0 where a pixel is not inspected.
        """
        images = self._check_images(X, roi)
        return collect(self._iter_maps(images), images)

    def iter_decision_function(self, X: Any, *, roi: Any = None) -> Iterator[Map]:
        """Compute residual maps one at a time, for more images than fit into memory.

        Parameters
        ----------
        X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays or paths
            Images.
        roi : None, mask of shape (h, w), or masks of shape (n, h, w) or a sequence of (h, w)
            Region of interest: True where a pixel is inspected; a single mask holds for all images.
            None inspects all pixels.

        Yields
        ------
        array of float32, shape (h, w)
            Residual map of the next image.
        """
        return self._iter_maps(self._check_images(X, roi))

    def predict(self, X: Any, *, roi: Any = None) -> Mask | list[Mask]:
        """Segment each image: True where a region is defective.

        A region is a connected set of pixels of the opened residual map above the extent level. It
        is defective if it exceeds `threshold_` somewhere.

        Parameters
        ----------
        X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays or paths
            Images.
        roi : None, mask of shape (h, w), or masks of shape (n, h, w) or a sequence of (h, w)
            Region of interest: True where a pixel is inspected; a single mask holds for all images.
            None inspects all pixels.

        Returns
        -------
        array of bool, shape (n, h, w), or list of arrays (h, w)
            Masks. They are False where a pixel is not inspected.
        """
        images = self._check_images(X, roi)
        return collect((found.mask for found in self._iter_segmented(images)), images)

    def score_images(self, X: Any, *, roi: Any = None) -> NDArray[np.float64]:
        """Score whole images by the maximum of the opened residual map.

        Parameters
        ----------
        X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays or paths
            Images.
        roi : None, mask of shape (h, w), or masks of shape (n, h, w) or a sequence of (h, w)
            Region of interest: True where a pixel is inspected; a single mask holds for all images.
            None inspects all pixels.

        Returns
        -------
        array of float64, shape (n,)
            Above `threshold_` exactly where `predict` marks at least one pixel.
        """
        inspected = self._iter_inspected(self._check_images(X, roi))
        return np.array([image_score(self._open(*pair)) for pair in inspected])

    def segment_images(self, X: Any, *, roi: Any = None) -> Iterator[SegmentedImage]:
        """Compute residual map, mask and score of one image at a time, in one pass.

        Parameters
        ----------
        X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays or paths
            Images.
        roi : None, mask of shape (h, w), or masks of shape (n, h, w) or a sequence of (h, w)
            Region of interest: True where a pixel is inspected; a single mask holds for all images.
            None inspects all pixels.

        Yields
        ------
        SegmentedImage
            Residual map, mask and score of the next image; its regions when asked for.
        """
        return self._iter_segmented(self._check_images(X, roi))

    def segment_blocks(
        self, image: Any, *, block_size: int = 2048, roi: Any = None
    ) -> Iterator[SegmentedBlock]:
        """Segment one image block by block, when it does not fit into memory.

        Each block is read with a halo of the pixels that its own depend on, so that the blocks
        together equal the results of `decision_function` and `predict` for the whole image. Regions
        may cross borders: unless `extent_threshold_` equals `threshold_`, a first pass over all
        blocks decides which regions are defective, before the first block is returned. That doubles
        the time; memory is that of a block and a few numbers for each region.

        Parameters
        ----------
        image : array-like of shape (h, w) or (h, w, c)
            One image, not wrapped in a list: a NumPy array or memmap, an array of zarr or h5py, or
            any object with a shape that returns a part as ``image[first:last, first:last]``. Values
            are as in `fit`.
        block_size : int, default=2048
            Side of a block in pixels. Blocks at the far edges may be smaller. It changes memory
            and time only, see :doc:`/many`.
        roi : None or array-like of shape (h, w)
            Region of interest: True where a pixel is inspected. Like `image`, it may be larger than
            memory. None inspects all pixels.

        Yields
        ------
        SegmentedBlock
            Place, residual map and mask of the next block, row by row.

        Raises
        ------
        TypeError
            If `image` or `roi` cannot be sliced, or `residual_radius` is None.
        ValueError
            If `image`, `roi` or `block_size` is not as described, or `image_size` is set. Pixels
            are checked when they are read; the message says in which part.

        Examples
        --------
        >>> import numpy as np
        >>> from sk_ssimae import L2AutoencoderSegmenter
        >>> from sk_ssimae.datasets import make_woven_fabric
        >>> good = make_woven_fabric(2, shape=(48, 80), random_state=0)
        >>> segmenter = L2AutoencoderSegmenter(
        ...     patch_size=16, stride=16, n_patches=64, max_epochs=1, random_state=0
        ... ).fit(good)
        >>> mask = np.empty((48, 80), dtype=bool)  # Or a memmap, or an array of zarr.
        >>> for block in segmenter.segment_blocks(good[0], block_size=32):
        ...     mask[block.rows, block.columns] = block.mask
        >>> bool((mask == segmenter.predict(good)[0]).all())
        True
        """
        self.check_ready()
        check_block_size(block_size)
        if self.working_size is not None:
            raise ValueError(
                f"image_size={self.working_size!r} resizes images as a whole, so that they cannot "
                "be segmented block by block: fit with image_size=None."
            )
        radius = self.residual_radius()
        if radius is None:
            raise TypeError(
                f"{type(self).__name__} must say how many pixels around a pixel its residual "
                "depends on, to segment an image in blocks: implement residual_radius, or, for an "
                "autoencoder, set the attribute residual_radius of its loss."
            )
        sliced = SlicedImage(
            image,
            min_size=self.min_image_size,
            n_channels=self.n_channels_,
            conversion=self.conversion,
            roi=roi,
            reach=radius + self.min_image_size,
        )
        levels = self._with_radius(self._levels(), sliced.image_shape)
        return segment_blocks(self, sliced, int(block_size), levels)

    def score(self, X: Any, y: Any, sample_weight: None = None, *, roi: Any = None) -> float:
        """Compute the area under the pixel ROC curve, pooled over all images.

        Parameters
        ----------
        X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays or paths
            Images, good and defective.
        y : masks of shape (n, h, w) or a sequence of (h, w)
            1 where a pixel is defective.
        sample_weight : None
            Not supported. With metadata routing, scikit-learn's Pipeline passes None.
        roi : None, mask of shape (h, w), or masks of shape (n, h, w) or a sequence of (h, w)
            Region of interest: True where a pixel is inspected; a single mask holds for all images.
            None inspects all pixels.

        Returns
        -------
        float
            Area in [0, 1].

        Raises
        ------
        ValueError
            If `y` does not contain masks, or marks no pixel or every pixel, or if `sample_weight`
            is not None.
        """
        if sample_weight is not None:
            raise ValueError(
                "sample_weight must be None, because the score pools the pixels of all images, "
                f"got {type(sample_weight).__name__} instead. Leave it out."
            )
        images = self._check_images(X, roi)
        check_masks(y)
        check_some_defective(y, len(images))
        residual_maps = []
        for index, (region, mask) in enumerate(zip(self._iter_regions(images), y, strict=True)):
            check_mask_shape(mask, index, region.image_shape)
            residual_maps.append(region.place(self._residual_map(region)))
        return pixel_roc_auc_score(y, residual_maps, roi=roi)

    def _check_images(self, X: Any, roi: Any = None) -> Images:
        self.check_ready()
        return self._open_images(X, roi)

    def _open_images(self, X: Any, roi: Any) -> Images:
        min_size = 1 if self.working_size is not None else self.min_image_size
        return Images(
            X,
            min_size=min_size,
            n_channels=self.n_channels_,
            conversion=self.conversion,
            roi=roi,
        )

    def _iter_regions(self, images: Images) -> Iterator[Region]:
        return (self._region(*inspected) for inspected in images.iter_inspected())

    def _iter_maps(self, images: Images) -> Iterator[Map]:
        return (residual_map for residual_map, _ in self._iter_inspected(images))

    def _iter_inspected(self, images: Images) -> Iterator[tuple[Map, Mask | None]]:
        for image, inside in images.iter_inspected():
            region = self._region(image, inside)
            yield region.place(self._residual_map(region)), inside

    def _iter_segmented(self, images: Images) -> Iterator[SegmentedImage]:
        levels = self._levels()
        return (
            self._segment(residual_map, levels, inside)
            for residual_map, inside in self._iter_inspected(images)
        )

    def _region(self, image: Image, inside: Mask | None = None) -> Region:
        return Region.of_image(image, self.working_size, inside, self.min_image_size)

    def _residual_map(self, region: Region) -> Map:
        pixels = working_pixels(region)
        extended = extend(pixels, self.min_image_size)
        residual = check_residual(
            self.compute_residual(extended), extended.shape[:2], type(self).__name__
        )
        residual = crop(residual, pixels.shape)
        sigma = smoothing_sigma(self.smoothing, region.image_shape)
        return smooth(resize(residual, region.shape), sigma, region.inside)

    def _open(self, residual_map: Map, inside: Mask | None = None) -> Map:
        opened = open_map(residual_map, self.opening_diameter, self.min_region_area, inside)
        if inside is not None and opened.max() == -np.inf:
            raise ValueError(
                f"min_region_area={self.min_region_area} must be at most the number of connected "
                "pixels that roi marks as inspected. Choose a smaller min_region_area, or leave "
                "that image out."
            )
        return opened

    def _smoothing_sigma(self, image_shape: tuple[int, int]) -> float:
        """Return the sigma of the Gaussian that has smoothed the map, or is as wide as its blur."""
        return smoothing_sigma(self.smoothing, image_shape)

    def _levels(self) -> Levels:
        return Levels(self.threshold_, self.extent_threshold_)

    def _with_radius(self, levels: Levels, image_shape: tuple[int, int]) -> Levels:
        # At a distance of 1.18 sigma from its peak a Gaussian has fallen to a half; at 1.19 sigma
        # it is half of its value one sigma nearer. So a radius of sigma undoes the smoothing, and
        # leaves the variation within a wide defect alone.
        if not self.ends_at_half_peak:
            return levels
        return levels._replace(radius=round(self._smoothing_sigma(image_shape)))

    def _segment(
        self, residual_map: Map, levels: Levels, inside: Mask | None = None
    ) -> SegmentedImage:
        opened = self._open(residual_map, inside)
        levels = self._with_radius(levels, (residual_map.shape[0], residual_map.shape[1]))
        mask, score = mark(opened, levels), image_score(opened)
        return SegmentedImage(
            residual_map, mask, score, opened, levels.threshold, self.good_deviation
        )


def collect(
    results: Iterable[NDArray[_Scalar]], images: Images
) -> NDArray[_Scalar] | list[NDArray[_Scalar]]:
    """Stack results into an array if the images came as one, else list them."""
    if not images.is_array:
        return list(results)
    iterator = iter(results)
    first = next(iterator)
    stacked = np.empty((len(images), *first.shape), dtype=first.dtype)
    stacked[0] = first
    for index, result in enumerate(iterator, start=1):
        stacked[index] = result
    return stacked
