"""Share the devices between the pictures and the video that are restored at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .messages import Kind

TURN_S = 2.0  # long enough to restore several small pictures, short enough to wait for


class Turns:
    """Pictures and a video compute in turn, for `turn_s` each, so that a picture never waits for a whole film.

    Whoever is alone is never held up. Work that does not ask keeps computing, so a turn may last longer.
    """

    def __init__(self, turn_s: float = TURN_S) -> None:
        self._turn_s = turn_s
        self._changed = threading.Condition()
        self._working: set[Kind] = set()
        self._turn: Kind = "picture"
        self._since_s = 0.0

    @contextmanager
    def working(self, kind: Kind) -> Iterator[None]:
        """Take part as long as this lasts."""
        with self._changed:
            self._working.add(kind)
        try:
            yield
        finally:
            with self._changed:
                self._working.discard(kind)
                self._changed.notify_all()

    def wait(self, kind: Kind, check: Callable[[], None]) -> None:
        """Return when it is the turn of `kind`; until then call `check`, which may raise to give up."""
        with self._changed:
            while len(self._working) > 1:
                now_s = time.monotonic()
                if now_s - self._since_s >= self._turn_s:
                    self._turn = "video" if self._turn == "picture" else "picture"
                    self._since_s = now_s
                    self._changed.notify_all()
                if self._turn == kind:
                    return
                self._changed.wait(0.1)
                check()
