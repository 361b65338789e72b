"""One device, several units at a worker: who computes when. Pictures come first, and neither kind waits for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from functools import partial

from ..arrays import Array
from ..restorer import Listener, Restorer

TURN_S = 2.0  # after which one kind lets the other compute; long enough for several small pictures


class Rank(IntEnum):
    """What a unit is. A picture comes before the next frame of a film, since somebody waits for it."""

    PICTURE = 0
    SEGMENT = 1


@dataclass(frozen=True, order=True)
class Ticket:
    """A unit in the queue for a device: of a rank, those that came first go first, and the next one fills the gaps."""

    rank: Rank
    number: int


class Turn:
    """Lets one at a time compute, of those who wait the one with the smallest ticket.

    A rank that has waited for `turn_s` goes before the other, which also gives way within a frame, if it takes longer.
    """

    def __init__(self, turn_s: float = TURN_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._turn_s = turn_s
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: dict[Ticket, float] = {}  # since when
        self._holder: Ticket | None = None
        self._since_s = 0.0

    @contextmanager
    def of(self, ticket: Ticket) -> Iterator[None]:
        self._take(ticket)
        try:
            yield
        finally:
            self._leave()

    def give_way(self) -> None:
        """Let the other rank compute, if it is its turn. To be called by the holder within its work, often."""
        with self._changed:
            holder = self._holder
            assert holder is not None
            now_s = self._clock()
            if now_s - self._since_s < self._turn_s or not self._overdue(holder.rank, now_s):
                return
        self._leave()
        self._take(holder)

    def _take(self, ticket: Ticket) -> None:
        with self._changed:
            self._waiting[ticket] = self._clock()
            if self._holder is None:
                self._hand_on()
            self._changed.wait_for(lambda: self._holder == ticket)

    def _leave(self) -> None:
        with self._changed:
            self._hand_on()
            self._changed.notify_all()

    def _hand_on(self) -> None:
        # Decided once, not by each of those who wait: the clock goes on between their looks.
        self._holder, self._since_s = None, self._clock()
        if self._waiting:
            first = min(self._waiting)
            self._holder = min(self._overdue(first.rank, self._since_s), default=first)
            del self._waiting[self._holder]

    def _overdue(self, rank: Rank, now_s: float) -> list[Ticket]:
        """Those of the other rank that have waited for too long."""
        return [
            ticket
            for ticket, since_s in self._waiting.items()
            if ticket.rank != rank and now_s - since_s >= self._turn_s
        ]


def shared(restorer: Restorer, turn: Turn, ticket: Ticket) -> Restorer:
    """`restorer` for a unit that shares a device with others."""

    def progressed(listener: Listener, share: float) -> None:
        listener.progressed(share)
        turn.give_way()

    def restore(frame: Array, listener: Listener) -> Array:
        with turn.of(ticket):
            listener.progressed(0.0)  # it may have been dropped while it waited
            return restorer(frame, Listener(partial(progressed, listener), listener.restored_faces))

    return restore
