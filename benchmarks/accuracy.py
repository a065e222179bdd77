"""Train recipes on a data set and compute AUC and PRO of their residual maps.

python benchmarks/accuracy.py --data DIR --out FOLDER --set nanotwice --recipes default l2 \
    --patches 12000 25000 --seeds 0 1 2

DIR contains the folders nanotwice and fabric (default: $SK_SSIMAE_DATA). Recipes are chosen on
NanoTWICE's ITIA1108, 1115, 1127, 1131 and 1135, as in Carrera et al., and on fabric 02_006. Results
are reported on the other images, or on all 40 where they are compared with the paper. The set
nanotwice-choosing contains only the five images and takes less time. Each run is stored as a file
in FOLDER, with its trained segmenter, and is not repeated if the file exists; --table prints the
stored runs.

Each segmenter is scored with the default weights where patches overlap, or with those of --tapers;
the paper's is 0. --beyond adds settings that are not in the paper: a residual that weights
structure more, test-time augmentation, and both. All smoothing widths, as fractions of the image's
shorter side, are scored from one set of residual maps; --opened also scores the opened maps, as
used for thresholds.

Feature matching uses EfficientNet-Lite0 (extra features), not the paper's AlexNet.
"""

import argparse
import copy
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from _common import (
    EFFICIENTNET,
    N_EPOCHS,
    PATCHES_OF_PAPER,
    Trained,
    describe_machine,
    train_once,
    write_whole,
)
from _sets import BOLTS, CHOOSING_IMAGES, SETS, Dataset, load
from scipy.ndimage import gaussian_filter

from sk_ssimae import (
    FeatureMatchingAutoencoderSegmenter,
    L2AutoencoderSegmenter,
    SSIMAutoencoderSegmenter,
    VariationalAutoencoderSegmenter,
    paper_protocol,
)
from sk_ssimae._inference._decision import open_map
from sk_ssimae.estimators import BaseAutoencoderSegmenter
from sk_ssimae.metrics import pixel_roc_auc_score, pro_auc_score

CHOOSING_BOLT = BOLTS[0]
CHOOSING_SET = "nanotwice-choosing"
# Settings of a run other than its recipe.
OPTIONS = ("cutout", "precision", "beyond", "opened", "tapers")
SMOOTHINGS = (0, 0.005, 0.01, 0.015, 0.02, 0.03)
AUGMENTED = "dihedral"
WEIGHTED = {"window_size": 9, "gamma": 3, "c2": 3e-3}

# The paper's settings, except those that a run or a data set determines.
PUBLISHED = {
    name: value
    for name, value in paper_protocol("nanotwice").items()
    if name not in ("latent_dim", "n_patches", "max_epochs")
}

# Classes, and the parameters that differ from their defaults.
RECIPES: dict[str, tuple[Callable[..., BaseAutoencoderSegmenter], dict[str, Any]]] = {
    "default": (SSIMAutoencoderSegmenter, {}),
    "l2": (L2AutoencoderSegmenter, {}),
    "vae": (VariationalAutoencoderSegmenter, {}),
    "vae, weight 0.1": (VariationalAutoencoderSegmenter, {"kl_weight": 0.1}),
    "vae, weight 10": (VariationalAutoencoderSegmenter, {"kl_weight": 10}),
    "fm-efficientnet-lite0": (FeatureMatchingAutoencoderSegmenter, EFFICIENTNET),
    **{
        name: (SSIMAutoencoderSegmenter, params)
        for name, params in {
            "no normalization": {"normalization": None, "lr": 1e-3},
            "dihedral": {"augmentation": "dihedral"},
            "Gaussian window": {"window": "gaussian"},
            "constants as printed": {"c1": 0.01, "c2": 0.03},
            # Almost zero. The printed ones would be smaller still for intensities up to 255.
            "constants 1e-6": {"c1": 1e-6, "c2": 1e-6},
            "batch size 4": {"batch_size": 4},
            "batch size 8": {"batch_size": 8},
            "batch size 8, rate 2e-3": {"batch_size": 8, "lr": 2e-3},
            "batch size 32": {"batch_size": 32},
            "batch size 32, rate 8e-3": {"batch_size": 32, "lr": 8e-3},
            "batch size 128, rate 8e-3": {"batch_size": 128, "lr": 8e-3},
            "rate 1e-3": {"lr": 1e-3},
            "rate 2e-3": {"lr": 2e-3},
            "rate 8e-3": {"lr": 8e-3},
            "constant rate": {"lr_schedule": None, "lr": 5e-4},
            "cutout 0.125": {"cutout": 0.125},
            "cutout 0.25": {"cutout": 0.25},
            "cutout 0.375": {"cutout": 0.375},
            "cutout 0.5": {"cutout": 0.5},
            "no weight decay": {"weight_decay": 0},
            "no luminance": {"alpha": 0},
            "gamma 2 in the loss": {"gamma": 2},
            "weighted in the loss too": {"gamma": 3, "c2": 3e-3},
            "window 7": {"window_size": 7},
            "window 9": {"window_size": 9},
            "window 15": {"window_size": 15},
            "latent 1000": {"latent_dim": 1000},
            "stride 10": {"stride": 10},
            "half size": {"image_size": (350, 512)},  # For NanoTWICE.
            "as published": PUBLISHED,
            "as published, batch size 16": PUBLISHED | {"batch_size": 16},
        }.items()
    },
}


def main() -> None:
    """Run the missing recipes, then print all results."""
    arguments = parse_arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for run in [] if arguments.table else missing_runs(arguments):
        print(f"{run['set']}: {run['recipe']}, {run['patches']:,} patches, seed {run['seed']}")
        dataset = load(run["set"], arguments.data)
        trained = train(dataset, run, arguments.out)
        results = describe_machine() | {"trained_on": trained.machine} | run
        parts = parts_of(run["set"], len(dataset.defective))
        results |= measure(trained.segmenter, dataset, parts, arguments)
        text = json.dumps(results, indent=2)
        write_whole(file_of(run, arguments.out), lambda path, text=text: path.write_text(text))
    print_table(arguments.out)


def missing_runs(arguments: argparse.Namespace) -> Iterator[dict]:
    """Yield the requested runs that have no file."""
    for name in arguments.set:
        for recipe in arguments.recipes:
            for patches in arguments.patches:
                for seed in arguments.seeds:
                    run = {"set": name, "recipe": recipe, "patches": patches, "seed": seed}
                    run |= {option: getattr(arguments, option) for option in OPTIONS}
                    if not file_of(run, arguments.out).exists():
                        yield run


def file_of(run: dict, folder: Path) -> Path:
    """Return the file of a run."""
    name = "-".join(str(run[key]) for key in ("set", "recipe", "patches", "seed"))
    if run["cutout"] is not None:
        name += f"-cutout-{run['cutout']:g}"
    if run["precision"] != "float32":
        name += f"-{run['precision']}"
    for option in ("beyond", "opened"):
        name += f"-{option}" if run[option] else ""
    name += "".join(f"-taper-{taper:g}" for taper in run["tapers"])
    return folder / f"{name.replace(' ', '_')}.json"


def parts_of(name: str, n_defective: int) -> dict[str, list[int]]:
    """Return the indices of the defective images in each part of a data set."""
    everything = list(range(n_defective))
    if name != "nanotwice":
        return {"chosen on" if name in (CHOOSING_BOLT, CHOOSING_SET) else "others": everything}
    others = [i for i in everything if i not in CHOOSING_IMAGES]
    return {"chosen on": list(CHOOSING_IMAGES), "others": others, "all": everything}


def train(dataset: Dataset, run: dict, folder: Path) -> Trained:
    """Train a segmenter, or load the one of an earlier run."""
    segmenter_class, changes = RECIPES[run["recipe"]]
    params = PATCHES_OF_PAPER | {
        "latent_dim": SETS[run["set"]].latent_dim,
        "n_patches": run["patches"] // N_EPOCHS,
        "max_epochs": N_EPOCHS,
        "precision": run["precision"],
        "random_state": run["seed"],
        "verbose": 1,
    }
    if run["cutout"] is not None:
        params["cutout"] = run["cutout"]
    segmenter = segmenter_class(**(params | changes))
    # One model serves all ways of scoring it.
    unscored = {"beyond": False, "opened": False, "tapers": []}
    name = file_of(run | unscored, folder)
    path = name.with_name(f"{name.stem}.joblib")
    return train_once(segmenter, dataset.good, path)


def measure(
    segmenter: BaseAutoencoderSegmenter,
    dataset: Dataset,
    parts: dict[str, list[int]],
    arguments: argparse.Namespace,
) -> dict:
    """Score each part with each kind of residual map and each width of smoothing."""
    results = {}
    seconds = {}
    for name, kind in kinds_of_maps(segmenter, arguments).items():
        start = time.perf_counter()
        residual_maps = list(kind.iter_decision_function(dataset.defective))
        seconds[name] = (time.perf_counter() - start) / len(residual_maps)
        results[name] = scores(residual_maps, dataset, parts, arguments.smoothings)
        if arguments.opened:
            results[f"{name}, opened"] = scores(
                residual_maps,
                dataset,
                parts,
                arguments.smoothings,
                opening_diameter=segmenter.opening_diameter,
            )
    return {
        "scores": results,
        "training_seconds": float(sum(segmenter.history_[:, "dur"])),
        "inference_seconds_per_image": seconds,
        "losses": [float(loss) for loss in segmenter.history_[:, "train_loss"]],
    }


def kinds_of_maps(
    segmenter: BaseAutoencoderSegmenter, arguments: argparse.Namespace
) -> dict[str, BaseAutoencoderSegmenter]:
    """Return a segmenter for each kind of residual map to score, by name."""
    kinds: dict[str, dict] = {f"taper {taper:g}": {"taper": taper} for taper in arguments.tapers}
    if arguments.beyond:
        augmented = {"test_time_augmentation": AUGMENTED}
        kinds |= {f"{name}, {AUGMENTED}": params | augmented for name, params in kinds.items()}
        if isinstance(segmenter, SSIMAutoencoderSegmenter):
            weighted = {"residual_params": WEIGHTED}
            kinds |= {f"{name}, weighted": params | weighted for name, params in kinds.items()}
    return {
        name: copy.copy(segmenter).set_params(**params, smoothing=0)
        for name, params in kinds.items()
    }


def scores(
    residual_maps: list,
    dataset: Dataset,
    parts: dict[str, list[int]],
    smoothings: Sequence[float],
    *,
    opening_diameter: int = 0,
) -> dict:
    """Compute pixel ROC AUC and PRO AUC up to a false positive rate of 0.3."""
    results: dict = {}
    for smoothing in smoothings:
        smoothed = [
            open_map(gaussian_filter(m, smoothing * min(m.shape)), opening_diameter)
            for m in residual_maps
        ]
        for part, indices in parts.items():
            chosen = [dataset.masks[i] for i in indices], [smoothed[i] for i in indices]
            results.setdefault(part, {})[smoothing] = {
                "pixel_roc_auc": pixel_roc_auc_score(*chosen),
                "pro_auc": pro_auc_score(*chosen),
            }
    return results


def print_table(folder: Path) -> None:
    """Print one line for each run, part and kind of residual map."""
    print(f"{'run, part, residual maps':<72}{'seconds':>8}  smoothed: AUC PRO")
    for path in sorted(folder.glob("*.json")):
        run = json.loads(path.read_text())
        name = path.stem.replace("_", " ")
        for maps, by_part in run["scores"].items():
            for part, by_smoothing in by_part.items():
                cells = "".join(
                    f"  {float(smoothing):.1%}: {score['pixel_roc_auc']:.3f} {score['pro_auc']:.3f}"
                    for smoothing, score in by_smoothing.items()
                )
                row = f"{name}, {part}, {maps}"
                print(f"{row:<72}{run['training_seconds']:>8.0f}{cells}")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = os.environ.get("SK_SSIMAE_DATA")
    parser.add_argument("--data", type=Path, default=folder, required=not folder)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--set", nargs="+", choices=list(SETS), default=["nanotwice", *BOLTS])
    parser.add_argument("--recipes", nargs="+", choices=list(RECIPES), default=["default"])
    parser.add_argument("--patches", nargs="+", type=int, default=[12_000])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--smoothings", nargs="+", type=float, default=SMOOTHINGS)
    parser.add_argument("--cutout", type=float, help="for recipes that do not set it")
    parser.add_argument("--precision", choices=["float32", "bf16", "fp16"], default="float32")
    parser.add_argument("--beyond", action="store_true", help="also score unpublished settings")
    by_default = SSIMAutoencoderSegmenter().taper
    parser.add_argument("--tapers", nargs="+", type=float, default=[by_default])
    parser.add_argument("--opened", action="store_true", help="also score opened maps")
    parser.add_argument("--table", action="store_true", help="print stored runs, run nothing")
    arguments = parser.parse_args()
    own = [name for name in arguments.recipes if "cutout" in RECIPES[name][1]]
    if own and arguments.cutout is not None:
        parser.error(f"--cutout has no effect on recipes that set it themselves: {', '.join(own)}.")
    return arguments


if __name__ == "__main__":
    main()
