import numpy as np
import pytest

from sk_ssimae import PatchDictionarySegmenter
from sk_ssimae._inference._region import Region
from sk_ssimae.datasets import make_woven_fabric
from sk_ssimae.estimators import _evidence
from sk_ssimae.estimators._evidence import Evidence

GOOD = make_woven_fabric(16, shape=(64, 64), random_state=0)


@pytest.mark.parametrize("threshold", ["image_fpr", "pixel_fpr"])
def test_pixels_are_thinned_out_evenly(threshold, monkeypatch):
    segmenter = PatchDictionarySegmenter(random_state=0, threshold=threshold).fit(GOOD[:8])
    exact, exact_tail = segmenter.calibrate(GOOD[8:]).calibration_, segmenter.tail_
    monkeypatch.setattr(_evidence, "_MOST_PIXELS", 10_000)
    thinned, tail = segmenter.calibrate(GOOD[8:]).calibration_, segmenter.tail_
    if threshold == "image_fpr":
        assert thinned.threshold == exact.threshold  # From the maxima of blocks, all of them.
    assert thinned.threshold == pytest.approx(exact.threshold, rel=0.05)
    assert thinned.extent_threshold == pytest.approx(exact.extent_threshold, rel=0.05)
    assert thinned.good_deviation == pytest.approx(exact.good_deviation, rel=0.05)
    assert thinned.typical_residuals == exact.typical_residuals
    probe = exact_tail.residuals[::100]
    np.testing.assert_allclose(tail.surprise(probe), exact_tail.surprise(probe), atol=0.1)
    assert thinned.threshold != exact.threshold or threshold == "image_fpr"


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(_evidence, "_MOST_PIXELS", 5000)
    evidence = Evidence()
    rng = np.random.default_rng(0)
    for _ in range(20):
        residual_map = rng.random((30, 40), dtype=np.float32)
        evidence.add(residual_map, Region.of_image(residual_map[..., None], None), residual_map)
        for sample in (evidence._residuals, evidence._opened):
            assert sum(part.size for part in sample.parts) <= 5000
            # No part is a view that would keep a whole map.
            assert all(
                part.base is None or part.base.size == part.size for part in sample.parts[1:]
            )
    assert evidence._residuals._step == 8
    assert sum(part.size for part in evidence._residuals.parts) == 20 * 1200 // 8


def test_images_of_calibrate_are_read_one_at_a_time():
    segmenter = PatchDictionarySegmenter(random_state=0).fit(GOOD[:8])
    alive = []

    class Lazy(list):
        def __getitem__(self, index):
            alive.append(index)
            return super().__getitem__(index)

    maps = segmenter._residual_map
    seen = []
    segmenter._residual_map = lambda region: seen.append(len(alive)) or maps(region)
    segmenter.calibrate(Lazy(GOOD[8:12]))
    assert seen == sorted(set(seen))  # One more image has been read before each map.
