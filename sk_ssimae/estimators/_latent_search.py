"""The latent vector of a patch by gradient descent, as of AnoGAN."""

import math

import torch
from torch import Tensor

from sk_ssimae._formulas._absolute_error import absolute_error
from sk_ssimae.modules import GenerativeAdversarialNetwork

# Adam divides by the size of the gradient. A larger constant there keeps rounding, which depends on
# the batch, from being divided by a gradient of nearly 0.
_EPSILON = 1e-5


@torch.inference_mode(False)
@torch.enable_grad()
def search_latent(
    network: GenerativeAdversarialNetwork,
    patches: Tensor,
    *,
    n_steps: int,
    lr: float,
    feature_weight: float,
) -> Tensor:
    """Search the latent vectors from which a generator makes given patches.

    The search starts at the mean of the prior, 0, and draws no random numbers. Patches share no
    term, so that those of a batch do not influence each other.

    Parameters
    ----------
    network : GenerativeAdversarialNetwork
        In evaluation mode.
    patches : Tensor of shape (N, C, P, P)
        Patches in [0, 1], on the device of the network.
    n_steps : int
        Number of steps, each a pass through generator and critic and back.
    lr : float
        Learning rate of Adam, annealed to 0 by half a cosine.
    feature_weight : float
        Weight of the critic's features relative to that of the pixels.

    Returns
    -------
    Tensor of shape (N, d)
        The latent vectors.
    """
    target = patches.clone()  # Not of inference mode, so that gradients may pass.
    with torch.no_grad():
        expected = network.critic.features(target)
    latent = target.new_zeros((len(target), network.latent_dim), requires_grad=True)
    optimizer = torch.optim.Adam([latent], lr=lr, eps=_EPSILON)
    for step in range(n_steps):
        optimizer.param_groups[0]["lr"] = lr * (1 + math.cos(math.pi * step / n_steps)) / 2
        generated = network.decode(latent)
        losses = absolute_error(generated, target).flatten(1).mean(dim=1)
        if feature_weight:
            errors = absolute_error(network.critic.features(generated), expected).mean(dim=1)
            losses = losses + feature_weight * errors
        (latent.grad,) = torch.autograd.grad(losses.sum(), [latent])
        optimizer.step()
    return latent.detach()
