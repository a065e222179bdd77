"""Call public functions with random arguments and check the results."""

import re
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

Strategy = st.SearchStrategy[Any]

_SECONDS = 60
# Deliberate errors come from this package, scikit-learn's parameter checks, or matplotlib, which
# receives some arguments unchecked.
_OURS = re.compile(
    r"/sk_ssimae/|/matplotlib/|/sklearn/(base|utils/_param_validation|utils/validation)\.py$"
)


@dataclass(frozen=True)
class Call:
    """A public function and strategies for its arguments.

    Parameters
    ----------
    name : str
        Name as in the documentation, without the package; methods as ``Class.method``.
    function : callable
        Called with the arguments by name.
    good : strategy of dict
        Arguments that must be accepted.
    check : callable
        Takes the result and the arguments; asserts that the result is as documented. Results of
        wild arguments must pass it too.
    wild : dict of strategy, or of callable that makes one from the good value
        By argument: values for which the result is right or an error names the argument.
    refused : dict of strategy
        By argument: values that must raise an error.
    share : int
        Relative number of examples.
    may_name : sequence of str
        Arguments that errors may name although none is wild, because they are incompatible.
    """

    name: str
    function: Callable[..., Any]
    good: Strategy
    check: Callable[[Any, dict[str, Any]], None]
    wild: dict[str, Any] = field(default_factory=dict)
    refused: dict[str, Strategy] = field(default_factory=dict)
    share: int = 4
    may_name: Sequence[str] = ()

    def situations(self) -> Strategy:
        """Draw arguments, the names of those that are wild, and whether an error must follow."""
        return _situations(self)


@st.composite
def _situations(draw: Any, call: Call) -> tuple[dict[str, Any], list[str], bool]:
    arguments = dict(draw(call.good))
    sources = [(name, False) for name in call.wild] + [(name, True) for name in call.refused]
    count = draw(st.sampled_from((0, 1, 1, 1, 2)))
    n_names = len({*call.wild, *call.refused})
    by_name = st.lists(
        st.sampled_from(sources or [("", False)]),
        min_size=min(count, n_names),
        max_size=min(count, n_names),
        unique_by=lambda source: source[0],
    )
    wild = dict(draw(by_name))
    for name, is_refused in wild.items():
        source = (call.refused if is_refused else call.wild)[name]
        if callable(source):
            source = source(arguments.get(name))
        arguments[name] = draw(source)
    return arguments, sorted(wild), any(wild.values())


def check_call(call: Call, situation: tuple[dict[str, Any], list[str], bool]) -> None:
    """Check that the result is right, or that a deliberate error names a wild argument."""
    arguments, wild, must_fail = situation
    before = {name: _fingerprint(value) for name, value in arguments.items()}
    try:
        with _time_limit():
            result = call.function(**arguments)
    except (TypeError, ValueError, OSError) as error:
        if not wild and not call.may_name:
            raise
        _check_error(error, {name: arguments.get(name) for name in (*wild, *call.may_name)})
    else:
        assert not must_fail, f"{wild} was accepted: {[arguments[name] for name in wild]!r:.500}"
        call.check(result, arguments)
    for name, value in arguments.items():
        assert _fingerprint(value) == before[name], f"{name} was changed"


def _check_error(error: Exception, wild: dict[str, Any]) -> None:
    message = str(error)
    tokens = [*wild]
    if isinstance(error, OSError):
        tokens += [repr(str(value))[1:-1] for value in wild.values()]
    named = any(re.search(rf"(?<!\w){re.escape(token)}(?!\w)", message) for token in tokens)
    assert named, f"none of {list(wild)} is named: {type(error).__name__}: {message}"
    if not isinstance(error, OSError):
        last = traceback.extract_tb(error.__traceback__)[-1]
        assert _OURS.search(last.filename), f"raised by accident in {last.filename}: {message}"


class _TooLongError(BaseException):
    """Not a subclass of Exception, so that only the test catches it."""


@contextmanager
def _time_limit() -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise _TooLongError(f"not done after {_SECONDS} seconds")

    # CPU seconds: wall-clock time means nothing on a busy machine.
    previous = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, _SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)


def _fingerprint(value: Any) -> Any:
    """Return a value's content, to detect changes."""
    if isinstance(value, np.ma.MaskedArray):
        return _fingerprint(value.data), _fingerprint(np.ma.getmaskarray(value))
    if isinstance(value, np.ndarray):
        content = list(value.ravel()) if value.dtype == object else value.tobytes()
        return value.dtype, value.shape, value.strides, value.flags.writeable, content_of(content)
    if isinstance(value, torch.Tensor):
        return value.dtype, value.shape, value.requires_grad, repr(value)
    if isinstance(value, list | tuple):
        return type(value), [_fingerprint(item) for item in value]
    if isinstance(value, dict):
        return {key: _fingerprint(item) for key, item in value.items()}
    return repr(value)


def content_of(content: Any) -> Any:
    return content if isinstance(content, bytes) else [_fingerprint(item) for item in content]
