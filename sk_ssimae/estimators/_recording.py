"""Training steps recorded as CUDA graphs: one call of the host instead of several hundred."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

Step = dict[str, Any]
Compute = Callable[[Tensor, Tensor], Step]

# Libraries choose their algorithms and get their memory in the first steps.
_N_UNRECORDED = 3
# A process can record one graph at a time.
_RECORDING = threading.Lock()


class RecordedStep:
    """Compute loss and gradients of batches; replay a record from the fourth of a shape on.

    A GPU runs the small kernels of a step faster than Python launches them. A record launches all
    of them at once. It computes the same, in the same order, on the batch copied into its input.

    Parameters
    ----------
    parameters : sequence of Parameter
        Parameters with gradients, on a GPU.
    generators : sequence of torch.Generator
        Sources of the random numbers of a step, in addition to the global one.
    """

    def __init__(
        self, parameters: Sequence[Parameter], generators: Sequence[torch.Generator]
    ) -> None:
        self._parameters = parameters
        self._generators = generators
        self._n_computed: Counter[torch.Size] = Counter()
        self._records: dict[torch.Size, _Record] = {}
        self._stream = torch.cuda.Stream(parameters[0].device)

    def __call__(self, compute: Compute, patches: Tensor, target: Tensor) -> Step:
        """Compute a step; the next one of that shape overwrites all of it but the loss.

        Parameters
        ----------
        compute : callable
            From patches and target to a step, with the scalar tensor "loss"; it also adds to the
            gradients of the parameters, which are None before. The same for all steps.
        patches, target : Tensor of shape (N, C, P, P)
            A batch.

        Returns
        -------
        dict
            The step.

        Raises
        ------
        ValueError
            If the step cannot be recorded.
        """
        shape = patches.shape
        if shape in self._records:
            return self._records[shape].replay(patches, target)
        self._n_computed[shape] += 1
        if self._n_computed[shape] <= _N_UNRECORDED:
            return self._compute_aside(compute, patches, target)
        with _RECORDING:
            self._records[shape] = _Record(
                compute, patches, target, self._parameters, self._generators, self._stream
            )
        return self._records[shape].replay(patches, target)

    def _compute_aside(self, compute: Compute, patches: Tensor, target: Tensor) -> Step:
        """Compute on the stream of the recording, which will look there for its dependencies."""
        current = torch.cuda.current_stream(patches.device)
        self._stream.wait_stream(current)
        try:
            with torch.cuda.stream(self._stream):
                return compute(patches, target)
        finally:
            current.wait_stream(self._stream)


class _Record:
    """A recorded step, its input, and the gradients that it writes."""

    def __init__(
        self,
        compute: Compute,
        patches: Tensor,
        target: Tensor,
        parameters: Sequence[Parameter],
        generators: Sequence[torch.Generator],
        stream: torch.cuda.Stream,
    ) -> None:
        self._patches = patches.clone()
        self._target = self._patches if target is patches else target.clone()
        self._parameters = parameters
        self._trained = [parameter.requires_grad for parameter in parameters]
        self._graph = torch.cuda.CUDAGraph()
        for generator in generators:
            self._graph.register_generator_state(generator)
        try:
            self._record(compute, stream)
        except BaseException as error:
            # Torch leaves the generators as if recording were still active; a copy of the state can
            # draw. The default one gets a copy too: earlier graphs keep the state it had.
            default = torch.cuda.default_generators[patches.device.index]
            for generator in (default, *generators):
                generator.graphsafe_set_state(generator.clone_state())
            if isinstance(error, torch.OutOfMemoryError) or not isinstance(error, RuntimeError):
                raise
            raise ValueError(
                "net_params={'cuda_graph': True} does not suit this network or loss: their steps "
                f"must not depend on values ({str(error).splitlines()[0]}). Leave it out."
            ) from error
        self._gradients = [parameter.grad for parameter in parameters]

    def _record(self, compute: Compute, stream: torch.cuda.Stream) -> None:
        """Compute the step once more, on the stream, and keep it."""
        current = torch.cuda.current_stream(self._patches.device)
        failure: BaseException | None = None
        try:
            # Work of other threads on the GPU is not recorded.
            with torch.cuda.graph(self._graph, stream=stream, capture_error_mode="thread_local"):
                try:
                    self._step = compute(self._patches, self._target)
                except BaseException as error:
                    failure = error
                    raise
        except RuntimeError as error:
            # A failed recording ends with an error of its own, which hides the first.
            raise (failure or error) from None
        finally:
            # Torch leaves the stream in use if recording failed.
            torch.cuda.set_stream(current)

    def replay(self, patches: Tensor, target: Tensor) -> Step:
        """Copy the batch in, run the record, and hand its gradients to the parameters."""
        if [parameter.requires_grad for parameter in self._parameters] != self._trained:
            raise ValueError(
                "net_params={'cuda_graph': True} records a step once, so that no parameter of the "
                "network may be frozen or released after the first steps. Leave it out."
            )
        self._patches.copy_(patches)
        if target is not patches:
            self._target.copy_(target)
        self._graph.replay()
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient
        return self._step | {"loss": self._step["loss"].detach().clone()}
