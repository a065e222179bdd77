"""The autoencoder that compares structure: the publication's method."""

from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import torch
from sklearn.utils._param_validation import Interval, StrOptions
from skorch.callbacks import Callback

from sk_ssimae.estimators._base import BaseSegmenter
from sk_ssimae.estimators._parameters import RandomState, with_shared_docs
from sk_ssimae.losses import SSIMLoss
from sk_ssimae.modules import Normalization


@with_shared_docs
class SSIMAutoencoderSegmenter(BaseSegmenter):
    """Segment defects by the structural dissimilarity of an autoencoder's reconstruction.

    Trained on defect-free images to a high structural similarity (SSIM), the network reproduces
    what it knows; 1 - SSIM of an image and its reconstruction, in the same window and with the same
    constants as in training, shows the rest, be it grey values, contrast or structure.

    Parameters
    ----------
    window_size : int, default=11
        Side of the SSIM window in pixels: odd, from 3 to `patch_size`.
    window : {"uniform", "gaussian"}, default="uniform"
        Weights inside the window. The Gaussian has sigma = 1.5 * window_size / 11 pixels.
    alpha, beta, gamma : float, default=1
        Exponents of luminance, contrast and structure, each at least 0.
    c1, c2 : float, default=1e-4 and 9e-4
        Positive constants of SSIM, (0.01 L)² and (0.03 L)² for the intensity range L = 1. The
        publication prints 0.01 and 0.03.
    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    L2AutoencoderSegmenter : Compares grey values pixel by pixel.
    sk_ssimae.losses.ssim_map : The similarity itself.

    References
    ----------
    P. Bergmann, S. Löwe, M. Fauser, D. Sattlegger, C. Steger, "Improving Unsupervised Defect
    Segmentation by Applying Structural Similarity to Autoencoders", arXiv:1807.02011, 2019,
    equations 1 and 4-8.

    Examples
    --------
    >>> from sk_ssimae import SSIMAutoencoderSegmenter
    >>> from sk_ssimae.datasets import draw_defects, make_woven_fabric
    >>> good = make_woven_fabric(2, shape=(48, 48), random_state=0)
    >>> segmenter = SSIMAutoencoderSegmenter(
    ...     patch_size=16, stride=16, n_patches=64, max_epochs=1, random_state=0
    ... ).fit(good)
    >>> defective, masks = draw_defects(good, random_state=0)
    >>> segmenter.predict(defective).shape, segmenter.calibration_.held_out
    ((2, 48, 48), 'regions')
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseSegmenter._parameter_constraints,
        "window_size": [Interval(Integral, 3, None, closed="left")],
        "window": [StrOptions({"uniform", "gaussian"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "beta": [Interval(Real, 0, None, closed="left")],
        "gamma": [Interval(Real, 0, None, closed="left")],
        "c1": [Interval(Real, 0, None, closed="neither")],
        "c2": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        *,
        latent_dim: int = 100,
        window_size: int = 11,
        window: Literal["uniform", "gaussian"] = "uniform",
        alpha: float = 1,
        beta: float = 1,
        gamma: float = 1,
        c1: float = 1e-4,
        c2: float = 9e-4,
        patch_size: int = 128,
        normalization: Normalization = "batch",
        image_size: int | tuple[int, int] | None = None,
        n_patches: int = 10_000,
        augmentation: str | None = None,
        max_epochs: int = 10,
        batch_size: int = 16,
        lr: float = 2e-3,
        lr_schedule: str | None = "one_cycle",
        weight_decay: float = 1e-5,
        device: str | torch.device = "auto",
        random_state: RandomState = None,
        verbose: int = 0,
        callbacks: list[Callback] | None = None,
        net_params: dict[str, Any] | None = None,
        stride: int = 30,
        inference_batch_size: int = 64,
        smoothing: float = 0,
        threshold: str | float = "pixel_fpr",
        target_fpr: float = 0.01,
        validation_fraction: float = 0.2,
        opening_diameter: int = 4,
    ) -> None:
        super().__init__(
            latent_dim=latent_dim,
            patch_size=patch_size,
            normalization=normalization,
            image_size=image_size,
            n_patches=n_patches,
            augmentation=augmentation,
            max_epochs=max_epochs,
            batch_size=batch_size,
            lr=lr,
            lr_schedule=lr_schedule,
            weight_decay=weight_decay,
            device=device,
            random_state=random_state,
            verbose=verbose,
            callbacks=callbacks,
            net_params=net_params,
            stride=stride,
            inference_batch_size=inference_batch_size,
            smoothing=smoothing,
            threshold=threshold,
            target_fpr=target_fpr,
            validation_fraction=validation_fraction,
            opening_diameter=opening_diameter,
        )
        self.window_size = window_size
        self.window = window
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma
        self.c1 = c1
        self.c2 = c2

    def _make_loss(self) -> SSIMLoss:
        return SSIMLoss(
            self.window_size,
            self.window,
            c1=self.c1,
            c2=self.c2,
            alpha=self.alpha,
            beta=self.beta,
            gamma=self.gamma,
        )

    def _check_params(self) -> None:
        super()._check_params()
        if self.window_size % 2 == 0 or self.window_size > self.patch_size:
            raise ValueError(
                f"window_size must be odd and at most patch_size={self.patch_size}, got "
                f"{self.window_size} instead."
            )
