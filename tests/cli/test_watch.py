import csv
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from sk_ssimae._lock import lock_folder
from sk_ssimae.cli import _folder, _predict, _watch, _webhook
from sk_ssimae.cli._arrivals import Arrivals
from sk_ssimae.cli._live_ledger import LiveLedger

PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
import torch
torch.set_num_threads(1)
from sk_ssimae.cli import main
main()
"""
# The process ends as after kill -9, when the second row would be written.
KILLED = """
import os, signal
from sk_ssimae.cli._live_ledger import LiveLedger
append = LiveLedger.append
def die(self, row):
    if self.names:
        os.kill(os.getpid(), signal.SIGKILL)
    append(self, row)
LiveLedger.append = die
"""


@pytest.fixture
def camera(tmp_path) -> Path:
    folder = tmp_path / "camera"
    folder.mkdir()
    return folder


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def watch(run, model, camera, out, monkeypatch):
    """Watch the folder, with a step instead of each pause, and Ctrl-C after the last."""

    def watch(*steps, options=(), folder=camera):
        remaining = iter(steps)

        def pause(seconds):
            step = next(remaining, signal.SIGINT)
            if step is signal.SIGINT:
                raise KeyboardInterrupt
            if step is not None:
                step()

        clock = SimpleNamespace(sleep=pause, perf_counter=time.perf_counter)
        monkeypatch.setattr(_watch, "time", clock)
        result = run("watch", model, folder, "-o", out, *options)
        assert next(remaining, None) is None
        return result

    return watch


@pytest.fixture(scope="module")
def level(segmenter, folders):
    """Between the scores of the images: some are OK, some are NG."""
    scores = segmenter.score_images(sorted(folders.defective.iterdir()))
    return f"--threshold={sorted(scores)[1]}"


@pytest.fixture
def counted(monkeypatch):
    """Record the names of images that are computed."""
    computed = []

    def segment(segmenter, image, inside):
        computed.append(image.name)
        return original(segmenter, image, inside)

    original = _predict.segment
    monkeypatch.setattr(_predict, "segment", segment)
    return computed


def contents(out):
    """Return all outputs, those of each image in any order."""
    files = {
        str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()
    }
    # Rows and regions are in the order of arrival.
    files["coco.json"] = len(json.loads(files["coco.json"])["annotations"])
    return {
        name: sorted(content.splitlines()) if name.endswith(".csv") else content
        for name, content in files.items()
    }


def read_rows(out):
    with (out / "scores.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def arrive(source, camera, name=None):
    shutil.copy(source, camera / (name or source.name))


def test_watch_writes_what_predict_writes(run, watch, model, folders, camera, out, tmp_path, level):
    images = sorted(folders.defective.iterdir())
    arrive(images[0], camera)
    rest = images[1:]
    result = watch(
        None, lambda: [arrive(image, camera) for image in rest], None, None, options=[level]
    )
    assert result.exit_code == 130
    line = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d  (OK|NG)  \d\.png  score [\d.e-]+, "
    line += r"\d+ regions?, \d+ ms\n"
    assert re.fullmatch(f"({line}){{4}}4 images segmented, .*\n", result.stdout)
    assert result.stderr == (f"Watching {str(camera)!r}. Ctrl-C ends it.\nerror: interrupted.\n")
    assert run("predict", model, camera, "-o", tmp_path / "by_predict", level).exit_code == 0
    assert contents(out) == contents(tmp_path / "by_predict")
    # The lines are those of scores.csv.
    verdicts = re.findall(r"  (OK|NG)  (\d\.png)  score ([\d.]+), ", result.stdout)
    rows = {Path(row["file"]).name: row for row in read_rows(out)}
    assert len(verdicts) == len(rows) == 4
    for verdict, name, score in verdicts:
        assert float(rows[name]["score"]) == pytest.approx(float(score), rel=1e-5)
        assert rows[name]["defective"] == {"NG": "yes", "OK": "no"}[verdict]
    assert {verdict for verdict, _, _ in verdicts} == {"OK", "NG"}


def test_predict_and_watch_continue_each_other(run, watch, model, folders, camera, out, counted):
    arrive(folders.defective / "0.png", camera)
    assert run("predict", model, camera, "-o", out).exit_code == 0
    arrive(folders.defective / "1.png", camera)
    watch(None)
    arrive(folders.defective / "2.png", camera)
    result = run("predict", model, camera, "-o", out)
    assert result.exit_code == 0, result.output
    assert counted == ["0.png", "1.png", "2.png"]


def test_regions_can_be_followed(watch, folders, camera, out, level):
    seen = []
    for image in folders.defective.iterdir():
        arrive(image, camera)

    def look():
        seen.append((out / "regions.csv").read_bytes())
        assert not (out / "coco.json").exists()

    watch(look, look, options=[level])
    assert len(seen[0].splitlines()) == 1
    assert len(seen[1].splitlines()) > 2
    assert sorted(seen[1].splitlines()) == sorted((out / "regions.csv").read_bytes().splitlines())


def test_a_file_in_writing_is_not_taken(watch, folders, camera, counted):
    content = (folders.good / "0.png").read_bytes()
    target = camera / "0.png"

    def write(length):
        return lambda: target.write_bytes(content[:length])

    write(50)()
    result = watch(write(100), write(200), write(None), None)
    assert counted == ["0.png"]
    assert "cannot be read" not in result.stderr
    assert "1 image segmented, " in result.stdout


def test_a_preserved_size_is_not_mistaken_for_complete(watch, folders, camera, counted):
    """As of a program that reserves the space first."""
    content = (folders.good / "0.png").read_bytes()
    target = camera / "0.png"
    target.write_bytes(bytes(len(content)))

    def touch(number):
        return lambda: os.utime(target, ns=(number, number))

    watch(touch(1), touch(2), lambda: target.write_bytes(content), None)
    assert counted == ["0.png"]


def test_a_broken_file_is_told_once_and_taken_again(watch, folders, camera, out, counted):
    broken = camera / "<b>.png"
    broken.write_bytes(b"no image")
    rows = []

    def repair():
        rows.extend(read_rows(out))
        arrive(folders.defective / "0.png", camera, broken.name)

    result = watch(None, None, None, repair, None)
    assert result.stderr.count(f"{str(broken)!r} cannot be read as an image: ") == 1
    assert counted == [broken.name, broken.name]
    assert [row["error"] != "" for row in rows] == [True]
    assert [(row["name"], row["error"]) for row in read_rows(out)] == [("<b>", "")]
    assert "1 image segmented, 0 defective, 1 failed." in result.stdout


def test_a_broken_file_is_tried_once_in_each_run(watch, camera, out, counted):
    (camera / "b.png").write_bytes(b"no image")
    for n_runs in (1, 2):
        watch(None, None)
        assert len(counted) == n_runs
        assert len(read_rows(out)) == 1


def test_an_image_out_of_reach_is_tried_when_it_is_back(
    watch, folders, camera, out, monkeypatch, tmp_path
):
    """A network drive is away for a moment, and back with the same file."""
    arrive(folders.good / "0.png", camera)
    away = tmp_path / "away"

    def lose(segmenter, image, inside):
        monkeypatch.setattr(_predict, "segment", segment)
        camera.rename(away)
        return segment(segmenter, image, inside)

    segment = _predict.segment
    monkeypatch.setattr(_predict, "segment", lose)
    rows = []

    def come_back():
        rows.extend(read_rows(out))
        away.rename(camera)

    result = watch(None, None, come_back, None, None)
    assert rows == []
    assert [row["error"] for row in read_rows(out)] == [""]
    assert "1 image segmented, 0 defective, 0 failed." in result.stdout


def test_a_full_disk_ends_watch_and_nothing_is_lost(
    run, watch, model, folders, camera, out, tmp_path, monkeypatch
):
    for image in folders.good.iterdir():
        arrive(image, camera)
    write, n_written = _folder.replace_entry, 0

    def fill(path, content):
        nonlocal n_written
        n_written += 1
        if n_written > 8:  # In the files of an image.
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, content)

    monkeypatch.setattr(_folder, "replace_entry", fill)
    result = watch(None)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert "No space left on device" in result.stderr
    monkeypatch.setattr(_folder, "replace_entry", write)
    watch(None, None)
    run("predict", model, camera, "-o", tmp_path / "by_predict")
    assert contents(out) == contents(tmp_path / "by_predict")


def test_a_changed_image_is_computed_again(
    run, watch, model, folders, camera, out, tmp_path, level
):
    defective, good = folders.defective / "0.png", folders.good / "0.png"
    arrive(defective, camera, "a.png")
    arrive(defective, camera, "b.png")
    watch(None, lambda: arrive(good, camera, "a.png"), None, options=[level])
    assert len(read_rows(out)) == 2
    run("predict", model, camera, "-o", tmp_path / "by_predict", level)
    assert contents(out) == contents(tmp_path / "by_predict")


def test_images_of_one_stem_have_names_of_their_own(watch, folders, camera, out):
    arrive(folders.good / "0.png", camera, "a.png")
    watch(None, lambda: arrive(folders.good / "1.png", camera, "A.PNG"), None)
    assert [row["name"] for row in read_rows(out)] == ["a", "camera_A"]
    assert {path.name for path in (out / "masks").iterdir()} == {"a.png", "camera_A.png"}


def test_moved_images_keep_their_results(watch, folders, camera, out, counted):
    arrive(folders.good / "0.png", camera)
    watch(None)
    (camera / "0.png").unlink()
    arrive(folders.good / "1.png", camera)
    watch(None)
    assert [row["name"] for row in read_rows(out)] == ["0", "1"]
    assert (out / "masks" / "0.png").exists()
    assert counted == ["0.png", "1.png"]


def start(code, *args):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_killed_run_continues(run, watch, model, folders, camera, out, tmp_path, counted):
    for image in folders.defective.iterdir():
        arrive(image, camera)
        os.utime(camera / image.name, (1, int(image.stem)))  # The order in which they are taken.
    args = ["watch", model, camera, "-o", out, "--interval=0.05", "--device=cpu"]
    with start(KILLED + PROGRAM, *args) as process:
        assert process.wait(120) == -signal.SIGKILL
    assert {path.name for path in (out / "masks").iterdir()} == {"0.png", "1.png"}
    assert len(read_rows(out)) == 1
    result = watch(None)
    # The image in hand is computed again; nothing is lost or written twice.
    assert counted == ["1.png", "2.png", "3.png"]
    assert "3 images segmented, " in result.stdout
    run("predict", model, camera, "-o", tmp_path / "by_predict")
    assert contents(out) == contents(tmp_path / "by_predict")


def test_outputs_of_a_killed_run_are_removed(watch, folders, camera, out, monkeypatch):
    def die(self, row):
        raise RuntimeError("killed")

    arrive(folders.good / "0.png", camera)
    append = LiveLedger.append
    monkeypatch.setattr(LiveLedger, "append", die)
    monkeypatch.setattr(LiveLedger, "close", lambda self: None)
    with pytest.raises(RuntimeError, match="killed"):
        watch(None)
    monkeypatch.setattr(LiveLedger, "append", append)
    assert (out / "masks" / "0.png").exists()
    (camera / "0.png").unlink()
    watch()
    assert not (out / "masks" / "0.png").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_watch_after_the_image_in_hand(
    watch, folders, camera, out, monkeypatch, number
):
    def interrupt(segmenter, image, inside):
        signal.raise_signal(number)
        return segment(segmenter, image, inside)

    segment = _predict.segment
    monkeypatch.setattr(_predict, "segment", interrupt)
    for image in folders.good.iterdir():
        arrive(image, camera)
    result = watch(None)
    assert result.exit_code == 130
    assert "1 image segmented, " in result.stdout
    assert len(read_rows(out)) == 1
    assert len(list((out / "masks").iterdir())) == 1


def test_ctrl_c_ends_a_process(model, folders, camera, out):
    arrive(folders.good / "0.png", camera)
    args = ["watch", model, camera, "-o", out, "--interval=0.05", "--device=cpu"]
    with start(PROGRAM, *args) as process:
        # Each line is written at once.
        assert "0.png" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stdout.startswith("1 image segmented, 0 defective, 0 failed.")
    assert stderr.endswith("error: interrupted.\n")


def test_verdicts_are_posted_and_failures_stop_nothing(watch, folders, camera, out, monkeypatch):
    posted = []

    def fail(self, body):
        posted.append(json.loads(body))
        # Nothing is posted whose row is written, so that a killed run posts it again.
        assert posted[-1]["name"] not in {row["name"] for row in read_rows(out)}
        return "it is not there"

    monkeypatch.setattr(_webhook.Webhook, "_try", fail)
    monkeypatch.setattr(_webhook, "_PAUSE", 0)
    arrive(folders.defective / "0.png", camera)
    (camera / "b.png").write_bytes(b"no image")
    os.utime(camera / "b.png", (1, 1))
    result = watch(None, None, options=["--webhook=http://127.0.0.1:1/"])
    assert result.exit_code == 130
    assert [verdict["name"] for verdict in posted] == ["b", "b", "b", "0"]
    assert posted[0]["verdict"] == "failed"
    assert "cannot be read as an image" in posted[0]["error"]
    row = read_rows(out)[1]
    assert posted[3]["file"] == row["file"] == str(camera / "0.png")
    assert f"{posted[3]['score']:.9g}" == row["score"]
    assert posted[3]["verdict"] == {"yes": "NG", "no": "OK"}[row["defective"]]
    assert len(posted[3]["regions"]) == len((out / "regions.csv").read_text().splitlines()) - 1
    assert result.stderr.count("error: --webhook: ") == 2
    refused = watch(options=["--webhook=http://example.com/"])
    assert refused.exit_code == 1
    assert "--webhook must be an address of this machine" in refused.stderr


def test_a_second_watcher_is_refused(watch, out):
    with lock_folder(out):
        result = watch(options=["--quiet"])
    assert result.exit_code == 1
    assert f"another run is writing to {str(out)!r}" in result.stderr


def test_a_lost_folder_is_told_once(watch, folders, camera, tmp_path, counted):
    away = tmp_path / "away"

    def come_back():
        away.rename(camera)
        arrive(folders.good / "0.png", camera)

    result = watch(lambda: camera.rename(away), None, come_back, None, None)
    assert result.exit_code == 130
    assert result.stderr.count("error: FOLDER: ") == 1
    assert "Watching continues.\n" in result.stderr
    assert f"{str(camera)!r} can be listed again." in result.stderr
    assert counted == ["0.png"]


def test_other_files_are_passed_over(watch, folders, camera, counted):
    for name in ("a.webp", "b.WEBP", "notes.txt", ".hidden.png"):
        arrive(folders.good / "0.png", camera, name)
    (camera / "folder.png").mkdir()
    result = watch(None, None)
    assert result.stderr.count(".webp images in") == 1
    assert ".txt" not in result.stderr
    assert counted == []


def test_a_region_of_interest_holds_for_all_images(
    run, watch, model, folders, camera, out, tmp_path
):
    arrive(folders.defective / "0.png", camera)
    options = ["--roi", "0,0,20,30", "--overlays", "--threshold", "0.2"]
    watch(None, options=options)
    run("predict", model, camera, "-o", tmp_path / "by_predict", *options)
    assert contents(out) == contents(tmp_path / "by_predict")
    assert (out / "overlays" / "0.png").exists()
    refused = watch(options=["--roi", camera])
    assert refused.exit_code == 1
    assert "--roi must be a mask image or X,Y,WIDTH,HEIGHT for all images" in refused.stderr


def test_wrong_folders_are_refused(watch, folders, camera, out, tmp_path):
    for folder, reason in [
        (tmp_path / "none", "there is no such folder"),
        (folders.good / "0.png", "got a file"),
    ]:
        result = watch(folder=folder)
        assert result.exit_code == 1
        assert f"and {reason} {str(folder)!r}. Check the path." in result.stderr
    assert not out.exists()
    watch()
    result = watch(folder=out / "masks")
    assert result.exit_code == 1
    assert "contains outputs of predict (--out)" in result.stderr


def test_the_oldest_images_come_first(camera):
    for name, seconds in [("a.png", 3), ("b.png", 1), ("c.png", 2)]:
        (camera / name).touch()
        os.utime(camera / name, (1, seconds))
    arrivals = Arrivals(camera, lambda file, status: Path(file).name == "c.png")
    assert arrivals.poll() == []
    assert arrivals.poll() == [camera / "b.png", camera / "a.png"]
