"""Regions as JSON in the format of COCO, and as rows of a CSV file."""

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label

import sk_ssimae
from sk_ssimae.cli._model import Inspection
from sk_ssimae.cli._rows import as_csv, from_csv, neutralized
from sk_ssimae.cli._runs import runs_of_pixels

COLUMNS = (
    *("file", "name", "label", "min_row", "min_column", "max_row", "max_column"),
    *("centroid_row", "centroid_column", "area", "peak", "mean_residual", "distance"),
)
# Numbers of a region that the format does not define; readers of COCO ignore them.
_MEASURED = ("label", "centroid_row", "centroid_column", "peak", "mean_residual", "distance")


def describe_regions(file: str, name: str, found: Inspection) -> bytes:
    """Describe the regions of one image.

    Parameters
    ----------
    file : str
        Absolute path of the image.
    name : str
        Name of its outputs.
    found : Inspection
        Results for the image.

    Returns
    -------
    bytes
        A JSON document in the format of COCO.
    """
    height, width = found.mask.shape
    image = {"id": 1, "file_name": file, "name": name, "height": height, "width": width}
    labels = label(found.mask, connectivity=1)  # As in the table.
    annotations = [_annotation(region, labels) for region in found.regions]
    return _document([image], annotations)


class ImageRegions(NamedTuple):
    """An image and its regions, as in a document of `describe_regions`."""

    image: dict[str, Any]
    annotations: list[dict[str, Any]]


def read_regions(content: bytes) -> ImageRegions:
    """Read a document of `describe_regions`.

    Raises
    ------
    ValueError
        If it is not such a document: it may have been edited by hand.
    """
    try:
        document = json.loads(content)
        (image,) = document["images"]
        found = ImageRegions(dict(image), [dict(one) for one in document["annotations"]])
        for annotation in found.annotations:
            list(_line(found.image, annotation))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"it is not a document of regions ({error}).") from error
    return found


def merge_regions(several: Iterable[ImageRegions]) -> tuple[bytes, bytes]:
    """Merge the regions of images.

    Returns
    -------
    bytes, bytes
        One document of all images, and a CSV file with a row for each region.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for found in several:
        images.append({**found.image, "id": len(images) + 1})
        for annotation in found.annotations:
            numbers = {"id": len(annotations) + 1, "image_id": len(images)}
            annotations.append({**annotation, **numbers})
    lines = (_line(images[annotation["image_id"] - 1], annotation) for annotation in annotations)
    return _document(images, annotations), as_csv([COLUMNS, *lines])


def to_lines(content: bytes) -> bytes:
    """Return the lines of a CSV file of `merge_regions` for a document of `describe_regions`."""
    image, annotations = read_regions(content)
    return as_csv(_line(image, annotation) for annotation in annotations)


def without_lines(content: bytes, file: str) -> bytes:
    """Return a CSV file of `merge_regions` without the lines of an image, named by its path."""
    columns, *lines = from_csv(content)
    kept = (
        [neutralized(cell) for cell in line[:2]] + line[2:] for line in lines if line[0] != file
    )
    return as_csv([columns, *kept])


def list_regions(found: Inspection) -> list[dict[str, float | None]]:
    """Return the table of regions as rows for JSON, which has no NaN."""
    names = found.regions.dtype.names or ()
    return [{name: _number(row[name].item()) for name in names} for row in found.regions]


def is_merged(content: bytes) -> bool:
    """Tell whether content is a document or a CSV file of `merge_regions`, or empty."""
    starts = (as_csv([COLUMNS]), _document([], []).partition(b'"version"')[0])
    return not content or content.startswith(starts)


def encode(region: NDArray[np.bool_], row: int, column: int, shape: tuple[int, int]) -> list[int]:
    """Encode a region of an image by run lengths, as COCO defines them.

    Parameters
    ----------
    region : array of bool, shape (h, w)
        Pixels of its bounding box.
    row, column : int
        First row and column of the box.
    shape : tuple of two int
        Height and width of the image.

    Returns
    -------
    list of int
        Numbers of pixels outside and inside the region in turn, column by column; the first is 0 if
        the region contains the first pixel.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ssimae.cli._regions import encode
    >>> encode(np.array([[True, False], [True, True]]), 1, 1, (3, 4))
    [4, 2, 2, 1, 3]
    """
    columns, rows = np.nonzero(region.T)
    runs = runs_of_pixels((column + columns) * shape[0] + row + rows)
    rest = shape[0] * shape[1] - sum(runs)
    return [*runs, rest] if rest else runs


def _annotation(region: Any, labels: NDArray[Any]) -> dict[str, Any]:
    row, column, bottom, right = (
        int(region[name]) for name in ("min_row", "min_column", "max_row", "max_column")
    )
    height, width = labels.shape
    box = labels[row:bottom, column:right] == region["label"]
    return {
        "id": int(region["label"]),
        "image_id": 1,
        "category_id": 1,
        "bbox": [column, row, right - column, bottom - row],
        "area": int(region["area"]),
        "segmentation": {
            "size": [height, width],
            "counts": encode(box, row, column, (height, width)),
        },
        "iscrowd": 0,
        **{name: _number(region[name].item()) for name in _MEASURED},
    }


def _number(value: float) -> float | None:
    # JSON has no NaN.
    return value if math.isfinite(value) else None


def _document(images: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> bytes:
    document = {
        "info": {"description": "regions of sk-ssimae predict", "version": sk_ssimae.__version__},
        "categories": [{"id": 1, "name": "defect"}],
        "images": images,
        "annotations": annotations,
    }
    return (json.dumps(document) + "\n").encode()


def _line(image: dict[str, Any], annotation: dict[str, Any]) -> Iterator[str]:
    column, row, width, height = annotation["bbox"]
    values = {
        **annotation,
        "file": neutralized(image["file_name"]),
        "name": neutralized(image["name"]),
        "min_row": row,
        "min_column": column,
        "max_row": row + height,
        "max_column": column + width,
    }
    return (_cell(values[name]) for name in COLUMNS)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.9g}" if isinstance(value, float) else str(value)
