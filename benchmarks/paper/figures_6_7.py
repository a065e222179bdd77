"""Figures 6 and 7: ROC curves and region overlap of all four estimators on one budget.

Systems of the field take part on request. Networks have the paper's sizes of images, patches and
latent vectors, as the four do, and its stride. Dictionaries have only its image size, and their own
defaults. Slow methods have the finest of their settings that takes at most five minutes a map.
"""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from _data import ALL, Dataset, find
from _field import METHODS, PUBLISHED, count_megapixels
from _rows import settings_of
from _scores import MAPS, RATES, SHARE, score
from _settings import FAMILIES, title_of
from _studio import Studio
from matplotlib import pyplot as plt
from sklearn.base import clone

from sk_ssimae import paper_protocol
from sk_ssimae.plotting import PixelRocCurveDisplay, RegionOverlapDisplay

# Most seconds of a slow method for the maps of a data set.
SECONDS = 300


def run(studio: Studio) -> None:
    """Train and score the missing networks and draw the curves, for each data set in turn."""
    for dataset in find(ALL, studio.data):
        results = {family: scores(studio, dataset, family) for family in FAMILIES}
        results |= {name: field_scores(studio, dataset, name) for name in studio.field}
        save_table(studio, dataset, results)
        for maps in MAPS:
            draw(studio, dataset, results, maps)


def scores(studio: Studio, dataset: Dataset, family: str) -> dict[str, Any]:
    """Return the scores of one family, from their file or from a segmenter."""
    features = "-alexnet" if family == "FM" and studio.alexnet else ""
    return studio.keep(
        f"{dataset.name}-{family}{features}",
        MAPS,
        lambda: score(studio.train(dataset, family), dataset),
    )


def field_scores(studio: Studio, dataset: Dataset, name: str) -> dict[str, Any]:
    """Return the scores of a system of the field, from their file or from a segmenter."""
    method = METHODS[name]
    params = setting_of(name, dataset)
    image_size = paper_protocol(dataset.protocol)["image_size"]
    segmenter = method.make(studio.seed, params | {"image_size": image_size})

    def compute() -> dict[str, Any]:
        if method.is_network:
            later = method.of_inference(params)
            return score(studio.train(dataset, name).set_params(**later), dataset)
        start = time.perf_counter()
        segmenter.fit(dataset.good)
        return score(segmenter, dataset, time.perf_counter() - start)

    settings = {"maps": MAPS, "segmenter": settings_of(clone(segmenter))}
    return studio.keep(f"{dataset.name}-field-{name}", settings, compute)


def setting_of(name: str, dataset: Dataset) -> dict[str, Any]:
    """Return the parameters of a slow method, none for others."""
    method = METHODS[name]
    if not method.settings:
        return {}
    megapixels = sum(mask.size for mask in dataset.masks) / 1e6
    return method.choose(megapixels, count_megapixels(dataset.good), SECONDS).params


def save_table(studio: Studio, dataset: Dataset, results: dict) -> None:
    """Write a table of our results, each followed by the published one."""
    columns = [
        "segmenter",
        "source",
        "residual maps",
        "pixel AUC",
        "PRO AUC",
        SHARE,
        "least overlap",
        "training seconds",
    ]
    rows = [row for name in results for row in table_rows(studio, dataset, name, results[name])]
    studio.save_table(f"figures-6-7-{dataset.name}", columns, rows)


def table_rows(
    studio: Studio, dataset: Dataset, name: str, result: dict[str, Any]
) -> Iterator[list[Any]]:
    """Yield our rows of a method, and the published one if there is any."""
    title = title_of(name, studio.alexnet)
    setting = setting_of(name, dataset) if name in METHODS else {}
    ours = ", ".join(["ours", *(f"{key}={value}" for key, value in setting.items())])
    for maps, values in result["scores"].items():
        scores = [values[key] for key in ("pixel_roc_auc", "pro_auc", "share_above")]
        overlap, seconds = values["minimal_overlap"], round(result["training_seconds"])
        yield [title, ours, maps, *scores, overlap, seconds]
    printed = PUBLISHED.get((dataset.name, name.lower()))
    if printed is not None:
        scores = [printed.pixel_roc_auc, "", printed.share_above, printed.least_overlap]
        yield [title, f"published: {printed.source}", "published", *scores, ""]


def draw(studio: Studio, dataset: Dataset, results: dict, maps: str) -> None:
    """Draw the curves of all families."""
    figure, (roc, overlap) = plt.subplots(1, 2, figsize=(11, 4.8), layout="constrained")
    for family, result in results.items():
        values = result["scores"][maps]
        title = title_of(family, studio.alexnet)
        PixelRocCurveDisplay(
            np.array(values["fpr"]),
            np.array(values["tpr"]),
            roc_auc=values["pixel_roc_auc"],
            name=title,
        ).plot(roc)
        RegionOverlapDisplay(RATES, np.array(values["overlaps"]), name=title).plot(overlap)
    figure.suptitle(f"{dataset.name}, budget {studio.budget.name}, {maps} residual maps")
    studio.save_figure(f"figures-6-7-{dataset.name}-{maps}", figure)
    plt.close(figure)
