import csv
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from scipy import ndimage
from skimage.io import imread

from sk_ssimae import SSIMAutoencoderSegmenter
from sk_ssimae._lock import lock_folder
from sk_ssimae.cli import _predict
from sk_ssimae.cli._ledger import Ledger
from sk_ssimae.cli._rows import Row, from_csv, to_csv


def read_rows(out):
    with (out / "scores.csv").open(newline="", encoding="utf-8") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def out(run, model, folders, tmp_path_factory):
    out = tmp_path_factory.mktemp("predictions") / "new" / "out"
    result = run("predict", model, folders.defective, folders.good / "1.png", "-o", out)
    assert result.exit_code == 0, result.output
    assert "5 images, " in result.stdout
    assert "\x1b" not in result.output
    return out


@pytest.fixture
def counted(monkeypatch):
    """Record the images that are computed."""
    computed = []

    def segment(segmenter, image, inside):
        computed.append(image)
        return original(segmenter, image, inside)

    original = _predict.segment
    monkeypatch.setattr(_predict, "segment", segment)
    return computed


def test_outputs_match_the_estimator(out, folders, segmenter):
    images = [*sorted(folders.defective.iterdir()), folders.good / "1.png"]
    # Two images are named 1, so all names begin with the folder.
    names = ["defective_0", "defective_1", "defective_2", "defective_3", "good_1"]
    rows = read_rows(out)
    assert list(rows) == names
    masks, scores = segmenter.predict(images), segmenter.score_images(images)
    scale = json.loads((out / "residual_maps" / "scale.json").read_text())
    for image, name, mask, score, residual_map in zip(
        images, names, masks, scores, segmenter.iter_decision_function(images), strict=True
    ):
        written = imread(out / "masks" / f"{name}.png")
        assert written.dtype == np.uint8
        np.testing.assert_array_equal(written, 255 * mask)
        with tifffile.TiffFile(out / "residual_maps" / f"{name}.tif") as tiff:
            values = tiff.asarray()
            assert json.loads(tiff.pages[0].description) == scale
        assert values.dtype == np.uint16
        np.testing.assert_allclose(
            values / scale["scale"] + scale["offset"], residual_map, atol=0.51 / scale["scale"]
        )
        row = rows[name]
        assert row["file"] == str(image)
        assert np.float32(row["score"]) == np.float32(score)
        assert row["defective"] == ("yes" if mask.any() else "no")
        assert float(row["marked_share"]) == pytest.approx(mask.mean(), rel=1e-5)
        regions = np.bincount(ndimage.label(mask)[0].ravel())[1:]
        assert int(row["largest_region"]) == regions.max(initial=0)
        assert (row["clipped"], row["error"]) == ("0", "")


def test_run_json_describes_the_model(out, model, segmenter):
    run = json.loads((out / "run.json").read_text())
    assert run["model"] == str(model)
    assert run["threshold"] == segmenter.threshold_
    assert run["promise"] == segmenter.calibration_.promise()


@pytest.fixture
def images(folders, tmp_path):
    """Copies of images, for tests that change them."""
    return Path(shutil.copytree(folders.defective, tmp_path / "defective"))


def test_rerun_computes_incomplete_images_only(run, model, folders, images, tmp_path, counted):
    out = tmp_path / "out"
    given = ["predict", model, images, folders.good / "1.png", "-o", out]
    assert run(*given).exit_code == 0
    counted.clear()
    before = (out / "scores.csv").read_bytes()
    result = run(*given)
    assert result.exit_code == 0
    assert "5 images already complete, not computed again." in result.stdout
    assert counted == []
    assert (out / "scores.csv").read_bytes() == before

    # One mask is missing, and the last row is incomplete.
    (out / "masks" / "defective_0.png").unlink()
    (out / "scores.csv").write_bytes(before[:-10])
    assert run(*given, "--quiet").output == ""
    assert [path.name for path in counted] == ["0.png", "1.png"]
    after = (out / "scores.csv").read_bytes()
    assert sorted(after.splitlines()) == sorted(before.splitlines())

    # Names do not change, although the images of this run do not need the folder in them.
    counted.clear()
    assert run("predict", model, folders.good, "-o", out).exit_code == 0
    assert [path.name for path in counted] == ["0.png", "2.png"]
    assert {*read_rows(out)} == {*(f"defective_{i}" for i in range(4)), "good_1", "0", "2"}


def test_changed_images_are_computed_again(run, model, images, tmp_path, counted):
    (images / "link.png").symlink_to(images / "0.png")
    given = ["predict", model, images, "-o", tmp_path / "out"]
    assert run(*given).exit_code == 0
    counted.clear()
    # Older than its outputs, as after cp -p or from an archive; and a link to another image.
    os.utime(images / "1.png", ns=(0, 10**18))
    status = (images / "2.png").stat()
    with (images / "2.png").open("ab") as file:
        file.write(b"\0")
    os.utime(images / "2.png", ns=(status.st_atime_ns, status.st_mtime_ns))
    (images / "link.png").unlink()
    (images / "link.png").symlink_to(images / "3.png")
    assert run(*given).exit_code == 0
    assert [path.name for path in counted] == ["1.png", "2.png", "link.png"]
    rows = read_rows(tmp_path / "out")
    assert rows["link"]["score"] == rows["3"]["score"]
    assert rows["link"]["target"] == str(images / "3.png")


def test_an_image_that_changes_during_the_run_is_not_complete(
    run, model, images, tmp_path, monkeypatch, counted
):
    def change(segmenter, image, inside):
        found = segment(segmenter, image, inside)
        os.utime(image, ns=(0, 10**18))
        return found

    segment = _predict.segment
    monkeypatch.setattr(_predict, "segment", change)
    given = ["predict", model, images / "0.png", "-o", tmp_path / "out"]
    run(*given)
    run(*given)
    run(*given)
    assert len(counted) == 2


def test_an_interrupted_run_resumes(run, model, folders, tmp_path, monkeypatch, counted):
    segment = _predict.segment

    def interrupt(segmenter, image, inside):
        if image.name == "2.png":
            raise KeyboardInterrupt
        return segment(segmenter, image, inside)

    monkeypatch.setattr(_predict, "segment", interrupt)
    given = ["predict", model, folders.defective, "-o", tmp_path / "out"]
    result = run(*given)
    assert result.exit_code == 130
    assert result.stderr == (
        "2 of 4 images complete. Run the same command again to resume.\nerror: interrupted.\n"
    )
    monkeypatch.setattr(_predict, "segment", segment)
    assert run(*given).exit_code == 0
    assert [path.name for path in counted] == ["0.png", "1.png", "2.png", "3.png"]
    # No temporary file is left.
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("masks", "regions", "residual_maps"),
        *("coco.json", "regions.csv", "run.json", "scores.csv"),
    }
    assert len(list((tmp_path / "out" / "masks").iterdir())) == 4


def test_another_model_is_refused(run, model, folders, tmp_path, tiny_options, counted):
    out = tmp_path / "out"
    assert run("predict", model, folders.defective, "-o", out).exit_code == 0
    renamed = tmp_path / "renamed"
    renamed.write_bytes(model.read_bytes())
    counted.clear()
    assert run("predict", renamed, folders.defective, "-o", out).exit_code == 0
    assert counted == []

    other = tmp_path / "other"
    run("fit", folders.good, "-o", other, *tiny_options, "--method=vae")
    result = run("predict", other, folders.good, "-o", out)
    assert result.exit_code == 1
    assert (
        f"contains outputs of another model, threshold or version ({str(renamed)!r})."
        in result.stderr
    )
    assert "use --overwrite to start again." in result.stderr
    assert run("predict", other, folders.good, "-o", out, "--overwrite").exit_code == 0
    # No output of the first model is left to be mistaken for one of the second.
    assert {path.name for path in (out / "masks").iterdir()} == {"0.png", "1.png", "2.png"}
    assert {*read_rows(out)} == {"0", "1", "2"}


def test_a_failed_image_stops_the_run_or_is_skipped(
    run, model, folders, tmp_path, bad, write, counted
):
    write(bad.parent / "colour.png", np.zeros((20, 80, 3)))
    out = tmp_path / "out"
    given = ["predict", model, bad.parent, folders.defective, "-o", out]
    result = run(*given)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {str(bad)!r} cannot be read as an image: ")
    assert result.stderr.count("\n") == 1
    assert len(counted) == 1

    result = run(*given, "--on-error=skip", "--quiet")
    assert result.exit_code == 3
    assert result.stdout == ""
    assert [line[:6] for line in result.stderr.splitlines()] == ["error:", "error:"]
    rows = read_rows(out)
    assert len(rows) == 6
    assert f"{str(bad)!r} cannot be read as an image" in rows["<b>"]["error"]
    assert "must have 1 channel like the training images" in rows["colour"]["error"]
    assert rows["<b>"]["score"] == rows["<b>"]["defective"] == ""
    assert rows["3"]["error"] == ""

    # After it is repaired, it is computed and its row replaced.
    bad.write_bytes((folders.good / "0.png").read_bytes())
    (bad.parent / "colour.png").unlink()
    result = run(*given, "--on-error=skip")
    assert result.exit_code == 0
    assert read_rows(out)["<b>"]["error"] == ""


def test_a_folder_in_place_of_a_model(run, folders, tmp_path):
    result = run("predict", folders.good, folders.defective, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert f"MODEL must be a file, got the folder {str(folders.good)!r}" in result.stderr


def test_wrong_folders_are_refused(run, model, folders, tmp_path):
    out = tmp_path / "out"

    def refused(*images):
        result = run("predict", model, *images, "-o", out)
        assert result.exit_code == 1
        return result.stderr

    assert f"IMAGES: there is no file or folder {str(out / 'x')!r}." in refused(out / "x")
    assert not out.exists()
    out = folders.good
    assert "--out must be another folder than that of the images" in refused(folders.good)
    out = tmp_path / "file"
    out.touch()
    assert "--out must name a folder, got the file" in refused(folders.good)


@pytest.mark.parametrize("options", [[], ["--overwrite"]])
def test_foreign_files_are_kept(run, model, folders, tmp_path, options):
    """They are not mistaken for outputs, and no message offers to overwrite them."""
    out = tmp_path / "out"
    mask, scores, run_file = out / "masks" / "0.png", out / "scores.csv", out / "run.json"
    mask.parent.mkdir(parents=True)
    mask.write_bytes(b"truth")
    scores.write_text("a,b\n1,2\n")

    def refused():
        before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
        result = run("predict", model, folders.good, "-o", out, *options)
        assert result.exit_code == 1
        assert "overwrite" not in result.stderr
        assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
        return result.stderr

    assert "but no run.json: sk-ssimae predict did not write them." in refused()
    for content, message in [
        ("{", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ("[]", "was not written by sk-ssimae predict: it is not a JSON object with"),
        ('{"model": "m"}', "it is not a JSON object with sha256, sk_ssimae, threshold."),
    ]:
        run_file.write_text(content)
        assert message in refused()
    # Even next to a run.json of ours.
    mask.unlink()
    scores.unlink()
    run_file.unlink()
    mask.parent.rmdir()
    assert run("predict", model, folders.good, "-o", out).exit_code == 0
    earlier = scores.read_bytes()
    for content, message in [
        ("a,b\n1,2\n", "must begin with the columns file, name, score,"),
        ("a", "must begin with the columns file, name, score,"),
        (earlier.decode() + '"' + "x" * 200_000 + "\n", "is not valid CSV"),
    ]:
        scores.write_text(content)
        assert message in refused()
    # A name that leads out of the folder is ignored.
    mine = tmp_path / "mine.png"
    mine.touch()
    rows = [Row._fields, Row("x", "../../mine")]
    scores.write_text("".join(",".join(row) + "\n" for row in rows))
    content = json.loads(run_file.read_text())
    run_file.write_text(json.dumps({**content, "names": ["../../mine", 3, *content["names"]]}))
    assert run("predict", model, folders.good, "-o", out, *options).exit_code == 0
    assert mine.exists()


@pytest.mark.parametrize("options", [[], ["--overwrite"]])
@pytest.mark.parametrize("place", ["masks/0.png", "residual_maps/0.tif"])
def test_foreign_files_are_not_replaced(run, model, folders, tmp_path, options, place):
    out = tmp_path / "out"
    assert run("predict", model, folders.good / "1.png", "-o", out).exit_code == 0
    mine = out / place
    mine.write_bytes(b"truth")
    for _ in range(2):  # The second run does not mistake it for an output either.
        result = run("predict", model, folders.good, "-o", out, *options)
        assert result.exit_code == 1
        assert (
            f"{str(mine)!r} has the name of an output, but sk-ssimae predict did not"
            in result.stderr
        )
        assert mine.read_bytes() == b"truth"
    mine.unlink()
    assert run("predict", model, folders.good, "-o", out).exit_code == 0


def outputs(out):
    return {path.name for part in ("masks", "residual_maps") for path in (out / part).iterdir()}


@pytest.mark.parametrize("options", [[], ["--overwrite"]])
def test_outputs_without_a_row_are_removed(run, model, folders, tmp_path, monkeypatch, options):
    def die(self, row):
        raise RuntimeError("killed")

    out = tmp_path / "out"
    append = Ledger.append
    monkeypatch.setattr(Ledger, "append", die)
    with pytest.raises(RuntimeError, match="killed"):
        run("predict", model, folders.good, "-o", out)
    monkeypatch.setattr(Ledger, "append", append)
    assert outputs(out) == {"0.png", "0.tif", "scale.json"}
    (out / "masks" / "mine.png").touch()  # A foreign file is kept.
    assert run("predict", model, folders.good / "1.png", "-o", out, *options).exit_code == 0
    assert outputs(out) == {"mine.png", "1.png", "1.tif", "scale.json"}


def test_a_failed_image_keeps_no_earlier_outputs(run, model, images, tmp_path):
    out = tmp_path / "out"
    given = ["predict", model, images, "-o", out]
    assert run(*given).exit_code == 0
    (images / "1.png").write_bytes(b"no image")
    # If the run stops, the images after the failed one have no outputs either.
    os.utime(images / "2.png", ns=(0, 0))
    assert run(*given).exit_code == 1
    assert outputs(out) == {"0.png", "0.tif", "3.png", "3.tif", "scale.json"}
    assert run(*given, "--on-error=skip").exit_code == 3
    assert "1.png" not in outputs(out)
    assert "2.png" in outputs(out)
    assert read_rows(out)["1"]["error"] != ""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_too_large_images_are_named(run, model, images, tmp_path, monkeypatch, error):
    def segment_images(self, X, *, roi):
        if X[0].name == "1.png":
            raise error
        return original(self, X, roi=roi)

    original = SSIMAutoencoderSegmenter.segment_images
    monkeypatch.setattr(SSIMAutoencoderSegmenter, "segment_images", segment_images)
    result = run("predict", model, images, "-o", tmp_path / "out", "--on-error=skip")
    assert result.exit_code == 3
    assert "1 of 4 images failed" in result.stderr
    text = read_rows(tmp_path / "out")["1"]["error"]
    assert text.startswith(f"{str(images / '1.png')!r} is too large for the memory here (")
    assert "--image-size, or use segment_blocks in Python." in text


def test_failed_images_are_not_complete(run, model, images, tmp_path, monkeypatch):
    def interrupt(segmenter, image, inside):
        if image.name == "2.png":
            raise KeyboardInterrupt
        return segment(segmenter, image, inside)

    segment = _predict.segment
    monkeypatch.setattr(_predict, "segment", interrupt)
    (images / "0.png").write_bytes(b"no image")
    result = run("predict", model, images, "-o", tmp_path / "out", "--on-error=skip")
    assert result.exit_code == 130
    assert "\n1 of 4 images complete." in result.stderr


def test_only_one_run_at_a_time_writes_to_a_folder(run, model, folders, tmp_path):
    out = tmp_path / "out"
    with lock_folder(out):
        result = run("predict", model, folders.good, "-o", out)
        assert result.exit_code == 1
        assert result.stderr == (
            f"error: --out: another run is writing to {str(out)!r}. Wait until it ends, or choose "
            "another folder.\n"
        )
    assert list(out.iterdir()) == []
    (out / ".sk_ssimae.lock").write_text("1")  # Left by a run that was killed.
    assert run("predict", model, folders.good, "-o", out).exit_code == 0
    assert not (out / ".sk_ssimae.lock").exists()


def test_names_with_line_breaks_are_read_back(run, model, folders, tmp_path, counted):
    for name in ("a\rb.png", "c\nd.png", 'e",\r\n.png'):
        (tmp_path / name).write_bytes((folders.good / "0.png").read_bytes())
    given = ["predict", model, tmp_path, "-o", tmp_path / "out"]
    assert run(*given).exit_code == 0
    assert run(*given).exit_code == 0
    assert len(counted) == 3


def test_names_that_spreadsheets_would_run_are_neutralized(run, model, folders, tmp_path, counted):
    names = ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "'=1", "''+1", "'quoted", "＝1", "a=1"]
    images = tmp_path / "images"
    images.mkdir()
    for name in names:
        (images / f"{name}.png").write_bytes((folders.good / "0.png").read_bytes())
    (images / "=bad.png").write_bytes(b"no image")
    out = tmp_path / "out"
    given = ["predict", model, images, "-o", out, "--on-error=skip"]
    assert run(*given).exit_code == 3
    before = (out / "scores.csv").read_bytes()
    with (out / "scores.csv").open(newline="", encoding="utf-8") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.startswith(tuple("=+-@\t\r＝"))]
    assert {"'=1+1", "'+1", "'-1", "''=1", "'''+1", "'quoted", "a=1"} <= {*cells}
    counted.clear()
    # All names are read back, also when the file is written again.
    for _ in range(2):
        assert run(*given).exit_code == 3
    assert [path.name for path in counted] == ["=bad.png"] * 2
    after = (out / "scores.csv").read_bytes()
    assert sorted(after.split(b"\n")) == sorted(before.split(b"\n"))
    assert {path.stem for path in (out / "masks").iterdir()} == {*names}
    # Also by --overwrite, if run.json does not list them.
    run_file = out / "run.json"
    run_file.write_text(json.dumps({**json.loads(run_file.read_text()), "names": []}))
    assert run("predict", model, folders.good, "-o", out, "--overwrite").exit_code == 0
    assert {path.stem for path in (out / "masks").iterdir()} == {"0", "1", "2"}


def test_numbers_are_not_neutralized():
    row = Row("=a", "-b", score="-0.5", error="@c")
    assert to_csv([row]).decode().split(",")[:3] == ['"\'=a"', '"\'-b"', '"-0.5"']
    assert Row(*from_csv(to_csv([row], header=True))[1]) == row


def test_outputs_are_refused_as_images(run, model, folders, tmp_path):
    out = tmp_path / "out"
    assert run("predict", model, folders.good, "-o", out).exit_code == 0
    before = {path: path.read_bytes() for path in out.rglob("*.*")}
    (tmp_path / "link").symlink_to(out / "masks")
    for source in (out / "masks", out / "masks" / "0.png", tmp_path / "link"):
        result = run("predict", model, source, "-o", out, "--overwrite")
        assert result.exit_code == 1
        assert "contains outputs of predict (--out), not images" in result.stderr
    assert {path: path.read_bytes() for path in out.rglob("*.*")} == before


@pytest.mark.parametrize("command", ["predict", "fit", "evaluate", "report", "--good"])
def test_outputs_among_images_are_refused(run, model, folders, tmp_path, command):
    images = tmp_path / "images"
    shutil.copytree(folders.good, images)
    assert run("predict", model, images, "-o", images / "results").exit_code == 0
    output = tmp_path / "new"
    result = {
        "predict": lambda: run("predict", model, images, "-r", "-o", output),
        "fit": lambda: run("fit", images, "-r", "-o", output),
        "evaluate": lambda: run("evaluate", model, images, folders.masks, "-r"),
        "report": lambda: run("report", model, images, "-r", "-o", output),
        "--good": lambda: run(
            "report", model, folders.defective, "--good", images, "-r", "-o", output
        ),
    }[command]()
    assert result.exit_code == 1
    assert f"{str(images / 'results' / 'masks')!r} contains outputs of predict" in result.stderr
    assert not output.exists()


def test_errors_do_not_overlap_the_progress_bar(run, model, tmp_path, bad, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # As in a terminal.
    result = run("predict", model, bad, "-o", tmp_path / "out", "--on-error=skip")
    text = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", result.stderr).replace("\r", "\n")
    assert "Images ━" in text
    assert any(line.startswith("error: ") for line in text.splitlines())
