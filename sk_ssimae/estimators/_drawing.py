"""Random numbers of torch from a given generator instead of the global one."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_RANDOM = frozenset(
    {
        *(torch.rand, torch.randn, torch.randint, torch.randperm),
        *(torch.normal, torch.bernoulli, torch.multinomial, torch.poisson),
        *(Tensor.uniform_, Tensor.normal_, Tensor.random_, Tensor.bernoulli_),
        *(Tensor.exponential_, Tensor.geometric_, Tensor.cauchy_, Tensor.log_normal_),
        *(Tensor.bernoulli, Tensor.multinomial),
        *(nn.init.uniform_, nn.init.normal_, nn.init.kaiming_uniform_),
    }
)


class DrawFrom(TorchFunctionMode):
    """Let torch's random functions draw from a generator instead of the global one.

    Layers draw their first weights from the global generator when they are made. All threads share
    it, so that seeding or restoring it would change the random numbers of another thread.

    Parameters
    ----------
    generator : torch.Generator
        Source of the random numbers, on the CPU. Draws on other devices are left alone.
    """

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.generator = generator

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call the function, a random one with the generator unless it has one."""
        kwargs = dict(kwargs or {})
        if func in _RANDOM and kwargs.get("generator") is None and _is_on_cpu(args, kwargs):
            kwargs["generator"] = self.generator
        return func(*args, **kwargs)


def _is_on_cpu(args: Any, kwargs: dict[str, Any]) -> bool:
    tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
    device = tensors[0].device if tensors else kwargs.get("device")
    return torch.device(device or torch.get_default_device()).type == "cpu"
