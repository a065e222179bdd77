"""Figures 6 and 7: ROC curves and region overlap of all four estimators on one budget."""

from typing import Any

import numpy as np
from _data import ALL, Dataset, find
from _scores import MAPS, PUBLISHED, RATES, SHARE, score
from _settings import FAMILIES, title_of
from _studio import Studio
from matplotlib import pyplot as plt

from sk_ssimae.plotting import PixelRocCurveDisplay, RegionOverlapDisplay


def run(studio: Studio) -> None:
    """Train and score the missing networks and draw the curves, for each data set in turn."""
    for dataset in find(ALL, studio.data):
        results = {family: scores(studio, dataset, family) for family in FAMILIES}
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


def save_table(studio: Studio, dataset: Dataset, results: dict) -> None:
    """Write a table of our results and the published ones."""
    rows = []
    for family, result in results.items():
        auc, share = PUBLISHED.get((dataset.name, family), ("", ""))
        for maps, values in result["scores"].items():
            rows.append(
                [
                    title_of(family, studio.alexnet),
                    maps,
                    values["pixel_roc_auc"],
                    auc,
                    values["pro_auc"],
                    values["share_above"],
                    share,
                    values["minimal_overlap"],
                    round(result["training_seconds"]),
                ]
            )
    columns = [
        "segmenter",
        "residual maps",
        "pixel AUC",
        "published",
        "PRO AUC",
        SHARE,
        "published",
        "least overlap",
        "training seconds",
    ]
    studio.save_table(f"figures-6-7-{dataset.name}", columns, rows)


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
