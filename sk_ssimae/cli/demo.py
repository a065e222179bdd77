"""Train the SSIM and L2 segmenters on synthetic fabric and compare them; run by `make demo`.

python -m sk_ssimae.cli.demo [PICTURE]
"""

import io
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from sk_ssimae._atomic import replace_file
from sk_ssimae.cli._files import check_output_file
from sk_ssimae.cli._model import was_interrupted
from sk_ssimae.datasets import DefectiveImages, draw_defects, make_woven_fabric
from sk_ssimae.estimators import (
    BaseAutoencoderSegmenter,
    L2AutoencoderSegmenter,
    SSIMAutoencoderSegmenter,
)
from sk_ssimae.exceptions import InterruptedFitWarning
from sk_ssimae.plotting import ResidualMapDisplay
from sk_ssimae.plotting._pyplot import import_pyplot

SEED = 0
_RESULTS = ["reconstruction", "residual map", "mask"]
# The same budget for both: SSIM learns the weave, in under two minutes on two cores.
BUDGET: dict[str, Any] = {
    "patch_size": 64,
    "n_patches": 2_500,
    "max_epochs": 8,
    "random_state": SEED,
}
EXPECTED_LEAD = 0.02


def main(picture: Path) -> dict[str, float]:
    """Run the demo, print its results and write its picture.

    Parameters
    ----------
    picture : Path
        PNG file to write.

    Returns
    -------
    dict
        Pixel ROC AUC of each segmenter, by class name.
    """
    check_output_file(picture, "PICTURE", begins=b"\x89PNG")
    import_pyplot()  # Fail before minutes of training if matplotlib is missing.
    good = make_woven_fabric(20, random_state=SEED)
    test = draw_defects(make_woven_fabric(12, random_state=SEED + 1), random_state=SEED)
    print(
        f"Synthetic fabric: {len(good)} good images for training, {len(test.images)} images with "
        "defects for testing."
    )
    segmenters: list[BaseAutoencoderSegmenter] = [
        SSIMAutoencoderSegmenter(**BUDGET, verbose=1),
        L2AutoencoderSegmenter(**BUDGET, verbose=1),
    ]
    areas = {type(s).__name__: _train_and_score(s, good, test) for s in segmenters}
    print("\npixel ROC AUC")
    for name, area in areas.items():
        print(f"  {name:<26}{area:.3f}")
    _draw(segmenters, test, areas, picture)
    print(f"\nPicture: {str(picture)!r}")
    return areas


def _train_and_score(
    segmenter: BaseAutoencoderSegmenter, good: Any, test: DefectiveImages
) -> float:
    print(f"\n{type(segmenter).__name__}")
    start = time.perf_counter()
    with warnings.catch_warnings():
        # Ctrl-C ends training without an exception: a comparison would mean nothing.
        warnings.simplefilter("ignore", InterruptedFitWarning)
        segmenter.fit(good)
    if was_interrupted(segmenter):
        raise KeyboardInterrupt
    trained = time.perf_counter()
    area = segmenter.score(test.images, test.masks)
    scored = time.perf_counter()
    print(
        f"trained and calibrated in {trained - start:.0f} s, "
        f"{len(test.images)} images scored in {scored - trained:.0f} s"
    )
    return area


def _draw(
    segmenters: list[BaseAutoencoderSegmenter],
    test: DefectiveImages,
    areas: dict[str, float],
    picture: Path,
) -> None:
    """Plot the image, truth and results of both segmenters, one row per image."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    # The kinds of defects alternate: the first images show one of each.
    images, masks = test.images[:6], test.masks[:6]
    shown = (["image", "truth", "reconstruction", "residual map", "mask"], _RESULTS)
    figure, axes = plt.subplots(len(images), 8, figsize=(16, 13), layout="constrained")
    for segmenter, panels, first in zip(segmenters, shown, (0, 5), strict=True):
        residual_maps = segmenter.decision_function(images)
        predicted, reconstructions = segmenter.predict(images), segmenter.reconstruct(images)
        brightest = float(np.quantile(residual_maps, 0.998))
        for row in range(len(images)):
            ResidualMapDisplay(
                images[row],
                residual_maps[row],
                mask=predicted[row],
                true_mask=masks[row],
                reconstruction=reconstructions[row],
            ).plot(
                axes[row, first : first + len(panels)],
                panels=panels,
                vmax=brightest,
                titles=row == 0,
            )
        name = type(segmenter).__name__
        title = axes[0, first + len(panels) - 2]
        short = name.removesuffix("AutoencoderSegmenter")
        title.set_title(f"{short}: pixel AUC {areas[name]:.3f}\n\nresidual map")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=80)
    plt.close(figure)
    replace_file(picture, file.getvalue())


def check(areas: dict[str, float]) -> None:
    """Exit with an error if SSIM is not clearly ahead, which means that something is broken."""
    lead = areas["SSIMAutoencoderSegmenter"] - areas["L2AutoencoderSegmenter"]
    if lead < EXPECTED_LEAD:
        sys.exit(
            f"error: the pixel ROC AUC of SSIM must exceed that of L2 by at least {EXPECTED_LEAD}, "
            f"got {lead:.3f} instead."
        )


if __name__ == "__main__":
    check(main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo.png")))
