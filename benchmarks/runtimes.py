"""Compare torch and ONNX Runtime on one image: time, and parity with torch in float32.

python benchmarks/runtimes.py --data DIR --segmenter FILE [--set nanotwice] [--turns 8]

FILE is a fitted autoencoder for the data set, as `benchmarks/methods.py` keeps it. It segments the
set's first defective image at a stride of 30, on one thread. All contenders take turns in one
process; each counts by its shortest processor time, which leaves out the time that other processes
take. Parity is the largest difference of the residual map, and the share of the pixels of the mask
that differ.

ONNX Runtime optimises graphs fully by default: the other levels are for comparison. int8 networks
are quantised by onnxruntime.quantization; the ranges of the static one are found on 64 patches of
good images. OpenVINO is an execution provider of the package onnxruntime-openvino, which replaces
onnxruntime: run the script again where it is installed. A contender that cannot run has a row with
the reason. Rows of the same build of ONNX Runtime are replaced.
"""

import argparse
import copy
import functools
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import onnxruntime
import torch
from _common import describe_machine, fastest_in_turns
from _rows import read, write
from _sets import SETS, load
from torch import Tensor

from sk_ssimae._images import Images
from sk_ssimae._pixels import as_unit_float
from sk_ssimae.estimators import BaseAutoencoderSegmenter
from sk_ssimae.persistence import OnnxSegmenter, export_onnx

TABLE = Path(__file__).parent / "results" / "runtimes.csv"
STRIDE = 30
N_GOOD, N_CALIBRATION = 3, 64
REFERENCE = "torch, float32"
LEVELS = {
    "no graph optimisation": "ORT_DISABLE_ALL",
    "basic graph optimisation": "ORT_ENABLE_BASIC",
    "extended graph optimisation": "ORT_ENABLE_EXTENDED",
    "all graph optimisation, the default": "ORT_ENABLE_ALL",
}
OPENVINO, CPU = "OpenVINOExecutionProvider", "CPUExecutionProvider"
PRECISIONS_OF_OPENVINO = ("FP32", "ACCURACY")


def main() -> None:
    """Prepare all contenders, compare them, and replace the rows of this build."""
    arguments = parse_arguments()
    torch.set_num_threads(1)
    dataset = load(arguments.set, arguments.data)
    image = [dataset.defective[0]]
    segmenter = load_segmenter(arguments.segmenter).set_params(stride=STRIDE)
    segmenter.calibrate(dataset.good[:N_GOOD])  # Exports need a threshold; any serves for parity.
    with tempfile.TemporaryDirectory() as folder:
        contenders, failures = prepare(segmenter, dataset.good, image, Path(folder))
        found = compare(contenders, image, arguments.turns)
    machine = describe_machine()
    facts = {
        "set": arguments.set,
        "onnxruntime": f"{onnxruntime.__version__} ({', '.join(builds())})",
        "torch": machine["torch"],
        "processor": machine["machine"],
        "threads": machine["threads"],
        "load": f"{os.getloadavg()[0]:.1f}",
    }
    rows = [{**facts, "contender": name, **row} for name, row in (found | failures).items()]
    others = [row for row in read(arguments.csv) if row["onnxruntime"] != facts["onnxruntime"]]
    write([*others, *rows], arguments.csv)
    write(table(read(arguments.csv)), arguments.csv.with_name(f"{arguments.csv.stem}_table.csv"))
    for row in rows:
        print("  ".join(f"{name} {row[name]}" for name in row if name not in facts))


def table(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return the columns that the documentation shows."""
    return [
        {
            "": row["contender"],
            "ONNX Runtime": row["onnxruntime"].split()[0],
            "relative time": row["relative_time"] or row["failure"],
            "largest difference": row["largest_difference"],
            "mask pixels that differ": row["differing_mask_pixels"],
        }
        for row in rows
    ]


def load_segmenter(path: Path) -> BaseAutoencoderSegmenter:
    """Read a segmenter, or one with the record of its training."""
    kept = joblib.load(path)
    return copy.copy(kept["segmenter"] if isinstance(kept, dict) else kept)


def builds() -> list[str]:
    """Return the execution providers of this build that compute on a CPU here."""
    names = (OPENVINO, CPU)
    return [name for name in names if name in onnxruntime.get_available_providers()]


def prepare(
    segmenter: BaseAutoencoderSegmenter, good: list, image: list, folder: Path
) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """Return the segmenters to compare, and the reason of each that cannot be made."""
    path = folder / "float32.onnx"
    export_onnx(segmenter, path)
    exported = OnnxSegmenter(path, n_threads=1)
    patches = draw_patches(segmenter, good)
    makers: dict[str, Callable[[], Any]] = {
        "torch, bf16": lambda: in_bf16(segmenter),
        **{
            f"ONNX Runtime, {name}": functools.partial(with_session, exported, path, level=level)
            for name, level in LEVELS.items()
        },
        "ONNX Runtime, float16": lambda: with_session(exported, as_float16(path)),
        "ONNX Runtime, int8, dynamic": lambda: with_session(exported, quantize_dynamic(path)),
        "ONNX Runtime, int8, static": lambda: with_session(exported, quantize(path, patches)),
        **{
            f"ONNX Runtime, OpenVINO, {precision}": functools.partial(
                with_session, exported, path, openvino=precision
            )
            for precision in PRECISIONS_OF_OPENVINO
        },
    }
    contenders: dict[str, Any] = {REFERENCE: segmenter}
    failures = {}
    for name, make in makers.items():
        try:
            contenders[name] = make()
            contenders[name].decision_function(image)
        except Exception as error:  # Those of ONNX Runtime and its tools have no common base.
            contenders.pop(name, None)
            reason = (str(error) or type(error).__name__).strip().splitlines()[0]
            failures[name] = {"failure": reason[:200]}
    return contenders, failures


def compare(contenders: dict[str, Any], image: list, n_turns: int) -> dict[str, dict[str, str]]:
    """Time all in turns, and compare maps and masks with the reference."""
    seconds = fastest_in_turns(
        {
            name: functools.partial(contender.decision_function, image)
            for name, contender in contenders.items()
        },
        n_turns=n_turns,
        clock=time.process_time,
    )
    reference = contenders[REFERENCE]
    expected_map, expected_mask = reference.decision_function(image)[0], reference.predict(image)[0]
    found = {}
    for name, contender in contenders.items():
        difference = np.abs(contender.decision_function(image)[0] - expected_map).max()
        differing = np.mean(contender.predict(image)[0] != expected_mask)
        found[name] = {
            "seconds": f"{seconds[name]:.3f}",
            "relative_time": f"{seconds[name] / seconds[REFERENCE]:.3f}",
            "largest_difference": f"{difference:.1e}",
            "differing_mask_pixels": f"{differing:.1e}",
        }
    return found


def in_bf16(segmenter: BaseAutoencoderSegmenter) -> BaseAutoencoderSegmenter:
    """Return a copy whose network computes its products in bf16."""
    segmenter = copy.copy(segmenter)
    reconstruct = segmenter.reconstruct_patches

    def rounded(patches: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return reconstruct(patches).float()

    segmenter.reconstruct_patches = rounded
    return segmenter


def with_session(
    exported: OnnxSegmenter, path: Path, *, level: str = "ORT_ENABLE_ALL", openvino: str = ""
) -> OnnxSegmenter:
    """Return a copy that computes another graph, or the same one in another way, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    provider: Any = CPU
    if openvino:
        if OPENVINO not in onnxruntime.get_available_providers():
            raise ImportError("The package onnxruntime-openvino is not installed.")
        settings = {"device_type": "CPU", "precision": openvino, "num_of_threads": "1"}
        provider = (OPENVINO, settings)
    session = onnxruntime.InferenceSession(path, options, providers=[provider])
    if openvino and OPENVINO not in session.get_providers():
        raise ImportError("onnxruntime-openvino is installed, but cannot load OpenVINO.")
    changed = copy.copy(exported)
    changed._network = exported._network._replace(session=session)
    return changed


def as_float16(path: Path) -> Path:
    """Write a copy of a graph in float16, with inputs and outputs in float32."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    converted = path.with_name("float16.onnx")
    onnx.save(convert_float_to_float16(onnx.load(path), keep_io_types=True), converted)
    return converted


def quantize_dynamic(path: Path) -> Path:
    """Write a copy of a graph with weights in int8; activations are scaled batch by batch."""
    from onnxruntime import quantization

    quantized = path.with_name("dynamic.onnx")
    quantization.quantize_dynamic(path, quantized)
    return quantized


def quantize(path: Path, patches: np.ndarray) -> Path:
    """Write a copy of a graph in int8, with the ranges that activations have on patches."""
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        batches = iter(np.split(patches, len(patches) // 16))

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self.batches, None)
            return None if batch is None else {"patches": batch}

    quantized = path.with_name("static.onnx")
    quantization.quantize_static(path, quantized, Reader(), per_channel=True)
    return quantized


def draw_patches(segmenter: BaseAutoencoderSegmenter, good: list) -> np.ndarray:
    """Draw random patches (N, C, P, P) of good images, in [0, 1]."""
    rng = np.random.default_rng(0)
    images = Images(good, n_channels=segmenter.n_channels_, conversion=segmenter.conversion)
    side = segmenter.min_image_size
    patches = []
    for index in rng.integers(len(good), size=N_CALIBRATION).tolist():
        pixels = as_unit_float(images[index])
        row, column = (int(rng.integers(n - side + 1)) for n in pixels.shape[:2])
        patches.append(pixels[row : row + side, column : column + side])
    return np.ascontiguousarray(np.moveaxis(np.stack(patches), -1, 1))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = os.environ.get("SK_SSIMAE_DATA")
    parser.add_argument("--data", type=Path, default=folder, required=not folder)
    parser.add_argument("--segmenter", type=Path, required=True)
    parser.add_argument("--set", choices=list(SETS), default="nanotwice")
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--csv", type=Path, default=TABLE)
    return parser.parse_args()


if __name__ == "__main__":
    main()
