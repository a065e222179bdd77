"""
Why not just subtract the reconstruction?
=========================================

An autoencoder blurs its reconstructions. At sharp edges, the squared difference is therefore large
without any defect, and a faint stroke on a plain background is lost among them. Luminance, contrast
and structure, the components of SSIM, respond differently. This example follows Figure 3 of the
paper, on checkerboards.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from skimage import draw

from sk_ssimae import L2AutoencoderSegmenter
from sk_ssimae.datasets import make_checkerboards
from sk_ssimae.losses import ssim_components, ssim_map
from sk_ssimae.metrics import pixel_roc_auc_score

# %%
# The network trains with the squared error on good boards of several sizes, in all orientations.

boards = make_checkerboards(60, shape=(96, 96), square_size=(14, 20), random_state=0)
segmenter = L2AutoencoderSegmenter(
    patch_size=32, stride=8, n_patches=1200, max_epochs=4, batch_size=32, random_state=0
).fit(boards)

# %%
# Strokes and dots on another board are the defects: slightly darker on bright squares, slightly
# brighter on dark squares.

board = make_checkerboards(1, shape=(96, 96), square_size=(14, 20), random_state=1)[0]
mask = np.zeros(board.shape, dtype=bool)
for row, column, next_row, next_column in [(14, 12, 26, 40), (60, 20, 84, 30), (40, 60, 34, 88)]:
    for shift in (0, 1):
        mask[draw.line(row + shift, column, next_row + shift, next_column)] = True
for dot in [(46, 22), (20, 70), (74, 54), (66, 82)]:
    mask[draw.disk(dot, 2.5)] = True
defective = np.where(mask, board + 0.2 * np.where(board > 0.5, -1, 1), board).astype(np.float32)
reconstruction = segmenter.reconstruct([defective])[0]

# %%
# Compare image and reconstruction by each measure. Windows of 5 pixels fit into the squares. The
# last measure gives structure more weight and ignores areas of low contrast.

window = {"window_size": 5}
x, y = (torch.from_numpy(image)[None, None] for image in (defective, reconstruction))
parts = ssim_components(x, y, **window)._asdict()
maps = {"squared difference": (x - y) ** 2}
maps |= {f"1 - {name}": 1 - part for name, part in parts.items()}
maps["1 - SSIM"] = 1 - ssim_map(x, y, **window)
maps["1 - SSIM, gamma=3, c2=0.003"] = 1 - ssim_map(x, y, gamma=3, c2=0.003, **window)
maps = {name: values[0, 0].numpy() for name, values in maps.items()}
for name, residual in maps.items():
    print(f"{name:<28} pixel ROC AUC {pixel_roc_auc_score([mask], [residual]):.3f}")

# %%
# The squared difference shows the edges. Structure has by far the largest area: it finds strokes
# and dots, because they are missing from the reconstruction, though two of the dots hardly show.
# This small network, trained briefly, leaves ripples on plain squares. Contrast reacts to them
# most, and so does the product of the three: SSIM as a whole is worse here than the squared
# difference. With more weight on structure it is better. For such maps, set
# ``residual_params={"gamma": 3, "c2": 0.003}`` of :class:`~sk_ssimae.SSIMAutoencoderSegmenter`.

fig, axes = plt.subplots(2, 4, figsize=(11, 6), layout="constrained")
pictures = {"image": defective, "reconstruction": reconstruction} | maps
for ax, (title, picture) in zip(axes.ravel(), pictures.items(), strict=True):
    if title in maps:
        ax.imshow(picture, cmap="magma", vmin=0, vmax=np.quantile(picture, 0.995))
    else:
        ax.imshow(picture, cmap="gray", vmin=0, vmax=1)
    ax.set_title(title)
    ax.set_axis_off()
