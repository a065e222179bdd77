"""Measure memory for many images, for eight threads, for one large image, and for a fit.

python benchmarks/many.py [--images 10000] [--side 6000] [--largest-side 20000] [--out many.json]

The network is tiny, with patches of 32 pixels, because growth with the number of images does not
depend on the network. Each number is the growth of anonymous memory in a new process, which
excludes the memory-mapped file of the large image. All results are compared with those of one
thread, or of the whole image. It needs Linux.
"""

import multiprocessing
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from _common import options, save
from skimage.io import imsave

from sk_ssimae import SSIMAutoencoderSegmenter
from sk_ssimae.datasets import make_woven_fabric

N_IN_THREADS = 2_000
TRAINING_IMAGES = (60, 2_000, 2_000)
BLOCK_SIZES = (512, 1001, 2048)


class Noise(Sequence):
    """Images of noise, generated on access."""

    def __init__(self, n_images: int) -> None:
        self._n_images = n_images

    def __len__(self) -> int:
        return self._n_images

    def __getitem__(self, index: int) -> np.ndarray:
        if index >= self._n_images:
            raise IndexError(index)
        return np.random.default_rng(index).integers(0, 256, (64, 96), dtype=np.uint8)


def main() -> None:
    """Run all measurements."""
    parser = options(__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--side", type=int, default=6_000, help="pixels per side of the image")
    parser.add_argument(
        "--training-images", type=int, default=1_000, help="files of 4 megapixels to fit to"
    )
    parser.add_argument(
        "--largest-side", type=int, default=20_000, help="pixels per side of the image to fit to"
    )
    arguments = parser.parse_args()
    results: dict = {"images": alone(many_images, arguments.images)}
    results["threads"] = alone(many_threads, N_IN_THREADS)
    with tempfile.TemporaryDirectory() as folder:
        write_large(Path(folder), arguments.side)
        results["whole"] = alone(whole, folder)
        for block_size in BLOCK_SIZES:
            results[f"blocks of {block_size}"] = alone(blocks, folder, block_size)
    results["fit"] = alone(fit_many, "in memory")
    results["fit to a memory map"] = alone(fit_many, "memory-mapped")
    with tempfile.TemporaryDirectory() as folder:
        results["fit to files"] = alone(fit_paths, folder, arguments.training_images)
    with tempfile.TemporaryDirectory() as folder:
        write_large(Path(folder), arguments.largest_side)
        results["fit to one image"] = alone(fit_large, folder)
        results["blocks of it"] = alone(largest_blocks, folder)
    save(results, arguments)


def alone(function, *arguments) -> dict:
    """Call a function in a new process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        results = pool.apply(function, arguments)
    print(function.__name__, *arguments[-1:], results, flush=True)
    return results


def many_images(n_images: int) -> dict:
    """Return the growth of memory after 1 % of the images and after all."""
    maps = fit().iter_decision_function(Noise(n_images))
    start = held()
    growth = {}
    for index, _ in enumerate(maps, start=1):
        if index in (n_images // 100, n_images):
            growth[f"MiB after {index}"] = held() - start
    return growth


def many_threads(n_images: int) -> dict:
    """Compute maps and scores in eight threads and compare them with those of one."""
    segmenter, images = fit(), Noise(n_images)

    def compute(image: np.ndarray) -> tuple[np.ndarray, float]:
        return segmenter.decision_function([image])[0], segmenter.score_images([image])[0]

    start, difference, growth = held(), 0.0, {}
    with ThreadPoolExecutor(8) as pool:
        for first in range(0, n_images, 100):
            chunk = [images[index] for index in range(first, first + 100)]
            for found, image in zip(pool.map(compute, chunk), chunk, strict=True):
                for result, expected in zip(found, compute(image), strict=True):
                    difference = max(difference, float(np.abs(result - expected).max()))
            if first in (100, n_images - 100):
                growth[f"MiB after {first + 100}"] = held() - start
    return growth | {"largest difference": difference}


def write_large(folder: Path, side: int) -> None:
    """Write an image of fabric, 100 rows at a time."""
    shape = (side, side)
    image = np.lib.format.open_memmap(folder / "image.npy", "w+", dtype=np.uint8, shape=shape)
    rows = (255 * make_woven_fabric(1, shape=(100, side), random_state=1)[0]).astype(np.uint8)
    for first in range(0, side, 100):
        image[first : first + 100] = np.roll(rows, first // 7, axis=1)[: side - first]


def whole(folder: str) -> dict:
    """Compute the map of the whole large image."""
    segmenter, image = fit(), np.load(Path(folder) / "image.npy", mmap_mode="r")
    with watch() as growth:
        (residual_map,) = segmenter.decision_function([image])
    np.save(Path(folder) / "whole.npy", residual_map)
    return growth


def blocks(folder: str, block_size: int) -> dict:
    """Compute it block by block."""
    segmenter, image = fit(), np.load(Path(folder) / "image.npy", mmap_mode="r")
    expected = np.load(Path(folder) / "whole.npy", mmap_mode="r")
    difference = 0.0
    with watch() as growth:
        for block in segmenter.segment_blocks(image, block_size=block_size):
            error = np.abs(block.residual_map - expected[block.rows, block.columns])
            difference = max(difference, float(error.max()))
    return growth | {"largest difference": difference}


def fit_many(kind: str) -> dict:
    """Fit to 60 images of 4 megapixels, beyond which memory grows."""
    segmenter = fit().set_params(n_patches=640)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        images = np.empty(TRAINING_IMAGES, dtype=np.uint8)
        if kind == "memory-mapped":
            path = Path(folder) / "images.npy"
            images = np.lib.format.open_memmap(path, "w+", dtype=np.uint8, shape=images.shape)
        for image in images:
            image[:] = rng.integers(0, 256, image.shape, dtype=np.uint8)
        with watch() as growth:
            segmenter.fit(images)
    return growth


def fit_paths(folder: str, n_images: int) -> dict:
    """Fit to files of 4 megapixels, and calibrate on a hundredth of them; all are ten files."""
    segmenter = fit().set_params(n_patches=640, threshold="image_fpr", images_in_memory=False)
    segmenter.set_params(validation_fraction=0.01)
    rng = np.random.default_rng(0)
    paths = [Path(folder) / f"{index}.tif" for index in range(10)]
    for path in paths:
        pixels = rng.integers(0, 256, TRAINING_IMAGES[1:], dtype=np.uint8)
        imsave(path, pixels, check_contrast=False)
    start = time.perf_counter()
    with watch() as growth:
        segmenter.fit(paths * (n_images // 10))
    return growth | {"seconds": round(time.perf_counter() - start)}


def fit_large(folder: str) -> dict:
    """Fit to one large image, which is mapped into memory."""
    segmenter = fit().set_params(n_patches=640)
    image = np.load(Path(folder) / "image.npy", mmap_mode="r")
    with watch() as growth:
        segmenter.fit([image])
    return growth


def largest_blocks(folder: str) -> dict:
    """Segment it block by block."""
    segmenter, image = fit(), np.load(Path(folder) / "image.npy", mmap_mode="r")
    with watch() as growth:
        n_blocks = sum(1 for _ in segmenter.segment_blocks(image, block_size=max(BLOCK_SIZES)))
    return growth | {"blocks": n_blocks}


def fit() -> SSIMAutoencoderSegmenter:
    """Train for one epoch, and predict once to allocate buffers."""
    torch.set_num_threads(1)
    good = make_woven_fabric(4, shape=(128, 128), random_state=0)
    segmenter = SSIMAutoencoderSegmenter(
        latent_dim=8,
        patch_size=32,
        stride=32,
        smoothing=4,
        n_patches=64,
        max_epochs=1,
        threshold=1.0,
        random_state=0,
    ).fit(good)
    segmenter.predict(good)
    return segmenter


@contextmanager
def watch() -> Iterator[dict]:
    """Record the largest growth of memory, sampled 100 times per second."""
    growth, start, done = {"MiB at most": 0}, held(), threading.Event()

    def look() -> None:
        while not done.wait(0.01):
            growth["MiB at most"] = max(growth["MiB at most"], held() - start)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield growth
    finally:
        done.set()
        watcher.join()


def held() -> int:
    """Read the anonymous memory of this process in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) // 1024
    raise OSError("/proc/self/status has no line RssAnon on this kernel.")


if __name__ == "__main__":
    main()
