from pathlib import Path

import numpy as np
import pytest

from sk_ssimae import SSIMAutoencoderSegmenter

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="the sdist has no benchmarks")


@pytest.fixture
def stride(script):
    return script("stride")


def test_remembered_patches_change_no_map(stride, tiny, good, defective):
    segmenter = SSIMAutoencoderSegmenter(**tiny).fit(good)
    images, masks = defective
    rows = stride.measure(segmenter, images[:2], masks[:2])
    assert [(row["taper"], row["stride"]) for row in rows] == [
        (taper, stride) for taper in (0, 0.25, 1) for stride in (2, 3, 4, 6, 8, 12)
    ]
    segmenter.set_params(stride=6, taper=1)
    maps = segmenter.decision_function(images[:2])
    remembering = stride.remember(segmenter)
    for _ in range(2):  # The second time without the network.
        found = remembering.decision_function(images[:2])
        np.testing.assert_allclose(found, maps, rtol=1e-5, atol=1e-5)
    expected = f"{stride.pixel_roc_auc_score(masks[:2], maps):.4f}"
    assert f"{float(rows[-3]['pixel_roc_auc']):.4f}" == expected


def test_costs_are_differences_from_the_finest_stride(stride):
    identity = dict.fromkeys(stride.IDENTITY, "1")
    rows = [
        identity | {"taper": "1", "share": str(share), "pixel_roc_auc": auc, "pro_auc": "0.5"}
        for share, auc in zip(
            stride.SHARES, ("0.9", "0.89", "0.91", "0.9", "0.9", "0.5"), strict=True
        )
    ]
    (line,) = stride.costs(rows)
    assert line["0.1875"] == "0.0100, 0.0000"
    assert line["0.25"] == "-0.0100, 0.0000"
    assert line["0.75"] == "0.4000, 0.0000"
