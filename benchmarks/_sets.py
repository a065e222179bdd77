"""The real data sets that methods and recipes are measured on."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sk_ssimae.datasets import load_image_folder, load_nanotwice

BOLTS = ("02_006", "00_002", "01_023")  # Fabrics; recipes are chosen on the first.
# NanoTWICE's ITIA1108, 1115, 1127, 1131 and 1135, counted from 0: recipes are chosen on these.
CHOOSING_IMAGES = (7, 14, 26, 30, 34)


class Dataset(NamedTuple):
    """Images and masks; `test_good` may be empty."""

    good: list
    test_good: list
    defective: list
    masks: list


class Source(NamedTuple):
    """Folder of a data set, and how it is used.

    Attributes
    ----------
    folder : str
        Folder in the folder of all data.
    patches : int
        Patches that an autoencoder trains on.
    latent_dim : int
        Latent dimensions of an autoencoder.
    n_test_objects : int
        Number of objects whose good images are not for training but for testing.
    """

    folder: str
    patches: int
    latent_dim: int = 100
    n_test_objects: int = 0


SETS = {
    **{bolt: Source(f"fabric/{bolt}", 8_000) for bolt in BOLTS},
    "leather": Source("leather", 16_000, n_test_objects=2),
    "kolektor": Source("kolektor", 16_000),
    "kolektor-images": Source("kolektor", 16_000, n_test_objects=3),
    "nanotwice": Source("nanotwice", 25_000, latent_dim=500),
    "nanotwice-choosing": Source("nanotwice", 25_000, latent_dim=500),
}


def load(name: str, data: Path) -> Dataset:
    """Load a data set in its public layout; files are read when they are needed."""
    source = SETS[name]
    folder = data / source.folder
    if source.folder == "nanotwice":
        nanofibres = load_nanotwice(folder)
        defective, masks = list(nanofibres.defective), nanofibres.masks
        if name == "nanotwice-choosing":
            defective, masks = ([items[i] for i in CHOOSING_IMAGES] for items in (defective, masks))
        return Dataset(list(nanofibres.good), [], defective, list(masks))
    images = load_image_folder(folder / "good", folder / "defective", folder / "mask")
    good, test_good = split(images.good, source.n_test_objects)
    return Dataset(good, test_good, list(images.defective), list(images.masks))


def split(files: Sequence[Path], n_test_objects: int) -> tuple[list[Path], list[Path]]:
    """Split good images by name: those of the last objects are for testing.

    Images of one object, such as the crops of a photograph, have names that begin alike, up to
    the first underscore. They stay together, because they resemble each other.

    Raises
    ------
    ValueError
        If no object would be left for training.
    """
    objects = sorted({object_of(file) for file in files})
    if n_test_objects >= len(objects):
        raise ValueError(
            f"n_test_objects must be below {len(objects)}, the number of objects in the good "
            f"images, got {n_test_objects} instead."
        )
    test = set(objects[len(objects) - n_test_objects :])
    return (
        [file for file in files if object_of(file) not in test],
        [file for file in files if object_of(file) in test],
    )


def object_of(file: Path) -> str:
    """Return the object that an image shows: its name up to the first underscore."""
    return file.stem.split("_")[0]
