import numpy as np
import torch

from sk_ssimae._formulas._arrays import add_product, array_namespace, subtract_product, take


def both(*arrays):
    return arrays, tuple(torch.from_numpy(array.copy()) for array in arrays)


def test_namespaces():
    assert array_namespace(np.zeros(3)) is array_namespace(np.float32(1)) is np
    assert array_namespace(torch.zeros(3)) is torch


def test_products():
    total, x, y = np.random.default_rng(0).random((3, 4, 5))
    for arrays in both(total.copy(), x, y):
        np.testing.assert_allclose(subtract_product(*arrays), total - x * y, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(arrays[0], total)
        assert add_product(*arrays) is arrays[0]
        np.testing.assert_allclose(arrays[0], total + x * y, rtol=0, atol=1e-12)


def test_take():
    for (array,) in both(np.arange(6).reshape(2, 3)):
        taken = take(array, np.array([2, 2, 0]), -1)
        np.testing.assert_array_equal(taken, [[2, 2, 0], [5, 5, 3]])
