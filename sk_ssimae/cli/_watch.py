"""Segment the images of a folder as they arrive."""

import os
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from sk_ssimae._lock import lock_folder
from sk_ssimae.cli._arrivals import Arrivals
from sk_ssimae.cli._files import identity
from sk_ssimae.cli._live_ledger import LiveLedger
from sk_ssimae.cli._model import load_model
from sk_ssimae.cli._outputs import refuse_outputs
from sk_ssimae.cli._predict import (
    IMAGE_ERRORS,
    Outputs,
    check_sources,
    compute,
    describe_run,
    merge_regions,
)
from sk_ssimae.cli._roi import RegionsOption, regions_of_any_image
from sk_ssimae.cli._rows import Row
from sk_ssimae.cli._scale import ResidualScale
from sk_ssimae.cli._signals import deferring_interrupts
from sk_ssimae.cli._terminal import Terminal
from sk_ssimae.cli._text import count, one_line
from sk_ssimae.cli._verdict import describe_verdict
from sk_ssimae.cli._webhook import Webhook
from sk_ssimae.datasets._listing import SUFFIXES
from sk_ssimae.estimators import BaseSegmenter


def watch(
    model: Path,
    folder: Path,
    out: Path,
    *,
    interval: float,
    webhook: str | None,
    threshold: float | None,
    overlays: bool,
    device: str,
    overwrite: bool,
    roi: str | None,
    terminal: Terminal,
) -> None:
    """Segment images as they arrive, until a signal ends the command.

    Parameters
    ----------
    model : path
        Model file written by `fit`.
    folder : path
        Folder in which images arrive.
    out : path
        Output folder. Images with complete outputs are not computed again.
    interval : float
        Seconds between two looks into the folder.
    webhook : str or None
        Address on this machine to which each verdict is posted.
    threshold : float or None
        Level of the verdict; None for that of the model.
    overlays : bool
        Also write pictures of the images with their regions outlined.
    device : str
        Device to compute on.
    overwrite : bool
        Delete the outputs of earlier runs and start again.
    roi : str or None
        Region of interest: a mask image or a rectangle; None for all pixels.
    terminal : Terminal
        Output of the command.

    Raises
    ------
    KeyboardInterrupt
        At a signal, after the image in hand.
    """
    hook = None if webhook is None else Webhook(webhook, terminal.complain, terminal.note)
    _check_folder(folder, out)
    regions = regions_of_any_image(roi)
    loaded = load_model(model, device, threshold)
    scale = ResidualScale.of(loaded.segmenter)
    run = describe_run(model, loaded, scale, regions)
    with lock_folder(out):
        ledger = LiveLedger(out, run, overlays=overlays, overwrite=overwrite)
        arrivals = Arrivals(folder, ledger.is_known)
        ledger.resume(arrivals.present())
        merge_regions(ledger, terminal)
        ledger.follow_regions()
        watcher = _Watcher(
            loaded.segmenter, ledger, arrivals, regions, scale, hook, terminal, overlays=overlays
        )
        try:
            watcher.run(interval)
        finally:
            watcher.summarize()
            ledger.close()
            merge_regions(ledger, terminal)


def _check_folder(folder: Path, out: Path) -> None:
    if not folder.is_dir():
        kind = "got a file" if folder.is_file() else "there is no such folder"
        raise NotADirectoryError(
            f"FOLDER must be the folder in which images arrive, and {kind} {str(folder)!r}. "
            "Check the path."
        )
    refuse_outputs([folder], "FOLDER")
    check_sources([folder], out)


class _Watcher:
    """Segment, record and report images one by one."""

    def __init__(
        self,
        segmenter: BaseSegmenter,
        ledger: LiveLedger,
        arrivals: Arrivals,
        regions: RegionsOption,
        scale: ResidualScale,
        hook: Webhook | None,
        terminal: Terminal,
        *,
        overlays: bool,
    ) -> None:
        self._segmenter, self._ledger, self._arrivals = segmenter, ledger, arrivals
        self._regions, self._scale, self._hook = regions, scale, hook
        self._terminal, self._overlays = terminal, overlays
        self._n_images = self._n_defective = self._n_failed = 0
        self._lost_folder = False
        self._told_types: set[str] = set()

    def run(self, interval: float) -> None:
        """Poll until a signal raises KeyboardInterrupt."""
        self._terminal.note(f"Watching {str(self._arrivals.folder)!r}. Ctrl-C ends it.")
        while True:
            for image in self._poll():
                with deferring_interrupts():
                    # It may have changed while the images before it were computed.
                    if self._arrivals.is_unchanged(image):
                        self._take(image)
            time.sleep(interval)

    def summarize(self) -> None:
        """Say how many images this run has segmented."""
        self._terminal.say(
            f"{count(self._n_images, 'image')} segmented, {self._n_defective} defective, "
            f"{self._n_failed} failed. Results are in {str(self._ledger.folder)!r}. Run the same "
            "command again to continue."
        )

    def _poll(self) -> list[Path]:
        folder = str(self._arrivals.folder)
        try:
            ready = self._arrivals.poll()
        except OSError as error:  # A network drive may be away for a while.
            if not self._lost_folder:
                self._terminal.complain(f"FOLDER: {one_line(error)} Watching continues.")
            self._lost_folder = True
            return []
        if self._lost_folder:
            self._terminal.note(f"{folder!r} can be listed again.")
        self._lost_folder = False
        for suffix in sorted(self._arrivals.other_types - self._told_types):
            self._terminal.complain(
                f"FOLDER: {suffix} images in {folder!r} are passed over. Let the camera write one "
                f"of {', '.join(sorted(SUFFIXES))}."
            )
        self._told_types |= self._arrivals.other_types
        return ready

    def _take(self, image: Path) -> None:
        name = self._ledger.take(image)
        start = time.perf_counter()
        try:
            outputs = compute(
                self._segmenter, image, self._regions, name, self._scale, overlays=self._overlays
            )
        except IMAGE_ERRORS as error:
            if not self._arrivals.is_unchanged(image):
                return  # It was removed or changed, or the drive is away: the next poll decides.
            self._record_failure(Row(identity(image), name, error=one_line(error)))
            self._arrivals.fail(image)
            return
        self._ledger.add(outputs)
        self._record(outputs, 1000 * (time.perf_counter() - start))

    def _record(self, outputs: Outputs, milliseconds: float) -> None:
        found, row = outputs.found, outputs.row
        verdict = describe_verdict(found)
        # Before the row, which ends the work on an image: a killed run posts it again.
        self._post(row, {**verdict, "milliseconds": round(milliseconds, 1)})
        self._ledger.append(row)
        self._n_images += 1
        self._n_defective += found.defective
        self._log(
            verdict["verdict"],
            row,
            f"score {found.score:.6g}, {count(len(found.regions), 'region')}, "
            f"{milliseconds:.0f} ms",
        )

    def _record_failure(self, row: Row) -> None:
        self._post(row, {"verdict": "failed", "error": row.error})
        self._ledger.append(row)
        self._n_failed += 1
        self._terminal.complain(row.error)

    def _post(self, row: Row, verdict: dict[str, Any]) -> None:
        if self._hook is not None:
            self._hook.post({"file": row.file, "name": row.name, **verdict})

    def _log(self, verdict: str, row: Row, text: str) -> None:
        now = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        self._terminal.say(f"{now}  {verdict}  {os.path.basename(row.file)}  {text}")  # noqa: PTH119
