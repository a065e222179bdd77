"""Columns of tables as images and masks: pandas, polars, and Hugging Face datasets."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import PIL.Image
import pytest
from sklearn.model_selection import cross_val_score

from sk_ssimae import PatchDictionarySegmenter
from sk_ssimae._images import Images
from sk_ssimae._validation import defect_labels
from sk_ssimae.datasets import draw_defects, make_woven_fabric
from sk_ssimae.metrics import pixel_roc_auc_score
from sk_ssimae.model_selection import DefectFreeKFold

polars = pytest.importorskip("polars", reason="it is in the dependency group test alone")

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 6, 9), dtype=np.uint8)


class Image:
    """Like the feature of this name in datasets."""


class HuggingFaceColumn(Sequence):
    """Like `datasets.arrow_dataset.Column`: decodes an image on each access."""

    def __init__(self, arrays):
        self._arrays = arrays

    def __len__(self):
        return len(self._arrays)

    def __getitem__(self, key):
        if isinstance(key, int | np.integer):
            return PIL.Image.fromarray(self._arrays[key])
        return [PIL.Image.fromarray(self._arrays[index]) for index in key]


class HuggingFaceTable:
    """Like `datasets.Dataset`: a sized collection of rows that are dicts."""

    column_names = ("label", "photograph")
    features = {"label": object(), "photograph": Image()}

    def __len__(self):
        return len(PIXELS)

    def __getitem__(self, index):
        return {"label": 0, "photograph": PIL.Image.fromarray(PIXELS[index])}

    def to_list(self):
        return [self[index] for index in range(len(self))]


def hugging_face(arrays, real):
    """Return a column of images, and the table that has it."""
    if not real:
        return HuggingFaceColumn(arrays), HuggingFaceTable()
    reason = "it brings some hundred megabytes; the stand-in has its interface"
    datasets = pytest.importorskip("datasets", reason=reason)
    features = {"label": datasets.Value("int64"), "photograph": datasets.Image()}
    images = [PIL.Image.fromarray(array) for array in arrays]
    table = datasets.Dataset.from_dict(
        {"label": [0] * len(images), "photograph": images},
        features=datasets.Features(features),
    )
    return table["photograph"], table


@pytest.fixture(params=["stand-in", "datasets"])
def real(request):
    return request.param == "datasets"


@pytest.mark.parametrize("library", [pd, polars])
@pytest.mark.parametrize("kind", ["paths", "Pillow images"])
def test_columns_of_data_frames(library, kind, tmp_path):
    items = []
    for index, pixels in enumerate(PIXELS):
        image = PIL.Image.fromarray(pixels)
        image.save(tmp_path / f"{index}.png")
        items.append(str(tmp_path / f"{index}.png") if kind == "paths" else image)
    options = {"dtype": polars.Object} if library is polars and kind != "paths" else {}
    images = Images(library.Series("image", items, **options) if options else library.Series(items))
    assert not images.is_array
    np.testing.assert_array_equal([image[..., 0] for image in images], PIXELS)


@pytest.mark.parametrize(
    "column",
    [
        polars.Series(PIXELS),
        polars.Series(PIXELS.tolist(), dtype=polars.List(polars.List(polars.UInt8))),
        pd.Series(list(PIXELS)),
        # As pandas reads nested lists from a Parquet file.
        pd.Series([np.array([*pixels, None], object)[:-1] for pixels in PIXELS]),
    ],
    ids=["array", "list", "pandas array", "pandas rows"],
)
def test_columns_of_pixels_keep_their_type(column):
    images = Images(column)
    stored = images.read_stored(1)[0]
    np.testing.assert_array_equal(stored.pixels[..., 0], PIXELS[1])
    assert stored.pixels.dtype == np.uint8


def test_columns_of_hugging_face(real):
    column, _ = hugging_face(PIXELS, real)
    images = Images(column)
    assert len(images) == len(PIXELS)
    np.testing.assert_array_equal([image[..., 0] for image in images], PIXELS)
    taken = images.take(np.array([2, 0]))
    np.testing.assert_array_equal([np.asarray(image) for image in taken], PIXELS[[2, 0]])


def test_masks_of_hugging_face(real):
    masks = 255 * (PIXELS > 200).astype(np.uint8)
    masks[1] = 0
    column, _ = hugging_face(masks, real)
    np.testing.assert_array_equal(defect_labels(column, 3), [True, False, True])
    maps = PIXELS.astype(np.float32)
    assert pixel_roc_auc_score(column, maps) == pixel_roc_auc_score(masks, maps)
    photographs, _ = hugging_face(PIXELS, real)
    with pytest.raises(ValueError, match=r"y\[0\] must contain only 0 \(good\) and 1 or 255"):
        defect_labels(photographs, 3)


def test_tables_are_refused_by_the_name_of_their_column(real):
    _, table = hugging_face(PIXELS, real)
    message = r"got .*Table with .*'label', 'photograph'.* the column .* X\['photograph'\]\."
    with pytest.raises(TypeError, match=message.replace(".*Table", ".*(Table|Dataset)")):
        Images(table)
    with pytest.raises(TypeError, match=r"X\[0\] must be an array, .* dict with the keys .*'photo"):
        Images([table[0]])[0]


@pytest.mark.parametrize("make", [pd.DataFrame, polars.DataFrame, dict])
def test_data_frames_are_refused(make):
    table = make({"path": ["0.png"], "label": [0]})
    with pytest.raises(TypeError, match=rf"got {make.__name__} with .* example X\['path'\]\."):
        Images(table)


@pytest.mark.parametrize("item", [None, np.nan, pd.NA, 3])
def test_a_cell_without_an_image_is_named(item):
    with pytest.raises(ValueError, match=r"X\[1\] must be an array, a path or .* Leave it out"):
        Images(pd.Series([PIXELS[0], item], dtype=object))[1]


def test_a_search_over_columns_scores_as_over_arrays(real):
    good = make_woven_fabric(8, shape=(32, 32), thread_spacing=6, random_state=0)
    images, masks = draw_defects(good[:4], random_state=0)
    pixels = np.rint(255 * np.concatenate([good, images])).astype(np.uint8)
    masks = 255 * np.concatenate([np.zeros_like(good, bool), masks]).astype(np.uint8)
    columns = [
        (hugging_face(pixels, real)[0], hugging_face(masks, real)[0]),
        (pd.Series(list(pixels)), pd.Series(list(masks))),
        (polars.Series(pixels), polars.Series(masks)),
    ]
    segmenter = PatchDictionarySegmenter(random_state=0)
    splitter = DefectFreeKFold(2)
    expected = cross_val_score(segmenter, pixels, masks, cv=splitter)
    for X, y in columns:
        np.testing.assert_array_equal(cross_val_score(segmenter, X, y, cv=splitter), expected)
