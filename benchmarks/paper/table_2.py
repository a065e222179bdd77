"""Table 2: AUC of the SSIM autoencoder over latent dimension, window size and patch size."""

from typing import Any

from _data import NANOTWICE, Dataset, find
from _scores import MAPS, score
from _studio import Studio

ROWS: dict[str, tuple[int, ...]] = {
    "latent_dim": (50, 100, 200, 500, 1000),
    "window_size": (3, 7, 11, 15, 19),
    "patch_size": (32, 64, 128),
}


def run(studio: Studio, only: tuple[str, ...] = tuple(ROWS)) -> None:
    """Train one network per cell; the other parameters keep the paper's 500, 11 and 128."""
    for dataset in find((NANOTWICE,), studio.data):
        for parameter in only:
            cells = {value: cell(studio, dataset, parameter, value) for value in ROWS[parameter]}
            rows = [
                [value, maps, scores["pixel_roc_auc"], scores["pro_auc"]]
                for value, result in cells.items()
                for maps, scores in result["scores"].items()
            ]
            columns = [parameter, "residual maps", "pixel AUC", "PRO AUC"]
            studio.save_table(f"table-2-{parameter}", columns, rows)


def cell(studio: Studio, dataset: Dataset, parameter: str, value: int) -> dict[str, Any]:
    """Return the scores of one cell, from their file or from a segmenter."""
    defaults = {"latent_dim": 500, "window_size": 11, "patch_size": 128}
    params = {} if defaults[parameter] == value else {parameter: value}
    patches = studio.budget.table_patches
    name = "-".join(["table-2", dataset.name, *(f"{k}-{v}" for k, v in params.items())])
    return studio.keep(
        name, MAPS, lambda: score(studio.train(dataset, "SSIM", patches=patches, **params), dataset)
    )
