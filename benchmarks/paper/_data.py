"""The paper's data sets, as far as a folder contains them."""

from pathlib import Path
from typing import NamedTuple

from _sets import BOLTS

from sk_ssimae.datasets import load_image_folder, load_mvtec_ad, load_nanotwice, load_texture
from sk_ssimae.datasets._mvtec_ad import TEXTURES as MVTEC_TEXTURES


class Dataset(NamedTuple):
    """Images and masks, and the name of the paper's settings for them."""

    name: str
    good: list
    defective: list
    masks: list
    protocol: str  # As `paper_protocol` takes it.


class Source(NamedTuple):
    """The expected folder of a data set, and how to obtain it."""

    name: str
    folder: str
    remedy: str


NANOTWICE = Source(
    "nanotwice",
    "nanotwice",
    "download dfg05er_Data.zip from the NanoTWICE project's page and unpack it so that there are "
    "Normal, Anomalous/images and Anomalous/gt",
)
TEXTURES = tuple(
    Source(
        f"texture_{number}",
        f"textures/texture_{number}",
        "download textures.zip, the paper's woven textures, and unpack it there",
    )
    for number in (1, 2)
)
FABRICS = tuple(
    Source(
        f"fabric_{bolt}",
        f"fabric/{bolt}",
        "cut tiles of 256 x 256 pixels from a bolt of the AITEX fabric images into the folders "
        "good, defective and mask",
    )
    for bolt in BOLTS
)
MVTEC = tuple(
    Source(
        f"mvtec_{category}",
        f"mvtec/{category}",
        "download MVTec AD from its page, which asks for consent to its licence, and unpack it "
        "into mvtec",
    )
    for category in MVTEC_TEXTURES
)
ALL = (NANOTWICE, *TEXTURES, *FABRICS, *MVTEC)


def find(sources: tuple[Source, ...], root: Path | None) -> list[Dataset]:
    """Load the available data sets; print the downloads for the others."""
    found = []
    for source in sources:
        if root is not None and (root / source.folder).is_dir():
            found.append(load(source, root))
        else:
            place = (root or Path("DIR")) / source.folder
            print(f"  {source.name} skipped: {source.remedy}; expected at {place}.")
    return found


def load(source: Source, root: Path) -> Dataset:
    """Load a data set in its public layout."""
    folder = root / source.folder
    if source.name == "nanotwice":
        data, protocol = load_nanotwice(folder), "nanotwice"
    elif source in TEXTURES:
        data, protocol = load_texture(folder.parent, int(source.name[-1])), "textures"
    elif source in MVTEC:
        data, protocol = load_mvtec_ad(folder.parent, folder.name), "textures"
    else:
        parts = (folder / part for part in ("good", "defective", "mask"))
        data, protocol = load_image_folder(*parts), "textures"
    return Dataset(source.name, data.good, data.defective, data.masks, protocol)
