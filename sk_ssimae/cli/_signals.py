"""Signals that end a command: Ctrl-C, SIGTERM and SIGHUP, all in the same way."""

import _thread
import atexit
import math
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

INTERRUPTED = 130  # Exit code.

_SIGHUP = getattr(signal, "SIGHUP", None)  # Windows has none.
_SIGNALS = [signal.SIGINT, signal.SIGTERM, *([] if _SIGHUP is None else [_SIGHUP])]
_Handler = Callable[[int, Any], Any]


def exit_on_signals() -> None:
    """From now on, exit at once, without a traceback: there is nothing to save.

    `interruptible` overrides this while there may be something.
    """
    if _receives_signals():
        _handle(_exit)
        # While Python shuts down, it restores the default, which ends the process without a code.
        atexit.register(_handle, signal.SIG_IGN)


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt at each signal, but none within a second of the last.

    Signals follow one another closely if a key is held, or a wrapper repeats them. They must not
    interrupt a step that the first of them has started, such as saving a model.
    """
    last = -math.inf

    def interrupt(number: int, frame: Any) -> None:
        nonlocal last
        before, last = last, time.monotonic()
        if number == _SIGHUP:
            _discard_output_to_closed_terminals()
        if last - before >= 1:
            raise KeyboardInterrupt

    def repeat(lost: Any) -> None:
        """Raise again if Python has discarded the exception, as it does in ``__del__``."""
        nonlocal last
        if not isinstance(lost.exc_value, KeyboardInterrupt):
            show_lost(lost)
            return
        last = -math.inf
        threading.Timer(0.01, _thread.interrupt_main).start()

    show_lost = sys.unraisablehook
    with _replaced_handlers(lambda _: interrupt):
        sys.unraisablehook = repeat
        try:
            yield
        finally:
            sys.unraisablehook = show_lost


@contextmanager
def ignoring_interrupts_if(condition: Callable[[], bool]) -> Iterator[None]:
    """Ignore each signal for which the condition is true."""

    def wrap(previous: Any) -> _Handler:
        def on_signal(number: int, frame: Any) -> None:
            if not condition():
                previous(number, frame)

        return on_signal if callable(previous) else previous

    with _replaced_handlers(wrap):
        yield


@contextmanager
def deferring_interrupts() -> Iterator[None]:
    """Raise KeyboardInterrupt for a signal at the end of the block, for a second one at once.

    As in `interruptible`, signals within a second count once.
    """
    pending = False

    def wrap(previous: Any) -> _Handler:
        def on_signal(number: int, frame: Any) -> None:
            nonlocal pending
            try:
                previous(number, frame)
            except KeyboardInterrupt:
                if pending:
                    raise
                pending = True

        return on_signal if callable(previous) else previous

    with _replaced_handlers(wrap):
        yield
    if pending:
        raise KeyboardInterrupt


@contextmanager
def _replaced_handlers(wrap: Callable[[Any], Any]) -> Iterator[None]:
    """Replace the handlers of all signals that the process does not ignore, as after nohup."""
    if not _receives_signals():
        yield
        return
    previous = {number: signal.getsignal(number) for number in _SIGNALS if not _is_ignored(number)}
    try:
        for number, handler in previous.items():
            signal.signal(number, wrap(handler))
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _handle(handler: Any) -> None:
    for number in _SIGNALS:
        if not _is_ignored(number):
            signal.signal(number, handler)


def _receives_signals() -> bool:
    return threading.current_thread() is threading.main_thread()


def _is_ignored(number: int) -> bool:
    # None is a handler that was not installed from Python: it cannot be restored.
    return signal.getsignal(number) in (signal.SIG_IGN, None)


def _exit(number: int, frame: Any) -> NoReturn:
    os._exit(INTERRUPTED)


def _discard_output_to_closed_terminals() -> None:
    """Keep an error of standard output or standard error from preventing that a model is saved."""
    for descriptor in (1, 2):
        with suppress(OSError):
            is_device = stat.S_ISCHR(os.fstat(descriptor).st_mode)
            if is_device and not os.isatty(descriptor):
                nothing = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nothing, descriptor)
                os.close(nothing)
