"""Tell what each machine has done, when a signal asks: `kill -USR1 PID`, or Ctrl-T where terminals have it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from . import console

_SIGNALS = ("SIGUSR1", "SIGINFO")  # Windows has neither, Linux no SIGINFO


@contextmanager
def answering(lines: Callable[[], Sequence[str]]) -> Iterator[None]:
    """Print `lines` at each such signal, as long as this lasts."""

    def answer(number: int, frame: FrameType | None) -> None:
        for line in lines():
            console.say(line)

    before = {}
    try:
        for name in _SIGNALS:
            if (number := getattr(signal, name, None)) is not None:
                before[number] = signal.signal(number, answer)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
