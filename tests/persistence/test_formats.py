"""Files that make_format.py wrote, once a format: they are always read as they were."""

import gzip
import math
from pathlib import Path

import numpy as np
import pytest

from sk_ssimae.persistence import load

DATA = Path(__file__).parent / "data"
# As make_format.py printed them: threshold_, then mean and two pixels of a residual map.
UNTIL_FORMAT_2 = {
    "SSIMAutoencoderSegmenter": (
        1.0047776699066162, 1.000767707824707, 1.0000532865524292, 1.0000077486038208,
    ),
    "L2AutoencoderSegmenter": (
        0.05, 0.3386675715446472, 0.3019815981388092, 0.44875821471214294,
    ),
    "VariationalAutoencoderSegmenter": (
        6.151307106018066, 6.1508612632751465, 6.151309013366699, 6.150936603546143,
    ),
    "FeatureMatchingAutoencoderSegmenter": (
        0.3864697515964508, 0.4620085656642914, 0.5274955630302429, 0.31727856397628784,
    ),
}  # fmt: skip
FORMAT_3 = {
    "SSIMAutoencoderSegmenter": (
        1.0048998594284058, 1.0006685256958008, 1.0000534057617188, 1.00001859664917,
    ),
    "L2AutoencoderSegmenter": (
        0.05, 0.3396410048007965, 0.3023378551006317, 0.4459899663925171,
    ),
    "VariationalAutoencoderSegmenter": (
        6.151307106018066, 6.1508612632751465, 6.151309013366699, 6.151113510131836,
    ),
    "FeatureMatchingAutoencoderSegmenter": (
        0.37666258215904236, 0.47916924953460693, 0.5274955630302429, 0.3471624255180359,
    ),
}  # fmt: skip
EXPECTED = {1: UNTIL_FORMAT_2, 2: UNTIL_FORMAT_2, 3: FORMAT_3}
PARAMETERS = {
    "SSIMAutoencoderSegmenter": {
        "window_size": 7,
        "window": "gaussian",
        "image_size": (32, 48),
        "residual_params": {"gamma": 3, "c2": 3e-3},
    },
    "L2AutoencoderSegmenter": {"normalization": None, "threshold": 0.05, "smoothing": 1.5},
    "VariationalAutoencoderSegmenter": {"residual": "kl", "lr": np.float64(1e-3)},
    "FeatureMatchingAutoencoderSegmenter": {"feature_extractor": "alexnet", "feature_weight": 1},
}
IMAGE = np.float32(
    0.5 + 0.3 * np.sin(np.arange(40) / 2)[:, None] * np.cos(np.arange(56) / 3)
)  # Nothing that a generator of random numbers makes.
# Parameters that came after format 1; 0.25 was the default of `cutout` when the files of format 2
# were written.
BY_FORMAT = {
    1: {"cutout": 0, "taper": 0},
    2: {"cutout": 0.25, "taper": 0},
    3: {"cutout": 0, "taper": 0.25},
}


@pytest.fixture(params=BY_FORMAT)
def version(request):
    return request.param


@pytest.fixture(params=PARAMETERS)
def released(version, request, tmp_path):
    packed = DATA / f"format_{version}_{request.param}.safetensors.gz"
    path = tmp_path / "a.safetensors"
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    return load(path, device="cpu")


def test_results_are_those_of_the_version_that_wrote_the_file(version, released):
    threshold, mean, *pixels = EXPECTED[version][type(released).__name__]
    assert released.threshold_ == threshold
    (residual_map,) = released.decision_function([IMAGE])
    found = [residual_map.mean(), residual_map[3, 5], residual_map[30, 40]]
    np.testing.assert_allclose(found, [mean, *pixels], rtol=2e-5)
    assert released.predict([IMAGE])[0].shape == IMAGE.shape


def test_what_stands_beside_the_weights(version, released):
    params = PARAMETERS[type(released).__name__] | BY_FORMAT[version]
    shared = {"latent_dim": 4, "patch_size": 16, "stride": 8, "n_patches": 32, "random_state": 0}
    assert (shared | params).items() <= released.get_params().items()
    assert (released.n_channels_, released.n_defective_dropped_) == (1, 0)
    assert [row["epoch"] for row in released.history_] == [1, 2]
    assert all(math.isfinite(row["train_loss"]) and row["dur"] > 0 for row in released.history_)
    if isinstance(released.threshold, str):
        assert released.calibration_[1:] == ("pixel_fpr", 0.01, "images", 3)
