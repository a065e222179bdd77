import itertools

import numpy as np
import pytest

from sk_ssimae.metrics import (
    per_region_overlap_curve,
    pixel_roc_auc_score,
    pro_auc_score,
    region_overlap_quantiles,
)


def plain_regions(mask):
    """Find 8-connected regions by walking from pixel to pixel."""
    todo = {(row, column) for row, column in np.argwhere(mask).tolist()}
    regions = []
    while todo:
        region, border = set(), [todo.pop()]
        while border:
            row, column = border.pop()
            region.add((row, column))
            near = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & todo
            todo -= near
            border.extend(near)
        regions.append(sorted(region))
    return regions


def plain_curve(masks, maps):
    """Compute false positive rate, mean overlap and the overlap of each region per threshold."""
    good = [s for mask, scores in zip(masks, maps, strict=True) for s in scores[~mask].tolist()]
    regions = [
        [scores[pixel] for pixel in region]
        for mask, scores in zip(masks, maps, strict=True)
        for region in plain_regions(mask)
    ]
    points = [(0.0, 0.0, [0.0] * len(regions))]
    for threshold in sorted({s for scores in maps for s in scores.ravel().tolist()}, reverse=True):
        fpr = sum(score >= threshold for score in good) / len(good)
        overlaps = [sum(s >= threshold for s in region) / len(region) for region in regions]
        points.append((fpr, sum(overlaps) / len(regions), overlaps))
    return points


def plain_area(points, max_fpr):
    area = 0.0
    for (x0, y0, _), (x1, y1, _) in itertools.pairwise(points):
        if x0 >= max_fpr or x1 == x0:
            continue
        end = min(x1, max_fpr)
        y_end = y0 + (y1 - y0) * (end - x0) / (x1 - x0)
        area += (end - x0) * (y0 + y_end) / 2
    return area / max_fpr


@pytest.fixture
def case(kind, make_case):
    # The masks are sparse: denser ones would form a single region.
    return make_case(kind, np.random.default_rng(0), shape=(3, 9, 12))


@pytest.mark.parametrize("max_fpr", [0.3, 1.0, 0.05, 0.001])
def test_area_equals_plain_python(case, max_fpr):
    expected = plain_area(plain_curve(*case), max_fpr)
    assert pro_auc_score(*case, max_fpr=max_fpr) == pytest.approx(expected, abs=1e-12)


def test_curve_equals_plain_python(case):
    points = plain_curve(*case)
    fpr, overlap, thresholds = per_region_overlap_curve(*case)
    at = {(round(x, 12), round(y, 12)) for x, y, _ in points}
    assert {(round(x, 12), round(y, 12)) for x, y in zip(fpr, overlap, strict=True)} <= at
    assert np.trapezoid(overlap, fpr) == pytest.approx(plain_area(points, 1), abs=1e-12)
    assert thresholds[0] == np.inf
    assert np.all(np.diff(thresholds) < 0)


@pytest.mark.parametrize("tolerance", [0.1, 0.01])
def test_thinned_curve_respects_its_bound(case, tolerance):
    fpr, overlap, _ = per_region_overlap_curve(*case, area_tolerance=tolerance)
    assert len(fpr) <= 1 / tolerance + 4
    exact = pro_auc_score(*case, max_fpr=1)
    assert np.trapezoid(overlap, fpr) == pytest.approx(exact, abs=tolerance)


def test_overlap_quantiles_equal_plain_python(case):
    points = plain_curve(*case)
    rates, quantiles = [0, 0.05, 0.2, 0.5, 1], (0.1, 0.5, 0.9)
    result = region_overlap_quantiles(*case, fpr=rates, quantiles=quantiles)
    good = np.sort(np.concatenate([s[~m] for m, s in zip(*case, strict=True)]))
    for row, rate in zip(result, rates, strict=True):
        # Thresholds within the rate: the lowest of them detects the most.
        allowed = [t for t in (-np.inf, *good) if np.mean(good > t) <= rate + 1e-12]
        overlaps = [
            np.mean([scores[pixel] > min(allowed) for pixel in region])
            for mask, scores in zip(*case, strict=True)
            for region in plain_regions(mask)
        ]
        np.testing.assert_allclose(row, np.quantile(overlaps, quantiles), atol=1e-12)
    assert len(points[0][2]) == len(overlaps)
    single = region_overlap_quantiles(*case, fpr=0.2, quantiles=quantiles)
    np.testing.assert_array_equal(single, result[2])


def test_regions_have_equal_weight():
    mask = np.zeros((10, 10), dtype=bool)
    mask[:4, :4] = mask[8, 8] = True
    found_large, found_small = np.zeros((2, 10, 10))
    found_large[:4, :4] = found_small[8, 8] = 1
    areas = [pro_auc_score([mask], [found], max_fpr=1) for found in (found_large, found_small)]
    assert areas == pytest.approx([0.75, 0.75])  # 1/2 immediately, the rest along the tie.
    assert pixel_roc_auc_score([mask], [found_large]) > 0.95


def test_regions_do_not_extend_across_images():
    masks = np.zeros((2, 4, 4), dtype=bool)
    masks[0, -1], masks[1, 0] = True, True
    maps = masks * np.array([1.0, 0.0])[:, None, None]
    quantiles = region_overlap_quantiles(masks, maps, fpr=0, quantiles=(0, 1))
    np.testing.assert_array_equal(quantiles, [0, 1])


def test_diagonal_neighbours_are_one_region():
    mask = np.eye(4, dtype=bool)
    scores = np.diag([4.0, 3.0, 2.0, 0.0])
    np.testing.assert_allclose(region_overlap_quantiles([mask], [scores], fpr=0), [0.75] * 3)


def test_monotone_transforms_change_nothing(make_case):
    masks, scores = make_case("plain", np.random.default_rng(1))
    area = pro_auc_score(masks, scores)
    rates = [0.1, 0.3]
    overlaps = region_overlap_quantiles(masks, scores, rates)
    for transformed in (np.exp(scores), 3 * scores - 7):
        assert pro_auc_score(masks, transformed) == area
        np.testing.assert_array_equal(region_overlap_quantiles(masks, transformed, rates), overlaps)


def test_wrong_inputs(make_case, assert_checks_images):
    assert_checks_images(pro_auc_score)
    assert_checks_images(per_region_overlap_curve)
    assert_checks_images(lambda masks, maps: region_overlap_quantiles(masks, maps, 0.05))
    masks, scores = make_case("plain", np.random.default_rng(4))
    with pytest.raises(ValueError, match=r"max_fpr must lie in \(0, 1\], got 1.5"):
        pro_auc_score(masks, scores, max_fpr=1.5)
    with pytest.raises(ValueError, match=r"fpr must contain numbers in \[0, 1\], got \[0.1, 2.0\]"):
        region_overlap_quantiles(masks, scores, [0.1, 2])
    with pytest.raises(ValueError, match=r"quantiles must contain numbers in \[0, 1\], got 50"):
        region_overlap_quantiles(masks, scores, 0.1, quantiles=50)
