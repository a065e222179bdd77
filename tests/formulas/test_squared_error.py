import numpy as np
import torch

from sk_ssimae._formulas._squared_error import squared_error


def test_squared_error():
    x, y = np.random.default_rng(0).random((2, 3, 4))
    errors = squared_error(x, y)
    np.testing.assert_allclose(errors, (x - y) ** 2, rtol=0, atol=1e-12)
    of_torch = squared_error(torch.from_numpy(x), torch.from_numpy(y))
    np.testing.assert_allclose(errors, of_torch, rtol=0, atol=1e-12)
