"""Hostile values for every place of a JSON document."""

import copy
import functools
from collections.abc import Iterator
from typing import Any

HUGE = 10**400  # No float can represent it.
NESTED: list[Any] = functools.reduce(lambda inner, _: [inner], range(100), [])
VALUES: dict[str, Any] = {
    "missing": KeyError, "null": None, "true": True, "false": False, "0": 0, "1": 1, "-1": -1,
    "1.0": 1.0, "-0.5": -0.5, "1e300": 1e300, "1e-300": 1e-300, "int32": 2**31, "int64": 2**63,
    "more than int64": 2**70, "huge": HUGE, "-huge": -HUGE, "empty text": "", "text": "x",
    "control": "\0\n\x1b[2J", "half a character": "\ud800", "long text": "x" * 5000,
    "empty list": [], "list": [1], "huge in a list": [HUGE], "nested": NESTED, "empty dict": {},
    "dict": {"x": 1}, "long key": {"y" * 5000: 1}, "empty key": {"": ""},
    "nan": {"float": "nan"}, "inf": {"float": "inf"}, "empty tuple": {"tuple": []},
    "tuple": {"tuple": [20, 30]}, "tuple of huge": {"tuple": [HUGE, HUGE]},
    "long tuple": {"tuple": [0] * 2000}, "deep tuple": {"tuple": [{"tuple": [{"tuple": []}]}]},
    "wrapped dict": {"dict": {"x": 1}}, "numpy": {"numpy": ["float32", 1.0]},
    "numpy of huge": {"numpy": ["float64", HUGE]}, "numpy overflow": {"numpy": ["float16", 1e300]},
    "numpy nan": {"numpy": ["float64", {"float": "nan"}]}, "numpy bool": {"numpy": ["bool", True]},
    "numpy text": {"numpy": ["str_", "x"]}, "path": {"path": "\0"},
    "device": {"torch.device": "cpu"}, "no device": {"torch.device": "x" * 3000},
    "device of another machine": {"torch.device": "cuda:99999999999999999999"},
}  # fmt: skip


def paths(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value of a document, but not of its rows of history after one."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree[:1])
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from paths(value, (*path, key))


def exchanged(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Return a document with another value at a path."""
    document = copy.deepcopy(document)
    parent = functools.reduce(lambda tree, key: tree[key], path[:-1], document)
    if value is KeyError:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return document
