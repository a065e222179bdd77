"""Progress of `fit`: a bar for training and one for the search for the threshold, or lines."""

from collections.abc import Callable
from typing import Any, Self

from rich.progress import Progress
from skorch.callbacks import Callback

from sk_ssimae.cli._model import n_complete_epochs
from sk_ssimae.cli._terminal import Terminal


class EpochProgress(Callback):
    """Report the progress of training.

    Parameters
    ----------
    on_batch : callable
        Called with the number of the epoch and the number of patches in each batch.
    on_epoch : callable
        Called with the number and the loss of each epoch.
    on_end : callable
        Called at the end of training if at least one epoch is complete.
    """

    def __init__(
        self,
        on_batch: Callable[[int, int], None],
        on_epoch: Callable[[int, float], None],
        on_end: Callable[[], None],
    ) -> None:
        self.on_batch = on_batch
        self.on_epoch = on_epoch
        self.on_end = on_end

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # The segmenter copies its callbacks, but the functions that they call must stay the same.
        return self.__sklearn_clone__()

    def __sklearn_clone__(self) -> Self:
        return type(self)(self.on_batch, self.on_epoch, self.on_end)

    def __getstate__(self) -> dict[str, Any]:
        # A checkpoint belongs to this class of callback; functions have no hash.
        return {}

    def on_batch_end(self, net: Any, batch: Any = None, **kwargs: Any) -> None:
        """Report the number of patches in the batch."""
        self.on_batch(len(net.history), len(batch[0]))

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Report the loss."""
        self.on_epoch(len(net.history), net.history[-1, "train_loss"])

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Report the end of training, or stop the fit if no epoch is complete."""
        if n_complete_epochs(net.history) == 0:
            raise KeyboardInterrupt
        self.on_end()


class FitProgress:
    """Show the progress of a fit.

    Parameters
    ----------
    max_epochs : int
        Number of epochs.
    n_patches : int
        Number of patches per epoch.
    following : str
        Steps after training, such as "finding the threshold"; empty if there are none.
    progress : Progress
        Where to show bars.
    terminal : Terminal
        Where to print lines if there are no bars.

    Attributes
    ----------
    has_ended : bool
        Whether training has ended.
    """

    def __init__(
        self,
        max_epochs: int,
        n_patches: int,
        following: str,
        progress: Progress,
        terminal: Terminal,
    ) -> None:
        self._epochs, self._n_patches, self._following = max_epochs, n_patches, following
        self._progress, self._terminal = progress, terminal
        self._task = progress.add_task("Reading images", total=None)
        self._has_begun = self.has_ended = False

    @property
    def callback(self) -> EpochProgress:
        """Callback that calls the methods of this object."""
        return EpochProgress(self._on_batch, self._on_epoch, self._on_end)

    def _on_batch(self, epoch: int, n_in_batch: int) -> None:
        if not self._has_begun:
            self._begin(epoch)
        self._progress.advance(self._task, n_in_batch)

    def _begin(self, epoch: int) -> None:
        self._has_begun = True
        if epoch > 1:
            self._terminal.note(f"training resumes after epoch {epoch - 1} of {self._epochs}")
        self._progress.update(
            self._task,
            description=f"Epoch {epoch} of {self._epochs}",
            completed=(epoch - 1) * self._n_patches,
            total=self._epochs * self._n_patches,
        )

    def _on_epoch(self, epoch: int, loss: float) -> None:
        following = min(epoch + 1, self._epochs)
        self._progress.update(
            self._task, description=f"Epoch {following} of {self._epochs}, loss {loss:.4g}"
        )
        self._print_without_bars(f"epoch {epoch} of {self._epochs}, loss {loss:.4g}")

    def _on_end(self) -> None:
        self.has_ended = True
        if self._following:
            # The bar of training would stand still, at a few percent if it was interrupted.
            self._progress.remove_task(self._task)
            self._task = self._progress.add_task(self._following.capitalize(), total=None)
            self._print_without_bars(self._following)

    def _print_without_bars(self, text: str) -> None:
        """Print a line for the log if there is no terminal."""
        if self._progress.disable:
            self._terminal.note(text)
