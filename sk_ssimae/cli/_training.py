"""Training of a segmenter with its progress shown."""

import warnings
from collections.abc import Callable

from rich.progress import Progress

from sk_ssimae.cli._methods import members_of, owners_of
from sk_ssimae.cli._model import fitted_parts
from sk_ssimae.cli._signals import ignoring_interrupts_if
from sk_ssimae.cli._terminal import Terminal
from sk_ssimae.estimators import BaseSegmenter
from sk_ssimae.exceptions import InterruptedFitWarning


def train(segmenter: BaseSegmenter, learn: Callable[[], BaseSegmenter], terminal: Terminal) -> None:
    """Train a segmenter and show its progress; the caller reports an interrupted training.

    Parameters
    ----------
    segmenter : BaseSegmenter
        The segmenter.
    learn : callable
        Calls its `fit` or `partial_fit`.
    terminal : Terminal
        Output of the command.
    """
    with terminal.progress(counted=False) as progress, warnings.catch_warnings():
        warnings.simplefilter("ignore", InterruptedFitWarning)
        if owners_of(segmenter, "callbacks"):
            _train_in_epochs(segmenter, learn, progress, terminal)
        else:
            progress.add_task("Training", total=None)
            learn()


def is_trained(segmenter: BaseSegmenter) -> bool:
    """Tell whether a segmenter can be saved, perhaps without a threshold."""
    # The last attribute that fit sets before it searches for the threshold.
    return hasattr(segmenter, "n_defective_dropped_")


def _train_in_epochs(
    segmenter: BaseSegmenter,
    learn: Callable[[], BaseSegmenter],
    progress: Progress,
    terminal: Terminal,
) -> None:
    """Train an autoencoder, or an ensemble with one, and show its epochs."""
    from sk_ssimae.cli._progress import FitProgress  # Imports torch.

    (callbacks,) = owners_of(segmenter, "callbacks")
    autoencoder = callbacks.removesuffix("callbacks")
    parameters = segmenter.get_params()
    shown = FitProgress(
        parameters[f"{autoencoder}max_epochs"],
        parameters[f"{autoencoder}n_patches"],
        _say_what_follows(segmenter, autoencoder),
        progress,
        terminal,
    )

    def net_would_be_lost() -> bool:
        """Return whether training has ended but the segmenter has no net yet."""
        return shown.has_ended and not is_trained(segmenter)

    segmenter.set_params(**{callbacks: [shown.callback]})
    try:
        with ignoring_interrupts_if(net_would_be_lost):
            learn()
    finally:
        segmenter.set_params(**{callbacks: None})
        for part in fitted_parts(segmenter).values():
            if "callbacks" in part.parameters:
                part.set_params(callbacks=None)


def _say_what_follows(segmenter: BaseSegmenter, autoencoder: str) -> str:
    """Return the steps after the training of the autoencoder; empty if there are none."""
    others = [member for member, _ in members_of(segmenter) if f"{member}__" != autoencoder]
    listed = ", ".join([*others[:-2], " and ".join(others[-2:])])
    steps = [f"fitting {listed}"] if others else []
    if isinstance(segmenter.threshold, str):
        steps.append("finding the threshold")
    return ", then ".join(steps)
