import csv
import sys
from pathlib import Path

import pytest
from torch import nn

from sk_ssimae import make_default_ensemble
from sk_ssimae.datasets import make_woven_fabric

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="the sdist has no benchmarks")


@pytest.fixture
def methods(script):
    return script("methods")


def test_images_of_an_object_stay_together(methods, data):
    dataset = methods.load("leather", data)
    assert [path.stem[:7] for path in dataset.good] == 2 * ["object0"] + 2 * ["object1"]
    assert [path.stem[:7] for path in dataset.test_good] == 2 * ["object2"] + 2 * ["object3"]
    split = sys.modules["_sets"].split
    with pytest.raises(ValueError, match=r"n_test_objects must be below 2, .* got 2 instead"):
        split(dataset.good, 2)


def test_the_ready_ensemble_is_fitted_as_a_whole(methods):
    ensemble = methods.make(methods.Run("leather", "ensemble", 320, 3), "ensemble")
    expected = make_default_ensemble(random_state=3).set_params(
        autoencoder__n_patches=32, autoencoder__max_epochs=10
    )
    assert repr(ensemble) == repr(expected)
    assert methods.Run("leather", "ensemble", 320, 3).identity()["patches"] == "320"


@pytest.mark.parametrize("method", ["ensemble", "ensemble-pretrained", "ensemble-features"])
def test_costs_are_those_of_fits_that_nothing_was_reused_for(
    methods, tmp_path, monkeypatch, method
):
    make_full = methods.ENSEMBLES[method]

    def make():
        ensemble = make_full()
        tiny = {"patch_size": 16, "stride": 16, "n_patches": 16, "max_epochs": 1, "latent_dim": 4}
        ensemble.set_params(**{f"autoencoder__{name}": value for name, value in tiny.items()})
        if "features" in dict(ensemble.segmenters):
            ensemble.set_params(
                features__feature_extractor=nn.AvgPool2d(4),
                features__layers=None,
                features__normalization=None,
            )
        return ensemble.set_params(random_state=0)

    monkeypatch.setattr(methods, "make", lambda run, member: make())
    good = make_woven_fabric(4, shape=(48, 48), random_state=0)
    first = methods.fit(None, method, good, tmp_path)
    again = methods.fit(None, method, good, tmp_path)
    assert first[1]["seconds"] > 0
    assert again[1] is None
    assert again[0].threshold_ == first[0].threshold_


def test_rows_are_scored_and_not_computed_again(methods, data, tmp_path, monkeypatch):
    options = f"--data {data} --out {tmp_path} --csv {tmp_path / 'rows.csv'}"
    options += " --sets leather --methods patch-dictionary"
    monkeypatch.setattr(sys, "argv", ["methods.py", *options.split()])
    arguments = methods.parse_arguments()
    (run,) = methods.missing_runs(arguments)
    row = methods.measure(run, data, tmp_path)
    assert row["n_train"] == 4
    assert row["patches"] == ""  # A dictionary does not depend on their number.
    assert all(0 <= row[name] <= 1 for name in methods.SCORES)
    assert all(row[name] > 0 for name in methods.COSTS)
    methods.append(row, arguments.csv, methods.COLUMNS)
    assert not list(methods.missing_runs(arguments))
    other = row | {"seed": 1, "pro_auc": row["pro_auc"] / 2}
    methods.append(other, arguments.csv)
    methods.summarise(arguments.csv)
    with (tmp_path / "rows_summary.csv").open(newline="") as file:
        (mean,) = csv.DictReader(file)
    assert mean["PRO"] == f"{0.75 * row['pro_auc']:.3f}"
    assert (mean["set"], mean["seeds"]) == ("leather", "2")
    methods.append(row | {"settings": "others"}, arguments.csv)
    with pytest.raises(SystemExit, match="several settings"):
        methods.summarise(arguments.csv)
