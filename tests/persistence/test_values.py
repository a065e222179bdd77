import json
import math
from enum import IntEnum
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from sk_ssimae.persistence._values import decode, encode

VALUES = [
    None, True, 3, -(2**80), 0.1, -0.0, 5e-324, math.inf, -math.inf, "", "a\ud800\n",
    (), (1, (2.5, "b")), np.bool_(True), np.int8(-3), np.uint64(2**64 - 1), np.float16(0.1),
    np.float32(0.1), np.float64(0.1), np.float32(np.inf), np.str_("c"), Path("../d/e"),
    torch.device("cuda:3"), (np.int64(3), None), {}, {"a": (1, 0.5), "tuple": {"dict": 2}},
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_come_back_with_their_types(value):
    stored = json.loads(json.dumps(encode(value, "it"), allow_nan=False))
    found = decode(stored)
    assert type(found) is type(value)
    assert repr(found) == repr(value)


def test_nan_comes_back():
    assert math.isnan(decode(encode(math.nan, "it")))
    assert np.isnan(decode(encode(np.float16(np.nan), "it")))


class Number(IntEnum):
    ONE = 1


@pytest.mark.parametrize(
    "value",
    [[1], {1: 2}, {"a": [1]}, {1}, b"a", 1j, Number.ONE, Fraction(1), object, np.zeros(1), len],
)
def test_other_values_are_refused(value):
    with pytest.raises(TypeError, match=r"lr must be a number, .* instead. joblib.dump keeps"):
        encode(value, "lr")
    with pytest.raises(TypeError, match="lr must be a number"):
        encode((1, value), "lr")


@pytest.mark.parametrize(
    "stored",
    [
        [1], {}, {"a": 1}, {"tuple": 1}, {"tuple": [[1]]}, {"tuple": [], "a": 1}, {"path": 1},
        {"dict": []}, {"dict": {"a": [1]}}, {"a": {}},
        {"float": "1"}, {"float": 1}, {"float": []}, {"numpy": "float64"}, {"torch.device": 0},
        {"numpy": ["object", 1]}, {"numpy": ["int8", 1.5]}, {"numpy": ["float64", "1"]},
        {"numpy": ["bool", None]}, {"numpy": [["int8"], 1]}, {"numpy": ["int8", {"tuple": []}]},
        {"numpy": ["float16", 0.1]}, {"module": "os"},
    ],
)  # fmt: skip
def test_what_encode_does_not_write_is_refused(stored):
    with pytest.raises(ValueError, match="it holds"):
        decode(stored)
