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
# `timeout` sends SIGTERM twice at once, which counts once. A second Ctrl-C after this long ends the process at once.
FORCE_AFTER_S = 1.0
_terminated = threading.Event()
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
    try:
        yield
    finally:
        for number, handler in before:
            if handler is not None:
                signal.signal(number, handler)


def working() -> None:
    """Call when an interruption must leave files in order; a second one still ends the process at once."""
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


def _end(number: int, frame: FrameType | None) -> None:
    with suppress(OSError):
        os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED if number == signal.SIGINT else TERMINATED)


def _raise(number: int, frame: FrameType | None) -> None:
    if not _first_at_s:
        _first_at_s.append(time.monotonic())
        if number == signal.SIGTERM:
            _terminated.set()
        raise KeyboardInterrupt
    if time.monotonic() - _first_at_s[0] > FORCE_AFTER_S:
        _end(number, frame)
