"""Evaluate the SSIM and L2 networks in several ways, to find the one that the paper used.

Images and reconstructions are those of Figures 6 and 7, as published. The paper may have used a way
that reproduces both its AUC and its share of regions.
"""

from collections.abc import Callable

import numpy as np
import torch
from _data import NANOTWICE, Dataset, find
from _field import PUBLISHED
from _scores import PUBLISHED_MAPS, SHARE, overlaps_at_published_rate, share_above
from _studio import Studio
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from sk_ssimae._images import Images
from sk_ssimae._inference._decision import open_map
from sk_ssimae._pixels import as_unit_float
from sk_ssimae.estimators import BaseAutoencoderSegmenter
from sk_ssimae.losses import L2Loss, SSIMLoss
from sk_ssimae.metrics import pixel_roc_auc_score

LOSSES = {"SSIM": SSIMLoss(), "L2": L2Loss()}
Map = NDArray[np.float32]
Compare = Callable[[Tensor, Tensor], Tensor]
# From an image, its reconstruction and the function that compares them to the map to score.
Way = Callable[[Tensor, Tensor, Compare], Map]


def at_full_scale(image: Tensor, reconstruction: Tensor, compare: Compare) -> Map:
    """Compute the residual map, as published."""
    residual: Map = compare(image, reconstruction)[0].numpy()
    return residual


def followed_by(process: Callable[[Map], Map]) -> Way:
    """Return a way that processes the residual map."""
    return lambda *arguments: process(at_full_scale(*arguments))


def at_scale_of(divisor: int) -> Way:
    """Return a way that compares shrunk images and enlarges the map."""

    def compared(image: Tensor, reconstruction: Tensor, compare: Compare) -> Map:
        shrunk = [avg_pool2d(each, divisor, ceil_mode=True) for each in (image, reconstruction)]
        enlarged = interpolate(compare(*shrunk)[:, None], scale_factor=divisor, mode="bilinear")
        height, width = image.shape[-2:]
        residual: Map = enlarged[0, 0, :height, :width].numpy()
        return residual

    return compared


WAYS: dict[str, Way] = {
    "as published": at_full_scale,
    "opened, disk of diameter 4": followed_by(lambda residual: open_map(residual, 4)),
    "opened, disk of diameter 9": followed_by(lambda residual: open_map(residual, 9)),
    "compared at half the scale": at_scale_of(2),
    "compared at a quarter of the scale": at_scale_of(4),
    "each map scaled to [0, 1]": followed_by(
        lambda residual: (residual - residual.min()) / np.ptp(residual)
    ),
    **{
        f"averaged over {side} x {side} pixels": followed_by(
            lambda residual, side=side: ndimage.uniform_filter(residual, side)
        )
        for side in (4, 8, 16, 20, 24)
    },
    **{
        f"smoothed, sigma {sigma}": followed_by(
            lambda residual, sigma=sigma: ndimage.gaussian_filter(residual, sigma)
        )
        for sigma in (1, 2, 3, 4, 5, 6, 7)
    },
}


def run(studio: Studio) -> None:
    """Train and score the missing networks, and write all evaluations to one table."""
    for dataset in find((NANOTWICE,), studio.data):
        results = {family: scores(studio, dataset, family) for family in LOSSES}
        columns = ["evaluation"]
        published = ["the paper"]
        for family in LOSSES:
            columns += [f"{family}: pixel AUC", f"{family}: {SHARE}"]
            printed = PUBLISHED[dataset.name, family.lower()]
            published += printed.pixel_roc_auc, printed.share_above
        rows = [[way, *(score for each in results.values() for score in each[way])] for way in WAYS]
        studio.save_table(f"evaluations-{dataset.name}", columns, [published, *rows])


def scores(studio: Studio, dataset: Dataset, family: str) -> dict[str, list[float]]:
    """Return the scores of one family by way, from their file or from a segmenter."""
    return studio.keep(
        f"evaluations-{dataset.name}-{family}",
        {"ways": list(WAYS), "scores": ["pixel AUC", SHARE]},
        lambda: evaluate(studio.train(dataset, family), dataset, LOSSES[family].residual_map),
    )


def evaluate(
    segmenter: BaseAutoencoderSegmenter, dataset: Dataset, compare: Compare
) -> dict[str, list[float]]:
    """Compute pixel AUC and share of regions for each way."""
    reconstructions = segmenter.set_params(**PUBLISHED_MAPS).reconstruct(dataset.defective)
    pairs = [
        (as_batch(as_unit_float(image[..., 0])), as_batch(reconstruction))
        for image, reconstruction in zip(Images(dataset.defective), reconstructions, strict=True)
    ]
    by_way = {}
    for name, way in WAYS.items():
        maps = [way(*pair, compare) for pair in pairs]
        auc = pixel_roc_auc_score(dataset.masks, maps)
        by_way[name] = [auc, share_above(overlaps_at_published_rate(dataset.masks, maps))]
    return by_way


def as_batch(image: NDArray[np.float32]) -> Tensor:
    """Make a batch (1, 1, h, w) of a grey image."""
    return torch.from_numpy(image)[None, None]
