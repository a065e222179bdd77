import copy

import numpy as np
import pytest

from sk_ssimae import L2AutoencoderSegmenter
from sk_ssimae.metrics import pixel_roc_auc_score
from sk_ssimae.persistence import OnnxSegmenter, ParityReport, export_onnx, parity_report


@pytest.fixture(scope="module")
def pair(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("parity") / "a.onnx"
    segmenter = copy.deepcopy(trained[L2AutoencoderSegmenter])
    export_onnx(segmenter, path)
    return segmenter, OnnxSegmenter(path, n_threads=1)


def test_an_export_is_as_good_as_the_original(pair, defective):
    images, masks = defective
    report = parity_report(*pair, images, masks)
    assert report.n_images == len(images)
    assert report.max_abs_difference < 1e-5
    assert report.auc_difference < 1e-5


def test_differences_are_found(pair, defective):
    segmenter, exported = copy.deepcopy(pair[0]).set_params(smoothing=5), pair[1]
    images, masks = defective
    maps, others = segmenter.decision_function(images), exported.decision_function(images)
    areas = [pixel_roc_auc_score(masks, either) for either in (maps, others)]
    report = parity_report(segmenter, exported, list(images), list(masks))
    assert report.max_abs_difference == np.abs(maps - others).max()
    assert report.largest_residual == np.abs(maps).max()
    assert report.auc_difference == pytest.approx(abs(areas[0] - areas[1])) != 0


def test_without_masks(pair, images):
    assert parity_report(*pair, images).auc_difference is None


def test_the_report_is_printed(capsys):
    print(ParityReport(3, 1.23e-6, 0.5, 0.00012))
    print(ParityReport(1, 0.0, 2.0, None))
    assert capsys.readouterr().out == (
        "Residual maps of 3 image(s) differ by at most 1.2e-06, where residuals reach 0.5; their "
        "pixel ROC AUC differs by 1.2e-04.\n"
        "Residual maps of 1 image(s) differ by at most 0.0e+00, where residuals reach 2.\n"
    )
