"""Figure 3: strokes and dots on a checkerboard, measured by l2, by l, c and s, and by SSIM.

An L2 autoencoder trains on checkerboards of various scales and orientations. They are larger than a
patch: if every patch were a whole board, the network would memorize them. No data set is needed.
"""

import numpy as np
import torch
from _data import Dataset
from _studio import Studio
from matplotlib import pyplot as plt
from skimage import draw

from sk_ssimae.datasets import make_checkerboards
from sk_ssimae.losses import ssim_components, ssim_map
from sk_ssimae.metrics import pixel_roc_auc_score

N_BOARDS = 300
STROKES = [((24, 18), (44, 40)), ((88, 30), (104, 62)), ((30, 84), (62, 104))]
DOTS = [(64, 40), (24, 60), (100, 94), (76, 78)]
GREY = 0.5


def run(studio: Studio) -> None:
    """Draw defects on a board, reconstruct it, and show the residual map of each measure."""
    good = make_checkerboards(N_BOARDS, shape=(256, 256), random_state=studio.seed)
    boards = Dataset("checkerboards", list(good), [], [], "textures")
    segmenter = studio.train(boards, "L2", image_size=None, stride=128, augmentation="dihedral")
    board = make_checkerboards(1, shape=(128, 128), random_state=studio.seed + 1)[0]
    defective, mask = draw_strokes_and_dots(board)
    reconstruction = segmenter.reconstruct([defective])[0]
    residuals = measure(defective, reconstruction)
    rows = [
        [name, pixel_roc_auc_score([mask], [residual]), *contrast(residual, mask)]
        for name, residual in residuals.items()
    ]
    columns = ["residual", "pixel AUC", "mean in defects", "mean elsewhere"]
    studio.save_table("figure-3", columns, rows)
    figure, axes = plt.subplots(1, 7, figsize=(15, 2.6), layout="constrained")
    pictures = {"input": defective, "reconstruction": reconstruction} | residuals
    for axis, (title, picture) in zip(axes, pictures.items(), strict=True):
        is_image = title in ("input", "reconstruction")
        axis.imshow(picture, cmap="gray" if is_image else "inferno", vmin=0, vmax=1)
        axis.set_title(title)
        axis.set_axis_off()
    studio.save_figure("figure-3", figure)
    plt.close(figure)


def draw_strokes_and_dots(board: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draw grey strokes and dots; return the board and their mask."""
    mask = np.zeros(board.shape, dtype=bool)
    for start, stop in STROKES:
        for shift in (-1, 0, 1):
            rows, columns = draw.line(start[0] + shift, start[1], stop[0] + shift, stop[1])
            mask[rows, columns] = True
    for dot in DOTS:
        mask[draw.disk(dot, 3.5, shape=board.shape)] = True
    defective = board.copy()
    defective[mask] = GREY
    return defective, mask


def measure(image: np.ndarray, reconstruction: np.ndarray) -> dict[str, np.ndarray]:
    """Compute residual maps: 1 minus each similarity, and the squared difference."""
    x, y = (torch.from_numpy(picture)[None, None] for picture in (image, reconstruction))
    components = ssim_components(x, y)._asdict()
    similarities = components | {"SSIM": ssim_map(x, y)}
    squares = {"l2": ((x - y) ** 2)[0, 0].numpy()}
    return squares | {name: 1 - maps[0, 0].numpy() for name, maps in similarities.items()}


def contrast(residual: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """Average a residual map in the defects and elsewhere."""
    return float(residual[mask].mean()), float(residual[~mask].mean())
