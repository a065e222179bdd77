"""Pairs of images and masks, although some files have no partner."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from sk_ssimae.datasets._folders import pair


def pair_matching(
    images: Sequence[Path], masks: Sequence[Path]
) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Pair images and masks by the rules of `load_image_folder`, and leave out what has no partner.

    Parameters
    ----------
    images, masks : sequence of path
        Image files and mask files.

    Returns
    -------
    pairs : list of (path, path)
        Images with their masks, in the order of `images`.
    left_out : list of str
        A sentence for each image and each mask that was left out.
    """
    images_of_stem = defaultdict(list)
    for image in images:
        images_of_stem[image.stem].append(image)
    masks_of_stem = defaultdict(list)
    left_out = []
    for mask in masks:
        stem = _stem_of_image(mask, images_of_stem)
        if stem is None:
            left_out.append(f"{str(mask)!r} has no image and was left out.")
        else:
            masks_of_stem[stem].append(mask)
    pairs = []
    for image in images:
        found = masks_of_stem[image.stem]
        if not found:
            left_out.append(f"{str(image)!r} has no mask and was left out.")
        elif len(found) + len(images_of_stem[image.stem]) > 2:
            left_out.append(f"{str(image)!r} was left out: several images or masks have its name.")
        else:
            pairs.append((image, found[0]))
    return pairs, left_out


def _stem_of_image(mask: Path, images_of_stem: Mapping[str, Sequence[Path]]) -> str | None:
    """Return the longest stem of an image that the mask belongs to, or None."""
    for end in range(len(mask.stem), 0, -1):
        stem = mask.stem[:end]
        if stem in images_of_stem and _belongs_to(mask, images_of_stem[stem][0]):
            return stem
    return None


def _belongs_to(mask: Path, image: Path) -> bool:
    try:
        pair([image], [mask])
    except ValueError:
        return False
    return True
