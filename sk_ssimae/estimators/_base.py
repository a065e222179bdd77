"""What all segmenters share: training on good images, and the threshold found on others."""

import html
import warnings
from abc import ABCMeta, abstractmethod
from collections.abc import Sequence
from itertools import repeat
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from sklearn.exceptions import NotFittedError
from sklearn.utils import estimator_html_repr
from sklearn.utils.validation import check_is_fitted
from skorch.history import History
from torch import nn

from sk_ssimae._images import Images
from sk_ssimae._inference._region import Region
from sk_ssimae._validation import check_mask_shape, defect_labels, holds_masks, make_rng
from sk_ssimae.estimators._holdout import Split, hold_out, hold_out_images
from sk_ssimae.estimators._net import resolve_device
from sk_ssimae.estimators._prediction import FittedSegmenter
from sk_ssimae.estimators._training import train
from sk_ssimae.exceptions import InterruptedFitWarning
from sk_ssimae.model_selection import image_fpr_threshold, pixel_fpr_threshold
from sk_ssimae.model_selection._threshold import check_image_count
from sk_ssimae.modules import ConvolutionalAutoencoder


class Calibration(NamedTuple):
    """How `threshold_` was found.

    Attributes
    ----------
    threshold : float
        The threshold.
    rule : {"pixel_fpr", "image_fpr"}
        How it was found.
    target_fpr : float
        False positive rate that the rule aims at.
    held_out : {"images", "regions"}
        Whether whole good images were held out, or, there being few, a band of each.
    n_held_out : int
        How many.
    """

    threshold: float
    rule: str
    target_fpr: float
    held_out: str
    n_held_out: int

    def promise(self) -> str:
        """Say in a sentence what the threshold promises, and what it does not."""
        share = f"{100 * self.target_fpr:g} %"
        held_out = f"{self.n_held_out} held-out {self.held_out}"
        if self.rule == "image_fpr":
            return (
                f"At most {share} of good images are flagged, if tomorrow's look like the "
                f"{held_out} of today. Nothing is promised about single pixels, nor about how many "
                "defects are found."
            )
        return (
            f"About {share} of the pixels of good images are marked, if tomorrow's look like the "
            f"{held_out} of today. Nothing is promised about how many good images have a marked "
            "pixel, nor about how many defects are found."
        )


class BaseSegmenter(FittedSegmenter, metaclass=ABCMeta):
    """Base of the segmenters; a family adds a loss and, where it needs one, a network.

    A family is a class with :meth:`make_loss`. Parameters of its own are stored in ``__init__``,
    which hands ``**shared`` on, and are checked by ``_parameter_constraints``, as everywhere in
    scikit-learn. Where its network gives more than a reconstruction it also has
    :meth:`reconstruct_windows`.
    """

    @abstractmethod
    def make_loss(self) -> nn.Module:
        """Make the loss, which also gives the residual.

        Returns
        -------
        Module
            With two methods: ``forward(output, target)`` gives the scalar that training lowers,
            from what the network makes of patches (N, C, P, P) and from the patches themselves;
            ``residual_map(image, reconstruction)`` turns (N, C, H, W) into residuals (N, H, W).
            For `segment_blocks` it also says with an attribute ``residual_radius`` how many pixels
            around a pixel its residual sees, 0 if none.
        """

    def make_module(self, n_channels: int, generator: torch.Generator) -> nn.Module:
        """Make the network; its weights are drawn afterwards.

        Parameters
        ----------
        n_channels : int
            Channels of the training images.
        generator : torch.Generator
            Source of random numbers on the training device, for a network that needs some in
            training.

        Returns
        -------
        Module
            From patches (N, C, P, P) to what the loss takes.
        """
        return ConvolutionalAutoencoder(
            n_channels, self.latent_dim, self.patch_size, self.normalization
        )

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on defect-free images and find the threshold on some that training did not see.

        Parameters
        ----------
        X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays or paths
            Images: unsigned integers, scaled by the range of their type, or floats in [0, 1].
        y : None, labels of shape (n,), or masks of shape (n, h, w) or a sequence of (h, w)
            What is defective, as 1. Defective images take no part in training or calibration.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        TypeError, ValueError
            If a parameter, image, label or mask is not as described, training diverges, or a
            checkpoint is damaged; images are all opened and checked before training starts.
        OSError
            If a checkpoint cannot be written; the one before is as it was.

        Warns
        -----
        InterruptedFitWarning
            If the keyboard interrupted training. The estimator is then fitted as far as it came.
        """
        self._check_params()
        device = resolve_device(self.device)
        images = Images(X, min_size=1 if self.image_size is not None else self.patch_size)
        defective = defect_labels(y, len(images))
        if defective.all():
            raise ValueError(f"y marks all {len(images)} images of X defective: none to train on.")
        good = []
        masks = y if holds_masks(y) else repeat(None)
        # All are opened and checked, good or not.
        for index, (image, mask) in enumerate(zip(images, masks, strict=False)):
            if mask is not None:
                check_mask_shape(mask, index, image.shape[:2])
            if not defective[index]:
                good.append(self._region(image))
        rng = make_rng(self.random_state)
        split = self._hold_out(good, rng)
        net = train(self, split.training, self.make_module, self.make_loss, device=device, rng=rng)
        self.__dict__.pop("calibration_", None)  # It belongs to the net of an earlier fit.
        self.net_ = net
        self._fitted_patch_size = self.patch_size
        self.history_: History = self.net_.history
        self.n_channels_ = good[0].pixels.shape[2]
        self.n_defective_dropped_ = int(defective.sum())
        self._warn_if_interrupted()
        if split.held_out:
            self._calibrate(split.held_out, split.kind)
        return self

    def _warn_if_interrupted(self) -> None:
        if self.net_.interrupted_:
            warnings.warn(
                f"Training was interrupted in epoch {len(self.history_)} of {self.max_epochs}; "
                "the estimator is fitted as far as it came.",
                InterruptedFitWarning,
                stacklevel=3,
            )

    def calibrate(self, X: Any) -> Self:
        """Find `threshold_` anew on good images that training has not seen.

        Parameters
        ----------
        X : array of shape (n, h, w) or (n, h, w, c), or sequence of arrays or paths
            Good images.

        Returns
        -------
        self
            The estimator with its new threshold.

        Raises
        ------
        ValueError
            If `threshold` is a number, or there are too few images for threshold="image_fpr".
        """
        images = self._check_images(X)
        if not isinstance(self.threshold, str):
            raise ValueError(
                f"threshold={self.threshold!r} is a number and holds as it is; set threshold to "
                "'pixel_fpr' or 'image_fpr' to calibrate it."
            )
        self._calibrate([self._region(image) for image in images], "images")
        return self

    @property
    def threshold_(self) -> float:
        """Residual above which a pixel of the opened map counts as defective."""
        check_is_fitted(self, "net_")
        if not isinstance(self.threshold, str):
            return float(self.threshold)
        calibration: Calibration | None = getattr(self, "calibration_", None)
        if calibration is None or self._calibrated_for != self._calibration_key():
            raise NotFittedError(
                f"threshold={self.threshold!r} with target_fpr={self.target_fpr:g} has not been "
                "calibrated for the residual maps as they are set now: call calibrate with good "
                "images, or fit again."
            )
        return calibration.threshold

    def _calibration_key(self) -> tuple[Any, ...]:
        """Give the parameters without which a threshold found before means nothing."""
        return self.threshold, self.target_fpr

    def _html_repr(self) -> str:
        """Add to scikit-learn's diagram what the threshold promises."""
        diagram: str = estimator_html_repr(self)
        # Without a calibration, or with one by another rule, there is no threshold_.
        if not isinstance(self.threshold, str) or not hasattr(self, "threshold_"):
            return diagram
        note = f"threshold_ = {self.threshold_:.4g}. {self.calibration_.promise()}"
        return f"{diagram}<p>{html.escape(note)}</p>"

    def _hold_out(self, good: Sequence[Region], rng: np.random.Generator) -> Split:
        if not isinstance(self.threshold, str):
            return Split(list(good), [], "images")
        if self.threshold == "pixel_fpr":
            return hold_out(good, self.validation_fraction, self.patch_size, rng)
        split = hold_out_images(good, self.validation_fraction, rng)
        check_image_count(len(split.held_out), self.target_fpr)
        return split

    def _calibrate(self, held_out: Sequence[Region], kind: str) -> None:
        self._prepare_net()
        opened = (self._opened_map(region) for region in held_out)
        if self.threshold == "pixel_fpr":
            threshold = pixel_fpr_threshold(list(opened), self.target_fpr)
        else:
            scores = [float(residual_map.max()) for residual_map in opened]
            threshold = image_fpr_threshold(scores, self.target_fpr)
        self._calibrated_for = self._calibration_key()
        self.calibration_ = Calibration(
            threshold, str(self.threshold), self.target_fpr, kind, len(held_out)
        )
