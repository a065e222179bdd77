import csv
import importlib
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter
from skimage.io import imsave
from skimage.morphology import opening
from skorch.callbacks import Callback

from sk_ssimae.datasets import draw_defects, make_woven_fabric
from sk_ssimae.estimators import BaseSegmenter
from sk_ssimae.estimators._net import ReconstructionNet
from sk_ssimae.exceptions import InterruptedFitWarning
from sk_ssimae.losses import SSIMLoss
from sk_ssimae.metrics import pixel_roc_auc_score

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TINY = {"latent_dim": 4, "patch_size": 16, "stride": 16, "batch_size": 16, "image_size": None}

pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="the sdist has no benchmarks")


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Let scripts import each other, and unload them afterwards."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.syspath_prepend(BENCHMARKS / "paper")
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(BENCHMARKS):
            del sys.modules[name]


@pytest.fixture
def studio(tmp_path):
    return importlib.import_module("_studio").Studio(tmp_path, "quick", data=None)


@pytest.fixture
def fabric():
    good = make_woven_fabric(2, shape=(48, 48), random_state=0)
    return importlib.import_module("_data").Dataset("fabric", list(good), [], [], "textures")


def read_table(studio, name):
    with (studio.folder / f"{name}.csv").open(newline="") as file:
        return list(csv.reader(file))


def test_table_1_is_the_papers_network(studio):
    importlib.import_module("table_1").run(studio)
    rows = read_table(studio, "table-1")
    outputs = [row[1] for row in rows[1:]]
    encoder = ["128 x 128 x 1", "64 x 64 x 32", "32 x 32 x 32", "32 x 32 x 32", "16 x 16 x 64"]
    encoder += ["16 x 16 x 64", "8 x 8 x 128", "8 x 8 x 64", "8 x 8 x 32", "1 x 1 x 100"]
    assert outputs[:10] == encoder
    assert outputs[10:-1] == encoder[-2::-1]
    assert rows[-1][1] == "1,048,549"


def test_figure_2_has_equal_l2_residuals_but_different_ssim(studio):
    importlib.import_module("figure_2").run(studio)
    rows = read_table(studio, "figure-2")[1:]
    assert (studio.folder / "figure-2.png").stat().st_size > 1000
    for index, (_, l2, *similarities) in enumerate(rows):
        assert float(l2) == 0.25
        components = [float(number) for number in similarities[:3]]
        assert components.pop(index) < 0.01
        assert min(components) > 0.99


def test_missing_data_sets_are_skipped_with_a_message(studio, capsys):
    importlib.import_module("figures_6_7").run(studio)
    printed = capsys.readouterr().out
    assert "nanotwice skipped: download dfg05er_Data.zip" in printed
    assert "texture_1 skipped: download textures.zip" in printed
    assert "mvtec_wood skipped" in printed


def test_nothing_is_trained_twice(studio, fabric, monkeypatch):
    trained = studio.train(fabric, "L2", patches=64, **TINY)
    monkeypatch.setattr(BaseSegmenter, "fit", None)
    again = studio.train(fabric, "L2", patches=64, **TINY)
    maps = [segmenter.decision_function(fabric.good)[0] for segmenter in (trained, again)]
    assert (maps[0] == maps[1]).all()
    studio.seed = 1  # Like a changed default, it is not part of the file's name.
    with pytest.raises(SystemExit, match="was trained with other random_state: move it away"):
        studio.train(fabric, "L2", patches=64, **TINY)


class Interrupt(Callback):
    def on_batch_end(self, net, **kwargs):
        raise KeyboardInterrupt


def test_partly_trained_models_are_not_stored(studio, fabric):
    with pytest.warns(InterruptedFitWarning), pytest.raises(KeyboardInterrupt):
        studio.train(fabric, "L2", patches=64, callbacks=[Interrupt()], **TINY)
    assert not list(studio.folder.rglob("*.joblib"))


def test_training_resumes_after_an_interruption(studio, fabric, monkeypatch):
    expected = studio.train(fabric, "L2", patches=64, **TINY)
    shutil.rmtree(studio.folder)
    epochs = []

    def end_in_second(net, *args, **kwargs):
        epochs.append(len(net.history))
        if len(epochs) == 2:
            raise MemoryError
        return begin(net, *args, **kwargs)

    begin = ReconstructionNet.on_epoch_begin
    monkeypatch.setattr(ReconstructionNet, "on_epoch_begin", end_in_second)
    with pytest.raises(MemoryError):
        studio.train(fabric, "L2", patches=64, **TINY)
    segmenter = studio.train(fabric, "L2", patches=64, **TINY)
    assert epochs == [0, 1, *range(1, segmenter.max_epochs)]
    maps = [each.decision_function(fabric.good)[0] for each in (segmenter, expected)]
    assert (maps[0] == maps[1]).all()
    assert segmenter.checkpoint_dir is None
    (kept,) = (studio.folder / "models").iterdir()
    assert kept.suffix == ".joblib"


def test_models_of_other_settings_are_refused(studio, fabric):
    studio.train(fabric, "L2", patches=64, **TINY)
    studio.precision = "bf16"
    with pytest.raises(SystemExit, match="trained with other precision: move it away"):
        studio.train(fabric, "L2", patches=64, **TINY)


def test_results_are_computed_once_and_stored_completely(studio):
    with pytest.raises(TypeError, match="not JSON serializable"):
        studio.keep("a", {}, lambda: {"scores": object()})
    assert not [path for path in studio.folder.rglob("*") if path.is_file()]
    calls = []
    for _ in range(2):
        kept = studio.keep("a", {"taper": 0}, lambda: calls.append(1) or {"b": 0.5})
        assert kept == {"b": 0.5}
    assert len(calls) == 1
    with pytest.raises(SystemExit, match="computed with other settings: move it away"):
        studio.keep("a", {"taper": 0.25}, dict)


def test_evaluations_start_from_the_published_one(studio, tmp_path):
    good = make_woven_fabric(2, shape=(50, 46), random_state=0)
    images, masks = draw_defects(good, random_state=0)
    paths = [tmp_path / f"{index}.png" for index in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        imsave(path, np.uint8(255 * image))
    data = importlib.import_module("_data")
    dataset = data.Dataset("nanotwice", list(good), paths, list(masks), "nanotwice")
    segmenter = studio.train(dataset, "SSIM", patches=64, **TINY)
    evaluations = importlib.import_module("evaluations")
    by_way = evaluations.evaluate(segmenter, dataset, SSIMLoss().residual_map)
    assert list(by_way) == list(evaluations.WAYS)
    residuals = segmenter.set_params(taper=0, smoothing=0).decision_function(paths)
    disk = np.hypot.outer(range(-4, 5), range(-4, 5)) <= 4.5
    opened = [opening(residual, disk, mode="ignore") for residual in residuals]
    expected = {
        "as published": residuals,
        "opened, disk of diameter 9": opened,
        "averaged over 4 x 4 pixels": [uniform_filter(residual, 4) for residual in residuals],
        "averaged over 8 x 8 pixels": [uniform_filter(residual, 8) for residual in residuals],
        "smoothed, sigma 2": segmenter.set_params(smoothing=2.0).decision_function(paths),
        "smoothed, sigma 5": segmenter.set_params(smoothing=5.0).decision_function(paths),
    }
    for way, maps in expected.items():
        auc = pixel_roc_auc_score(masks, maps)
        assert by_way[way][0] == pytest.approx(auc, abs=1e-6), way
    assert len({auc for auc, _ in by_way.values()}) == len(by_way)


def test_maps_of_another_scale_align_with_the_image():
    at_scale_of = importlib.import_module("evaluations").at_scale_of
    ramp = torch.arange(23.0).expand(1, 1, 18, 23)
    residual = at_scale_of(4)(ramp, torch.zeros_like(ramp), lambda image, _: image[:, 0])
    assert residual.shape == (18, 23)
    inside = slice(2, 18)  # Between the centres of whole blocks.
    np.testing.assert_allclose(residual[:, inside], ramp[0, 0, :, inside], atol=1e-5)


def test_evaluations_are_tabulated_with_the_published_results(studio, tmp_path, monkeypatch):
    evaluations = importlib.import_module("evaluations")
    nanotwice = importlib.import_module("_data").Dataset("nanotwice", [], [], [], "nanotwice")
    monkeypatch.setattr(evaluations, "find", lambda sources, root: [nanotwice])
    monkeypatch.setattr(studio, "train", lambda dataset, family: family)
    by_family = {"SSIM": [0.9, 0.2], "L2": [0.6, 0.1]}
    monkeypatch.setattr(
        evaluations,
        "evaluate",
        lambda family, *_: dict.fromkeys(evaluations.WAYS, by_family[family]),
    )
    evaluations.run(studio)
    columns, published, *rows = read_table(studio, "evaluations-nanotwice")
    assert [column.split(":")[0] for column in columns[1:]] == ["SSIM", "SSIM", "L2", "L2"]
    assert published[1:] == ["0.966", "more than 0.5", "0.688", ""]
    assert rows == [[way, "0.9", "0.2", "0.6", "0.1"] for way in evaluations.WAYS]


def test_share_of_regions_above_the_published_overlap():
    mask = np.zeros((40, 40), dtype=bool)
    mask[2:12, 2:12] = mask[20:30, 2:12] = mask[20:30, 20:30] = True
    residual = np.where(mask, 1.0, 0.0)
    residual[36:] = 0.5  # 12 % of the good pixels: the threshold at 5 %.
    residual[10:12, 2:12] = residual[20:25, 2:12] = 0.4  # 80 % and 50 % are above.
    scores = importlib.import_module("_scores").score_maps([mask], [residual])
    assert scores["share_above"] == pytest.approx(1 / 3)
    assert scores["minimal_overlap"] == 0.5
