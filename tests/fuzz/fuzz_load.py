"""Fuzz the loading of saved segmenters, guided by coverage.

    python tests/fuzz/fuzz_load.py [CORPUS] [libFuzzer's options, such as -max_total_time=300]

If its first byte is even, an input is a file. Otherwise it is a header, completed by the right
length and checksum and the tensors of a good file, so that the later checks are reached too. Half
of the mutations of a header replace a value of its JSON.
Errors must name the file; a loaded object must be a segmenter.
"""

import json
import random
import re
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["sk_ssimae", "safetensors"]):
    from sk_ssimae import (
        EnsembleSegmenter,
        L2AutoencoderSegmenter,
        PatchDictionarySegmenter,
        SSIMAutoencoderSegmenter,
        persistence,
    )
    from sk_ssimae.estimators import all_segmenters
    from sk_ssimae.persistence import _container

import torch

from sk_ssimae.datasets import make_woven_fabric

PATH = Path(tempfile.mkdtemp(prefix="sk_ssimae-fuzz-")) / "segmenter.safetensors"


def split(content: bytes) -> tuple[bytes, bytes]:
    """Split a file into header and tensors."""
    start = 8 + int.from_bytes(content[:8], "little")
    return content[8:start], content[start:]


def make_files() -> dict[str, bytes]:
    """Return the content of good files of four families by class."""
    images = make_woven_fabric(2, shape=(48, 48), random_state=0)
    params = {"latent_dim": 8, "patch_size": 16, "n_patches": 64, "max_epochs": 2, "stride": 16}
    members = [("patches", PatchDictionarySegmenter(dictionary_size=9, random_state=0))]
    segmenters = [
        SSIMAutoencoderSegmenter(**params, random_state=0),
        L2AutoencoderSegmenter(**params, random_state=0),
        *(segmenter for _, segmenter in members),
        EnsembleSegmenter(members, random_state=0),
    ]
    found = {}
    for segmenter in segmenters:
        persistence.save(segmenter.fit(images), PATH)
        found[type(segmenter).__name__] = PATH.read_bytes()
    return found


GOOD = make_files()
TENSORS = split(GOOD["SSIMAutoencoderSegmenter"])[1]


def complete(header: bytes) -> bytes:
    """Turn a header into a file, with the right checksum if the header has a place for it."""
    start = len(header).to_bytes(8, "little") + header
    ends = [int(end) for end in re.findall(rb'"data_offsets": ?\[\d{1,9}, ?(\d{1,7})\]', header)]
    tensors = (TENSORS * 4)[: max(ends, default=0)]
    try:
        place = _container._place_of_digest(start)
    except ValueError:
        return start + tensors
    digest = _container._digest(start, [tensors])
    return start[: place.start] + digest + start[place.stop :] + tensors


def load(data: bytes) -> None:
    if not data:
        return
    PATH.write_bytes(complete(data[1:]) if data[0] % 2 else data[1:])
    try:
        segmenter = persistence.load(PATH, device="cpu")
    except ValueError as error:
        if str(PATH) not in str(error):
            raise AssertionError(f"the file is not named: {error}") from error
        if len(str(error)) > 1000:
            raise AssertionError("the error is longer than 1000 characters") from error
        return
    assert type(segmenter) in all_segmenters().values()


VALUES = (
    *(
        None,
        True,
        0,
        -1,
        1,
        2,
        3.5,
        1e300,
        -1e300,
        2**31,
        2**63,
        2**70,
        10**400,
        "",
        "x",
        "F32",
        "cpu",
        "cuda",
    ),
    *([], {}, [0], [[]], {"tuple": []}, {"tuple": [48, 48]}, {"float": "nan"}, {"float": "inf"}),
    *({"dict": {}}, {"numpy": ["float32", 1.0]}, {"numpy": ["int8", 300]}, {"path": "x"}),
    *({"torch.device": "x"}, {"dict": {"gamma": 3}}, {"tuple": [{"tuple": []}]}, "pixel_fpr"),
    *("image_fpr", "L2AutoencoderSegmenter", "VariationalAutoencoderSegmenter", float("nan")),
    *("PatchDictionarySegmenter", "EnsembleSegmenter", {"n_knots": 3, "scale": 1.0}),
)


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Change bytes, or a value of the JSON."""
    rng = random.Random(seed)
    if not data or data[0] % 2 == 0 or rng.random() < 0.5:
        return bytes(atheris.Mutate(data, max_size))
    try:
        header = json.loads(data[1:])
        document = json.loads(header["__metadata__"]["sk_ssimae"])
        exchange(document if rng.random() < 0.8 else header, rng)
        header["__metadata__"]["sk_ssimae"] = json.dumps(document)
    except (ValueError, TypeError, KeyError, RecursionError):
        return bytes(atheris.Mutate(data, max_size))
    return (b"\1" + json.dumps(header).encode())[:max_size]


def exchange(tree: Any, rng: random.Random) -> None:
    """Walk down to a random node and replace, remove or duplicate it."""
    while isinstance(tree, dict | list) and tree:
        key = rng.choice(list(tree) if isinstance(tree, dict) else range(len(tree)))
        if not isinstance(tree[key], dict | list) or not tree[key] or rng.random() < 0.2:
            break
        tree = tree[key]
    else:
        return
    way = rng.randrange(4)
    if way < 2:
        tree[key] = rng.choice(VALUES)
    elif way == 2:
        del tree[key]
    elif isinstance(tree, dict):
        tree[rng.choice(("x", "alpha", "lr", "window_size"))] = tree[key]
    else:
        tree.append(tree[key])


def write_seeds(corpus: Path) -> None:
    for name, content in GOOD.items():
        (corpus / name).write_bytes(b"\1" + split(content)[0])
    (corpus / "pickle").write_bytes(b"\0\x80\4K\1.")
    (corpus / "empty").write_bytes(b"\0" + (2).to_bytes(8, "little") + b"{}")


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
        write_seeds(Path(sys.argv[1]))
    atheris.Setup(sys.argv, load, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
