import contextlib
import importlib
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time

import pytest

from sk_ssimae.cli import _predict, _signals
from sk_ssimae.cli._progress import EpochProgress
from sk_ssimae.cli._signals import deferring_interrupts, exit_on_signals, interruptible
from sk_ssimae.cli._terminal import reporting
from sk_ssimae.persistence import load

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
# The handlers are installed before the slow imports, and Ctrl-C is not ignored, as it may be in a
# process that a shell has started in the background.
PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from sk_ssimae.cli import main
from sk_ssimae.cli._signals import exit_on_signals
exit_on_signals()
print("ready", file=sys.stderr, flush=True)
import torch
torch.set_num_threads(1)
main()
"""


@pytest.fixture(autouse=True)
def defaults():
    """Handle all signals by default, and check that they are so again at the end."""
    usual = dict.fromkeys(SIGNALS, signal.SIG_DFL) | {signal.SIGINT: signal.default_int_handler}
    previous = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    assert {number: signal.signal(number, previous[number]) for number in SIGNALS} == usual


@pytest.mark.parametrize("number", SIGNALS)
def test_each_signal_saves_the_model(run, tmp_path, folders, tiny_options, monkeypatch, number):
    def interrupt_second_epoch(self, net, batch=None, **kwargs):
        if len(net.history) == 2:
            signal.raise_signal(number)

    monkeypatch.setattr(EpochProgress, "on_batch_end", interrupt_second_epoch)
    output = tmp_path / "m"
    result = run("fit", folders.good, "-o", output, *tiny_options, "--quiet")
    assert result.exit_code == 130
    assert result.output == (
        "error: interrupted in epoch 2 of 2: the model trained so far was saved to "
        f"{str(output)!r}.\n"
    )
    assert load(output).threshold_ > 0


@pytest.mark.parametrize("number", SIGNALS)
def test_each_signal_stops_predict(run, model, folders, tmp_path, monkeypatch, number):
    def interrupt(segmenter, image, inside):
        if image.name == "1.png":
            signal.raise_signal(number)
        return segment(segmenter, image, inside)

    segment = _predict.segment
    monkeypatch.setattr(_predict, "segment", interrupt)
    result = run("predict", model, folders.good, "-o", tmp_path / "out")
    assert result.exit_code == 130
    assert result.stderr == (
        "1 of 3 images complete. Run the same command again to resume.\nerror: interrupted.\n"
    )
    assert [path.name for path in (tmp_path / "out" / "masks").iterdir()] == ["0.png"]


def test_signals_in_quick_succession_count_once():
    with interruptible():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        for number in SIGNALS * 3:
            signal.raise_signal(number)


def test_a_later_signal_counts_again(monkeypatch):
    monkeypatch.setattr(_signals.time, "monotonic", iter([1.0, 1.9, 3.0]).__next__)
    with interruptible():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("number", SIGNALS)
def test_ignored_signals_stay_ignored(number):
    """As after nohup, or in a process that a shell has started in the background."""
    before = signal.signal(number, signal.SIG_IGN)
    with reporting():
        signal.raise_signal(number)
        assert signal.getsignal(number) is signal.SIG_IGN
    signal.signal(number, before)


def test_commands_run_in_threads():
    done = []

    def work():
        exit_on_signals()
        with reporting():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]


def test_without_sighup(monkeypatch):
    """Windows has none."""
    monkeypatch.delattr(signal, "SIGHUP")
    try:
        importlib.reload(_signals)
        with pytest.raises(KeyboardInterrupt), _signals.interruptible():
            signal.raise_signal(signal.SIGTERM)
    finally:
        monkeypatch.undo()
        importlib.reload(_signals)


def test_an_interrupt_that_python_discards_is_raised_again():
    class Deleted:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    def wait():
        Deleted()
        for _ in range(1000):
            time.sleep(0.01)

    with pytest.raises(KeyboardInterrupt), interruptible():
        wait()


def test_repeated_interrupts_end_without_a_traceback(model):
    command = [sys.executable, "-c", PROGRAM, "info", str(model)]
    for delay in (0, 1.5, 3):
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr.readline() == "ready\n"
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(delay)
            while process.poll() is None:
                process.send_signal(signal.SIGINT)
                time.sleep(0.001)
            assert process.stderr.read() in ("", "error: interrupted.\n")
            # It may have ended before the first signal.
            assert process.returncode in ((130,) if delay == 0 else (130, 0))


def test_a_closed_terminal_does_not_lose_the_model(tmp_path, folders, tiny_options):
    """The system sends SIGHUP, and nothing can be printed any more."""
    model = tmp_path / "m"
    endless = [*tiny_options, "--set=max_epochs=100000", "--set=n_patches=64"]
    endless.remove("--patches=128")
    endless.remove("--set=max_epochs=2")
    args = ["fit", str(folders.good), "-o", str(model), *endless]
    own = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", own + PROGRAM, *args],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "200"},
    )
    try:
        os.close(terminal)
        shown = b""
        while b", loss " not in shown:
            assert select.select([controller], [], [], 60)[0], shown
            shown += os.read(controller, 1000)
        os.close(controller)
        assert process.wait(60) == 130
    finally:
        process.kill()
        process.wait()
    assert load(model).threshold_ > 0


def test_a_signal_can_wait_for_the_end_of_a_block(monkeypatch):
    monkeypatch.setattr(_signals.time, "monotonic", iter([1.0, 1.5, 9.0, 9.5, 11.0]).__next__)
    done = []

    def work(*numbers):
        with deferring_interrupts():
            for number in numbers:
                signal.raise_signal(number)
            done.append(numbers)

    with interruptible():
        with pytest.raises(KeyboardInterrupt):
            work(signal.SIGINT, signal.SIGTERM)  # Within a second: the same.
        with pytest.raises(KeyboardInterrupt):
            work(signal.SIGTERM, signal.SIGINT, signal.SIGINT)
        work()
    assert done == [(signal.SIGINT, signal.SIGTERM), ()]
