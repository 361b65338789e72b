"""Ctrl-C and SIGTERM. Imports next to nothing, so that it can be ready before anything else is imported."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

INTERRUPTED, TERMINATED = 130, 143  # exit codes, as shells give them

_Handler = Callable[[int, FrameType | None], Any] | int | None
# `timeout` sends SIGTERM twice at once. Who presses Ctrl-C again later does not want to wait for files to become whole.
FORCE_AFTER_S = 1.0
_terminated = threading.Event()
_first_at_s: list[float] = []  # when work was interrupted, by time.monotonic


@contextmanager
def starting() -> Iterator[None]:
    """While imports run, Ctrl-C and SIGTERM end the process at once; after `working`, they raise KeyboardInterrupt.

    An exception among half done imports comes out as a traceback, or as another exception, of whatever was imported.
    Signals that were ignored stay so: a shell starts what runs in the background that way.
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
    """Call when there is work to be left in order when it is interrupted: the second interruption ends it at once."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is _end:
            signal.signal(number, _raise)


def exit_code(code: int) -> int:
    """The exit code of a command that returned `code`: whoever sent SIGTERM is told that this was the reason."""
    return TERMINATED if code == INTERRUPTED and _terminated.is_set() else code


def _replace(number: int, handler: Callable[[int, FrameType | None], None]) -> _Handler:
    """Set a handler where the default one stands, and return that; None where nothing was changed."""
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
