import io
import math
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
import torch

from sk_ssimae import (
    L1AutoencoderSegmenter,
    L2AutoencoderSegmenter,
    MultiScaleSSIMAutoencoderSegmenter,
    SSIMAutoencoderSegmenter,
    VariationalAutoencoderSegmenter,
)
from sk_ssimae._out_of_memory import is_out_of_memory
from sk_ssimae.cli._files import check_output_file, collect_images, identity, name_images
from sk_ssimae.cli._scale import ResidualScale


def names(*paths, named=None):
    return list(name_images([Path(path) for path in paths], named or {}).values())


def test_names_are_unique_and_stable():
    assert names("a/1.png", "b/2.png") == ["1", "2"]
    assert names("a/1.png", "b/1.png") == ["a_1", "b_1"]
    assert names("a/x.png", "b/X.png") == ["a_x", "b_X"]
    # Same stem and same folder name. The order does not matter.
    both = names("c/a/1.png", "d/a/1.png")
    assert both == names("d/a/1.png", "c/a/1.png")[::-1]
    assert len({*both}) == 2
    assert all(name.startswith("a_1_") and len(name) == 12 for name in both)
    named = {identity(Path("a/1.png")): "1"}
    assert names("a/1.png", "b/1.png", named=named) == ["1", "b_1"]
    assert names("b/1.png", named=named) == ["b_1"]
    assert names("b/2.png", named=named) == ["2"]


def test_names_fit_into_a_file_system():
    folder, stem = "ö" * 120, "x" * 200
    (name,) = names(f"{folder}/{stem}.png")
    assert name == stem  # Folder and stem are joined only if necessary.
    both = names(f"a/{folder}/{stem}.png", f"b/{folder}/{stem}.png")
    assert len({*both}) == 2
    for name in both:
        assert len(os.fsencode(f"{name}.png")) == 255
        assert name.startswith(folder)
    # A two-byte letter is not split.
    (name,) = names("d/" + "ö" * 126)
    assert name[:-9] == "d_" + "ö" * 120


def test_folders_that_cannot_be_written_to_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *args: False)
    message = r"-o: the folder '.*' is not writable. Change its permissions, or choose another"
    with pytest.raises(PermissionError, match=message):
        check_output_file(tmp_path / "m", "-o")


def test_invalid_output_files_are_refused(tmp_path):
    given, link, loop, other = (tmp_path / name for name in ("x.png", "link", "loop", "other"))
    given.write_bytes(b"an image")
    link.symlink_to(given)
    loop.symlink_to(loop)
    with pytest.raises(
        FileExistsError, match=r"-o: '.*link' is an input of this command \('.*x.png'\)"
    ):
        check_output_file(link, "-o", [other, given])
    check_output_file(link, "-o", [other])
    with pytest.raises(FileExistsError, match=r"does not begin with '<!D'. Choose another name"):
        check_output_file(given, "-o", begins=b"<!D")
    other.touch()
    check_output_file(other, "-o", begins=b"<!D")  # An empty file may be replaced.
    with pytest.raises(OSError, match=r"symbolic links: '.*loop'"):
        check_output_file(loop, "-o")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileExistsError, match="pipe' is a device, pipe or socket, not a file"):
        check_output_file(tmp_path / "pipe", "-o")
    # The folder of the target counts.
    link.unlink()
    link.symlink_to(tmp_path / "no" / "target")
    with pytest.raises(FileNotFoundError, match=r"the folder '.*no' does not exist"):
        check_output_file(link, "-o")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("DefaultCPUAllocator"), False),
    ],
)
def test_lack_of_memory_is_recognised(error, expected):
    assert is_out_of_memory(error) is expected
    outer = ValueError("cannot be read")
    outer.__cause__ = error
    assert is_out_of_memory(outer) is expected


def test_images_are_listed_once_and_in_order(tmp_path):
    for name in ("b.png", "a.PNG", "notes.txt", ".hidden.png"):
        (tmp_path / name).touch()
    found = collect_images([tmp_path / "notes.txt", tmp_path, tmp_path / "b.png"])
    assert [path.name for path in found] == ["notes.txt", "a.PNG", "b.png"]


def fitted(cls, threshold, variance=None, **parameters):
    segmenter = cls(threshold=threshold, **parameters)
    segmenter.fitted_parameters_ = {}
    segmenter.net_ = SimpleNamespace(criterion_=SimpleNamespace(variance=variance))
    return segmenter


@pytest.mark.parametrize(
    ("segmenter", "low", "high"),
    [
        (fitted(SSIMAutoencoderSegmenter, 0.3), 0, 2),
        (fitted(L2AutoencoderSegmenter, 0.001), 0, 0.064),
        (fitted(L2AutoencoderSegmenter, 0.5), 0, 1),
        (fitted(L2AutoencoderSegmenter, -1.0), 0, 1),
        # The scale starts at the residual of a perfect reconstruction, which is below 0 here.
        (
            fitted(VariationalAutoencoderSegmenter, 0.0, 0.01),
            0.5 * math.log(0.02 * math.pi),
            0.5 * math.log(0.02 * math.pi) + 50,
        ),
        (fitted(VariationalAutoencoderSegmenter, 2.0, residual="kl"), 0, 128),
        (fitted(VariationalAutoencoderSegmenter, 0.0, residual="kl"), 0, 65.535),
        (fitted(VariationalAutoencoderSegmenter, 0.5, residual="reconstruction_error"), 0, 1),
        (fitted(L1AutoencoderSegmenter, 0.5), 0, 1),
        (fitted(MultiScaleSSIMAutoencoderSegmenter, 0.3), 0, 2),
    ],
)
def test_scale_depends_on_the_model_only(segmenter, low, high):
    scale = ResidualScale.of(segmenter)
    assert scale == pytest.approx((low, high))
    assert scale.high > segmenter.threshold_


def test_tiff_stores_residuals_and_clips_beyond_the_scale():
    scale = ResidualScale(-1.0, 3.0)
    residual_map = np.array([[-1, 0, 3], [-1.01, 3.00001, 9]], dtype=np.float32)
    values = tifffile.imread(io.BytesIO(scale.to_tiff(residual_map)))
    assert values.tolist() == [[0, 16384, 65535], [0, 65535, 65535]]
    assert scale.n_clipped(residual_map) == 2  # One exceeds the scale by less than the rounding.
