"""Serve a small model to many clients: no request lost, answers of predict, and the latency.

python benchmarks/serve.py [--requests 500] [--clients 8] [--csv benchmarks/results/serve.csv]

It needs the extra serve. The images are synthetic fabric of 64 × 64 pixels, the model is a patch
dictionary that is fitted first. `sk-ssimae serve` runs as a process of its own, with a queue that
has a place for each client. Several clients send all requests, then one alone sends a tenth.
Latency is from sending the image to having read the answer; the time of the model is that of
segment_images in the server. Their ratio, request by request, depends less on the load of the
machine. The script fails if an answer is lost or differs from the results of `sk-ssimae predict`.
"""

import argparse
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from _common import describe_machine
from _rows import write
from skimage.io import imsave
from skimage.util import img_as_ubyte

from sk_ssimae import PatchDictionarySegmenter
from sk_ssimae.cli._rows import from_csv
from sk_ssimae.datasets import draw_defects, make_woven_fabric
from sk_ssimae.persistence import save

N_IMAGES = 20
SHAPE = (64, 64)
TIMEOUT = 300  # Seconds after which a request counts as lost.
PROGRAM = [sys.executable, "-m", "sk_ssimae"]


def main() -> None:
    """Fit, predict, send all requests and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--csv", type=Path, help="file of the table")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model, images = prepare(Path(folder))
        expected = predict(model, images, Path(folder) / "out")
        rows = []
        with serving(model, arguments.clients) as url:
            for n_clients, n_requests in (
                (arguments.clients, arguments.requests),
                (1, max(1, arguments.requests // 10)),
            ):
                rows.append(measure(url, images, expected, n_requests, n_clients))
                print(rows[-1], flush=True)
    if arguments.csv:
        write(rows, arguments.csv)


def prepare(folder: Path) -> tuple[Path, list[Path]]:
    """Write a model and images, half of them defective."""
    good = make_woven_fabric(16, shape=SHAPE, random_state=0)
    model = folder / "model.safetensors"
    save(PatchDictionarySegmenter(random_state=0).fit(good), model)
    today = make_woven_fabric(N_IMAGES, shape=SHAPE, random_state=1)
    today[::2] = draw_defects(today[::2], random_state=0).images
    images = [folder / f"{number}.png" for number in range(N_IMAGES)]
    for path, image in zip(images, today, strict=True):
        imsave(path, img_as_ubyte(image), check_contrast=False)
    return model, images


def predict(model: Path, images: list[Path], out: Path) -> dict[str, tuple[str, str]]:
    """Return verdict and score of each image, as text."""
    subprocess.run([*PROGRAM, "predict", model, *images, "-o", out, "-q"], check=True)
    columns, *lines = from_csv((out / "scores.csv").read_bytes())
    rows = [dict(zip(columns, line, strict=True)) for line in lines]
    verdicts = {"yes": "NG", "no": "OK"}
    return {row["name"]: (verdicts[row["defective"]], row["score"]) for row in rows}


@contextmanager
def serving(model: Path, n_clients: int) -> Iterator[str]:
    """Serve in a process and yield its address."""
    command = [*PROGRAM, "serve", model, "--port=0", f"--queue={n_clients}"]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        (url,) = re.findall(r"at (http://\S+/) ", process.stderr.readline())
        try:
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            process.stderr.read()
    if process.returncode != 130:
        raise SystemExit(f"The server must end with exit code 130, got {process.returncode}.")


def measure(
    url: str,
    images: list[Path],
    expected: dict[str, tuple[str, str]],
    n_requests: int,
    n_clients: int,
) -> dict:
    """Send all requests and return the latencies in milliseconds."""
    contents = {image.stem: image.read_bytes() for image in images}

    def inspect(number: int) -> tuple[float, float]:
        name = str(number % N_IMAGES)
        start = time.perf_counter()
        with urllib.request.urlopen(f"{url}inspect", contents[name], timeout=TIMEOUT) as answer:
            found = json.loads(answer.read())
        milliseconds = 1000 * (time.perf_counter() - start)
        if (found["verdict"], f"{found['score']:.9g}") != expected[name]:
            raise SystemExit(f"The answer for {name} must be {expected[name]}, got {found}.")
        return milliseconds, found["milliseconds"]

    inspect(0)
    start = time.perf_counter()
    with ThreadPoolExecutor(n_clients) as clients:
        times = np.array(list(clients.map(inspect, range(n_requests))))
    seconds = time.perf_counter() - start
    latency, model = times.T
    return {
        "clients": n_clients,
        "requests": n_requests,
        "answers": len(times),
        "latency, ms": round(float(np.median(latency)), 1),
        "latency 95 %, ms": round(float(np.quantile(latency, 0.95)), 1),
        "model, ms": round(float(np.median(model)), 1),
        "model 95 %, ms": round(float(np.quantile(model, 0.95)), 1),
        "ratio": round(float(np.median(latency / model)), 2),
        "requests per second": round(n_requests / seconds, 1),
        "machine": describe_machine()["machine"],
    }


if __name__ == "__main__":
    main()
