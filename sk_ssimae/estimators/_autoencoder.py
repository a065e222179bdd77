"""The base of segmenters with a network: training, and residuals of reconstructions."""

import warnings
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from skorch.history import History
from torch import Tensor, nn

from sk_ssimae._areas import Area, with_halo, within
from sk_ssimae._inference._decision import is_finite
from sk_ssimae._inference._region import Region
from sk_ssimae._intensity import Image
from sk_ssimae._patches import (
    Patches,
    Transform,
    average_orientations,
    average_patches,
    choose_stride,
)
from sk_ssimae._pixels import as_unit_float
from sk_ssimae._sliced import SlicedImage
from sk_ssimae.estimators._arithmetic import reproducible, torch_defaults
from sk_ssimae.estimators._autoencoder_parameters import ParametrizedAutoencoder
from sk_ssimae.estimators._initial_weights import open_initial_weights, weights_of_network
from sk_ssimae.estimators._learning import judge
from sk_ssimae.estimators._loading import GoodImages
from sk_ssimae.estimators._net import (
    ReconstructionNet,
    resolve_device,
    rounding_inputs,
    to_tensor,
)
from sk_ssimae.estimators._precision import Precision, resolve_precision
from sk_ssimae.estimators._reconstruction import ReconstructionMixin
from sk_ssimae.estimators._residuals import Residual
from sk_ssimae.estimators._results import Mask
from sk_ssimae.estimators._training import train
from sk_ssimae.exceptions import InterruptedFitWarning
from sk_ssimae.modules import (
    ConvolutionalAutoencoder,
    VariationalAutoencoder,
    initialize_autoencoder,
)


class BaseAutoencoderSegmenter(ReconstructionMixin, ParametrizedAutoencoder):
    """Base of segmenters with a network that reconstructs patches.

    A family is a class with :meth:`make_loss`. Where it needs more, it overrides other hooks:
    :meth:`make_module` and :meth:`initialize_module` for a network of its own, `net_class` for
    another training step, :meth:`reconstruct_patches` for a network that returns more than a
    reconstruction, and :meth:`numpy_residual` to be exported.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}
    """

    #: Class of the skorch net that trains the network: a subclass may train further parts.
    net_class: ClassVar[type[ReconstructionNet]] = ReconstructionNet

    net_: ReconstructionNet
    history_: History
    precision_: Precision
    structure_correlation_: float | None

    @abstractmethod
    def make_loss(self) -> nn.Module:
        """Return the loss, which also computes the residual.

        Returns
        -------
        Module
            With two methods: ``forward(output, target)`` computes the scalar that training
            minimises, from the output of the network for patches (N, C, P, P) and from the patches
            themselves; ``residual_map(image, reconstruction)`` turns (N, C, H, W) into residuals
            (N, H, W). For `segment_blocks`, its attribute ``residual_radius`` is the number of
            pixels around a pixel that its residual depends on, 0 if none.
        """

    def make_module(self, n_channels: int, generator: torch.Generator) -> nn.Module:
        """Return the network; :meth:`initialize_module` then draws its weights.

        Parameters
        ----------
        n_channels : int
            Number of channels of the training images.
        generator : torch.Generator
            Source of random numbers on the training device, for a network that needs some in
            training.

        Returns
        -------
        Module
            From patches (N, C, P, P) to the input of the loss.
        """
        return ConvolutionalAutoencoder(
            n_channels, self.latent_dim, self.patch_size, self.normalization
        )

    def initialize_module(
        self, module: nn.Module, *, generator: torch.Generator, mean_intensity: Tensor
    ) -> None:
        """Draw the initial weights of the network.

        This default acts on the networks of Table 1 alone, :class:`ConvolutionalAutoencoder` and
        :class:`VariationalAutoencoder`. Other networks, subclasses of the two included, keep the
        weights with which they were made: they may be pretrained.

        Parameters
        ----------
        module : Module
            Network of :meth:`make_module`, on the CPU.
        generator : torch.Generator
            Source of random numbers, on the CPU.
        mean_intensity : Tensor of shape (C,)
            Mean of the training images per channel, in [0, 1].
        """
        if type(module) in (ConvolutionalAutoencoder, VariationalAutoencoder):
            initialize_autoencoder(module, generator=generator, mean_intensity=mean_intensity)

    def reconstruct_patches(self, patches: Tensor) -> Tensor:
        """Reconstruct patches; by default with the output of the network.

        Parameters
        ----------
        patches : Tensor of shape (N, C, P, P)
            Patches of an image, on the device of the network.

        Returns
        -------
        Tensor of shape (N, C, P, P)
            Their reconstructions.
        """
        reconstructions: Tensor = self.net_.inference_module_(patches)
        return reconstructions

    def net_settings(self) -> dict[str, Any]:
        """Return further parameters of `net_class`; none by default."""
        return {}

    def residual_loss(self) -> Any:
        """Return the loss whose residual is shown; by default that of training."""
        return self.net_.criterion_

    def make_residual_loss(self) -> nn.Module:
        """Return the loss for a model file: one that only needs to compute residuals.

        By default it is that of :meth:`make_loss`. A loss with parts that only training needs, such
        as a feature extractor, leaves them out here.
        """
        return self.make_loss()

    def numpy_residual(self) -> Residual:
        """Return the residual as NumPy computes it, for exports without torch.

        Returns
        -------
        Residual
            The one that equals the residual of this family, such as
            :class:`~sk_ssimae.estimators.L2Residual`. Exports know those of this package.

        Raises
        ------
        TypeError
            If the family has none: it cannot be exported.
        """
        raise TypeError(
            f"{type(self).__name__} cannot be exported: it does not say how to compute its "
            "residual without torch. Implement numpy_residual."
        )

    def check_hooks(self, module: nn.Module, loss: nn.Module) -> None:
        """Fail before the first epoch if a hook of the family does not return the right type.

        Parameters
        ----------
        module, loss : Module
            Results of :meth:`make_module` and :meth:`make_loss`.

        Raises
        ------
        TypeError
            If one is not as described; the message names the hook.
        """
        cls = type(self)
        for hook, made in (("make_module", module), ("make_loss", loss)):
            if not isinstance(made, nn.Module):
                raise TypeError(
                    f"{hook} of {cls.__name__} must return a torch module, got {made!r} instead."
                )
        is_needed = cls.residual_over_patches is BaseAutoencoderSegmenter.residual_over_patches
        if is_needed and not callable(getattr(loss, "residual_map", None)):
            raise TypeError(
                f"make_loss of {cls.__name__} must return a loss with a method residual_map, got "
                f"{loss!r} instead. Add the method, or override residual_over_patches."
            )
        if not issubclass(cls.net_class, ReconstructionNet):
            raise TypeError(
                f"net_class of {cls.__name__} must be a subclass of ReconstructionNet, got "
                f"{cls.net_class!r} instead."
            )

    def learning_inputs(self) -> dict[str, Any]:
        """Return parameters, and properties of the machine that weights depend on."""
        precision = resolve_precision(self.precision, resolve_device(self.device))
        own = rounding_inputs(self.device) | {"precision": precision}
        if (start := open_initial_weights(self.initial_weights)) is not None:
            weights = weights_of_network(start).items()
            own["initial_weights"] = {name: tensor.cpu().numpy() for name, tensor in weights}
        return super().learning_inputs() | own

    def is_finished(self) -> bool:
        """Tell whether training came to its end, without an interrupt from the keyboard."""
        return not self.net_.interrupted_

    def fit(self, X: Any, y: Any = None, *, roi: Any = None) -> Self:
        """Train on defect-free images and find the threshold on some that were held out.

        Parameters
        ----------
        X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays or paths
            Images, scaled as `intensity_range` says.
        y : None, labels of shape (n,), or masks of shape (n, h, w) or a sequence of (h, w)
            1 where an image or a pixel is defective. Defective images take no part in training or
            calibration.
        roi : None, mask of shape (h, w), or masks of shape (n, h, w) or a sequence of (h, w)
            Region of interest: True where a pixel is inspected; a single mask holds for all images.
            None inspects all pixels.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        TypeError, ValueError
            If a parameter, image, label or mask is not as described, training diverges, a
            checkpoint is damaged, or `initial_weights` do not suit the network; all images are
            opened and checked before training starts.
        OSError
            If a checkpoint cannot be written; the previous one is unchanged. Or if the file of
            `initial_weights` cannot be opened.

        Warns
        -----
        InterruptedFitWarning
            If the keyboard interrupted training. The estimator is then fitted as far as it got.
        UnlearnedTextureWarning
            If `structure_correlation_` is below 0.1, or all residuals are equal.
        """
        resolve_device(self.device)  # Fails before images are read.
        return super().fit(X, y, roi=roi)

    def partial_fit(self, X: Any, y: Any = None, *, roi: Any = None) -> Self:
        """Train on from the present weights, on new good images, and find both levels again.

        Training takes `max_epochs` epochs by a tenth of `lr`, and its schedule starts again: with
        "one_cycle" the rate rises to that tenth and falls to nearly 0. The optimiser starts afresh,
        as do parts of a net other than network and loss after unpickling. Parameters of the network
        and `intensity_range_` stay as of `fit`. Unfitted, it is `fit`.

        Images are held out of `X` by the rule of `fit`, and the levels are found on them alone: the
        promise is for future images that resemble those of `X`. Features of earlier images may be
        forgotten: if they are still good, pass some of these images as well.

        Parameters
        ----------
        X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays or paths
            Images with the channels and in the units of those of `fit`.
        y : None, labels of shape (n,), or masks of shape (n, h, w) or a sequence of (h, w)
            1 where an image or a pixel is defective. Defective images take no part.
        roi : None, mask of shape (h, w), or masks of shape (n, h, w) or a sequence of (h, w)
            Region of interest: True where a pixel is inspected; a single mask holds for all images.
            None inspects all pixels.

        Returns
        -------
        self
            The estimator; it is unchanged if training fails.

        Raises
        ------
        TypeError, ValueError
            If a parameter, image, label or mask is not as described, training diverges, or a
            checkpoint is damaged.
        OSError
            If a checkpoint cannot be written; the previous one is unchanged.

        Warns
        -----
        IntensityRangeWarning
            If an image leaves the intensity range of the model, or uses a small part of it.
        InterruptedFitWarning, UnlearnedTextureWarning
            As in `fit`.
        """
        resolve_device(self.device)  # Fails before images are read.
        return super().partial_fit(X, y, roi=roi)

    def _fit_good(self, good: GoodImages, *, goes_on: bool = False) -> Self:
        super()._fit_good(good, goes_on=goes_on)
        if self.net_.interrupted_:
            warnings.warn(
                f"Training was interrupted in epoch {len(self.history_)} of {self.max_epochs}; "
                "the estimator is fitted as far as it got.",
                InterruptedFitWarning,
                stacklevel=4,  # From the line that calls fit: it calls BaseSegmenter.fit.
            )
        return self

    @torch_defaults()
    def fit_regions(
        self,
        regions: Sequence[Image],
        rng: np.random.Generator,
        inside: Sequence[Mask] | None = None,
    ) -> None:
        """Train a network on random patches of good images, of inspected pixels if they suffice."""
        device = resolve_device(self.device)
        self._take(train(self, regions, device=device, rng=rng, inside=inside))

    @torch_defaults()
    def update_regions(
        self,
        regions: Sequence[Image],
        rng: np.random.Generator,
        inside: Sequence[Mask] | None = None,
    ) -> None:
        """Train the network for `max_epochs` more, on random patches of other good images."""
        fitted = type(self)(**(self.get_params(deep=False) | self.fitted_parameters_))
        device = resolve_device(self.device)
        self._take(train(fitted, regions, device=device, rng=rng, inside=inside, start=self.net_))

    def _take(self, net: ReconstructionNet) -> None:
        """Store the results of training."""
        self.net_, self.history_, self.precision_ = net, net.history, net.precision

    def judge_fit(self, regions: Sequence[Region]) -> None:
        """Compute `structure_correlation_` of a few patches, and warn if it is low."""
        self.check_ready()
        self.structure_correlation_ = judge(self, regions)

    def check_ready(self) -> None:
        """Check parameters that were set since `fit`, and move the net to its device."""
        super().check_ready()
        if self.stride_ > self.min_image_size:
            raise ValueError(
                f"stride must be at most the patch_size of fit, {self.min_image_size}, got "
                f"{self.stride} instead."
            )
        # A net that was moved in inference mode could never be trained again.
        with torch_defaults():
            self.net_.prepare_inference(resolve_device(self.device))

    @property
    def stride_(self) -> int:
        """Distance in pixels between patches in prediction, as chosen if `stride` is "auto"."""
        check_is_fitted(self, "fitted_parameters_")
        return choose_stride(self.stride, self.min_image_size)

    def residual_radius(self) -> int | None:
        """Return how many pixels around a pixel its residual depends on, beyond its patches."""
        radius = getattr(self.residual_loss(), "residual_radius", None)
        return None if radius is None else int(radius)

    def compute_residual(self, image: Image) -> NDArray[np.float32]:
        """Compute the residual (h, w) of an image (h, w, c)."""
        return self._residual_over(image, self._patches(image.shape[:2]))

    def compute_area_residual(self, image: SlicedImage, area: Area) -> NDArray[np.float32]:
        """Compute the residual of an area from the patches that it depends on."""
        seen = with_halo(area, self.residual_radius() or 0, image.shape)
        patches = self._patches(image.shape).over(seen)
        residual = self._residual_over(image.read(*patches.area), patches)
        return residual[within(area, patches.area)]

    @torch_defaults()
    @torch.inference_mode()
    def compute_reconstruction(self, image: Image) -> NDArray[np.float32]:
        """Compute the reconstruction (h, w, c) of an image (h, w, c)."""
        pixels = self._load(image)
        with reproducible(pixels.device):
            reconstruction = self._reconstruct(pixels, self._patches(image.shape[:2]))
            reconstructed: NDArray[np.float32] = reconstruction.permute(1, 2, 0).cpu().numpy()
        return reconstructed

    def residual_over_patches(self, image: Tensor, patches: Patches) -> Tensor:
        """Compute the residual of the area that patches cover; by default that of the loss.

        Parameters
        ----------
        image : Tensor of shape (C, H, W)
            The area, on the device of the network.
        patches : Patches
            Places of the patches in the whole image.

        Returns
        -------
        Tensor of shape (H, W)
            The residual.
        """
        residual: Tensor = self.residual_loss().residual_map(
            image[None], self._reconstruct(image, patches)[None]
        )[0]
        return residual

    def average_over_patches(self, image: Tensor, transform: Transform, patches: Patches) -> Tensor:
        """Transform patches of an area and average the results, as the parameters say.

        Parameters
        ----------
        image : Tensor of shape (C, H, W)
            The area that the patches cover.
        transform : callable
            From patches (N, C, P, P) and their N origins, first rows and columns in the whole
            image, to results (N, C', P, P).
        patches : Patches
            Places of the patches in the whole image.

        Returns
        -------
        Tensor of shape (C', H, W)
            Weighted averages over the patches that cover a pixel.
        """

        def laid_out(cropped: Tensor, origins: Sequence[tuple[int, int]]) -> Tensor:
            result: Tensor = transform(
                cropped.contiguous(memory_format=torch.channels_last), origins
            )
            return result

        averaged: Tensor = average_patches(
            image,
            laid_out if self.test_time_augmentation is None else average_orientations(laid_out),
            patches,
            taper=self.taper,
            batch_size=self.inference_batch_size,
        )
        return averaged

    @torch_defaults()
    @torch.inference_mode()
    def _residual_over(self, image: Image, patches: Patches) -> NDArray[np.float32]:
        """Compute the residual (h, w) of the area (h, w, c) that patches cover."""
        pixels = self._load(image)
        with reproducible(pixels.device):
            residual: NDArray[np.float32] = (
                self.residual_over_patches(pixels, patches).cpu().numpy()
            )
        if not is_finite(residual):
            raise ValueError(
                "Training diverged in its last step: a residual map contains NaN or infinity. Fit "
                f"again with a smaller lr, got {self.lr:g}."
            )
        return residual

    def _reconstruct(self, image: Tensor, patches: Patches) -> Tensor:
        """Compute the reconstruction (C, H, W) of the area (C, H, W) that patches cover."""
        return self.average_over_patches(
            image, lambda cropped, _: self.reconstruct_patches(cropped), patches
        )

    def _load(self, image: Image) -> Tensor:
        return to_tensor(as_unit_float(image), next(self.net_.module_.parameters()).device)

    def _patches(self, shape: tuple[int, ...]) -> Patches:
        return Patches.of_image((shape[0], shape[1]), self.min_image_size, self.stride_)
