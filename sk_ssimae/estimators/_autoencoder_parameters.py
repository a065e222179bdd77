"""The parameters that all autoencoders share."""

import os
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, Self, Unpack

import torch
from sklearn.base import _clone_parametrized
from sklearn.utils._param_validation import Interval, StrOptions
from skorch.callbacks import Callback

from sk_ssimae.estimators._base import BaseSegmenter
from sk_ssimae.estimators._parameters import Parameter, Role, SegmenterParameters
from sk_ssimae.estimators._precision import PRECISIONS, Precision
from sk_ssimae.modules import Normalization

_AT_LEAST_1 = Interval(Integral, 1, None, closed="left")


class AutoencoderParametersButRate(SegmenterParameters, total=False):
    """Types of the parameters of autoencoders, for one with other defaults of the rate."""

    latent_dim: int
    patch_size: int
    normalization: Normalization
    n_patches: int
    augmentation: Literal["dihedral"] | None
    cutout: float
    max_epochs: int
    batch_size: int
    weight_decay: float
    precision: Precision | Literal["auto"]
    device: str | torch.device
    verbose: int
    callbacks: list[Any] | None
    net_params: dict[str, Any] | None
    checkpoint_dir: str | os.PathLike[str] | None
    initial_weights: BaseSegmenter | str | os.PathLike[str] | None
    stride: int | Literal["auto"]
    taper: float
    inference_batch_size: int
    test_time_augmentation: Literal["dihedral"] | None


class AutoencoderParameters(AutoencoderParametersButRate, total=False):
    """Types of the parameters of all autoencoders, for ``**shared: Unpack[...]``."""

    lr: float
    lr_schedule: Literal["one_cycle"] | None


class ParametrizedAutoencoder(BaseSegmenter):
    """The parameters of autoencoders, and the rules for several of them.

    Parameters
    ----------
    latent_dim : int, default=100
        Size of the latent vector. A larger one reproduces finer texture, and at some point defects
        too. The paper uses 100 for fabrics and 500 for nanofibres.
    patch_size : int, default=64
        Side of a patch in pixels, a multiple of 16. A patch should show a repeat of the texture.
        The paper uses 128, which takes longer to learn.
    normalization : {"batch"} or None, default="batch"
        Batch normalization after every hidden layer. The paper uses None; "batch" learns faster
        from the same number of patches.
    n_patches : int, default=10_000
        Number of random patches drawn per epoch.
    augmentation : {"dihedral"} or None, default=None
        "dihedral" turns and flips each patch at random: for textures without a direction.
    cutout : float, default=0
        Side of a square, as a share of `patch_size` in [0, 1). In training one square of each input
        patch, at a random place, is painted over in one random grey. The loss compares with the
        patch as it was, so that the network learns to replace foreign content by texture. 0 for
        none, as in the paper; 0.25 improves results on nanofibres considerably.
    max_epochs : int, default=10
        Number of epochs.
    batch_size : int, default=16
        Number of patches per training step.
    lr : float, default=4e-3
        Learning rate of Adam: the peak of the schedule, or the rate itself without one.
    lr_schedule : {"one_cycle"} or None, default="one_cycle"
        "one_cycle" raises the rate to its peak during the first third of training and anneals it
        to nearly 0; None keeps it constant, as in the paper.
    weight_decay : float, default=1e-5
        Weight decay of Adam, at least 0.
    precision : {"auto", "float32", "bf16", "fp16"}, default="float32"
        Number format of the products in training; weights, loss and residual maps stay float32.
        "bf16" is faster on CPUs with AVX-512 BF16 or AMX and on GPUs with tensor cores, and far
        slower without: "auto" chooses it where the processor has such instructions, else
        "float32". See `precision_` for the choice. "fp16" is for older GPUs.
    device : str or torch.device, default="auto"
        Where to compute; "auto" uses a GPU if there is one, else the CPU.
    verbose : int, default=0
        1 prints a line for each epoch, 2 also shows a progress bar within it.
    callbacks : list of skorch callbacks or None, default=None
        Called during training. They are copied first, see ``net_.callbacks_`` for the copies.
    net_params : dict or None, default=None
        Further parameters of the :class:`skorch.NeuralNet`, such as ``optimizer`` or
        ``optimizer__betas``, except those that the segmenter's own parameters set.
        ``cuda_graph=True`` records a training step on a GPU and replays it, up to six times as fast
        with small batches, and ``compile=True`` compiles network and loss for training.
    checkpoint_dir : str, path or None, default=None
        Folder of checkpoints, created if it does not exist. The state of training is written there
        after every epoch. An interrupted `fit` with the same parameters and images resumes from it
        and ends with identical weights. Nothing is deleted: `fit` with a finished checkpoint does
        not train again. None writes none.
    initial_weights : segmenter, path or None, default=None
        Fitted segmenter, or file of :func:`sk_ssimae.persistence.save`, whose network `fit` starts
        from: its weights are copied, instead of drawn at random. The network must be of the same
        kind, with equal `latent_dim`, `patch_size`, `normalization` and channels; the loss may be
        another. Of an ensemble, it is that of its only autoencoder. Unlike scikit-learn's
        ``warm_start``, it is the same start for every `fit`; `partial_fit` of a fitted segmenter
        continues from its own weights. `clone` keeps it fitted, but a search clones the values of
        its grid: give paths there. Model files store a path, not a segmenter.
    stride : int or "auto", default=16
        Distance in pixels between the overlapping patches of an image in prediction, from 1 to
        `patch_size`. "auto" is a quarter of `patch_size`. A coarser one takes less time and
        loses accuracy, see :doc:`/performance`.
    taper : float, default=0.25
        Share of a patch, in [0, 1] and half of it at each edge, over which its weight in the
        average of overlapping patches rises from the edges (a cosine taper along each axis). Near
        its edges the network sees least of the surroundings. 0 weighs all pixels alike, as in the
        paper; 1, a Hann function, is best on nanofibres.
    inference_batch_size : int, default=32
        Number of patches reconstructed at once. It bounds the memory and changes no result; a GPU
        may be faster with more.
    test_time_augmentation : {"dihedral"} or None, default=None
        "dihedral" reconstructs each patch in all eight orientations and averages the results: for
        textures without a direction. It takes eight times as long.
    {parameters}

    Attributes
    ----------
    net_ : ReconstructionNet
        Fitted skorch net; ``net_.module_`` is the network.
    history_ : skorch.history.History
        Loss and seconds of each epoch of the last training, as in ``history_[:, "train_loss"]``.
    precision_ : {"float32", "bf16", "fp16"}
        Precision of the last training, as chosen if `precision` is "auto". A fit that resumes from
        a checkpoint keeps the precision that it began with, on another machine too.
    stride_ : int
        Distance in pixels between patches in prediction, as chosen if `stride` is "auto".
    structure_correlation_ : float or None
        Correlation between good patches, held out if there are any, and their reconstructions, both
        less their local means: 1 for a network that reproduces all texture, about 0 for one that
        has learned none. None if the patches are constant.
    {attributes}
    """

    parameters: ClassVar[dict[str, Parameter]] = {
        "latent_dim": Parameter(Role.NETWORK, _AT_LEAST_1),
        "patch_size": Parameter(Role.NETWORK, _AT_LEAST_1),
        "normalization": Parameter(Role.NETWORK, StrOptions({"batch"}), None),
        "n_patches": Parameter(Role.TRAINING, _AT_LEAST_1),
        "augmentation": Parameter(Role.TRAINING, StrOptions({"dihedral"}), None),
        "cutout": Parameter(Role.TRAINING, Interval(Real, 0, 1, closed="left")),
        "max_epochs": Parameter(Role.TRAINING, _AT_LEAST_1),
        "batch_size": Parameter(Role.TRAINING, _AT_LEAST_1),
        "lr": Parameter(Role.TRAINING, Interval(Real, 0, None, closed="neither")),
        "lr_schedule": Parameter(Role.TRAINING, StrOptions({"one_cycle"}), None),
        "weight_decay": Parameter(Role.TRAINING, Interval(Real, 0, None, closed="left")),
        "precision": Parameter(Role.TRAINING, StrOptions({"auto", *PRECISIONS})),
        "device": Parameter(Role.MACHINE, str, torch.device),
        "verbose": Parameter(Role.MACHINE, "verbose"),
        "callbacks": Parameter(Role.TRAINING, list, None),
        "net_params": Parameter(Role.TRAINING, dict, None),
        "checkpoint_dir": Parameter(Role.MACHINE, str, os.PathLike, None),
        "initial_weights": Parameter(Role.TRAINING, BaseSegmenter, str, os.PathLike, None),
        "stride": Parameter(Role.INFERENCE, _AT_LEAST_1, StrOptions({"auto"})),
        "taper": Parameter(Role.INFERENCE, Interval(Real, 0, 1, closed="both")),
        "inference_batch_size": Parameter(Role.MACHINE, _AT_LEAST_1),
        "test_time_augmentation": Parameter(Role.INFERENCE, StrOptions({"dihedral"}), None),
    }

    #: `patch_size` needs to be a multiple of it: the network of Table 1 halves a patch four times.
    patch_size_multiple: ClassVar[int] = 16

    def __init__(
        self,
        *,
        latent_dim: int = 100,
        patch_size: int = 64,
        normalization: Normalization = "batch",
        n_patches: int = 10_000,
        augmentation: Literal["dihedral"] | None = None,
        cutout: float = 0,
        max_epochs: int = 10,
        batch_size: int = 16,
        lr: float = 4e-3,
        lr_schedule: Literal["one_cycle"] | None = "one_cycle",
        weight_decay: float = 1e-5,
        precision: Precision | Literal["auto"] = "float32",
        device: str | torch.device = "auto",
        verbose: int = 0,
        callbacks: list[Any] | None = None,
        net_params: dict[str, Any] | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        initial_weights: BaseSegmenter | str | os.PathLike[str] | None = None,
        stride: int | Literal["auto"] = 16,
        taper: float = 0.25,
        inference_batch_size: int = 32,
        test_time_augmentation: Literal["dihedral"] | None = None,
        **shared: Unpack[SegmenterParameters],
    ) -> None:
        super().__init__(**shared)
        self.latent_dim = latent_dim
        self.patch_size = patch_size
        self.normalization = normalization
        self.n_patches = n_patches
        self.augmentation = augmentation
        self.cutout = cutout
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.weight_decay = weight_decay
        self.precision = precision
        self.device = device
        self.verbose = verbose
        self.callbacks = callbacks
        self.net_params = net_params
        self.checkpoint_dir = checkpoint_dir
        self.initial_weights = initial_weights
        self.stride = stride
        self.taper = taper
        self.inference_batch_size = inference_batch_size
        self.test_time_augmentation = test_time_augmentation

    def __sklearn_clone__(self) -> Self:
        """Clone with `initial_weights` itself: a clone of that segmenter would not be fitted."""
        cloned: Self = _clone_parametrized(self)
        cloned.initial_weights = self.initial_weights
        return cloned

    def check_parameters(self) -> None:
        """Check each parameter, then the rules for several parameters.

        Raises
        ------
        ValueError
            If a value is not allowed; the message names the parameter.
        """
        super().check_parameters()
        if self.patch_size % self.patch_size_multiple:
            raise ValueError(
                f"patch_size must be a multiple of {self.patch_size_multiple}, got "
                f"{self.patch_size} instead."
            )
        if self.stride != "auto" and self.stride > self.patch_size:
            raise ValueError(
                f"stride must be at most patch_size={self.patch_size}, so that patches cover the "
                f"image, got {self.stride} instead."
            )
        for callback in self.callbacks or []:
            _check_callback(callback)
        if self.checkpoint_dir is not None and self.random_state is None:
            raise ValueError(
                "random_state must not be None with checkpoint_dir: an interrupted fit finds its "
                "checkpoint by the seed. Choose an integer."
            )
        smallest_batch = self.n_patches % self.batch_size or self.batch_size
        if self.normalization == "batch" and self.patch_size == 16 and smallest_batch == 1:
            raise ValueError(
                "normalization='batch' with patch_size=16 needs at least 2 patches in every batch: "
                f"n_patches={self.n_patches} and batch_size={self.batch_size} leave one of 1."
            )


def _check_callback(callback: Any) -> None:
    item = callback[1] if isinstance(callback, tuple) and len(callback) == 2 else callback
    is_class = isinstance(item, type) and issubclass(item, Callback)
    if not (is_class or isinstance(item, Callback)):
        raise ValueError(
            "callbacks must be skorch callbacks or pairs of a name and a callback, got "
            f"{callback!r} instead."
        )
