import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from skimage.io import imsave

from sk_ssimae.datasets import draw_defects, make_woven_fabric

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    """Import a benchmark by its name; all are unloaded afterwards."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(BENCHMARKS):
            del sys.modules[name]


@pytest.fixture
def data(tmp_path):
    """Leather of four objects, two images each, and two defective images."""
    good = make_woven_fabric(8, shape=(64, 64), random_state=0)
    defective, masks = draw_defects(
        make_woven_fabric(2, shape=(64, 64), random_state=1), random_state=0
    )
    for folder, images in {"good": good, "defective": defective, "mask": masks}.items():
        (tmp_path / "leather" / folder).mkdir(parents=True)
        for index, image in enumerate(images):
            name = f"object{index // 2}_{index}.png"
            path = tmp_path / "leather" / folder / name
            imsave(path, (255 * image).astype(np.uint8), check_contrast=False)
    return tmp_path
