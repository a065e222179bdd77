"""Measure AUC and PRO against the stride, as a share of the patch size: one row a stride in a CSV.

python benchmarks/stride.py --data DIR 02_006=FILE nanotwice-choosing=FILE 01_023=FILE leather=FILE

DIR contains the folders fabric, leather, kolektor and nanotwice (default: $SK_SSIMAE_DATA). Each
FILE is a fitted autoencoder for that data set, as `benchmarks/methods.py` keeps it. Scores are
those of the defective images, or of each --every'th. Rows that exist are not computed again.
The loss of AUC and of PRO by share, compared with the finest stride, is written next to --csv.

Settings are chosen on 02_006 and nanotwice-choosing; the other sets report.
"""

import argparse
import copy
import itertools
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from _rows import append, read, write
from _sets import SETS, load
from torch import Tensor

from sk_ssimae.estimators import BaseAutoencoderSegmenter
from sk_ssimae.metrics import pixel_roc_auc_score, pro_auc_score

TABLE = Path(__file__).parent / "results" / "stride.csv"
SHARES = (0.125, 0.1875, 0.25, 0.375, 0.5, 0.75)  # Of the patch size; the first is the reference.
TAPERS = (0, 0.25, 1)
TRAINED = ("patch_size", "latent_dim", "cutout", "absolute_weight")
IDENTITY = ("set", *TRAINED, "patches", "images")
SCORES = ("pixel_roc_auc", "pro_auc")


def main() -> None:
    """Measure the missing rows, then write the table of costs."""
    arguments = parse_arguments()
    for name, path in arguments.segmenters:
        kept = joblib.load(path)
        segmenter = kept["segmenter"] if isinstance(kept, dict) else kept
        dataset = load(name, arguments.data)
        images, masks = (items[:: arguments.every] for items in (dataset.defective, dataset.masks))
        identity = identify(name, segmenter, len(images))
        if not any(identity.items() <= row.items() for row in read(arguments.csv)):
            for row in measure(segmenter, images, masks):
                append(identity | row, arguments.csv)
    table = costs(read(arguments.csv))
    write(table, arguments.csv.with_name(f"{arguments.csv.stem}_table.csv"))


def identify(name: str, segmenter: BaseAutoencoderSegmenter, n_images: int) -> dict[str, str]:
    """Return the columns by which a measurement is recognised."""
    params = segmenter.get_params()
    trained = params["n_patches"] * params["max_epochs"]
    values = name, *(params.get(key, "") for key in TRAINED), trained, n_images
    return {key: str(value) for key, value in zip(IDENTITY, values, strict=True)}


def measure(
    segmenter: BaseAutoencoderSegmenter, images: Sequence[Any], masks: Sequence[Any]
) -> list[dict[str, Any]]:
    """Score the maps of all strides and tapers."""
    maps = defaultdict(list)
    for index, image in enumerate(images):
        with_memory = remember(segmenter)
        for taper, share in itertools.product(TAPERS, SHARES):
            stride = round(share * segmenter.patch_size)
            with_memory.set_params(stride=stride, taper=taper)
            maps[taper, share, stride].append(with_memory.decision_function([image])[0])
        print(f"{index + 1} of {len(images)} images", flush=True)
    rows = []
    for (taper, share, stride), of_images in maps.items():
        scores = pixel_roc_auc_score(masks, of_images), pro_auc_score(masks, of_images)
        row = {"taper": taper, "share": share, "stride": stride}
        rows.append(row | {key: f"{value:.5f}" for key, value in zip(SCORES, scores, strict=True)})
    return rows


def remember(segmenter: BaseAutoencoderSegmenter) -> BaseAutoencoderSegmenter:
    """Return a copy that keeps the reconstruction of each patch: the strides share many."""
    segmenter = copy.copy(segmenter)
    reconstruct, known = segmenter.reconstruct_patches, {}

    def recall(patches: Tensor) -> Tensor:
        keys = [patch.numpy().tobytes() for patch in patches]
        missing = [index for index, key in enumerate(keys) if key not in known]
        if missing:
            for index, result in zip(missing, reconstruct(patches[missing]), strict=True):
                known[keys[index]] = result
        return torch.stack([known[key] for key in keys])

    segmenter.reconstruct_patches = recall
    return segmenter


def costs(rows: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Return how far AUC and PRO of each stride are below those of the finest."""
    groups: dict[tuple[str, ...], dict[float, list[float]]] = defaultdict(dict)
    for row in rows:
        group = *(row[name] for name in IDENTITY), row["taper"]
        groups[group][float(row["share"])] = [float(row[name]) for name in SCORES]
    table = []
    for (name, patch_size, *_, taper), by_share in groups.items():
        line = {"set": name, "patch_size": patch_size, "taper": taper}
        for share in SHARES[1:]:
            lost = np.subtract(by_share[SHARES[0]], by_share[share])
            # Adding 0 turns -0 into 0.
            line[f"{share:g}"] = ", ".join(f"{round(loss, 4) + 0:.4f}" for loss in lost)
        table.append(line)
    return table


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = os.environ.get("SK_SSIMAE_DATA")
    parser.add_argument("segmenters", nargs="*", type=set_and_file, metavar="SET=FILE")
    parser.add_argument("--data", type=Path, default=folder)
    parser.add_argument("--every", type=int, default=1, help="take each n-th defective image")
    parser.add_argument("--csv", type=Path, default=TABLE)
    arguments = parser.parse_args()
    if arguments.segmenters and not arguments.data:
        parser.error("the following arguments are required: --data")
    return arguments


def set_and_file(text: str) -> tuple[str, Path]:
    """Read an argument SET=FILE."""
    name, _, file = text.partition("=")
    if name not in SETS or not Path(file).is_file():
        raise argparse.ArgumentTypeError(f"{text!r} is not a data set of {list(SETS)} and a file")
    return name, Path(file)


if __name__ == "__main__":
    main()
