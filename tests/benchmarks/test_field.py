import csv
import importlib
import sys
from pathlib import Path

import pytest

from sk_ssimae import GenerativeAdversarialSegmenter, L2AutoencoderSegmenter
from sk_ssimae.datasets import make_woven_fabric
from sk_ssimae.estimators import BaseSegmenter
from sk_ssimae.model_selection._tuning._training import Speed

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TINY = {"patch_size": 16, "stride": 16, "max_epochs": 2, "batch_size": 16, "latent_dim": 4}

pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="the sdist has no benchmarks")


@pytest.fixture
def field(script):
    return script("field")


@pytest.fixture
def parse(field, data, tmp_path, monkeypatch):
    """Parse options on top of those that each run needs."""

    def parse(options):
        places = f"--data {data} --out {tmp_path} --csv {tmp_path / 'field.csv'} --sets leather"
        monkeypatch.setattr(sys, "argv", ["field.py", *places.split(), *options.split()])
        return field.parse_arguments()

    return parse


@pytest.fixture
def tiny_network(field, monkeypatch):
    """Let the method "l2" be quick, and its speed a known one."""
    method = field.METHODS["l2"]._replace(params=TINY)
    monkeypatch.setitem(field.METHODS, "l2", method)
    set_speed(field, monkeypatch, Speed(1.0, 20.0))


def set_speed(field, monkeypatch, speed):
    """Let measurements have a known result."""
    monkeypatch.setattr(field, "measure", lambda segmenter, X: (speed, segmenter))
    monkeypatch.setattr(field, "speed_of", lambda fitted, seconds: speed)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--methods ssim resnet", "argument --methods: invalid choice: 'resnet'"),
        ("--sets velvet", "argument --sets: invalid choice: 'velvet'"),
        ("--minutes 0", "argument --minutes: must be above 0, got 0 instead"),
        ("--limit inf", "argument --limit: must be above 0"),
        ("--max-test 0", "argument --max-test: must be at least 1, got 0 instead"),
    ],
)
def test_unknown_names_and_impossible_numbers_are_refused(parse, capsys, options, message):
    with pytest.raises(SystemExit):
        parse(options)
    assert message in capsys.readouterr().err


def test_folders_are_needed_to_run(field, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["field.py", "--methods", "ssim"])
    with pytest.raises(SystemExit):
        field.parse_arguments()
    assert "--data and --out are required" in capsys.readouterr().err


def test_networks_train_until_the_budget_is_used(field, parse, tiny_network):
    # 11 seconds less 1 of overhead, at 20 patches per second: 200, in whole batches per epoch.
    (run,) = field.missing_runs(parse(f"--methods l2 --minutes {11 / 60}"))
    row = field.execute(run, parse("").out)
    assert (row["epochs"], row["patches"]) == (2, 192)
    assert -1 <= row["structure_correlation"] <= 1
    assert row["n_train"] == 4


def test_budgets_are_refused_if_they_are_too_short_for_a_batch(field, tiny_network):
    good = make_woven_fabric(2, shape=(32, 32), random_state=0)
    # A batch in both epochs takes 1.6 seconds, and everything else 1.
    with pytest.raises(ValueError, match=r"--minutes must be at least about 0.043 .* got 0.042"):
        field.fit(L2AutoencoderSegmenter(**TINY), good, 2.5 / 60)


def test_speed_is_measured_for_a_tenth_of_the_time(field, monkeypatch):
    good = make_woven_fabric(2, shape=(32, 32), random_state=0)
    segmenter = L2AutoencoderSegmenter(**TINY, threshold=0.0, random_state=0)
    monkeypatch.setattr(field, "measure", lambda segmenter, X: (Speed(0.0, 64.0), segmenter))
    pilots = []

    def speed_of(pilot, seconds):
        assert seconds >= sum(pilot.history_[:, "dur"])
        pilots.append(pilot)
        return Speed(2.0, 48.0)

    monkeypatch.setattr(field, "speed_of", speed_of)
    # One second at 64 patches per second, then 10 - 2 seconds at 48, each in 2 epochs.
    assert field.affordable_patches(segmenter, good, 10) == 192
    assert [pilot.n_patches for pilot in pilots] == [32]


def test_rows_are_scored_and_not_computed_again(field, parse):
    arguments = parse("--methods patch-dictionary")
    (run,) = field.missing_runs(arguments)
    row = field.execute(run, arguments.out)
    assert all(0 <= row[name] <= 1 for name in field.SCORES)
    assert all(row[name] > 0 for name in field.COSTS)
    assert (row["n_defective"], row["n_test_good"], row["minutes"]) == ("2", "4", "")
    field.append(row, arguments.csv, field.COLUMNS)
    assert not list(field.missing_runs(arguments))
    # A dictionary does not depend on the minutes of networks, but on the images.
    assert not list(field.missing_runs(parse("--methods patch-dictionary --minutes 7")))
    (run,) = field.missing_runs(parse("--methods patch-dictionary --max-test 1"))
    assert run.identity()["n_defective"] == "1"


def test_fitted_segmenters_are_kept(field, parse, monkeypatch):
    arguments = parse("--methods sparse-dictionary --limit 0.001")
    (run,) = field.missing_runs(arguments)
    assert run.setting() == {"stride": 15}  # Not even that is as quick as the limit.
    method = field.METHODS["sparse-dictionary"]
    few = {"n_training_patches": 100, "n_density_patches": 100, "n_atoms": 16, "patch_size": 16}
    monkeypatch.setitem(field.METHODS, "sparse-dictionary", method._replace(params=few))
    first = field.execute(run, arguments.out)
    assert "stride=15" in first["settings"]
    monkeypatch.setattr(BaseSegmenter, "fit", None)
    second = field.execute(run._replace(limit=1.0), arguments.out)
    assert "stride" not in second["settings"]  # 4, the default.
    assert second["training_seconds"] == first["training_seconds"]
    assert second["pixel_roc_auc"] != first["pixel_roc_auc"]
    others = method._replace(params=few | {"n_atoms": 17})
    monkeypatch.setitem(field.METHODS, "sparse-dictionary", others)
    with pytest.raises(ValueError, match="was trained with other n_atoms: move it away"):
        field.execute(run, arguments.out)


def test_a_search_takes_its_steps_after_fit(field, parse, monkeypatch):
    arguments = parse("--methods gan-search --minutes 1")
    method = field.METHODS["gan-search"]
    tiny = {name: value for name, value in TINY.items() if name != "stride"}
    setting = method.settings[-1]._replace(params={"search_steps": 3, "stride": 16})
    method = method._replace(params=method.params | tiny, settings=(setting,))
    monkeypatch.setitem(field.METHODS, "gan-search", method)
    set_speed(field, monkeypatch, Speed(0.0, 1.0))
    searched = []
    compute = GenerativeAdversarialSegmenter.reconstruct_patches

    def record(segmenter, patches):
        searched.append(segmenter.search_steps)
        return compute(segmenter, patches)

    monkeypatch.setattr(GenerativeAdversarialSegmenter, "reconstruct_patches", record)
    (run,) = field.missing_runs(arguments)
    row = field.execute(run, arguments.out)
    assert sorted(set(searched)) == [1, 3]
    assert "search_steps=3" in row["settings"]
    assert "structure_correlation" not in row
    assert row["generated_variance"] >= 0


def test_settings_of_slow_methods_follow_from_the_limit(field):
    method = field.METHODS["feature-dictionary-napoletano"]
    costs = [setting.seconds_per_megapixel for setting in method.settings]
    assert costs == sorted(costs, reverse=True)
    # Both the images to segment and those to fit count.
    assert method.choose(1, 1, 2 * costs[0]) == method.settings[0]
    assert method.choose(1, 1, 2 * costs[0] - 1) == method.settings[1]
    search = field.METHODS["gan-search"]
    assert search.choose(1, 1, search.settings[0].seconds_per_megapixel) == search.settings[0]


def test_all_settings_are_valid(field):
    for method in field.METHODS.values():
        for setting in method.settings or ({},):
            params = setting and setting.params
            segmenter = method.make(0, params)
            segmenter.check_parameters()
            assert params.items() <= segmenter.get_params().items()


def test_test_images_are_evenly_spaced(field):
    names = [f"{number:02}" for number in range(10)]
    dataset = field.Dataset(names, names[:3], names, names)
    assert field.thin(dataset, 5).defective == ["01", "03", "05", "07", "09"]
    assert field.thin(dataset, 5).masks == ["01", "03", "05", "07", "09"]
    assert field.thin(dataset, 1).test_good == ["01"]
    assert field.thin(dataset, 5).test_good == names[:3]
    assert field.thin(dataset, 2).good == names
    assert field.thin(dataset, None) == dataset


def test_a_failure_does_not_stop_other_runs(field, parse, monkeypatch):
    def execute(function, run, folder):
        if run.method == "ssim":
            raise ValueError("too short")
        return run.identity() | {"pixel_roc_auc": 0.5}

    arguments = parse("--methods ssim l2")
    monkeypatch.setattr(field, "in_new_process", execute)
    with pytest.raises(SystemExit, match=r"have no row:\nleather ssim 0: too short$"):
        field.main()
    assert [row["method"] for row in field.read(arguments.csv)] == ["l2"]


def test_summary_has_means_in_order(field, tmp_path):
    path = tmp_path / "field.csv"
    shared = {"settings": "X()", "minutes": "2", "n_defective": "3", "n_test_good": "0"}
    shared |= {"n_train": "5", "pro_auc": "0.5", "training_seconds": "120"}
    scores = [("nanotwice", "ssim", 0.5), ("nanotwice", "ssim", 0.7), ("nanotwice", "l2", 0.8)]
    for seed, (name, method, auc) in enumerate([*scores, ("leather", "l1", 0.9)]):
        row = {"set": name, "method": method, "seed": seed, "pixel_roc_auc": auc} | shared
        field.append(row, path, field.COLUMNS)
    field.summarise(path)
    with (tmp_path / "field_summary.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    cells = [(row["set"], row["method"], row["AUC"], row["published"]) for row in rows]
    assert cells == [
        ("leather", "l1", "0.900", ""),
        ("nanotwice", "l2", "0.800", "0.688 (Bergmann et al.)"),
        ("nanotwice", "ssim", "0.600", "0.966 (Bergmann et al.)"),
    ]
    tables = (tmp_path / "field_tables.txt").read_text()
    overview, leather, nanotwice = tables.split(".. csv-table:: ")[1:]
    lines = [line.strip() for line in overview.splitlines()]
    assert lines[0] == "Pixel AUC"
    assert lines[4:8] == ["method,leather,nanotwice", "ssim,,0.600", "l1,0.900,", "l2,,0.800"]
    assert leather.startswith(
        "leather: 5 good images to train, 3 defective ones to test; 2 min for each network; "
        "number of seeds: 1\n"
    )
    assert "image AUC" not in nanotwice  # No set here has good test images.


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"minutes": "3"}, "runs of leather that differ in minutes, 2 and 3: move"),
        ({"n_defective": "4"}, "runs of leather that differ in n_defective, 3 and 4"),
        ({"settings": "Y()"}, r"runs of ssim on leather that differ in settings, X\(\) and Y"),
    ],
)
def test_summary_refuses_to_mix(field, tmp_path, changed, message):
    row = {"set": "leather", "method": "ssim", "settings": "X()", "minutes": "2"}
    row |= {"n_defective": "3", "n_test_good": "0", "n_train": "5", "pixel_roc_auc": "0.5"}
    for seed, each in enumerate((row, row | changed)):
        field.append(each | {"seed": seed}, tmp_path / "field.csv", field.COLUMNS)
    with pytest.raises(SystemExit, match=message):
        field.summarise(tmp_path / "field.csv")
    with pytest.raises(SystemExit, match="has no rows: run the methods first"):
        field.summarise(tmp_path / "none.csv")


def test_list_has_all_methods_and_settings(field):
    lines = list(field.list_methods())
    names = [line.split(":")[0] for line in lines if not line.startswith(" ")]
    assert names == list(field.METHODS)
    assert "    stride=8: about 11 s per megapixel to segment" in lines


def test_figures_6_and_7_take_the_field(script, data, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS / "paper")
    figures = importlib.import_module("figures_6_7")
    leather = script("_sets").load("leather", data)
    dataset = importlib.import_module("_data").Dataset(
        "nanotwice", leather.good, leather.defective, leather.masks, "nanotwice"
    )
    monkeypatch.setattr(figures, "find", lambda sources, root: [dataset])
    monkeypatch.setattr(figures, "FAMILIES", {})
    settings = sys.modules["_settings"]
    networks = {"latent_dim": 4, "patch_size": 16, "stride": 16, "image_size": None}
    monkeypatch.setattr(settings, "paper_protocol", lambda name: networks)
    names = ("gan-after", "sparse-dictionary")
    few = {"n_training_patches": 100, "n_density_patches": 100, "n_atoms": 16}
    sparse = sys.modules["_field"].METHODS["sparse-dictionary"]._replace(params=few)
    monkeypatch.setitem(sys.modules["_field"].METHODS, "sparse-dictionary", sparse)
    studio = sys.modules["_studio"].Studio(tmp_path, "quick", data=None, field=names)
    studio.budget = studio.budget._replace(patches=160)
    figures.run(studio)
    with (studio.folder / "figures-6-7-nanotwice.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    by_name = [(row["segmenter"], row["source"], row["residual maps"]) for row in rows]
    assert by_name == [
        (name, "ours" if name != "sparse-dictionary" else "ours, stride=4", maps)
        for name in names
        for maps in ("published", "default")
    ]
    assert all(0 <= float(row["pixel AUC"]) <= 1 for row in rows)
    assert (studio.folder / "figures-6-7-nanotwice-default.png").stat().st_size > 1000
    monkeypatch.setattr(BaseSegmenter, "fit", None)
    figures.run(studio)  # From the stored results.
    scores = {"pixel_roc_auc": 0.9, "pro_auc": 0.8, "share_above": 0.7, "minimal_overlap": 0.6}
    result = {"scores": {"default": scores}, "training_seconds": 5.4}
    ours, published = figures.table_rows(studio, dataset, "feature-dictionary-napoletano", result)
    assert ours[1:] == ["ours, subregions=(32, 8, 224)", "default", 0.9, 0.8, 0.7, 0.6, 5]
    assert published[1] == "published: Napoletano et al., features of ResNet-18"
    assert published[3] == "0.974"
