"""The choice of method and settings on a folder of good images."""

import contextlib
import io
import time
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, ProgressColumn, Task
from rich.text import Text

from sk_ssimae import persistence
from sk_ssimae._atomic import replace_file
from sk_ssimae.cli._files import check_model_file, check_output_file, list_good_images
from sk_ssimae.cli._fit import summarize
from sk_ssimae.cli._methods import parse_candidate_settings
from sk_ssimae.cli._roi import RegionsOption
from sk_ssimae.cli._terminal import Terminal
from sk_ssimae.cli._text import count
from sk_ssimae.model_selection import (
    TuningResult,
    TuningStep,
    default_candidates,
)
from sk_ssimae.model_selection import tune as tune_segmenter
from sk_ssimae.model_selection._tuning._folder import TuningFolder
from sk_ssimae.plotting._pyplot import import_pyplot


def tune(
    good_dir: Path,
    output: Path,
    *,
    minutes: float,
    table: Path | None,
    picture: Path | None,
    seed: int | None,
    device: str,
    params: dict[str, Any],
    settings: list[str],
    roi: str | None,
    recursive: bool,
    mask_suffix: str | None,
    overwrite: bool,
    terminal: Terminal,
) -> None:
    """Choose, train, calibrate and save a segmenter, and write a table of all trials.

    Parameters
    ----------
    good_dir : path
        Folder of defect-free images.
    output : path
        Model file to write.
    minutes : float
        Time budget.
    table, picture : path or None
        CSV and PNG file to write; None for files next to the model.
    seed : int or None
        Seed of everything random.
    device : str
        Device to compute on.
    params : dict
        Parameters of all candidates that have an option.
    settings : list of str
        Other parameters of all candidates that have them, each as ``NAME=VALUE``.
    roi : str or None
        Region of interest: a mask image, a folder of masks or a rectangle; None for all pixels.
    recursive : bool
        Include images in subfolders.
    mask_suffix : str or None
        Ending of the names of masks between the images, which are left out.
    overwrite : bool
        Replace an existing model.
    terminal : Terminal
        Output of the command.

    Raises
    ------
    KeyboardInterrupt
        If it was interrupted: the folder next to the model has the results so far.
    """
    images = list_good_images(good_dir, recursive=recursive, mask_suffix=mask_suffix)
    regions = RegionsOption(roi, images, mask_suffix)
    inputs = [*images, *regions.inputs()]
    check_model_file(output, inputs, overwrite=overwrite)
    table = _beside(output, ".csv") if table is None else table
    check_output_file(table, "--table", [*inputs, output], begins=b"candidate,")
    draws = _can_draw(picture, terminal)
    picture = _beside(output, ".png") if picture is None else picture
    if draws:
        check_output_file(picture, "--picture", [*inputs, output], begins=b"\x89PNG")
    _check_distinct(output, table, picture if draws else None)
    folder = _beside(output, "")
    candidates = default_candidates(images, device=device)
    params |= parse_candidate_settings([c.segmenter for c in candidates], settings)
    try:
        with terminal.progress(columns=[BarColumn(), _TimeLeft()]) as progress:
            result = tune_segmenter(
                images,
                budget_minutes=minutes,
                candidates=candidates,
                params=params,
                roi=regions.masks(),
                folder=folder,
                random_state=seed,
                progress=_Shown(minutes, progress, terminal),
            )
    except BlockingIOError:
        raise BlockingIOError(
            f"--output: another run of tune is writing to {str(folder)!r}. Wait until it ends, or "
            "choose another file."
        ) from None
    except KeyboardInterrupt:
        if folder.exists():
            terminal.note(f"Results so far are in {str(folder)!r}: the same command continues.")
        raise
    persistence.save(result.segmenter, output)
    result.to_csv(table)
    if draws:
        _draw(result, picture)
    with contextlib.suppress(BlockingIOError):  # Another run has begun to use it.
        TuningFolder(folder).remove()
    _summarize(result, len(images), output, terminal)
    written = [repr(str(path)) for path in ([table, picture] if draws else [table])]
    terminal.say(f"All that was tried: {' and '.join(written)}.")


def _check_distinct(output: Path, table: Path, picture: Path | None) -> None:
    given = {"--output": output, "--table": table} | ({"--picture": picture} if picture else {})
    owners: dict[Path, str] = {}
    for option, path in given.items():
        first = owners.setdefault(path.resolve(), option)
        if first != option:
            raise ValueError(f"{option} must be another file than {first}, got {str(path)!r}.")


class _Shown:
    """Shows steps as a bar, or prints them as lines if there is no terminal."""

    def __init__(self, minutes: float, progress: Progress, terminal: Terminal) -> None:
        self._seconds, self._progress, self._terminal = 60 * minutes, progress, terminal
        self._task = progress.add_task("Reading images", total=None)

    def __call__(self, step: TuningStep) -> None:
        then = f", then {step.following}" if step.following else ""
        self._progress.update(
            self._task,
            description=f"{step.doing}{then}",
            completed=step.number - 1,
            total=step.total,
            ends=time.monotonic() + step.seconds_left,
        )
        if self._progress.disable:
            self._terminal.note(str(step))


class _TimeLeft(ProgressColumn):
    """Shows the time that is left, which continues while a step takes long."""

    def render(self, task: Task) -> Text:
        ends = task.fields.get("ends")
        if ends is None:
            return Text("")
        minutes, seconds = divmod(max(round(ends - time.monotonic()), 0), 60)
        return Text(f"at most {minutes}:{seconds:02} left")


def _beside(output: Path, suffix: str) -> Path:
    return output.with_name(f"{output.stem}.tuning{suffix}")


def _can_draw(picture: Path | None, terminal: Terminal) -> bool:
    """Tell whether there is matplotlib; a picture that was asked for needs it."""
    try:
        import_pyplot()
    except ImportError as error:
        if picture is not None:
            raise
        terminal.note(f"No picture is written. {error}")
        return False
    return True


def _draw(result: TuningResult, picture: Path) -> None:
    figure: Any = result.plot().figure_
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=150)
    import_pyplot().close(figure)
    replace_file(picture, content.getvalue())


def _summarize(result: TuningResult, n_images: int, output: Path, terminal: Terminal) -> None:
    for line in str(result.report).splitlines():
        terminal.say(line)
    n_candidates = len(result.report.candidates)
    terminal.say(
        f"Chosen: {result.chosen['candidate']}, of {count(n_candidates, 'candidate')}, in "
        f"{result.seconds / 60:.1f} minutes."
    )
    chosen = result.report.best_index
    if result.report.mean_ranks[chosen] > min(result.report.mean_ranks):
        terminal.say(
            "It has the best rank of those that combine the most kinds of segmenters: painted "
            "defects may mislead."
        )
    summarize(result.segmenter, n_images, output, terminal)
