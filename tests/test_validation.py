import numpy as np
import pytest
import torch

from sk_ssimae._pixels import check_image
from sk_ssimae._validation import (
    check_mask,
    check_number,
    defect_labels,
    first_sentence,
    iter_masks_and_maps,
    make_rng,
    to_array,
)


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ("cannot identify image file 'x.png'", "cannot identify image file 'x.png'."),
        ("Not a PNG.\nSecond line", "Not a PNG."),
        ("The file is damaged:\nbad checksum", "The file is damaged."),
        ("", "ValueError."),
    ],
)
def test_embedded_messages_end_with_a_full_stop(message, sentence):
    assert first_sentence(ValueError(message)) == sentence


def test_make_rng():
    assert make_rng(3).integers(1000) == make_rng(3).integers(1000)
    state = np.random.RandomState(0)
    assert make_rng(state).integers(2**60) != make_rng(state).integers(2**60)
    before = np.random.get_state()[1].copy()
    make_rng(None)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize("value", [1, 255, True, 1.0])
def test_masks_of_0_and_1_or_255(value):
    mask = np.array([[0, value], [0, 0]])
    np.testing.assert_array_equal(check_mask(mask, "mask"), [[False, True], [False, False]])


def test_wrong_masks():
    with pytest.raises(ValueError, match=r"mask must have shape \(h, w\), got shape \(3,\)"):
        check_mask(np.zeros(3), "mask")
    with pytest.raises(ValueError, match=r"got the values \[1, 2\] besides 0"):
        check_mask(np.array([[0, 1, 2]]), "mask")


def test_defect_labels():
    masks = np.zeros((3, 4, 4), dtype=np.uint8)
    masks[1, 2, 2] = 255
    for y in (masks, list(masks), [0, 1, 0], np.array([False, True, False])):
        np.testing.assert_array_equal(defect_labels(y, 3), [False, True, False])
    assert not defect_labels(None, 3).any()


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (
            [1, -1, 1],
            r"y\[1\] must use 1 for defective .* got -1 instead. Here high means defective",
        ),
        (
            np.full((3, 4, 4), -1),
            r"y\[0\] must use 1 for defective .* got -1 instead. Here high means defective",
        ),
        ([0, 2, 1], r"y\[1\] must be 0 \(good\) or 1 \(defective\), got 2 instead"),
        (["a", "b", "c"], r"y\[0\] must be 0 .* got 'a'"),
        ([0, None, 1], r"y\[1\] must be 0 .* got None"),
        ([0, [0], 1], r"y\[1\] must be 0 .* got \[0\]"),
        ([np.array((0, 0.5), dtype="i4,f4"), 0, 1], r"y\[0\] must be 0 .* got array\(\(0"),
        (
            [0, 1],
            "y must have one label or mask per image of X, got 2 labels or masks for 3 images",
        ),
        (np.full((3, 4, 4), 7), r"y\[0\] must contain only 0"),
        ([np.zeros((4, 4)), None, None], r"y\[1\] must contain numbers or booleans, got object"),
        ([[[0, 1], [0]]] * 3, r"y\[0\] must have shape \(h, w\), got rows of unequal length"),
        (np.full((3, 4, 4), "x"), r"y\[0\] must contain numbers or booleans, got <U1"),
    ],
)
def test_wrong_labels(y, message):
    with pytest.raises(ValueError, match=message):
        defect_labels(y, 3)


def test_labels_with_another_index():
    class Labels(dict):
        """Like a pandas Series after a split: the first label does not have the key 0."""

        def __iter__(self):
            return iter(self.values())

        def __array__(self, dtype=None, copy=None):
            return np.array(list(self.values()), dtype=dtype)

    np.testing.assert_array_equal(defect_labels(Labels({7: 0, 8: 1}), 2), [False, True])


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(2, 3).bfloat16(),
        torch.zeros(2, 3).to_sparse(),
        torch.zeros(2, 3, dtype=torch.complex64).conj(),
        torch.zeros(2, 3, device="meta"),
    ],
    ids=["bfloat16", "sparse", "conjugate", "meta"],
)
def test_tensors_that_numpy_cannot_represent(tensor):
    with pytest.raises(
        TypeError, match="residual_maps must be dense and of a type that NumPy supports"
    ):
        list(iter_masks_and_maps(np.zeros((2, 3)), tensor))
    with pytest.raises(TypeError, match="mask must be dense and of a type that NumPy supports"):
        check_mask(tensor, "mask")


def test_tensors_with_a_gradient_are_accepted():
    maps = torch.rand(1, 2, 3, requires_grad=True)
    ((_, scores),) = iter_masks_and_maps(torch.zeros(1, 2, 3), maps)
    np.testing.assert_array_equal(scores, maps[0].detach())
    with pytest.raises(
        ValueError, match=r"mask must have shape \(h, w\), got list that NumPy cannot"
    ):
        check_mask([maps], "mask")


def test_masked_arrays_are_refused():
    masked = np.ma.masked_array(np.zeros((2, 3)), np.ones((2, 3), dtype=bool))
    for check in (check_mask, check_image, to_array):
        with pytest.raises(TypeError, match="it must not be a masked array, because its mask"):
            check(masked, "it")


@pytest.mark.parametrize("value", ["x", None, True, 1j, np.nan, np.inf, 11, -1, 10**400])
def test_numbers_outside_their_interval(value):
    with pytest.raises(ValueError, match="it must be a finite number from 0 to 10, got"):
        check_number(value, "it", 0, 10)
    check_number(np.float32(3), "it", 0, 10)


def test_non_collections_are_named():
    for items in (np.array(1), torch.tensor(1), list, 3):
        with pytest.raises(TypeError, match="masks must be an array or a sequence, got"):
            list(iter_masks_and_maps(items, []))


def test_labels_must_be_a_collection():
    for y in (0, np.array(1), "good"):
        with pytest.raises(TypeError, match="y must be masks, labels or None, got"):
            defect_labels(y, 3)
    np.testing.assert_array_equal(defect_labels(np.array([0, 1], dtype=object), 2), [False, True])
