"""Draw fabric with defects and run the commands on it, up to a report; run by `make demo`.

python -m sk_ssimae.cli.demo [FOLDER]
"""

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import typer

from sk_ssimae.cli._text import printable
from sk_ssimae.datasets import draw_defects, make_woven_fabric
from sk_ssimae.persistence import load

SEED = 0
N_GOOD, N_DEFECTIVE, N_HELD = 20, 12, 6
# A network smaller than the default learns the weave in a minute.
OPTIONS = ["--patch-size", "64", "--latent-dim", "100", "--patches", "16000"]
LEAST = {"pixel ROC AUC": 0.93, "structure correlation of the autoencoder": 0.5}
_OWN = {"good", "defective", "masks", "held", "fabric.safetensors", "report.html"}


def main(folder: Path) -> dict[str, float]:
    """Run the demo and print its commands and their results.

    Parameters
    ----------
    folder : Path
        Folder to write images, model and report to: new, empty, or of an earlier demo.

    Returns
    -------
    dict
        Pixel ROC AUC of the model, and how well its autoencoder has learned the weave.

    Raises
    ------
    FileExistsError
        If the folder has other files.
    """
    _check_folder(folder)
    print(
        f"Woven fabric: {N_GOOD} good images to train on, {N_DEFECTIVE} with defects and {N_HELD} "
        f"more good ones to test, in {str(folder)!r}."
    )
    test = draw_defects(make_woven_fabric(N_DEFECTIVE, random_state=SEED + 1), random_state=SEED)
    _write(make_woven_fabric(N_GOOD, random_state=SEED), folder / "good")
    _write(make_woven_fabric(N_HELD, random_state=SEED + 2), folder / "held")
    _write(test.images, folder / "defective")
    _write(test.masks, folder / "masks")
    model, report = folder / "fabric.safetensors", folder / "report.html"
    defective, masks, held = folder / "defective", folder / "masks", folder / "held"
    seed = ["--seed", SEED, "--overwrite"]
    _run("fit", folder / "good", "-o", model, *OPTIONS, *seed)
    _run("evaluate", model, defective, masks, "--good", held)
    _run("report", model, defective, "--masks", masks, "--good", held, "-o", report)
    print(f"\nOpen {str(report)!r} in a browser: verdicts, numbered regions, and a slider.")
    segmenter = load(model)
    correlation = segmenter.named_segmenters_.autoencoder.structure_correlation_
    return dict(zip(LEAST, (segmenter.score(test.images, test.masks), correlation), strict=True))


def check(results: dict[str, float]) -> None:
    """Exit with an error if a result is too low, which means that something is broken."""
    for name, least in LEAST.items():
        if results[name] < least:
            sys.exit(
                f"error: the {name} must be at least {least} in the demo, got {results[name]:.3f} "
                "instead."
            )


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"FOLDER must be a folder, got the file {str(folder)!r} instead.")
    others = {path.name for path in folder.iterdir()} - _OWN if folder.exists() else set()
    if others:
        raise FileExistsError(
            f"FOLDER must be new or empty, got {str(folder)!r} with {min(others)!r} in it. Choose "
            "another folder."
        )


def _write(images: Iterable[Any], folder: Path) -> None:
    from skimage.io import imsave

    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(images):
        pixels = np.rint(255 * np.asarray(image, dtype=np.float32)).astype(np.uint8)
        imsave(folder / f"{index:02}.png", pixels, check_contrast=False)


def _run(*arguments: Any) -> None:
    """Print a command and run it; a failure of it ends the demo."""
    from sk_ssimae.cli._app import app

    words = [str(argument) for argument in arguments]
    print(f"\n$ sk-ssimae {printable(shlex.join(words))}", flush=True)
    code = app(words, standalone_mode=False)
    if code:
        raise typer.Exit(code)


if __name__ == "__main__":
    check(main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo")))
