"""Figure 1: a nanofibre defect, its reconstructions and residual maps, L2 beside SSIM."""

import numpy as np
from _common import CHOOSING_IMAGES
from _data import NANOTWICE, find
from _scores import PUBLISHED_MAPS
from _studio import Studio
from matplotlib import pyplot as plt
from scipy import ndimage
from skimage.io import imread

SIDE = 256  # Of the cut shown, in pixels.


def run(studio: Studio) -> None:
    """Show the surroundings of the defect that is largest in one of the images chosen on."""
    for dataset in find((NANOTWICE,), studio.data):
        index = CHOOSING_IMAGES[0]  # The publication does not name its image.
        image, mask = imread(dataset.defective[index]), dataset.masks[index]
        cut = around_largest(mask)
        figure, axes = plt.subplots(2, 3, figsize=(9, 6.2), layout="constrained")
        for row, family in zip(axes, ("L2", "SSIM"), strict=True):
            segmenter = studio.train(dataset, family).set_params(**PUBLISHED_MAPS)
            pictures = {
                dataset.defective[index].stem: (image / 255, "gray"),
                f"{family} reconstruction": (segmenter.reconstruct([image])[0], "gray"),
                f"{family} residual": (segmenter.decision_function([image])[0], "inferno"),
            }
            for axis, (title, (picture, colours)) in zip(row, pictures.items(), strict=True):
                limits = {"vmin": 0, "vmax": 1} if colours == "gray" else {"vmin": 0}
                axis.imshow(picture[cut], cmap=colours, **limits)
                axis.contour(mask[cut], [0.5], colors="tab:cyan", linewidths=0.8)
                axis.set_title(title)
                axis.set_axis_off()
        studio.save_figure("figure-1", figure)
        plt.close(figure)


def around_largest(mask: np.ndarray) -> tuple[slice, slice]:
    """Cut a square round the largest region, inside the image."""
    labels, _ = ndimage.label(mask)
    largest = np.bincount(labels.ravel())[1:].argmax() + 1
    centre = ndimage.center_of_mass(labels == largest)
    starts = [
        int(np.clip(middle - SIDE / 2, 0, length - SIDE))
        for middle, length in zip(centre, mask.shape, strict=True)
    ]
    return tuple(slice(start, start + SIDE) for start in starts)
