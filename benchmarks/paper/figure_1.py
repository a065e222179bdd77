"""Figure 1: a nanofibre defect with the reconstructions and residual maps of L2 and SSIM."""

import numpy as np
from _data import NANOTWICE, find
from _scores import PUBLISHED_MAPS
from _sets import CHOOSING_IMAGES
from _studio import Studio
from matplotlib import pyplot as plt
from scipy import ndimage
from skimage.io import imread

SIDE = 256  # Side of the crop in pixels.


def run(studio: Studio) -> None:
    """Show the largest defect, and its surroundings, of one of the choosing images."""
    for dataset in find((NANOTWICE,), studio.data):
        index = CHOOSING_IMAGES[0]  # The paper does not name its image.
        image, mask = imread(dataset.defective[index]), dataset.masks[index]
        crop = around_largest(mask)
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
                axis.imshow(picture[crop], cmap=colours, **limits)
                axis.contour(mask[crop], [0.5], colors="tab:cyan", linewidths=0.8)
                axis.set_title(title)
                axis.set_axis_off()
        studio.save_figure("figure-1", figure)
        plt.close(figure)


def around_largest(mask: np.ndarray) -> tuple[slice, slice]:
    """Return the crop around the largest region, within the image."""
    labels, _ = ndimage.label(mask)
    largest = np.bincount(labels.ravel())[1:].argmax() + 1
    centre = ndimage.center_of_mass(labels == largest)
    starts = [
        int(np.clip(middle - SIDE / 2, 0, length - SIDE))
        for middle, length in zip(centre, mask.shape, strict=True)
    ]
    return tuple(slice(start, start + SIDE) for start in starts)
