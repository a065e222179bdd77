"""Run the paper's experiments: its figures and tables, each by its name.

python benchmarks/paper --out FOLDER [--data DIR] [--budget quick|standard|paper] [EXPERIMENT ...]

DIR contains the available data sets in their public layouts: nanotwice, textures, mvtec, fabric. A
missing data set is skipped with a message that names the download. Results go to FOLDER/BUDGET:
tables (CSV), figures (PNG), and for each experiment its settings, versions, seed and machine
(JSON). Trained models and scores are stored there too, each completely or not at all: after an
interruption, the same command resumes with the first missing one.

quick trains each model on 5,000 patches, standard on 60,000 (Table 2: 20,000), both with the
defaults of the package; paper is the protocol of the paper: 200 epochs of 10,000 patches.

With --field, figures 6 and 7 include systems that the paper compares with, or newer ones, by their
names in `python benchmarks/field.py --list`. Networks among them train on the same budget.
"""

import argparse
import os
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

import evaluations
import figure_1
import figure_2
import figure_3
import figures_4_5_8
import figures_6_7
import table_1
import table_2
import timing
from _field import METHODS, OF_PAPER
from _settings import BUDGETS
from _studio import Studio

EXPERIMENTS = {
    "table-1": table_1.run,
    "figure-2": figure_2.run,
    "figure-3": figure_3.run,
    "figure-1": figure_1.run,
    "figures-4-5-8": figures_4_5_8.run,
    "figures-6-7": figures_6_7.run,
    "table-2": table_2.run,
    "evaluations": evaluations.run,
    "timing": timing.run,
}


def main() -> None:
    """Run the requested experiments in turn."""
    arguments = parse_arguments()
    studio = Studio(
        arguments.out,
        arguments.budget,
        data=arguments.data,
        seed=arguments.seed,
        device=arguments.device,
        precision=arguments.precision,
        alexnet=arguments.alexnet,
        field=arguments.field,
    )
    for name in arguments.experiments or EXPERIMENTS:
        print(f"{name} ({arguments.budget})", flush=True)
        start = time.perf_counter()
        EXPERIMENTS[name](studio)
        studio.save_settings(name, time.perf_counter() - start)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks/paper", description=__doc__.splitlines()[0])
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help=", ".join(EXPERIMENTS))
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    folder = os.environ.get("SK_SSIMAE_DATA")
    parser.add_argument("--data", type=Path, default=Path(folder) if folder else None)
    parser.add_argument("--budget", choices=list(BUDGETS), default="quick")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", choices=["float32", "bf16", "fp16"], default="float32")
    parser.add_argument("--alexnet", help="file of AlexNet's weights, for the paper's features")
    further = [name for name in METHODS if name not in OF_PAPER]
    parser.add_argument(
        "--field", nargs="+", choices=further, default=[], help="more methods for figures-6-7"
    )
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.experiments) - set(EXPERIMENTS))
    if unknown:
        parser.error(f"EXPERIMENT must be one of {', '.join(EXPERIMENTS)}, got {unknown}.")
    return arguments


if __name__ == "__main__":
    main()
