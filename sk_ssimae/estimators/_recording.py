"""Training steps recorded as CUDA graphs: one call of the host instead of several hundred."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

Step = dict[str, Any]
Compute = Callable[[Tensor, Tensor], Step]

# Libraries choose their algorithms and get their memory in the first steps.
_N_UNRECORDED = 3


class RecordedStep:
    """Compute loss and gradients of batches; from the fourth of a shape on by replaying a record.

    A GPU runs the small kernels of a step faster than Python asks for them. A record asks for all
    of them at once. It computes the same, in the same order, on the batch copied into its input.

    Parameters
    ----------
    compute : callable
        From patches and target to a step, with the scalar tensor "loss"; it also adds to the
        gradients of parameters, which are None before. What it does must not depend on values.
    parameters : sequence of Parameter
        What gets gradients.
    generators : sequence of torch.Generator
        Sources of random numbers that `compute` draws from.
    """

    def __init__(
        self,
        compute: Compute,
        parameters: Sequence[Parameter],
        generators: Sequence[torch.Generator],
    ) -> None:
        self._compute = compute
        self._parameters = parameters
        self._generators = generators
        self._n_computed: dict[torch.Size, int] = {}
        self._records: dict[torch.Size, _Record] = {}
        self._stream: torch.cuda.Stream | None = None

    def __call__(self, patches: Tensor, target: Tensor) -> Step:
        """Compute a step; all of it but the loss is overwritten by the next one of that shape.

        Raises
        ------
        ValueError
            If the step cannot be recorded.
        """
        shape = patches.shape
        n_computed = self._n_computed.setdefault(shape, 0)
        if n_computed < _N_UNRECORDED:
            self._n_computed[shape] += 1
            return self._compute_aside(patches, target)
        if shape not in self._records:
            self._records[shape] = _Record(
                self._compute, patches, target, self._parameters, self._generators, self._stream
            )
        return self._records[shape].replay(patches, target)

    def _compute_aside(self, patches: Tensor, target: Tensor) -> Step:
        """Compute on the stream of the recording, where it will look for what it depends on."""
        if self._stream is None:
            self._stream = torch.cuda.Stream(patches.device)
        current = torch.cuda.current_stream(patches.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            step = self._compute(patches, target)
        current.wait_stream(self._stream)
        return step


class _Record:
    """A step, its input, and the gradients that it writes."""

    def __init__(
        self,
        compute: Compute,
        patches: Tensor,
        target: Tensor,
        parameters: Sequence[Parameter],
        generators: Sequence[torch.Generator],
        stream: torch.cuda.Stream | None,
    ) -> None:
        self._patches = patches.clone()
        self._target = self._patches if target is patches else target.clone()
        self._parameters = parameters
        self._graph = torch.cuda.CUDAGraph()
        for generator in generators:
            self._graph.register_generator_state(generator)
        try:
            # Other threads may use the GPU meanwhile.
            with torch.cuda.graph(self._graph, stream=stream, capture_error_mode="thread_local"):
                self._step = compute(self._patches, self._target)
        except RuntimeError as error:
            raise ValueError(
                "net_params={'cuda_graph': True} does not suit this network or loss: what they do "
                f"must not depend on values ({str(error).splitlines()[0]})."
            ) from error
        self._gradients = [parameter.grad for parameter in parameters]

    def replay(self, patches: Tensor, target: Tensor) -> Step:
        """Copy the batch in, run the record, and hand its gradients to the parameters."""
        self._patches.copy_(patches)
        if target is not patches:
            self._target.copy_(target)
        self._graph.replay()
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient
        return self._step | {"loss": self._step["loss"].clone()}
