import numpy as np
import torch

from sk_ssimae._formulas._absolute_error import absolute_error


def test_absolute_error():
    x, y = np.random.default_rng(0).random((2, 3, 4))
    errors = absolute_error(x, y)
    np.testing.assert_array_equal(errors, np.maximum(x - y, y - x))
    of_torch = absolute_error(torch.from_numpy(x), torch.from_numpy(y))
    np.testing.assert_array_equal(errors, of_torch)
