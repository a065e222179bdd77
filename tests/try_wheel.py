"""Try an installed sk_ssimae, as `nox -s release` does on each Python.

    python -P tests/try_wheel.py without-extras
    python -P tests/try_wheel.py command-line     # needs the extra cli

Exits with an error if it is not the package of this interpreter's environment, or does not work.
"""

import importlib.metadata
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import sk_ssimae
from sk_ssimae import PatchDictionarySegmenter, SSIMAutoencoderSegmenter
from sk_ssimae.datasets import draw_defects, make_woven_fabric
from sk_ssimae.persistence import load, save

GOOD = make_woven_fabric(8, shape=(64, 64), random_state=0)
DEFECTIVE, _ = draw_defects(make_woven_fabric(2, shape=(64, 64), random_state=1), random_state=0)


def run(*arguments):
    command = [sys.executable, "-P", "-m", "sk_ssimae", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def check_environment():
    package = Path(sk_ssimae.__file__).parent
    assert package.is_relative_to(sys.prefix), f"{package} is not in {sys.prefix}"
    assert (package / "py.typed").is_file()
    assert importlib.metadata.version("sk-ssimae") == sk_ssimae.__version__


def try_without_extras(folder):
    for segmenter in (
        PatchDictionarySegmenter(random_state=0),
        SSIMAutoencoderSegmenter(patch_size=32, n_patches=64, max_epochs=1, random_state=0),
    ):
        maps = segmenter.fit(GOOD).decision_function(DEFECTIVE)
        masks = segmenter.predict(DEFECTIVE)
        assert maps.shape == masks.shape == DEFECTIVE.shape
        assert masks.dtype == bool
        assert np.isfinite(maps).all()
        copies = [pickle.loads(pickle.dumps(segmenter))]
        save(segmenter, folder / "model.safetensors")
        copies.append(load(folder / "model.safetensors"))
        for copy in copies:
            np.testing.assert_array_equal(copy.decision_function(DEFECTIVE), maps)
            np.testing.assert_array_equal(copy.predict(DEFECTIVE), masks)
    done = run("--version")
    assert done.returncode == 1, done
    assert '".[cli]"' in done.stderr, done


def try_command_line(folder):
    from PIL import Image

    for name, images in (("good", GOOD), ("today", DEFECTIVE)):
        (folder / name).mkdir()
        for index, image in enumerate(images):
            pixels = np.rint(255 * image).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    model, results = folder / "model.safetensors", folder / "results"
    for arguments in (
        ("--version",),
        ("fit", folder / "good", "-o", model, "--method", "patch-dictionary"),
        ("info", model),
        ("predict", model, folder / "today", "-o", results),
    ):
        done = run(*arguments)
        assert done.returncode == 0, done
    assert len((results / "scores.csv").read_text().splitlines()) == 1 + len(DEFECTIVE)


if __name__ == "__main__":
    parts = {"without-extras": try_without_extras, "command-line": try_command_line}
    if len(sys.argv) != 2 or sys.argv[1] not in parts:
        sys.exit(__doc__)
    check_environment()
    with tempfile.TemporaryDirectory() as temporary:
        parts[sys.argv[1]](Path(temporary))
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"sk_ssimae {sk_ssimae.__version__} works on Python {version} ({sys.argv[1]}).")
