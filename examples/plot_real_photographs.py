"""
Will it find a defect in a photograph of my material?
=====================================================

Fabric and nanofibres suit the method. Bricks, grass and gravel are harder: this example trains a
dictionary on parts of three photographs that come with scikit-image, and paints defects into other
parts. On bricks, whose texture repeats, the verdict finds cuts and stains, but only three of eight
contaminations. On grass and gravel a cut is brighter in the map than most good parts. Single good
leaves and stones are as bright, so that the verdict finds no defect. Stains as grey as the
stones around them are hardly in the map.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage import data

from sk_ssimae import PatchDictionarySegmenter
from sk_ssimae.datasets import draw_defects
from sk_ssimae.metrics import pixel_roc_auc_score

# %%
# Train on the upper three quarters of each photograph, in 12 tiles of 128 × 128 pixels. The lowest
# four tiles are for the test: as they are, and with defects of three families.


def cut_into_tiles(photograph):
    return np.stack([tile for row in np.vsplit(photograph, 4) for tile in np.hsplit(row, 4)])


photographs = {"bricks": data.brick(), "grass": data.grass(), "gravel": data.gravel()}
families = ("cut", "contamination", "stain")
pictures = {}
print(f"{'':<24}AUC     found   good tiles flagged")
for name, photograph in photographs.items():
    tiles = cut_into_tiles(photograph)
    segmenter = PatchDictionarySegmenter(random_state=0).fit(tiles[:12])
    n_flagged = sum(mask.any() for mask in segmenter.predict(tiles[12:]))
    for family in families:
        images, masks = draw_defects(
            np.concatenate([tiles[12:], tiles[12:]]), families=[family], random_state=0
        )
        maps, marked = segmenter.decision_function(images), segmenter.predict(images)
        n_found = (marked & masks).any(axis=(1, 2)).sum()
        score = pixel_roc_auc_score(masks, maps)
        print(f"{name:<8}{family:<16}{score:.3f}   {n_found} of 8  {n_flagged} of 4")
        if family == "cut":
            pictures[name] = images[0], masks[0], maps[0], marked[0], segmenter.threshold_

# %%
# A cut on each material, its map and its mask: the true outline is yellow. The verdict finds it
# where the opened map exceeds the threshold, the upper end of the colours. Opening removes the
# bright spot on grass, which exceeds it. More good images than 12 bring the threshold down, if they
# show the same material: three of these were held out to find it.

fig, axes = plt.subplots(3, 3, figsize=(9, 9), layout="constrained")
for column, (name, (image, mask, residual_map, marked, threshold)) in zip(
    axes.T, pictures.items(), strict=True
):
    column[0].imshow(image, cmap="gray", vmin=0, vmax=255)
    column[0].set_title(name)
    column[1].imshow(residual_map, cmap="magma", vmin=np.median(residual_map), vmax=threshold)
    column[2].imshow(marked, cmap="gray")
    for ax in column:
        ax.contour(mask, [0.5], colors="yellow", linewidths=0.8)
        ax.set_axis_off()
