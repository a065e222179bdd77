"""Regions of interest of images, from the option --roi."""

import hashlib
import re
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._reading._files import read_shape
from sk_ssimae.cli._files import list_masks_of
from sk_ssimae.datasets._listing import match, named
from sk_ssimae.datasets._masks import read_mask

Mask = NDArray[np.bool_]

_RECTANGLE = re.compile(r"\d+(,\d+){3}")


class Rectangle(NamedTuple):
    """Rectangle in pixels: first column and row, width and height."""

    x: int
    y: int
    width: int
    height: int

    def mask(self, shape: tuple[int, int]) -> Mask:
        """Return a mask (h, w) that is True in the rectangle.

        Raises
        ------
        ValueError
            If it does not lie in the image.
        """
        if self.x + self.width > shape[1] or self.y + self.height > shape[0]:
            raise ValueError(
                f"--roi: the rectangle of columns {self.x} to {self.x + self.width - 1} and rows "
                f"{self.y} to {self.y + self.height - 1} must lie in the image, which has "
                f"{shape[1]} columns and {shape[0]} rows."
            )
        mask = np.zeros(shape, dtype=bool)
        mask[self.y : self.y + self.height, self.x : self.x + self.width] = True
        return mask


class RegionsOption:
    """Masks of the inspected pixels of images, read one at a time.

    Parameters
    ----------
    text : str or None
        Value of the option; None to inspect all pixels.
    images : sequence of path
        All images of the command.
    mask_suffix : str or None
        Ending of the names of masks, if it is not a usual one.

    Raises
    ------
    FileNotFoundError
        If there is no such file or folder, or the folder contains no images.
    ValueError
        If the rectangle is empty, or an image has no mask in the folder, or several.
    """

    def __init__(
        self, text: str | None, images: Sequence[Path], mask_suffix: str | None = None
    ) -> None:
        self.text = text
        self._images = images
        self._rectangle: Rectangle | None = None
        self._file: Path | None = None  # For all images, or one for each:
        self._files: dict[Path, Path] = {}
        self._read = lru_cache(maxsize=1)(_read_quietly)  # A mask of all images is read once.
        if text is None:
            return
        source = Path(text)
        if _RECTANGLE.fullmatch(text):
            self._rectangle = Rectangle(*map(int, text.split(",")))
            if not (self._rectangle.width and self._rectangle.height):
                raise ValueError(f"--roi: the rectangle {text} must have pixels.")
        elif source.is_dir():
            self._files = _match(images, source, mask_suffix)
        elif source.is_file():
            self._file = source
        else:
            raise FileNotFoundError(
                "--roi must be a mask image, a folder of masks or X,Y,WIDTH,HEIGHT, and there is "
                f"no file or folder {text!r}. Check the path."
            )

    def inputs(self) -> list[Path]:
        """Return the files of masks."""
        if self._file is not None:
            return [self._file]
        return [*dict.fromkeys(self._files.values())]

    def describe(self) -> dict[str, Any]:
        """Describe the regions, so that other ones are recognized."""
        if self.text is None:
            return {"roi": None}
        digest = hashlib.sha256()
        for file in self.inputs():
            digest.update(f"{file.name}\n".encode(errors="surrogateescape"))
            digest.update(file.read_bytes())
        return {"roi": self.text, "roi_sha256": digest.hexdigest()}

    def masks(self) -> "_Masks | None":
        """Return the masks of all images, read on access, or None if all pixels are inspected."""
        return None if self.text is None else _Masks(self._images, self.mask)

    def mask(self, image: Path) -> Mask | None:
        """Return the mask (h, w) of an image, or None if all pixels are inspected.

        With a folder of masks, it must be one of the images of the command.

        Raises
        ------
        OSError, ValueError
            If a file cannot be read, the mask has another size than the image or marks no pixel, or
            the rectangle does not lie in the image.
        """
        if self.text is None:
            return None
        shape = read_shape(image, repr(str(image)), max_pixels=None)
        if self._rectangle is not None:
            return self._rectangle.mask(shape)
        file = self._files[image] if self._file is None else self._file
        mask = self._read(file)
        if mask.shape != shape:
            raise ValueError(
                f"--roi: {str(file)!r} must have the height and width of {str(image)!r}, {shape}, "
                f"got {mask.shape} instead."
            )
        if not mask.any():
            raise ValueError(
                f"--roi: {str(file)!r} must mark at least one pixel, got none. Paint the "
                "inspected pixels white."
            )
        return mask


def regions_of_any_image(text: str | None) -> RegionsOption:
    """Return regions of interest for images that are not known yet.

    Raises
    ------
    OSError, ValueError
        As `RegionsOption`, and if the option names a folder of masks.
    """
    if text is not None and Path(text).is_dir():
        raise ValueError(
            "--roi must be a mask image or X,Y,WIDTH,HEIGHT for all images, got the folder "
            f"{text!r} instead: the images are not known before they arrive."
        )
    return RegionsOption(text, [])


class _Masks:
    """Masks of images, read on every access: those of many images do not fit in memory."""

    def __init__(self, images: Sequence[Path], read: Callable[[Path], Mask | None]) -> None:
        self._images, self._read = images, read

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Mask | None:
        return self._read(self._images[index])


def _read_quietly(file: Path) -> Mask:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Of defects that a mask does not mark.
        return read_mask(file)


def _match(images: Sequence[Path], folder: Path, mask_suffix: str | None) -> dict[Path, Path]:
    """Find the mask of each image by name; masks of other images are left alone."""
    masks = list_masks_of(images, folder, "--roi", recursive=True)
    found = dict(match(images, masks, mask_suffix=mask_suffix).pairs)
    missing = [image for image in images if image not in found]
    if missing:
        raise ValueError(
            f"--roi: the folder {str(folder)!r} must contain one mask for each image, by the same "
            f"name, and the names of images must be unique, got none or several for "
            f"{named(missing)}. Add or rename masks."
        )
    return found
