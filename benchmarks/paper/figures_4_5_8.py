"""Figures 4, 5 and 8: fabric defects of high and low contrast, with results of L2 and SSIM."""

import numpy as np
from _data import FABRICS, MVTEC, TEXTURES, find
from _studio import Studio
from matplotlib import pyplot as plt

from sk_ssimae._reading._files import read_image


def run(studio: Studio) -> None:
    """Show, for each fabric, the defects with the largest and smallest shift of the mean."""
    for dataset in find(TEXTURES + FABRICS + MVTEC, studio.data):
        images = [grey(read_image(path, str(path)).pixels) for path in dataset.defective]
        shifts = [shift(image, mask) for image, mask in zip(images, dataset.masks, strict=True)]
        order = np.argsort(shifts)[::-1]
        shown = {"high contrast": order[0], "low contrast": order[-1]}
        rows = []
        figure, axes = plt.subplots(2, 7, figsize=(16, 5), layout="constrained")
        for row, (kind, index) in zip(axes, shown.items(), strict=True):
            show(row, studio, dataset, kind, int(index), images[index])
            rows.append([kind, dataset.defective[index].name, float(shifts[index])])
        columns = ["defect", "image", "shift of the mean in standard deviations"]
        studio.save_table(f"figures-4-5-8-{dataset.name}", columns, rows)
        studio.save_figure(f"figures-4-5-8-{dataset.name}", figure)
        plt.close(figure)


def show(row, studio, dataset, kind, index, image) -> None:
    """Draw the input, and the reconstruction, residual map and mask of L2 and of SSIM."""
    mask = dataset.masks[index]
    panels = [(kind, image, "gray")]
    for family in ("L2", "SSIM"):
        segmenter = studio.train(dataset, family)
        picture = [dataset.defective[index]]
        panels += [
            (f"{family} reconstruction", grey(segmenter.reconstruct(picture)[0]), "gray"),
            (f"{family} residual", segmenter.decision_function(picture)[0], "inferno"),
            (f"{family} mask", segmenter.predict(picture)[0], "gray"),
        ]
    for axis, (title, panel, colours) in zip(row, panels, strict=True):
        axis.imshow(panel, cmap=colours, vmin=0, vmax=None if colours == "inferno" else 1)
        axis.contour(mask, [0.5], colors="tab:cyan", linewidths=0.8)
        axis.set_title(title)
        axis.set_axis_off()


def grey(image: np.ndarray) -> np.ndarray:
    """Average the channels, and scale integers to [0, 1]."""
    image = image / np.iinfo(image.dtype).max if image.dtype.kind == "u" else image
    return image if image.ndim == 2 else image.mean(axis=-1)


def shift(image: np.ndarray, mask: np.ndarray) -> float:
    """Compute the shift of the mean in a defect, in standard deviations of the good pixels."""
    return abs(image[mask].mean() - image[~mask].mean()) / image[~mask].std()
