"""Checks that every public function passes with any arguments."""

import math
import re
from pathlib import Path

import numpy as np
import of_datasets
import of_estimators
import of_losses
import of_metrics
import pytest
from call import Call, check_call
from hypothesis import HealthCheck, Phase, given, settings

CALLS = [*of_datasets.CALLS, *of_estimators.CALLS, *of_losses.CALLS, *of_metrics.CALLS]
MANY, FEW, LEAST = 20_000, 150, 2


np.set_printoptions(threshold=20)  # Failing arguments are printed.


def run(call: Call, total: int, *, derandomize: bool) -> None:
    @settings(
        max_examples=max(LEAST, math.ceil(total * call.share / sum(c.share for c in CALLS))),
        derandomize=derandomize,
        deadline=None,
        phases=[Phase.generate],  # No shrinking: the examples are small.
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(situation=call.situations())
    def passes_the_check(situation):
        check_call(call, situation)

    passes_the_check()


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_few(call):
    run(call, FEW, derandomize=True)


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_many(call):
    run(call, MANY, derandomize=False)


# Types of results, and names that the other calls cover.
COVERED_BY_OTHERS = {
    *("SSIMComponents", "PixelF1Max", "DefectiveImages", "SelectionSet", "VariationalOutput"),
    *("L2Loss", "L1Loss", "load_feature_extractor", "ImageNetFeatures", "initialize_autoencoder"),
    *(
        "fold_normalization",
        "InterruptedFitWarning",
        "SelectionWarning",
        "UnlearnedTextureWarning",
        "ModeCollapseWarning",
        "IntensityRangeWarning",
        "SmallImageWarning",
        "image_estimator_checks",
    ),
    # It has no arguments; its docstring runs it.
    "self_similarity_protocol",
    *("SegmentedBlock", "SegmentedImage", "ParityReport", "TailProbability", "Posteriors"),
    # It trains candidates for seconds; tests/model_selection/test_tune.py covers it.
    *("tune", "TuningResult", "Trial", "Candidate", "TuningStep", "BudgetWarning"),
    # Run by image_estimator_checks.
    *("PatchDictionarySegmenter", "FeatureDictionarySegmenter", "EnsembleSegmenter"),
    *("SparseDictionarySegmenter", "BaseDictionarySegmenter", "DictionaryParameters"),
    # Base classes and their tables, covered by the families.
    *("Segmentation", "BaseAutoencoderSegmenter", "ReconstructionNet", "Parameter", "Role"),
    *("L2Residual", "L1Residual", "SSIMResidual", "MultiScaleSSIMResidual"),
    *("LikelihoodResidual", "ReconstructionErrorResidual", "DivergenceResidual"),
    *("SegmenterParameters", "AutoencoderParameters", "all_segmenters"),
    # Its fit is the template that the families cover; arguments of its own are few, and covered by
    # tests/estimators/test_ensemble.py.
    "EnsembleSegmenter",
}


def test_every_public_name_is_called():
    reference = (Path(__file__).parents[2] / "docs" / "api.rst").read_text()
    names = set(re.findall(r"^   (\w+)$", reference, re.MULTILINE))
    called = {part for call in CALLS for part in re.findall(r"\w+", call.name)}
    assert names - called <= COVERED_BY_OTHERS
    assert names
