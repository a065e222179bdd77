"""The skorch net of the segmenters: its target is its input, and it never waits for the GPU."""

import copy
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Self

import numpy as np
import skorch
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, LRScheduler
from skorch.history import History
from torch import Tensor, nn
from torch.nn import Parameter

from sk_ssimae.estimators._pickling import for_pickling
from sk_ssimae.estimators._precision import DTYPES, PRECISIONS, Precision
from sk_ssimae.estimators._recording import RecordedStep
from sk_ssimae.estimators._sampler import PatchSampler
from sk_ssimae.modules import fold_normalization

# Torch's own first scale, 2**16, skips the first ten steps of a loss that sums over pixels.
_FIRST_SCALE, _STEPS_TO_GROW = 2.0**10, 200
# One for all nets, because pickles and copies of a net could not take it along.
_PREPARING = threading.Lock()


class ReconstructionNet(NeuralNet):
    """Train an autoencoder on batches of random patches.

    Some steps of skorch are replaced: the sampler's batches come straight from the device instead
    of through a data loader; the losses of an epoch are fetched once at its end instead of after
    each batch; modules are compiled in place; and a pickle contains network and loss alone, on the
    CPU, without optimisers, callbacks and further parts.

    A subclass may train further parts, such as a critic: it makes them in ``initialize_module``, as
    ``self.critic_``, gives them an optimiser in ``initialize_optimizer``, and uses both in
    ``train_step``. The optimiser ``optimizer_`` updates network and loss alone. All parts are
    written to checkpoints; their random numbers come from `generator`.

    Parameters
    ----------
    *args, **kwargs
        As for skorch's ``NeuralNet``.
    precision : {"float32", "bf16", "fp16"}, default="float32"
        Number format of the products in training, by autocast: weights, SSIM and residual maps stay
        float32. Losses are scaled for "fp16", so that small gradients do not vanish; steps whose
        gradients overflow are skipped until the scale fits. Only an optimiser with ``fused``, such
        as the default one, then never waits for the GPU.
    cuda_graph : bool, default=False
        Whether to record a training step on the GPU and replay it, which saves the host nearly all
        work and leads to the same weights. Network and loss must compute the same for every batch:
        decisions and random draws of Python are recorded once. Callbacks may change gradients and
        weights, but not the computation, and must copy a prediction that they keep. The memory of a
        step is kept until training ends, for each size of batch.
    generator : torch.Generator or None, default=None
        Source of the random numbers of a subclass's training step, on the device of training. It is
        part of checkpoints, and is left out of pickles.
    """

    def __init__(
        self,
        *args: Any,
        precision: Precision = "float32",
        cuda_graph: bool = False,
        generator: torch.Generator | None = None,
        **kwargs: Any,
    ) -> None:
        if precision not in PRECISIONS:
            raise ValueError(
                f"precision must be one of {list(PRECISIONS)}, got {precision!r} instead."
            )
        super().__init__(*args, **kwargs)
        if cuda_graph and torch.device(self.device).type != "cuda":
            raise ValueError(
                f"cuda_graph=True needs a GPU, but the device is {str(self.device)!r}: "
                "leave it out, or choose device='cuda'."
            )
        self.precision = precision
        self.cuda_graph = cuda_graph
        self.generator = generator

    def get_split_datasets(
        self, X: PatchSampler, y: None = None, **fit_params: Any
    ) -> tuple[PatchSampler, None]:
        """Train on the whole sampler: held-out pixels never reach it."""
        return X, None

    def get_all_learnable_params(self) -> Iterator[tuple[str, Parameter]]:
        """Yield the parameters of network and loss that are not frozen."""
        seen = set()
        for part in (self.module_, self.criterion_):
            for name, parameter in part.named_parameters():
                if parameter.requires_grad and parameter not in seen:
                    seen.add(parameter)
                    yield name, parameter

    def get_iterator(self, dataset: PatchSampler, training: bool = False) -> PatchSampler:
        """Iterate over the sampler itself; a data loader would draw global random numbers."""
        return dataset

    def torch_compile(self, module: nn.Module, name: str) -> nn.Module:
        """Compile in place, so that names, pickles and copies of the module stay the same."""
        if self.compile:
            module.compile(**self.get_params_for("compile"))
        return module

    def train_step_single(self, batch: tuple[Tensor, Tensor], **fit_params: Any) -> dict[str, Any]:
        """Compute the loss of a batch and its gradients, in the chosen precision."""
        self._set_training(True)
        compute = partial(self._compute_loss, fit_params)
        step = compute(*batch) if self._recorded is None else self._recorded(compute, *batch)
        self._scaler.unscale_(self.optimizer_)
        return step

    def _compute_loss(
        self, fit_params: dict[str, Any], patches: Tensor, target: Tensor
    ) -> dict[str, Any]:
        with self._autocast(patches.device):
            output = self.infer(patches, **fit_params)
            loss = self.get_loss(output, target, X=patches, training=True)
        self._scaler.scale(loss).backward()
        return {"loss": loss, "y_pred": output}

    def _make_recorded_step(self) -> RecordedStep:
        parameters = [parameter for _, parameter in self.get_all_learnable_params()]
        parts = (*self.module_.modules(), *self.criterion_.modules())
        attributes = (value for part in parts for value in vars(part).values())
        generators = [value for value in attributes if isinstance(value, torch.Generator)]
        return RecordedStep(parameters, generators)

    def _step_optimizer(self, step_fn: Callable[[], Tensor]) -> None:
        # Overrides a step of skorch (1.1 on) because the scaler, which skips a step whose gradients
        # overflowed, takes no closure.
        if not self._scaler.is_enabled():
            super()._step_optimizer(step_fn)
            return
        step_fn()
        self._scaler.step(self.optimizer_)
        self._scaler.update()

    def _autocast(self, device: torch.device) -> AbstractContextManager[Any]:
        # Not every device has an autocast that could be switched off.
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(device.type, DTYPES[self.precision])

    def prepare_inference(self, device: torch.device) -> None:
        """Move network and loss to a device, in evaluation mode.

        Parts that are there already are left alone: another thread may be computing with them.
        """
        device = torch.empty(0, device=device).device  # With its index.
        with _PREPARING:
            for part in (self.module_, self.criterion_):
                if not _is_prepared(part, device):
                    part.to(device).eval()

    @property
    def inference_module_(self) -> Any:
        """The network for inference: not compiled, normalization folded; made when first needed."""
        with _PREPARING:
            state = [_state(tensor) for tensor in _tensors(self.module_)]
            made_of, module = self.__dict__.get("_inference", (None, None))
            if state != made_of:
                # A shallow copy shares the weights and is not compiled.
                with torch.inference_mode(False), torch.no_grad():
                    module = fold_normalization(copy.copy(self.module_)).eval()
                # Not through skorch, which would register another part to train.
                self.__dict__["_inference"] = state, module
            return module

    def fit_loop(self, X: PatchSampler, y: None = None, epochs: None = None, **kwargs: Any) -> Self:
        """Train for the epochs that `history` lacks: a checkpoint may have restored some."""
        epochs_left = self.max_epochs - len(self.history)
        trained: Self = super().fit_loop(X, y, epochs=epochs_left, **kwargs)
        return trained

    def run_single_epoch(
        self,
        iterator: PatchSampler | None,
        training: bool,
        prefix: str,
        step_fn: Any,
        **fit_params: Any,
    ) -> None:
        """Run an epoch; `history` holds losses as numbers once it ends or is interrupted.

        `interrupted_` says whether the keyboard ended it. Callbacks that end training also raise
        KeyboardInterrupt, but between epochs.

        Raises
        ------
        ValueError
            If training diverged: maps would be NaN and no pixel defective.
        """
        if iterator is None:
            return
        self.interrupted_ = True
        try:
            for batch in iterator:
                self.notify("on_batch_begin", batch=batch, training=training)
                step = step_fn(batch, **fit_params)
                self.history.record_batch(f"{prefix}_loss", step["loss"].detach())
                self.history.record_batch(f"{prefix}_batch_size", len(batch[0]))
                self.notify("on_batch_end", batch=batch, training=training, **step)
        finally:
            self._check_losses(self._fetch_losses(f"{prefix}_loss"))
        self.history.record(f"{prefix}_batch_count", len(self.history[-1]["batches"]))
        self.interrupted_ = False

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Reset the state of training."""
        super().on_train_begin(net, **kwargs)
        self.interrupted_ = False
        self._scaler = torch.amp.GradScaler(
            torch.device(self.device).type,
            init_scale=_FIRST_SCALE,
            growth_interval=_STEPS_TO_GROW,
            enabled=self.precision == "fp16",
        )
        self._recorded = self._make_recorded_step() if self.cuda_graph else None

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Drop the batches of the previous epoch: history stays small however long training is."""
        super().on_epoch_begin(net, **kwargs)
        for epoch in self.history[:-1]:
            epoch["batches"] = []

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Drop the batches of the last epoch too, and the recorded step."""
        super().on_train_end(net, **kwargs)
        self._recorded = None
        for epoch in self.history:
            epoch["batches"] = []

    def _fetch_losses(self, key: str) -> list[float]:
        batches = [batch for batch in self.history[-1]["batches"] if key in batch]
        if not batches:
            return []
        losses: list[float] = torch.stack([batch[key] for batch in batches]).tolist()
        for batch, loss in zip(batches, losses, strict=True):
            batch[key] = loss
        return losses

    def _check_losses(self, losses: list[float]) -> None:
        """Raise if training diverged in the epoch of these losses, or by its last step."""
        index = next((i for i, loss in enumerate(losses) if not math.isfinite(loss)), None)
        if index is not None:
            self._refuse(f"the loss is {losses[index]}", index + 1)
        parts = (getattr(self, f"{name}_") for name in (*self._modules, *self._criteria))
        trained = (p for part in parts for p in part.parameters() if p.requires_grad)
        if not torch.stack([tensor.isfinite().all() for tensor in trained]).all():
            self._refuse("weights are not finite after an update", len(losses))

    def _refuse(self, what: str, step_of_epoch: int) -> None:
        steps_before = sum(row["train_batch_count"] for row in self.history[:-1])
        remedy = ", or the precision 'bf16'" if self.precision == "fp16" else ""
        raise ValueError(
            f"Training diverged: {what} in step {steps_before + step_of_epoch}, epoch "
            f"{len(self.history)}. Choose a smaller lr, got {self.lr:g}{remedy}."
        )

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state.pop("_inference", None)
        for name in (*self._modules, *self._criteria, *self._optimizers):
            state.pop(f"{name}_")
        state.update(_without_training())
        for name in ("module", "criterion"):
            # The net was made with instances: `module` and `module_` are one object.
            state[name] = state[f"{name}_"] = for_pickling(getattr(self, f"{name}_"))
        return state

    def __copy__(self) -> Self:
        # The state is for pickles: another one could not compute with it.
        return copy.deepcopy(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    @classmethod
    def of_trained(
        cls, module: nn.Module, criterion: nn.Module, history: History, *, interrupted: bool
    ) -> Self:
        """Return a net of parts that were trained elsewhere; other settings are skorch's defaults.

        Parameters
        ----------
        module, criterion : Module
            Trained network and its loss, on the CPU.
        history : History
            Losses and seconds.
        interrupted : bool
            Whether the keyboard ended training.

        Returns
        -------
        ReconstructionNet
            A net for prediction, with neither optimiser nor callbacks.
        """
        net = cls(module, criterion=criterion, train_split=None, verbose=0).initialize()
        net.__dict__.update(_without_training(), history_=history, interrupted_=interrupted)
        return net


def _is_prepared(part: nn.Module, device: torch.device) -> bool:
    in_training = any(module.training for module in part.modules())
    return not in_training and all(tensor.device == device for tensor in _tensors(part))


def _tensors(part: nn.Module) -> Iterator[Tensor]:
    yield from part.parameters()
    yield from part.buffers()


def _state(tensor: Tensor) -> tuple[int, int | None]:
    """Identify a tensor and its version, which changes when it is written to."""
    # A tensor that was unpickled in inference mode has no version and cannot be trained.
    return tensor.data_ptr(), None if tensor.is_inference() else tensor._version


def _without_training() -> dict[str, Any]:
    """Return the attributes of a net from a pickle or a file: on the CPU, its training over."""
    return {
        "device": "cpu",
        "generator": None,
        "_modules": ["module"],
        "_criteria": ["criterion"],
        "_optimizers": ["optimizer"],
        "optimizer_": None,
        "callbacks": None,
        "callbacks_": [],
        "_scaler": None,
        "_recorded": None,
    }


def one_cycle_schedule(peak: float, n_steps: int) -> Callback:
    """Return the callback that raises the learning rate to its peak and anneals it to nearly 0.

    References
    ----------
    L. N. Smith, N. Topin, "Super-Convergence", arXiv:1708.07120.
    """
    return LRScheduler(
        torch.optim.lr_scheduler.OneCycleLR,
        max_lr=peak,
        total_steps=n_steps,
        step_every="batch",
    )


def resolve_device(device: str | torch.device) -> torch.device:
    """Choose the device: "auto" is the first GPU where there is one, else the CPU.

    Raises
    ------
    TypeError
        If it is neither a name nor a device.
    ValueError
        If the device is unknown or not available.
    """
    if not isinstance(device, str | torch.device):
        raise TypeError(f"device must be a str or torch.device, got {device!r} instead.")
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        torch.empty(0, device=resolved).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device must be 'auto' or a device that torch can use here, got {str(device)!r} "
            f"instead ({str(error).splitlines()[0]})."
        ) from error
    return resolved


def rounding_inputs(device: str | torch.device) -> dict[str, Any]:
    """Return properties of the machine by which results are rounded differently."""
    return {
        "device": resolve_device(device).type,
        "n_threads": torch.get_num_threads(),
        "torch_versions": (str(torch.__version__), skorch.__version__),
    }


def to_tensor(image: Any, device: torch.device) -> Tensor:
    """Move a float32 image (h, w, c) to the device as (C, H, W)."""
    # Torch takes neither read-only arrays nor reversed views.
    return torch.from_numpy(np.require(image, requirements=["C", "W"])).to(device).permute(2, 0, 1)
