import errno
import tempfile

import numpy as np
import pytest
from skimage.io import imsave
from sklearn.base import clone

from sk_ssimae import (
    L2AutoencoderSegmenter,
    PatchDictionarySegmenter,
    _pixel_store,
    make_default_ensemble,
)
from sk_ssimae._images import Images
from sk_ssimae._pixel_store import PixelStore, total_memory
from sk_ssimae.datasets import make_woven_fabric
from sk_ssimae.estimators import _loading

ARRAYS = [
    np.arange(24, dtype=np.uint8).reshape(4, 6, 1),
    np.linspace(0, 1, 30, dtype=np.float32).reshape(5, 2, 3),
    np.arange(40, dtype=np.uint16).reshape(8, 5)[::2, ::-1],
]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Write temporary files into a folder of their own."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def small_memory(monkeypatch):
    """Let "auto" keep 4000 bytes, an image of 48 × 64 pixels in uint8 but not in float32."""
    monkeypatch.setattr(_pixel_store, "total_memory", lambda: 16_000)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    images = make_woven_fabric(5, shape=(48, 64), thread_spacing=6, random_state=0)
    for index, image in enumerate(images):
        imsave(folder / f"{index}.png", (255 * image).astype(np.uint8), check_contrast=False)
        imsave(folder / f"{index}.tif", (60_000 * image).astype(np.uint16), check_contrast=False)
    return folder


def test_arrays_in_the_file_are_equal_and_leave_nothing_behind(folder):
    with PixelStore(False) as store:
        kept = [store.keep(array) for array in ARRAYS]
    for array, one in zip(ARRAYS, kept, strict=True):
        np.testing.assert_array_equal(one, array, strict=True)
        assert not np.may_share_memory(one, array)
        assert not one.flags.writeable
    del store
    np.testing.assert_array_equal(kept[1], ARRAYS[1])
    assert not list(folder.iterdir())


def test_memory_is_filled_first(monkeypatch):
    monkeypatch.setattr(_pixel_store, "total_memory", lambda: 4 * 60)
    first, second, third = (np.zeros(30, np.uint8) for _ in range(3))
    with PixelStore("auto") as store:
        assert store.keep(first) is first
        assert store.keep(second) is second
        assert store.keep(third) is not third
        store.let_go(first)
        assert store.keep(third) is third
    everything = PixelStore(True)
    assert all(everything.keep(array) is array for array in ARRAYS)


def test_the_memory_of_a_container_counts(tmp_path, monkeypatch):
    of_machine = total_memory()
    assert 2**28 < of_machine < 2**50
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(_pixel_store, "_LIMITS_OF_CONTAINERS", [tmp_path / "none", limit])
    limit.write_text("12345678\n")
    assert total_memory() == 12345678
    limit.write_text("max\n")
    assert total_memory() >= of_machine


def test_a_full_disk_is_told(monkeypatch):
    class Full:
        def seek(self, place):
            pass

        def write(self, content):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda prefix: Full())
    with pytest.raises(OSError, match=r"images_in_memory=0 bytes, .*: No space left .* TMPDIR"):
        PixelStore(False).keep(ARRAYS[1])


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("in_memory", ["auto", False])
def test_results_do_not_depend_on_where_images_are(
    paths, ending, in_memory, small_memory, tiny, monkeypatch
):
    written = []
    monkeypatch.setattr(PixelStore, "_write", spy(PixelStore._write, written))
    files = sorted(paths.glob(f"*.{ending}"))
    roi = np.ones((48, 64), bool)
    roi[:, :20] = False
    for segmenter in (
        L2AutoencoderSegmenter(**tiny),
        PatchDictionarySegmenter(random_state=0, dictionary_size=50),
        L2AutoencoderSegmenter(**tiny, image_size=(24, 32)),
    ):
        for mask in (None, roi):
            expected = clone(segmenter).set_params(images_in_memory=True).fit(files, roi=mask)
            assert not written
            found = clone(segmenter).set_params(images_in_memory=in_memory).fit(files, roi=mask)
            assert len(written) >= (4 if in_memory == "auto" else 5)
            written.clear()
            for one, other in zip(
                found.decision_function(files), expected.decision_function(files), strict=True
            ):
                np.testing.assert_array_equal(one, other)
            assert found.threshold_ == expected.threshold_
    found.partial_fit(files)
    assert written


def spy(function, calls):
    def spied(self, pixels):
        calls.append(pixels.shape)
        return function(self, pixels)

    return spied


def test_ensembles_in_several_processes(paths, tiny):
    files = sorted(paths.glob("*.png"))
    members = {f"autoencoder__{name}": value for name, value in tiny.items()}
    ensemble = make_default_ensemble(**members, random_state=0)
    expected = ensemble.fit(files).threshold_
    again = clone(ensemble).set_params(images_in_memory=False, n_jobs=2).fit(files)
    assert again.threshold_ == pytest.approx(expected, rel=1e-5)


def test_arrays_of_the_user_are_neither_copied_nor_counted(monkeypatch, small_memory):
    monkeypatch.setattr(PixelStore, "_write", None)
    images = (255 * make_woven_fabric(4, shape=(48, 64), random_state=0)).astype(np.uint8)
    for X in (images, list(images)):
        loaded = _loading.load_good_images(Images(X), None, None, "auto", store=PixelStore(False))
        assert all(
            np.shares_memory(region.pixels, image)
            for region, image in zip(loaded.regions, images, strict=True)
        )


@pytest.mark.parametrize("value", ["yes", 0.5, None])
def test_other_values_are_refused(value, good):
    with pytest.raises(ValueError, match="The 'images_in_memory' parameter"):
        PatchDictionarySegmenter(images_in_memory=value).fit(good)
