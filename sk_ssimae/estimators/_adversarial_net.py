"""The skorch net of adversarial training: a critic with its own optimiser, and its records."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sk_ssimae.estimators._net import ReconstructionNet
from sk_ssimae.losses import gradient_penalty
from sk_ssimae.modules import Critic, VariationalOutput

# Weight of the gradient penalty, as published.
_PENALTY_WEIGHT = 10
_CRITIC_BETAS = (0.5, 0.9)
#: Patches of an epoch that are compared with generated ones at its end.
N_COMPARED = 64


class AdversarialNet(ReconstructionNet):
    """Train a network against a critic, by WGAN-GP.

    A subclass makes the critic in ``initialize_module``, as ``self.critic_``, pairs real with
    generated patches in :meth:`critic_inputs`, and updates the critic with :meth:`update_critic`.
    At the end of each epoch up to 64 of its patches are compared with as many generated ones, the
    network being in evaluation mode. `history` then has

    - ``critic_accuracy``: the share of pairs of a real and a generated patch of which the critic
      rates the real one higher; 0.5 if it cannot tell them apart, 1 if it always can;
    - ``generated_variance``: the variance among generated patches, pixel by pixel, as a multiple of
      that among real ones. Near 0 all generated patches are alike. None if real ones are alike too.

    Parameters
    ----------
    *args, **kwargs
        As for :class:`ReconstructionNet`, except ``cuda_graph``. `precision` is that of the
        network; the critic computes in float32. ``compile`` leaves the critic as it is.
    critic_lr : float
        Learning rate of the critic's Adam.
    """

    critic_: Any

    def __init__(self, *args: Any, critic_lr: float = 2e-4, **kwargs: Any) -> None:
        if kwargs.get("cuda_graph"):
            raise ValueError(
                "cuda_graph must be left out: a recorded step cannot contain the optimiser of the "
                "critic."
            )
        super().__init__(*args, **kwargs)
        self.critic_lr = critic_lr

    def critic_inputs(self, patches: Tensor, target: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return real and generated inputs of the critic, patches (N, C, P, P) first."""
        raise NotImplementedError

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> "AdversarialNet":
        """Make the optimiser of the critic next to that of the network."""
        super().initialize_optimizer(*args, **kwargs)
        self.critic_optimizer_ = torch.optim.Adam(
            self.critic_.parameters(),
            lr=self.critic_lr,
            betas=_CRITIC_BETAS,
            fused=torch.device(self.device).type in ("cpu", "cuda"),
        )
        return self

    def _step_optimizer(self, step_fn: Callable[[], Tensor]) -> None:
        # Overrides a step of skorch (1.1 on), which would compute a batch for each optimiser.
        if self._scaler.is_enabled():
            super()._step_optimizer(step_fn)
        else:
            self.optimizer_.step(step_fn)

    def torch_compile(self, module: nn.Module, name: str) -> nn.Module:
        """Compile all but the critic: gradients of compiled gradients do not exist."""
        return module if name == "critic" else super().torch_compile(module, name)

    def update_critic(self, real: Sequence[Tensor], generated: Sequence[Tensor]) -> Tensor:
        """Update the critic once; return its estimate of the Wasserstein distance before that."""
        real, generated = ([tensor.detach() for tensor in part] for part in (real, generated))
        self.critic_.requires_grad_(True)
        self.critic_optimizer_.zero_grad()
        distance = self.critic_(*real).mean() - self.critic_(*generated).mean()
        penalty = gradient_penalty(self.critic_, real, generated, generator=self.generator)
        (_PENALTY_WEIGHT * penalty - distance).backward()
        self.critic_optimizer_.step()
        # It has no gradients but these: others only pass through it.
        self.critic_.requires_grad_(False)
        return distance.detach()

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Forget the patches of the epoch before."""
        super().on_epoch_begin(net, **kwargs)
        self._compared: list[Tensor] = []

    def on_batch_begin(self, net: Any, batch: Any = None, **kwargs: Any) -> None:
        """Keep the first patches of the epoch."""
        super().on_batch_begin(net, batch=batch, **kwargs)
        if sum(map(len, self._compared)) < N_COMPARED:
            self._compared.append(batch[1])

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Record how the critic tells real patches from generated ones, and their variances."""
        super().on_epoch_end(net, **kwargs)
        patches = torch.cat(self._compared)[:N_COMPARED]
        self._set_training(False)
        with torch.no_grad():
            accuracy, *variances = self._compare(*self.critic_inputs(patches, patches)).tolist()
        self.history.record("critic_accuracy", accuracy)
        ratio = variances[1] / variances[0] if variances[0] > 0 else None
        self.history.record("generated_variance", ratio)

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Drop the kept patches."""
        super().on_train_end(net, **kwargs)
        self._compared = []

    def _compare(self, real: list[Tensor], generated: list[Tensor]) -> Tensor:
        of_real, of_generated = self.critic_(*real)[:, None], self.critic_(*generated)[None]
        is_higher = (of_real > of_generated).float() + 0.5 * (of_real == of_generated)
        variances = (x[0].var(dim=0, correction=0).mean() for x in (real, generated))
        return torch.stack([is_higher.mean(), *variances])

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_compared": []}


class AdversarialAutoencoderNet(AdversarialNet):
    """Train an autoencoder whose reconstructions a critic tells from patches.

    Parameters
    ----------
    *args, **kwargs
        As for :class:`AdversarialNet`.
    adversarial_weight : float
        Weight of the critic's rating in the loss of the autoencoder.
    """

    def __init__(self, *args: Any, adversarial_weight: float = 1, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.adversarial_weight = adversarial_weight

    def initialize_module(self) -> "AdversarialAutoencoderNet":
        """Make the critic for the patches of the network."""
        super().initialize_module()
        self.critic_ = Critic(self.module_.n_channels, self.module_.patch_size)
        return self

    def critic_inputs(self, patches: Tensor, target: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return patches and their reconstructions."""
        return [target], [_reconstruction_of(self.infer(patches))]

    def _compute_loss(
        self, fit_params: dict[str, Any], patches: Tensor, target: Tensor
    ) -> dict[str, Any]:
        with self._autocast(patches.device):
            output = self.infer(patches, **fit_params)
            loss = self.get_loss(output, target, X=patches, training=True)
        reconstruction = _reconstruction_of(output).float()
        self.update_critic([target], [reconstruction])
        rating = self.critic_(reconstruction).mean()
        self._scaler.scale(loss - self.adversarial_weight * rating).backward()
        # Without the rating, whose zero means nothing.
        return {"loss": loss, "y_pred": output}


def _reconstruction_of(output: Tensor | VariationalOutput) -> Tensor:
    """Return the reconstruction in the output of an autoencoder, variational or not."""
    return output.reconstruction if isinstance(output, VariationalOutput) else output
