import builtins
import csv

import numpy as np
import pytest

from sk_ssimae import L2AutoencoderSegmenter, PatchDictionarySegmenter
from sk_ssimae._lock import lock_folder
from sk_ssimae.cli import _tune
from sk_ssimae.datasets import make_woven_fabric
from sk_ssimae.model_selection import Candidate, tune
from sk_ssimae.persistence import load

pytestmark = pytest.mark.filterwarnings("ignore::sk_ssimae.exceptions.SelectionWarning")

SMALL = {"dictionary_size": 100, "n_components": 8}


def candidates(images, *, device):
    assert device == "cpu"
    return [
        Candidate("filters", PatchDictionarySegmenter(**SMALL), {"smoothing": [0.5, 4]}),
        Candidate("large", L2AutoencoderSegmenter(patch_size=64, device=device)),
    ]


@pytest.fixture
def good_dir(tmp_path, write, monkeypatch):
    monkeypatch.setattr(_tune, "default_candidates", candidates)
    folder = tmp_path / "good"
    for index, image in enumerate(make_woven_fabric(3, shape=(40, 56), random_state=0)):
        write(folder / f"{index}.png", image)
    return folder


def command(good_dir, *options):
    model = good_dir.parent / "model.safetensors"
    return ["tune", good_dir, "-o", model, "--seed", 0, "--device", "cpu", *options]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_it_equals_tune_and_writes_what_was_tried(run, good_dir, tmp_path):
    result = run(*command(good_dir, "--minutes", 20))
    assert result.exit_code == 0, result.output
    images = sorted(good_dir.iterdir())
    expected = tune(
        images, budget_minutes=20, candidates=candidates(images, device="cpu"), random_state=0
    )
    model = load(tmp_path / "model.safetensors")
    assert model.threshold_ == expected.segmenter.threshold_
    assert model.smoothing == expected.segmenter.smoothing
    rows = list(csv.DictReader((tmp_path / "model.tuning.csv").read_text().splitlines()))
    assert [float(row["scar"]) for row in rows[:2]] == pytest.approx(
        [trial.scores["scar"] for trial in expected.trials[:2]], rel=1e-5
    )
    assert rows[2]["status"].startswith("failed: X[0]")
    assert (tmp_path / "model.tuning.png").read_bytes().startswith(b"\x89PNG")
    assert names(tmp_path) == ["good", "model.safetensors", "model.tuning.csv", "model.tuning.png"]
    lines = result.stdout.splitlines()
    assert lines[:-4] == str(expected.report).splitlines()
    assert lines[-4].startswith("Chosen: filters, of 1 candidate, in 0.")
    assert lines[-3].startswith("PatchDictionarySegmenter trained on 3 images and saved to")
    assert lines[-1].startswith("All that was tried: '")
    assert "step 2 of 5, at most 20 min left: filters: training, then large" in result.stderr


def test_files_of_one_name_are_refused(run, good_dir, tmp_path):
    model = tmp_path / "model.safetensors"
    for option, first in (("--table", "--output"), ("--picture", "--output")):
        result = run(*command(good_dir, option, model))
        assert result.exit_code != 0
        assert f"{option} must be another file than {first}" in result.stderr
    assert names(tmp_path) == ["good"]


def test_an_interrupted_run_goes_on(run, good_dir, tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(_tune, "tune_segmenter", lambda *a, **o: _stopped(interrupt, *a, **o))
        result = run(*command(good_dir))
    assert result.exit_code == 130
    assert f"Results so far are in {str(tmp_path / 'model.tuning')!r}" in result.stderr
    assert names(tmp_path) == ["good", "model.tuning"]
    assert names(tmp_path / "model.tuning") == ["00.json", "00.npz", "tuning.json"]
    result = run(*command(good_dir, "--seed", 1))
    assert result.exit_code == 1
    assert "was begun with random_state=0, not 1" in result.stderr
    result = run(
        *command(good_dir, "--table", tmp_path / "all.csv", "--picture", tmp_path / "a.png")
    )
    assert result.exit_code == 0, result.output
    assert "filters: training, then" not in result.stderr
    assert names(tmp_path) == ["a.png", "all.csv", "good", "model.safetensors"]


def _stopped(interrupt, *args, progress, **options):
    def stop(step):
        if step.doing.startswith("large"):
            interrupt()

    return tune(*args, progress=stop, **options)


def test_it_takes_a_region_of_interest_and_parameters(run, good_dir, tmp_path, write):
    inside = np.zeros((40, 56), dtype=bool)
    inside[4:36, 6:50] = True
    write(tmp_path / "roi.png", inside)
    options = ("--roi", tmp_path / "roi.png", "--target-fpr", 0.2, "--intensity-range", "dtype")
    result = run(*command(good_dir, *options, "--set", "min_region_area=3"))
    assert result.exit_code == 0, result.output
    images = sorted(good_dir.iterdir())
    params = {"target_fpr": 0.2, "intensity_range": "dtype", "min_region_area": 3}
    expected = tune(
        images,
        candidates=candidates(images, device="cpu"),
        params=params,
        roi=inside,
        random_state=0,
    ).segmenter
    model = load(tmp_path / "model.safetensors")
    assert model.threshold_ == expected.threshold_
    assert {name: getattr(model, name) for name in params} == params
    (tmp_path / "model.safetensors").unlink()
    result = run(*command(good_dir, *options[:2], "--table", tmp_path / "roi.png"))
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "alpha_chanel=keep",
            "--set alpha_chanel: there is no such parameter. Did you mean",
        ),
        ("intensity_range=dtype", "--set intensity_range: use --intensity-range instead."),
        ("max_image_pixels=100", "--set max_image_pixels: use Python instead."),
        ("callbacks=None", "--set callbacks: use Python instead."),
        (
            "smoothing=1",
            "params must not have 'smoothing', whose values are in the grid of",
        ),
        ("validation_fraction=2", "params, of filters: The 'validation_fraction' parameter"),
    ],
)
def test_wrong_parameters(run, good_dir, setting, message):
    result = run(*command(good_dir, "--set", setting))
    assert result.exit_code == 1
    assert message in result.stderr


def test_only_one_run_at_a_time_writes_to_a_folder(run, good_dir, tmp_path):
    folder = tmp_path / "model.tuning"
    with lock_folder(folder):
        result = run(*command(good_dir))
    assert result.exit_code == 1
    assert f"error: --output: another run of tune is writing to {str(folder)!r}." in result.stderr
    assert names(tmp_path) == ["good", "model.tuning"]
    assert run(*command(good_dir)).exit_code == 0
    assert not folder.exists()


def test_existing_files_are_kept(run, good_dir, tmp_path):
    model = tmp_path / "model.safetensors"
    model.write_bytes(b"old")
    result = run(*command(good_dir))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: --output: {str(model)!r} already exists.")
    model.unlink()
    (tmp_path / "notes.csv").write_text("mine\n")
    result = run(*command(good_dir, "--table", tmp_path / "notes.csv"))
    assert result.exit_code == 1
    assert "it does not begin with 'candidate,'" in result.stderr
    result = run(*command(good_dir, "--picture", tmp_path / "notes.csv"))
    assert "--picture:" in result.stderr
    assert names(tmp_path) == ["good", "notes.csv"]


def test_without_matplotlib_there_is_no_picture(run, good_dir, tmp_path, monkeypatch):
    real_import = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    result = run(*command(good_dir, "--picture", tmp_path / "a.png"))
    assert result.exit_code == 1
    assert "Plots need matplotlib" in result.stderr
    result = run(*command(good_dir))
    assert result.exit_code == 0, result.output
    assert "No picture is written. Plots need matplotlib." in result.stderr
    assert names(tmp_path) == ["good", "model.safetensors", "model.tuning.csv"]


def test_wrong_inputs(run, good_dir, tmp_path):
    result = run(*command(good_dir, "--minutes", 0))
    assert result.exit_code == 1
    assert "budget_minutes must be a finite number above 0" in result.stderr
    assert run(*command(tmp_path / "nowhere")).exit_code == 1
    assert names(tmp_path) == ["good"]


def test_its_time_is_shown_on_a_terminal():
    from rich.progress import Task

    task = Task(0, "", total=None, completed=0, _get_time=lambda: 0.0)
    column = _tune._TimeLeft()
    assert column.render(task).plain == ""
    task.fields["ends"] = _tune.time.monotonic() + 754.2
    assert column.render(task).plain == "at most 12:34 left"
    task.fields["ends"] = 0
    assert column.render(task).plain == "at most 0:00 left"
