"""The generative adversarial network: the residual shows where no generated patch fits."""

import math
import warnings
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, Unpack

import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor

from sk_ssimae._inference._region import Region
from sk_ssimae.estimators._autoencoder import BaseAutoencoderSegmenter
from sk_ssimae.estimators._autoencoder_parameters import AutoencoderParametersButRate
from sk_ssimae.estimators._generative_net import GenerativeAdversarialNet
from sk_ssimae.estimators._latent_search import search_latent
from sk_ssimae.estimators._learning import judge
from sk_ssimae.estimators._parameters import Parameter, Role
from sk_ssimae.estimators._residuals import L1Residual
from sk_ssimae.exceptions import ModeCollapseWarning
from sk_ssimae.losses import L1Loss
from sk_ssimae.modules import (
    ConvolutionalAutoencoder,
    GenerativeAdversarialNetwork,
    initialize_autoencoder,
)

# Generated patches that differ less than this, as a share of the variance among real ones, are
# taken for one patch. Trainings on synthetic fabric that varied, but had learned little, had 0.15.
_LEAST_VARIANCE = 0.05
_LARGEST_FEATURE_WEIGHT = 1e6


class GenerativeAdversarialSegmenter(BaseAutoencoderSegmenter):
    r"""Segment defects by the absolute error of the most similar patch that a generator makes.

    A generator G makes patches from latent vectors z of a standard normal distribution, and a
    critic D tells them from patches x of good images. Both are trained by WGAN-GP: the critic
    minimises

    .. math:: D(G(z)) - D(x) + 10 \, (\lVert \nabla D(\tilde x) \rVert_2 - 1)^2,

    averaged over a batch, with :math:`\tilde x` at a random place between the two, and the
    generator :math:`-D(G(z))`. A defect is found because G cannot make it. With f the features of
    D, the latent vector of a patch comes from one of three sources:

    - ``encoder="after"`` (f-AnoGAN): an encoder E, trained when G and D are fixed, to minimise the
      means :math:`\langle (x - G(E(x)))^2 \rangle + w \, \langle (f(x) - f(G(E(x))))^2 \rangle`.
    - ``encoder="bigan"``: an encoder trained with G and D, which then rates pairs of a patch and a
      latent vector. E and G minimise :math:`D(x, E(x)) - D(G(z), z)`. Reconstructions are often of
      the right kind of texture but at the wrong place.
    - ``encoder="search"`` (AnoGAN): none; Adam descends from z = 0 by the gradient of
      :math:`\langle |x - G(z)| \rangle + w \, \langle |f(x) - f(G(z))| \rangle`.

    The residual is :math:`|x - G(z)|`, averaged over channels. An image is cut into patches, and
    their reconstructions are averaged, as for autoencoders.

    Training is slow and may fail. It needs many more steps than an autoencoder, and reconstructions
    stay worse: G has to make every shift of a texture from noise. On synthetic fabric, with patches
    of 16 pixels and 600 steps, the pixel ROC AUC was 0.63 and `structure_correlation_` 0.02; an L1
    autoencoder had 0.85 and 0.78 after 400 steps of the same size. Choose it to compare with the
    literature. The search costs `search_steps` passes through G and D and back, for every patch of
    an image: 420,500 for the 841 patches of an image of 512 × 512 pixels, where an encoder needs
    841.

    Parameters
    ----------
    encoder : {"after", "bigan", "search"}, default="after"
        Source of the latent vector of a patch.
    encoder_share : float, default=0.5
        Share of the training steps, at the end, that train the encoder, in (0, 1); with "after"
        only.
    critic_steps : int, default=2
        Steps of the critic for each of the generator, on a batch each. The authors of WGAN-GP take
        5.
    critic_lr : float, default=5e-4
        Learning rate of the critic's Adam, constant.
    feature_weight : float, default=1
        Weight w of the features of D, from 0 to 1e6, in the training of the encoder with "after",
        and in the search. 1 is that of f-AnoGAN. AnoGAN's 1 : 9 refers to sums, not to
        means as here: 1/18 for grey patches, 1/54 for colour. Unused by "bigan".
    search_steps : int, default=500
        Steps of the search for each patch; with "search" only.
    search_lr : float, default=0.05
        Learning rate of the search, annealed to 0 by half a cosine; with "search" only.
    lr : float, default=5e-4
        Learning rate of the Adam of generator and encoder: the peak of the schedule, or the rate
        itself without one.
    lr_schedule : {"one_cycle"} or None, default=None
        "one_cycle" raises the rate of generator and encoder to its peak during the first third of
        training and anneals it to nearly 0; None keeps it constant.
    {parameters}

    Attributes
    ----------
    history_ : skorch.history.History
        Loss and seconds of each epoch of the last training. The loss is the difference of the mean
        ratings of real and generated patches, an estimate of the distance of their distributions,
        which should fall slowly; in the steps of an encoder "after", its loss. Do not stop early by
        it: the encoder would not be trained. Also, for up to 64 patches at the end of an epoch,
        ``"critic_accuracy"``, the share of pairs of a real and a generated patch of which the
        critic rates the real one higher, 0.5 if it cannot tell them apart, and
        ``"generated_variance"``, the variance among generated patches as a multiple of that among
        real ones, near 0 after a collapse.
    {attributes}

    Warns
    -----
    ModeCollapseWarning
        In `fit` and `partial_fit`, if the last ``"generated_variance"`` is below 0.05.

    See Also
    --------
    AdversarialAutoencoderSegmenter : An autoencoder with a critic, easier to train.

    References
    ----------
    T. Schlegl, P. Seeböck, S. M. Waldstein, U. Schmidt-Erfurth, G. Langs, "Unsupervised Anomaly
    Detection with Generative Adversarial Networks to Guide Marker Discovery", arXiv:1703.05921.
    Theirs is the loss of DCGAN, and they start the search at random vectors.
    T. Schlegl, P. Seeböck, S. M. Waldstein, G. Langs, U. Schmidt-Erfurth, "f-AnoGAN", Medical Image
    Analysis 54, 2019.
    H. Zenati, C.-S. Foo, B. Lecouat, G. Manek, V. R. Chandrasekhar, "Efficient GAN-Based Anomaly
    Detection", arXiv:1802.06222. Theirs is the loss of the original GAN.
    I. Gulrajani, F. Ahmed, M. Arjovsky, V. Dumoulin, A. Courville, "Improved Training of
    Wasserstein GANs", NeurIPS 2017.

    Examples
    --------
    >>> from sk_ssimae import GenerativeAdversarialSegmenter
    >>> from sk_ssimae.datasets import make_woven_fabric
    >>> good = make_woven_fabric(2, shape=(48, 48), random_state=0)
    >>> segmenter = GenerativeAdversarialSegmenter(
    ...     patch_size=16, stride=16, n_patches=64, max_epochs=1, random_state=0
    ... )
    >>> segmenter.fit(good).decision_function(good).shape
    (2, 48, 48)
    """

    parameters: ClassVar[dict[str, Parameter]] = {
        "encoder": Parameter(Role.NETWORK, StrOptions({"after", "bigan", "search"})),
        "encoder_share": Parameter(Role.TRAINING, Interval(Real, 0, 1, closed="neither")),
        "critic_steps": Parameter(Role.TRAINING, Interval(Integral, 1, None, closed="left")),
        "critic_lr": Parameter(Role.TRAINING, Interval(Real, 0, None, closed="neither")),
        # As of fit, so that training and search agree.
        "feature_weight": Parameter(
            Role.NETWORK, Interval(Real, 0, _LARGEST_FEATURE_WEIGHT, closed="both")
        ),
        "search_steps": Parameter(Role.INFERENCE, Interval(Integral, 1, None, closed="left")),
        "search_lr": Parameter(Role.INFERENCE, Interval(Real, 0, None, closed="neither")),
    }

    net_class = GenerativeAdversarialNet
    method_name = "gan"

    def __init__(
        self,
        *,
        encoder: Literal["after", "bigan", "search"] = "after",
        encoder_share: float = 0.5,
        critic_steps: int = 2,
        critic_lr: float = 5e-4,
        feature_weight: float = 1,
        search_steps: int = 500,
        search_lr: float = 0.05,
        lr: float = 5e-4,
        lr_schedule: Literal["one_cycle"] | None = None,
        **shared: Unpack[AutoencoderParametersButRate],
    ) -> None:
        super().__init__(lr=lr, lr_schedule=lr_schedule, **shared)
        self.encoder = encoder
        self.encoder_share = encoder_share
        self.critic_steps = critic_steps
        self.critic_lr = critic_lr
        self.feature_weight = feature_weight
        self.search_steps = search_steps
        self.search_lr = search_lr

    def check_parameters(self) -> None:
        """Check each parameter, then the rules for several parameters.

        Raises
        ------
        ValueError
            If a value is not allowed; the message names the parameter.
        """
        super().check_parameters()
        if self.encoder == "after" and self._n_steps() < 2:
            raise ValueError(
                "encoder='after' needs at least 2 training steps, one of them for the encoder: "
                f"max_epochs={self.max_epochs}, n_patches={self.n_patches} and "
                f"batch_size={self.batch_size} make 1."
            )

    def make_module(
        self, n_channels: int, generator: torch.Generator
    ) -> GenerativeAdversarialNetwork:
        """Return generator, critic and encoder."""
        return GenerativeAdversarialNetwork(
            n_channels, self.latent_dim, self.patch_size, self.normalization, self.encoder
        )

    def initialize_module(
        self, module: Any, *, generator: torch.Generator, mean_intensity: Tensor
    ) -> None:
        """Draw generator and encoder as an autoencoder's; the critic keeps torch's weights."""
        drawn = ConvolutionalAutoencoder(
            module.n_channels, module.latent_dim, module.patch_size, module.normalization
        )
        initialize_autoencoder(drawn, generator=generator, mean_intensity=mean_intensity)
        module.decoder = drawn.decoder
        if module.encoder is not None:
            module.encoder = drawn.encoder

    def make_loss(self) -> L1Loss:
        """Return the absolute error, which is only the residual: the net has its own losses."""
        return L1Loss()

    def net_settings(self) -> dict[str, Any]:
        """Return the parameters of critic and encoder."""
        n_steps = n_adversarial = self._n_steps()
        if self.encoder == "after":
            of_encoder = round(self.encoder_share * n_steps)
            n_adversarial -= min(max(of_encoder, 1), n_steps - 1)
        return {
            "n_adversarial_steps": n_adversarial,
            "critic_steps": int(self.critic_steps),
            "critic_lr": float(self.critic_lr),
            "feature_weight": float(self.feature_weight),
        }

    def judge_fit(self, regions: Sequence[Region]) -> None:
        """Warn if the network learned hardly any texture, or the generator collapsed."""
        self.check_ready()
        self.structure_correlation_ = judge(self, regions)
        if not self.net_.interrupted_:
            self._warn_of_collapse()

    def reconstruct_patches(self, patches: Tensor) -> Tensor:
        """Generate patches from the latent vectors of others, encoded or searched."""
        network = self.net_.inference_module_
        if network.encoder is not None:
            reconstructions: Tensor = network(patches)
            return reconstructions
        latent = search_latent(
            network,
            patches,
            n_steps=int(self.search_steps),
            lr=float(self.search_lr),
            feature_weight=float(self.fitted_parameters_["feature_weight"]),
        )
        return network.decode(latent)

    def residual_range(self) -> tuple[float, float]:
        """Return the smallest and largest absolute difference of two intensities."""
        return 0.0, 1.0

    def numpy_residual(self) -> L1Residual:
        """Return the absolute error as NumPy computes it.

        Raises
        ------
        TypeError
            If there is no encoder: a search needs gradients, which exports do not compute.
        """
        if self.fitted_parameters_["encoder"] == "search":
            raise TypeError(
                "encoder='search' cannot be exported: the search needs gradients of the network. "
                "Fit with encoder='after' or 'bigan', or use persistence.save."
            )
        return L1Residual()

    def _n_steps(self) -> int:
        return self.max_epochs * math.ceil(self.n_patches / self.batch_size)

    def _warn_of_collapse(self) -> None:
        variance, accuracy = self.history_[-1, ("generated_variance", "critic_accuracy")]
        if variance is not None and variance < _LEAST_VARIANCE:
            warnings.warn(
                "The generator has collapsed: the variance among generated patches is "
                f"{variance:.2g} of that among real ones (generated_variance in history_), below "
                f"{_LEAST_VARIANCE:g}; critic_accuracy is {accuracy:.2f}. Try in this order: more "
                f"critic_steps, got {self.critic_steps}, or max_epochs; a smaller lr, got "
                f"{self.lr:g}; a smaller patch_size; another random_state; another method.",
                ModeCollapseWarning,
                stacklevel=7,  # From the line that calls fit, by way of this class and its bases.
            )
