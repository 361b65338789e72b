"""Handle Ctrl-C and SIGTERM. Imports next to nothing, so that it is ready before anything else is imported."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

INTERRUPTED, TERMINATED = 130, 143  # exit codes, as shells report them

_Handler = Callable[[int, FrameType | None], Any] | int | None
# `timeout` sends SIGTERM twice at once, which counts once. A second Ctrl-C after this long ends the process at once,
# and work that cannot be interrupted within its steps is waited for no longer.
FORCE_AFTER_S = 1.0
_terminated = threading.Event()
_last_words: list[Callable[[], str]] = []  # if any, what is said when the work does not stop in time
_patience: list[threading.Timer] = []
_first_at_s: list[float] = []  # when work was first interrupted, by time.monotonic


@contextmanager
def starting() -> Iterator[None]:
    """While imports run, Ctrl-C and SIGTERM end the process at once; after `working`, they raise KeyboardInterrupt.

    Raised in the middle of an import, the exception would come out as a traceback, or be turned into another one.
    Ignored signals stay ignored: that is how a shell starts background processes.
    """
    before = [(number, _replace(number, _end)) for number in (signal.SIGINT, signal.SIGTERM)]
    _terminated.clear()
    _first_at_s.clear()
    _last_words.clear()
    try:
        yield
    finally:
        while _patience:
            _patience.pop().cancel()
        for number, handler in before:
            if handler is not None:
                signal.signal(number, handler)


def working(last_words: Callable[[], str] | None = None) -> None:
    """Call when an interruption must leave files in order; a second one still ends the process at once.

    With `last_words`, so does the first one if the work has not stopped soon after; they are then said. It is for work
    whose steps take long and cannot be interrupted, and whose files are in order whenever it ends.
    """
    if last_words is not None:
        _last_words.append(last_words)
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is _end:
            signal.signal(number, _raise)


def exit_code(code: int) -> int:
    """The exit code of a command that returned `code`: after SIGTERM, the one that says so."""
    return TERMINATED if code == INTERRUPTED and _terminated.is_set() else code


def _replace(number: int, handler: Callable[[int, FrameType | None], None]) -> _Handler:
    """Replace the default handler and return it; None if another one was set, which stays."""
    before = signal.getsignal(number)
    if before not in (signal.SIG_DFL, signal.default_int_handler):
        return None
    try:
        signal.signal(number, handler)
    except ValueError:  # not in the main thread
        return None
    return before


def _end(number: int, frame: FrameType | None, last_words: Callable[[], str] = lambda: "interrupted") -> None:
    with suppress(OSError):
        os.write(2, f"{last_words()}\n".encode())
    os._exit(INTERRUPTED if number == signal.SIGINT else TERMINATED)


def _raise(number: int, frame: FrameType | None) -> None:
    if not _first_at_s:
        _first_at_s.append(time.monotonic())
        if number == signal.SIGTERM:
            _terminated.set()
        if _last_words:
            _patience.append(threading.Timer(FORCE_AFTER_S, _end, (number, None, _last_words[-1])))
            _patience[-1].daemon = True
            _patience[-1].start()
        raise KeyboardInterrupt
    if time.monotonic() - _first_at_s[0] > FORCE_AFTER_S:
        _end(number, frame)
