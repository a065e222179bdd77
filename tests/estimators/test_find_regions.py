import copy
import sys

import numpy as np
import pytest
from scipy import ndimage

from sk_ssimae import PatchDictionarySegmenter
from sk_ssimae.datasets import make_woven_fabric
from sk_ssimae.estimators import Segmentation, regions_to_pandas
from sk_ssimae.estimators._region_table import REGION_TYPE


class Given(Segmentation):
    """Segmentation whose residual is the image, with levels but no calibration."""

    n_channels_ = 1
    smoothing = 0
    opening_diameter = 0

    @property
    def threshold_(self):
        return 0.5

    @property
    def extent_threshold_(self):
        return 0.25

    def compute_residual(self, image):
        return image[..., 0].astype(np.float32)


@pytest.fixture(scope="module")
def fitted():
    good = make_woven_fabric(12, shape=(64, 96), random_state=0)
    return PatchDictionarySegmenter(random_state=0).fit(good)


@pytest.fixture(scope="module")
def defective():
    images = make_woven_fabric(3, shape=(64, 96), random_state=1)
    images[0, 10:22, 20:40] = 1
    images[0, 45:60, 60:70] = 0
    images[2, 30:44, 50:64] = 1
    return images


def test_columns_of_a_map_known_in_advance():
    image = np.zeros((6, 8), dtype=np.float32)
    image[1, 1:4] = 0.5, 0.75, 0.375
    image[2, 4] = 1  # Touches the first at a corner only.
    image[4:6, 5:7] = 0.4  # Above the level of the extent alone.
    (table,) = Given().find_regions([image])
    assert table.dtype == REGION_TYPE
    first, second = table
    assert first.tolist()[:-1] == (1, 1, 1, 2, 4, 1.0, 2.0, 3, 0.75, np.float32(1.625 / 3))
    assert second.tolist()[:-1] == (2, 2, 4, 3, 5, 2.0, 4.0, 1, 1.0, 1.0)
    assert np.isnan(table["distance"]).all()
    assert len(Given().find_regions([np.zeros((6, 8))])[0]) == 0


def test_tables_agree_with_masks_scores_and_maps(fitted, defective):
    tables = fitted.find_regions(defective)
    assert len(tables[0]) >= 2
    maps = fitted.decision_function(defective)
    for table, mask, score, residual_map, found in zip(
        tables,
        fitted.predict(defective),
        fitted.score_images(defective),
        maps,
        fitted.segment_images(defective),
        strict=True,
    ):
        np.testing.assert_array_equal(found.find_regions(), table)
        labels, n_regions = ndimage.label(mask)
        assert len(table) == n_regions
        assert (len(table) > 0) == (score > fitted.threshold_)
        assert (table["peak"] > fitted.threshold_).all()
        if len(table):
            assert table["peak"].max() == score
        for row, box in zip(table, ndimage.find_objects(labels), strict=True):
            own = labels == row["label"]
            assert row["area"] == own.sum()
            rows, columns = box
            assert (row["min_row"], row["max_row"]) == (rows.start, rows.stop)
            assert (row["min_column"], row["max_column"]) == (columns.start, columns.stop)
            centre = ndimage.center_of_mass(own)
            assert (row["centroid_row"], row["centroid_column"]) == pytest.approx(centre)
            assert row["mean_residual"] == pytest.approx(residual_map[own].mean(), rel=1e-5)


def test_distances_are_in_standard_deviations_of_good_opened_maps(fitted, defective):
    good = make_woven_fabric(5, shape=(64, 96), random_state=2)
    segmenter = copy.copy(fitted).calibrate(good)
    opened = np.stack([found.opened_map for found in segmenter.segment_images(good)])
    deviation = opened.std(dtype=np.float64)
    assert segmenter.calibration_.good_deviation == pytest.approx(deviation, rel=1e-6)
    table = segmenter.find_regions(defective)[0]
    expected = (table["peak"] - segmenter.threshold_) / deviation
    np.testing.assert_allclose(table["distance"], expected, rtol=1e-6)


def test_a_number_as_threshold_keeps_extent_and_unit_of_the_calibration(fitted, defective):
    segmenter = copy.copy(fitted)
    before = segmenter.predict(defective)
    extent, deviation = segmenter.extent_threshold_, segmenter.good_deviation
    segmenter.set_params(threshold=segmenter.threshold_)
    np.testing.assert_array_equal(segmenter.predict(defective), before)
    # Only regions that exceed the new level are left, as far as they reached.
    level = float(np.mean(segmenter.find_regions(defective)[0]["peak"][:2]))
    segmenter.set_params(threshold=level)
    assert (segmenter.extent_threshold_, segmenter.good_deviation) == (extent, deviation)
    after = segmenter.predict(defective)
    labels, _ = ndimage.label(before[0])
    assert set(np.unique(labels[after[0]])) < set(np.unique(labels[before[0]]))
    np.testing.assert_array_equal(after[0], np.isin(labels, np.unique(labels[after[0]])))
    # The calibration says nothing about other maps.
    segmenter.set_params(smoothing=3.0)
    assert segmenter.extent_threshold_ == level
    assert np.isnan(segmenter.find_regions(defective)[0]["distance"]).all()


def test_nothing_is_calibrated_with_a_number_as_threshold(defective):
    good = make_woven_fabric(3, shape=(64, 96), random_state=0)
    segmenter = PatchDictionarySegmenter(random_state=0, threshold=0.1).fit(good)
    table = segmenter.find_regions(defective)[0]
    assert len(table) > 0
    assert np.isnan(table["distance"]).all()


def test_pandas(fitted, defective):
    pytest.importorskip("pandas")
    tables = fitted.find_regions(defective)
    frame = regions_to_pandas(tables)
    assert list(frame) == ["image", *REGION_TYPE.names]
    assert list(frame["image"]) == [i for i, table in enumerate(tables) for _ in table]
    np.testing.assert_array_equal(frame["area"], np.concatenate(tables)["area"])
    named = regions_to_pandas(tables, ["a", "b", "c"])
    assert list(named["image"]) == ["abc"[i] for i in frame["image"]]
    assert regions_to_pandas([])["image"].dtype.kind == "i"


def test_without_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"regions_to_pandas needs pandas\. Install it"):
        regions_to_pandas([])


@pytest.mark.parametrize(
    ("tables", "images", "message"),
    [
        ([np.zeros(3)], None, "tables must be a list of the tables that find_regions returns"),
        (np.zeros(2, REGION_TYPE), None, "got a single table instead: wrap it in a list"),
        (np.zeros((2, 3)), None, "got ndarray with other content"),
        ([], "names", "images must be a sequence with a name for each table, got 'names'"),
        ([], ["a"], "a name for each of the 0 tables, got 1"),
    ],
)
def test_other_tables_are_refused(tables, images, message):
    with pytest.raises((TypeError, ValueError), match=message):
        regions_to_pandas(tables, images)
