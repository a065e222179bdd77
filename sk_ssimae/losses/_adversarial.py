"""The loss of a critic: Wasserstein distance, with a penalty that bounds its gradient."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

# The square root has no derivative at 0.
_SMALLEST_SQUARE = 1e-12


def gradient_penalty(
    critic: Callable[..., Tensor],
    real: Sequence[Tensor],
    generated: Sequence[Tensor],
    *,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Compute how far the gradient of a critic is from norm 1, between real and generated inputs.

    .. math:: \langle (\lVert \nabla D(\tilde x) \rVert_2 - 1)^2 \rangle,
        \qquad \tilde x = \varepsilon x + (1 - \varepsilon) \hat x

    with the mean :math:`\langle \cdot \rangle` over a batch, and :math:`\varepsilon` uniform in
    [0, 1] for each input. A critic of the loss
    :math:`\langle D(\hat x) \rangle - \langle D(x) \rangle` plus ten times this penalty estimates
    the Wasserstein distance of real and generated inputs. The rating of an input must not depend on
    others, as it would with batch normalization.

    Parameters
    ----------
    critic : callable
        Takes as many tensors as `real` has, and returns ratings (N,).
    real, generated : sequence of Tensor of shape (N, ...)
        Inputs of the critic: patches (N, C, P, P), or also latent vectors (N, d). Gradients do not
        flow back to them.
    generator : torch.Generator, optional
        Source of ε, on the device of the tensors; torch's global one without it.

    Returns
    -------
    Tensor of shape ()
        The penalty, at least 0, whose gradient trains the critic.

    Raises
    ------
    TypeError
        If `real` or `generated` contains anything but floating-point tensors.
    ValueError
        If their shapes differ, or there are none.

    References
    ----------
    I. Gulrajani, F. Ahmed, M. Arjovsky, V. Dumoulin, A. Courville, "Improved Training of
    Wasserstein GANs", NeurIPS 2017, equation 3.

    Examples
    --------
    >>> import torch
    >>> from sk_ssimae.losses import gradient_penalty
    >>> real, generated = torch.rand(5, 1, 2, 2), torch.rand(5, 1, 2, 2)
    >>> float(gradient_penalty(lambda x: 3 * x[:, 0, 0, 0], [real], [generated]))  # (3 - 1)²
    4.0
    """
    for name, tensors in (("real", real), ("generated", generated)):
        if not isinstance(tensors, list | tuple) or not all(map(_is_float_tensor, tensors)):
            raise TypeError(
                f"{name} must be a list or tuple of floating-point tensors, got "
                f"{type(tensors).__name__} instead."
            )
    shapes = [[tuple(tensor.shape) for tensor in tensors] for tensors in (real, generated)]
    n_inputs = {shape[:1] for shape in shapes[0]}
    if shapes[0] != shapes[1] or len(n_inputs) != 1 or n_inputs & {(), (0,)}:
        raise ValueError(
            "real and generated must have the same shapes (N, ...) with N of at least 1, got "
            f"{shapes[0]} and {shapes[1]} instead."
        )
    first = real[0]
    shares = torch.rand(len(first), generator=generator, device=first.device, dtype=first.dtype)
    mixed = [
        torch.lerp(y.detach(), x.detach(), shares.view(-1, *[1] * (x.ndim - 1))).requires_grad_()
        for x, y in zip(real, generated, strict=True)
    ]
    gradients = torch.autograd.grad(critic(*mixed).sum(), mixed, create_graph=True)
    squares = torch.stack([g.flatten(1).square().sum(dim=1) for g in gradients]).sum(dim=0)
    penalty: Tensor = ((squares + _SMALLEST_SQUARE).sqrt() - 1).square().mean()
    return penalty


def _is_float_tensor(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()
