"""How often check_drift finds a change of good images, or one that is not there.

python benchmarks/drift.py --out benchmarks/results

Needs nothing but the package: PatchDictionarySegmenter, fitted to eight images of a texture.
drift.csv has, for each change of the images and numbers of images of calibration and of the check,
the shares of checks that advise to calibrate and to train; for no change, both are false alarms.
For comparison, "ks_of_blocks" is the share in which the test of Kolmogorov and Smirnov of all block
maxima, as if blocks were independent, is significant at 1 %. drift_remedies.csv has good images
flagged and defective ones found among images with that change, if nothing is done, after calibrate,
and after partial_fit and calibrate. drift_table.csv is a short table of the first.
"""

import argparse
import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _rows import write_each
from _verdict_tables import write_drift_table
from scipy import ndimage, stats

from sk_ssimae import PatchDictionarySegmenter
from sk_ssimae._inference._region import Region
from sk_ssimae.datasets import draw_defects, make_nanofibres, make_woven_fabric
from sk_ssimae.estimators._drift import compare, keep_typical, typical_residual
from sk_ssimae.estimators._evidence import Evidence
from sk_ssimae.model_selection._extremes import block_maxima, block_size

SHAPE = (96, 96)
N_TRAINING, N_POOL, N_CHANGED, N_CHECKS = 8, 100, 60, 200
N_CALIBRATION, N_JUDGED = 20, 40
TEXTURES: dict[str, Callable[[int, int], np.ndarray]] = {
    "twill": lambda n, seed: make_woven_fabric(n, shape=SHAPE, random_state=seed),
    "irregular satin": lambda n, seed: make_woven_fabric(
        n, shape=SHAPE, weave="satin", irregularity=3, random_state=seed
    ),
    "nanofibres": lambda n, seed: make_nanofibres(n, shape=SHAPE, random_state=seed),
}
REGION = Region.of_image(np.empty((*SHAPE, 1)), None)
TYPICAL = ("typical_residuals", "block_spread")
FABRICS = ("twill", "irregular satin")
CHANGES: dict[tuple[str, float], Callable[[np.ndarray], np.ndarray]] = {
    ("none", 0): lambda images: images,
    ("brightness", 0.98): lambda images: 0.98 * images,
    ("brightness", 0.95): lambda images: 0.95 * images,
    ("brightness", 0.9): lambda images: 0.9 * images,
    ("brightness", 0.8): lambda images: 0.8 * images,
    ("contrast", 0.9): lambda images: 0.9 * images + 0.1 * images.mean(),
    ("contrast", 0.7): lambda images: 0.7 * images + 0.3 * images.mean(),
    ("blur", 0.5): lambda images: ndimage.gaussian_filter(images, (0, 0.5, 0.5)),
    ("blur", 1.0): lambda images: ndimage.gaussian_filter(images, (0, 1.0, 1.0)),
}


class Measured(NamedTuple):
    """Opened maps of images, their typical residuals, scores and block maxima."""

    opened: list[np.ndarray]
    typical: list[tuple[float, float]]
    scores: np.ndarray
    maxima: list[np.ndarray]

    def take(self, chosen: np.ndarray) -> "Measured":
        """Return those of some images."""
        return Measured(*([part[i] for i in chosen] for part in self))


def measure(segmenter: PatchDictionarySegmenter, images: np.ndarray) -> Measured:
    """Compute them by the segmenter's maps."""
    opened = [segmenter._open(m) for m in segmenter.iter_decision_function(images)]
    return Measured(
        opened,
        [typical_residual(m, SHAPE) for m in opened],
        np.array([m.max() for m in opened]),
        [block_maxima(m, block_size(SHAPE))[0] for m in opened],
    )


def estimate_threshold(opened: list[np.ndarray], target_fpr: float) -> float:
    """Estimate the threshold as `calibrate` does with few images."""
    evidence = Evidence()
    for opened_map in opened:
        evidence.add(opened_map, REGION)
    return evidence.extrapolate(target_fpr)


def check_many() -> Iterator[dict[str, Any]]:
    """Yield how often drift is found, by texture, change and numbers of images."""
    for texture, make in TEXTURES.items():
        fitted = PatchDictionarySegmenter(random_state=0, threshold=1.0).fit(make(N_TRAINING, 0))
        fitted.set_params(threshold="image_fpr")
        template = fitted.calibrate(make(2, 3)).calibration_
        pool = measure(fitted, make(N_POOL, 1))
        fresh = make(N_CHANGED, 2)
        changed = {key: measure(fitted, change(fresh)) for key, change in CHANGES.items()}
        for n_held_out, n_new in ((3, 5), (5, 5), (20, 5), (20, 20)):
            rng = np.random.default_rng(0)
            held_out = [
                pool.take(rng.choice(N_POOL, n_held_out, replace=False)) for _ in range(N_CHECKS)
            ]
            calibrations = [
                template._replace(
                    threshold=estimate_threshold(one.opened, fitted.target_fpr),
                    n_held_out=n_held_out,
                    **dict(zip(TYPICAL, keep_typical(one.typical), strict=True)),
                )
                for one in held_out
            ]
            for (change, strength), measured in changed.items():
                results, significant = [], 0
                for calibration, then in zip(calibrations, held_out, strict=True):
                    new = measured.take(rng.choice(N_CHANGED, n_new, replace=False))
                    typical = [median for median, _ in new.typical]
                    results.append(compare(calibration, typical, np.array(new.scores)))
                    test = stats.ks_2samp(np.ravel(then.maxima), np.ravel(new.maxima))
                    significant += test.pvalue < 0.01
                actions = [one.action for one in results]
                yield {
                    "texture": texture,
                    "change": change,
                    "strength": strength,
                    "n_held_out": n_held_out,
                    "n_new": n_new,
                    "checks": N_CHECKS,
                    "calibrate": actions.count("calibrate") / N_CHECKS,
                    "train": actions.count("train") / N_CHECKS,
                    "median_shift": round(float(np.median([r.shift for r in results])), 3),
                    "ks_of_blocks": significant / N_CHECKS,
                }


def judge_remedies() -> Iterator[dict[str, Any]]:
    """Yield the numbers of good images flagged and of defective ones found, by remedy."""
    for texture in FABRICS:
        make = TEXTURES[texture]
        original = PatchDictionarySegmenter(random_state=0, target_fpr=0.05)
        original.fit(make(N_TRAINING, 0)).calibrate(make(N_CALIBRATION, 1))
        drawn = draw_defects(make(N_JUDGED, 3), random_state=0).images
        good, others, more = make(N_JUDGED, 2), make(N_CALIBRATION, 4), make(N_TRAINING, 5)
        for (change, strength), apply in CHANGES.items():
            drift = original.check_drift(apply(good))
            for remedy in ("nothing", "calibrate", "partial_fit"):
                segmenter = copy.deepcopy(original)
                if remedy == "partial_fit":
                    segmenter.partial_fit(apply(more))
                if remedy != "nothing":
                    segmenter.calibrate(apply(others))
                yield {
                    "texture": texture,
                    "change": change,
                    "strength": strength,
                    "shift": round(drift.shift, 3),
                    "advice": drift.action,
                    "remedy": remedy,
                    "good": N_JUDGED,
                    "good_flagged": _count_flagged(segmenter, apply(good)),
                    "defective": N_JUDGED,
                    "defective_found": _count_flagged(segmenter, apply(drawn)),
                }


def _count_flagged(segmenter: PatchDictionarySegmenter, images: np.ndarray) -> int:
    return int((segmenter.score_images(images) > segmenter.threshold_).sum())


def main() -> None:
    """Write both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the CSV files")
    parser.add_argument("--parts", nargs="+", default=["checks", "remedies"])
    arguments = parser.parse_args()
    if "checks" in arguments.parts:
        write_each(check_many(), arguments.out / "drift.csv")
    if "remedies" in arguments.parts:
        write_each(judge_remedies(), arguments.out / "drift_remedies.csv")
    write_drift_table(arguments.out)


if __name__ == "__main__":
    main()
