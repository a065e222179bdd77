"""The parameters that all segmenters share: their documentation, defaults and checks."""

import inspect
import os
import textwrap
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, StrOptions
from skorch.callbacks import Callback

from sk_ssimae.modules import Normalization

RandomState = int | np.random.RandomState | np.random.Generator | None

SHARED_PARAMETERS = """\
    latent_dim : int, default=100
        Latent dimension, what the network can say about a patch. More reproduces finer texture,
        and at some point defects too. The publication has 100 for fabrics, 500 for nanofibres.
    patch_size : int, default=128
        Side of a patch in pixels, a multiple of 16. A patch should show a few repeats of the
        texture.
    normalization : {"batch"} or None, default="batch"
        Batch normalization after every hidden layer. The publication has None; "batch" learns
        faster from the same number of patches.
    image_size : int, tuple of two int or None, default=None
        Height and width in pixels to which images are resized before patches are cut; residual
        maps are resized back. None leaves images as they are.
    n_patches : int, default=10_000
        Fresh random patches of an epoch.
    augmentation : {"dihedral"} or None, default=None
        "dihedral" turns and flips each patch at random: for textures without a direction.
    cutout : float, default=0
        Side of a square, as a share of `patch_size` in [0, 1). In training one is painted over each
        patch that the network sees, in one random grey for all channels, its centre anywhere in the
        patch. The loss asks for the patch as it was, so that the network learns to put texture
        where there is something else. 0 for none, as published; 0.25 gains much on nanofibres.
    max_epochs : int, default=10
        Epochs.
    batch_size : int, default=16
        Patches of a training step.
    lr : float, default=4e-3
        Learning rate of Adam: the peak of the schedule, or the rate itself without one.
    lr_schedule : {"one_cycle"} or None, default="one_cycle"
        "one_cycle" raises the rate to its peak during the first third of training and anneals it
        to nearly 0; None keeps it constant, as in the publication.
    weight_decay : float, default=1e-5
        Weight decay of Adam, at least 0.
    device : str or torch.device, default="auto"
        Where to compute; "auto" takes a GPU where there is one, else the CPU.
    random_state : int, RandomState, Generator or None, default=None
        Seed of weights, patches and held-out images. The same integer gives the same result on
        the same device.
    verbose : int, default=0
        1 prints a line for each epoch, 2 also shows a progress bar within it.
    callbacks : list of skorch callbacks or None, default=None
        Called during training; copied before, see ``net_.callbacks_`` for the copies.
    net_params : dict or None, default=None
        Further parameters of the :class:`skorch.NeuralNet`, such as ``optimizer`` or
        ``optimizer__betas``; none that the segmenter's own parameters set. ``precision`` computes
        the products of training in "bf16" or "fp16" instead of "float32", ``cuda_graph=True``
        records a training step on a GPU and replays it, up to six times as fast with small
        batches, and ``compile=True`` compiles network and loss for training.
    checkpoint_dir : str, path or None, default=None
        Folder of checkpoints, made if it does not exist. The state of training is written there
        after every epoch, and `fit` with the same parameters of training and images goes on from
        it: one that was killed ends with the weights that it would have had. Nothing is deleted,
        so that `fit` with a finished checkpoint does not train again. None writes none.
    stride : int, default=30
        Distance in pixels between the overlapping windows of an image, from 1 to `patch_size`.
    taper : float, default=0.25
        Share of a window, in [0, 1] and half of it at each edge, over which its weight in the
        average of overlapping windows rises from the edges, where the network sees least of what is
        around (a Tukey window, along each axis). 0 lets all pixels count alike, as published; 1, a
        Hann window, gains most on nanofibres.
    inference_batch_size : int, default=32
        Windows reconstructed at once. It bounds the memory and changes no result; a GPU may be
        quicker with more.
    smoothing : float or "auto", default="auto"
        Sigma in pixels, at most 1000, of a Gaussian that smooths residual maps; 0 for none, as
        published. "auto" is a hundredth of the image's shorter side. It should be no wider than the
        smallest defects that matter.
    test_time_augmentation : {"dihedral"} or None, default=None
        "dihedral" reconstructs each window in all eight orientations and averages what comes back:
        for textures without a direction. It takes eight times as long.
    threshold : {"pixel_fpr", "image_fpr"} or float, default="pixel_fpr"
        How to decide from residuals: "pixel_fpr" bounds the share of good pixels that are marked,
        "image_fpr" the probability that a good image is; a number is the threshold itself.
    target_fpr : float, default=0.01
        False positive rate that the rule aims at, in (0, 1).
    validation_fraction : float, default=0.2
        Share of the good images held out to find the threshold, in (0, 1). Of fewer than ten
        images, "pixel_fpr" holds out a band of each instead. Unused if `threshold` is a number.
    opening_diameter : int, default=4
        Diameter in pixels, at most 1000, of the disk with which residual maps are opened before
        they are compared with the threshold; 0 for none. A threshold found before is not adapted to
        another opening, smoothing, stride, taper or `test_time_augmentation`: call `calibrate`
        again."""

SHARED_ATTRIBUTES = """\
    net_ : ReconstructionNet
        Fitted skorch net; ``net_.module_`` is the network.
    history_ : skorch.history.History
        Loss and seconds of each epoch, as in ``history_[:, "train_loss"]``.
    threshold_ : float
        Threshold that `predict` compares opened residual maps with.
    calibration_ : Calibration
        How `threshold_` was found; absent if it is a number given by the user.
    n_channels_ : int
        Channels of the training images, without alpha.
    n_defective_dropped_ : int
        Images left out because `y` marks them defective."""


class SegmenterParameters(BaseEstimator):
    """Parameters of all segmenters, stored as given and checked in `fit`.

    A family names its own parameters and hands ``**shared`` on to its base: its signature and its
    docstring are completed with what all segmenters share, for scikit-learn, help() and the
    documentation.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _complete_docstring(cls)
        _complete_signature(cls)

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        "patch_size": [Interval(Integral, 16, None, closed="left")],
        "normalization": [StrOptions({"batch"}), None],
        "image_size": [Interval(Integral, 1, None, closed="left"), tuple, None],
        "n_patches": [Interval(Integral, 1, None, closed="left")],
        "augmentation": [StrOptions({"dihedral"}), None],
        "cutout": [Interval(Real, 0, 1, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "lr_schedule": [StrOptions({"one_cycle"}), None],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "device": [str, torch.device],
        "random_state": ["random_state", np.random.Generator],
        "verbose": ["verbose"],
        "callbacks": [list, None],
        "net_params": [dict, None],
        "checkpoint_dir": [str, os.PathLike, None],
        "stride": [Interval(Integral, 1, None, closed="left")],
        "taper": [Interval(Real, 0, 1, closed="both")],
        "inference_batch_size": [Interval(Integral, 1, None, closed="left")],
        "smoothing": [Interval(Real, 0, 1000, closed="both"), StrOptions({"auto"})],
        "test_time_augmentation": [StrOptions({"dihedral"}), None],
        "threshold": [
            StrOptions({"pixel_fpr", "image_fpr"}),
            Interval(Real, None, None, closed="neither"),
        ],
        "target_fpr": [Interval(Real, 0, 1, closed="neither")],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "opening_diameter": [Interval(Integral, 0, 1000, closed="both")],
    }

    def __init__(
        self,
        *,
        latent_dim: int = 100,
        patch_size: int = 128,
        normalization: Normalization = "batch",
        image_size: int | tuple[int, int] | None = None,
        n_patches: int = 10_000,
        augmentation: str | None = None,
        cutout: float = 0,
        max_epochs: int = 10,
        batch_size: int = 16,
        lr: float = 4e-3,
        lr_schedule: str | None = "one_cycle",
        weight_decay: float = 1e-5,
        device: str | torch.device = "auto",
        random_state: RandomState = None,
        verbose: int = 0,
        callbacks: list[Callback] | None = None,
        net_params: dict[str, Any] | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        stride: int = 30,
        taper: float = 0.25,
        inference_batch_size: int = 32,
        smoothing: float | str = "auto",
        test_time_augmentation: str | None = None,
        threshold: str | float = "pixel_fpr",
        target_fpr: float = 0.01,
        validation_fraction: float = 0.2,
        opening_diameter: int = 4,
    ) -> None:
        self.latent_dim = latent_dim
        self.patch_size = patch_size
        self.normalization = normalization
        self.image_size = image_size
        self.n_patches = n_patches
        self.augmentation = augmentation
        self.cutout = cutout
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.weight_decay = weight_decay
        self.device = device
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks
        self.net_params = net_params
        self.checkpoint_dir = checkpoint_dir
        self.stride = stride
        self.taper = taper
        self.inference_batch_size = inference_batch_size
        self.smoothing = smoothing
        self.test_time_augmentation = test_time_augmentation
        self.threshold = threshold
        self.target_fpr = target_fpr
        self.validation_fraction = validation_fraction
        self.opening_diameter = opening_diameter

    def _check_params(self) -> None:
        """Check each parameter, then what concerns several.

        Raises
        ------
        ValueError
            If a parameter is out of its interval; the message names it.
        """
        self._validate_params()
        if self.patch_size % 16:
            raise ValueError(f"patch_size must be a multiple of 16, got {self.patch_size} instead.")
        if self.stride > self.patch_size:
            raise ValueError(
                f"stride must be at most patch_size={self.patch_size}, so that windows cover the "
                f"image, got {self.stride} instead."
            )
        if self.image_size is not None:
            self._check_image_size()
        for callback in self.callbacks or []:
            item = callback[1] if isinstance(callback, tuple) and len(callback) == 2 else callback
            is_class = isinstance(item, type) and issubclass(item, Callback)
            if not (is_class or isinstance(item, Callback)):
                raise ValueError(
                    "callbacks must be skorch callbacks or pairs of a name and a callback, got "
                    f"{callback!r} instead."
                )
        if self.checkpoint_dir is not None and self.random_state is None:
            raise ValueError(
                "random_state must not be None with checkpoint_dir: a fit that starts again finds "
                "the checkpoint of the one before by its seed. Choose an integer."
            )
        smallest_batch = self.n_patches % self.batch_size or self.batch_size
        if self.normalization == "batch" and self.patch_size == 16 and smallest_batch == 1:
            raise ValueError(
                "normalization='batch' with patch_size=16 needs at least 2 patches in every batch: "
                f"n_patches={self.n_patches} and batch_size={self.batch_size} give one of 1."
            )

    def _check_image_size(self) -> None:
        sizes = np.atleast_1d(np.asarray(self.image_size))
        is_pair = isinstance(self.image_size, tuple) and len(self.image_size) == 2
        if sizes.dtype.kind not in "iu" or not (is_pair or isinstance(self.image_size, Integral)):
            raise ValueError(
                "image_size must be an integer, a tuple (height, width) of two, or None, got "
                f"{self.image_size!r} instead."
            )
        if sizes.min() < self.patch_size:
            raise ValueError(
                f"image_size must be at least patch_size={self.patch_size}, got "
                f"{self.image_size!r} instead."
            )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags


def _complete_docstring(cls: type) -> None:
    """Fill ``{parameters}`` and ``{attributes}`` in."""
    if vars(cls).get("__doc__"):
        # Python 3.13 removes the indentation by itself.
        cls.__doc__ = (
            inspect.cleandoc(str(cls.__doc__))
            .replace("{parameters}", textwrap.dedent(SHARED_PARAMETERS))
            .replace("{attributes}", textwrap.dedent(SHARED_ATTRIBUTES))
        )


def _complete_signature(cls: type) -> None:
    """Put the parameters of the bases in the place of ``**shared``."""
    if "__init__" not in vars(cls):
        return
    parameters: dict[str, inspect.Parameter] = {}
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        of_base = inspect.signature(vars(base)["__init__"]).parameters
        named = {k: p for k, p in of_base.items() if p.kind is not inspect.Parameter.VAR_KEYWORD}
        for name, parameter in named.items():
            parameters.setdefault(name, parameter)
        if len(named) == len(of_base):
            break
    init: Any = vars(cls)["__init__"]
    init.__signature__ = inspect.Signature(list(parameters.values()))
