import functools
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from torch import nn

from sk_ssimae import estimators
from sk_ssimae.datasets import draw_defects, make_woven_fabric

matplotlib.use("Agg")
torch.set_num_threads(1)  # Networks are tiny here, and tests run in parallel.

SEGMENTERS = [
    cls
    for cls in estimators.all_segmenters().values()
    if issubclass(cls, estimators.BaseAutoencoderSegmenter)
]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", help="device of the estimators")


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> str:
    return str(request.config.getoption("--device"))


@pytest.fixture(scope="session")
def tiny(device: str) -> dict[str, Any]:
    """Return parameters of a segmenter that trains quickly."""
    return {
        "latent_dim": 8,
        "patch_size": 16,
        "stride": 8,
        "n_patches": 64,
        "batch_size": 16,
        "max_epochs": 2,
        "random_state": 0,
        "device": device,
    }


@pytest.fixture(scope="session")
def good() -> np.ndarray:
    images = make_woven_fabric(4, shape=(40, 56), thread_spacing=6, random_state=0)
    images.flags.writeable = False
    return images


@pytest.fixture(scope="session")
def defective(good: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    images, masks = draw_defects(good, random_state=0)
    images.flags.writeable = masks.flags.writeable = False
    return images, masks


def with_extractor(cls: Any) -> Any:
    """Bind a small feature extractor to a class that needs one."""
    if cls is not estimators.FeatureMatchingAutoencoderSegmenter:
        return cls
    made = functools.partial(cls, feature_extractor=nn.AvgPool2d(4))
    functools.update_wrapper(made, cls, updated=())
    return made


@pytest.fixture(params=SEGMENTERS, ids=lambda cls: cls.__name__)
def segmenter_class(request: pytest.FixtureRequest) -> Any:
    return with_extractor(request.param)


@pytest.fixture(scope="session")
def all_segmenter_classes() -> list[Any]:
    return [with_extractor(cls) for cls in SEGMENTERS]


@pytest.fixture
def disk_full():
    """Make the system refuse to write large files, as if the disk were full."""
    import resource  # Windows has none.

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
