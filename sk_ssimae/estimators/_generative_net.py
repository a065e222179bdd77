"""The skorch net of a generative adversarial network: which part learns in which step."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from sk_ssimae._formulas._squared_error import squared_error
from sk_ssimae.estimators._adversarial_net import AdversarialNet

# As published for WGAN-GP; Adam's own first one is too slow to follow the critic.
_BETAS = (0.5, 0.9)


class GenerativeAdversarialNet(AdversarialNet):
    """Train generator and critic, with the encoder or before it.

    One optimiser updates generator and encoder, another the critic. Those that do not take part in
    a step have no gradients, and stay as they are.

    Parameters
    ----------
    *args, **kwargs
        As for :class:`AdversarialNet`.
    n_adversarial_steps : int
        Number of steps after which generator and critic are fixed, and an encoder is trained.
    critic_steps : int
        Number of steps of the critic for one of the generator.
    feature_weight : float
        Weight of the critic's features in the loss of the encoder.
    """

    def __init__(
        self,
        *args: Any,
        n_adversarial_steps: int = 1,
        critic_steps: int = 1,
        feature_weight: float = 1,
        **kwargs: Any,
    ) -> None:
        if kwargs.get("compile"):
            raise ValueError("compile must be left out: parts of the network learn in turn.")
        if kwargs.get("optimizer") is torch.optim.Adam:
            kwargs.setdefault("optimizer__betas", _BETAS)
        super().__init__(*args, **kwargs)
        self.n_adversarial_steps = n_adversarial_steps
        self.critic_steps = critic_steps
        self.feature_weight = feature_weight

    def initialize_module(self) -> "GenerativeAdversarialNet":
        """Name the critic, which is part of the network."""
        super().initialize_module()
        self.critic_ = self.module_.critic
        return self

    def get_all_learnable_params(self) -> Iterator[tuple[str, Parameter]]:
        """Yield the parameters of generator and encoder: the critic has its own optimiser."""
        for name, parameter in super().get_all_learnable_params():
            if not name.startswith("critic."):
                yield name, parameter

    def critic_inputs(self, patches: Tensor, target: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return patches and as many generated ones, each with its latent vector in a BiGAN."""
        shape = len(target), self.module_.latent_dim
        latent = torch.randn(shape, generator=self.generator, device=target.device)
        real, generated = [target], [self.module_.decode(latent)]
        if self._is_bigan():
            real.append(self.module_.encode(patches))
            generated.append(latent)
        return real, generated

    def train_step(self, batch: tuple[Tensor, Tensor], **fit_params: Any) -> dict[str, Any]:
        """Train on a batch: the critic alone, or with the generator; or the encoder."""
        self._begin_step()
        if self._trains_encoder() or self._step % self.critic_steps == 0:
            step: dict[str, Any] = super().train_step(batch, **fit_params)
            return step
        self._set_training(True)
        with torch.no_grad():
            real, generated = self._inputs(*batch)
        return {"loss": self.update_critic(real, generated), "y_pred": generated[0]}

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Count the steps before this epoch, of which a checkpoint may have restored some."""
        super().on_epoch_begin(net, **kwargs)
        self._steps_before = sum(row["train_batch_count"] for row in self.history[:-1])

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Leave all parts as they can be trained again."""
        super().on_train_end(net, **kwargs)
        self.module_.requires_grad_(True)

    def _begin_step(self) -> None:
        self._step = self._steps_before + len(self.history[-1]["batches"]) - 1
        trains_encoder = self._trains_encoder()
        self.module_.decoder.requires_grad_(not trains_encoder)
        if trains_encoder:
            self.critic_.requires_grad_(False)  # Also after a resumption, when it was not updated.

    def _trains_encoder(self) -> bool:
        return self._step >= self.n_adversarial_steps

    def _is_bigan(self) -> bool:
        return self.module_.critic.of_latent is not None

    def _compute_loss(
        self, fit_params: dict[str, Any], patches: Tensor, target: Tensor
    ) -> dict[str, Any]:
        if self._trains_encoder():
            return self._compute_encoder_loss(patches, target)
        real, generated = self._inputs(patches, target)
        distance = self.update_critic(real, generated)
        loss = -self.critic_(*generated).mean()
        if self._is_bigan():
            loss = loss + self.critic_(*real).mean()
        self._scaler.scale(loss).backward()
        # The loss of the generator has no zero; the distance is that of the critic's ratings.
        return {"loss": distance, "y_pred": generated[0]}

    def _compute_encoder_loss(self, patches: Tensor, target: Tensor) -> dict[str, Any]:
        self.module_.decoder.eval()  # Its normalization is fixed, too.
        with self._autocast(patches.device):
            reconstruction = self.module_(patches)
        reconstruction = reconstruction.float()
        loss = squared_error(reconstruction, target).mean()
        features = (self.module_.critic.features(x) for x in (reconstruction, target))
        loss = loss + self.feature_weight * squared_error(*features).mean()
        self._scaler.scale(loss).backward()
        return {"loss": loss, "y_pred": reconstruction}

    def _inputs(self, patches: Tensor, target: Tensor) -> list[list[Tensor]]:
        with self._autocast(patches.device):
            inputs = self.critic_inputs(patches, target)
        return [[tensor.float() for tensor in part] for part in inputs]
