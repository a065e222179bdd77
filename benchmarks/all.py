"""Run every benchmark in turn and store the results in a folder.

python benchmarks/all.py --out FOLDER [--data DIR] [--peers DIR]

It needs the dependency group benchmarks and the extras distributed and serve. Without --data, the
benchmarks on real images are skipped. ssim_loss.py and metrics.py describe the folder of peers;
without --peers, the rows of these peers are skipped.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import torch

HERE = Path(__file__).parent


def main() -> None:
    """Run the scripts; stop at the first failure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--data", type=Path, default=os.environ.get("SK_SSIMAE_DATA"))
    parser.add_argument("--peers", type=Path, help="folder of peers installed without dependencies")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    peers = ["--peers", str(arguments.peers)] if arguments.peers else []
    for name, options in [
        ("ssim_loss", peers),
        ("training", []),
        ("inference", []),
        ("many", []),
        ("metrics", peers),
    ]:
        run(name, "--out", str(arguments.out / f"{name}.json"), *options)
    parts = ["synthetic", "bands", *(["real"] if arguments.data else [])]
    of_data = ["--data", str(arguments.data)] if arguments.data else []
    run("verdict", "--out", str(arguments.out), "--parts", *parts, *of_data)
    run("metrics_sort", "--csv", str(arguments.out / "metrics_sort.csv"))
    run("serve", "--csv", str(arguments.out / "serve.csv"))
    run("drift", "--out", str(arguments.out))
    if torch.cuda.is_available():
        run("gpu", "--out", str(arguments.out / "gpu.json"))
    if arguments.data:
        data = ["--data", str(arguments.data)]
        out = str(arguments.out / "grid_search.json")
        run("window_edges", *data, "--out", str(arguments.out / "window_edges.json"))
        run("grid_search", "--data", str(Path(arguments.data) / "fabric"), "--out", out)
        run("intensities", *data, "--out", str(arguments.out / "intensities.json"))
        methods = ["--csv", str(arguments.out / "methods.csv")]
        run("methods", *data, "--out", str(arguments.out / "methods"), *methods)
        run(
            "accuracy",
            *data,
            "--out",
            str(arguments.out / "accuracy"),
            "--recipes",
            "default",
            "l2",
            "--tapers",
            "0",
            "0.25",
        )


def run(name: str, *options: str) -> None:
    """Run a script in its own process."""
    command = [sys.executable, str(HERE / f"{name}.py"), *options]
    print(f"\n$ {' '.join(command)}", flush=True)
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
