"""Who has which unit, and how fast each worker is. Knows no sessions and no events."""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass, field

from .units import Unit, WorkerInfo

_RATES_KEPT = 99


@dataclass(eq=False)
class Flight:
    """A unit that is not done: the workers that have it, and the nodes on which it failed.

    `is_suspect`: it was at a worker that ended, so it is given to workers that have nothing else. `is_last`: that
    happened so often that it waits for all others, before its last attempt.
    """

    unit: Unit
    workers: set[str] = field(default_factory=set)
    failed_on: list[str] = field(default_factory=list)
    has_begun: bool = False
    is_suspect: bool = False
    is_last: bool = False


@dataclass
class Copy:
    """A unit at a worker. `moved_s` is when it was given, or last got ahead."""

    flight: Flight
    given_s: float
    moved_s: float
    share: float = 0.0


@dataclass(eq=False)
class Worker:
    """A worker with the units it has, in the order it does them, and what it has done of the present job.

    `busy_s` is the time from the beginning of each unit to its end; `free_since_s` is when the last one ended.
    """

    info: WorkerInfo
    heard_s: float
    free_since_s: float
    units: dict[int, Copy] = field(default_factory=dict)
    done: int = 0
    work_done: float = 0.0
    busy_s: float = 0.0
    earlier_rate: float | None = None  # seconds for each pixel, in the job before

    @property
    def rate(self) -> float | None:
        """Seconds for each pixel; None: it has not done any."""
        return self.busy_s / self.work_done if self.work_done else self.earlier_rate

    @property
    def first(self) -> Copy:
        """What it is computing."""
        return next(iter(self.units.values()))

    def idle_or_since_s(self, copy: Copy) -> float:
        """When it could have begun with its first unit, or last got ahead with it."""
        return max(copy.moved_s, self.free_since_s)

    def begin_job(self) -> None:
        self.earlier_rate = self.rate
        self.units.clear()
        self.done, self.work_done, self.busy_s = 0, 0.0, 0.0

    def finish(self, number: int, now_s: float) -> float:
        """Note that a unit is done; return the seconds it took for each pixel."""
        copy = self.units.pop(number)
        # Of two units at a worker the second begins when the first ends, whenever it was given.
        took_s = now_s - max(copy.given_s, self.free_since_s)
        self.free_since_s = now_s
        self.done += 1
        self.work_done += copy.flight.unit.work
        self.busy_s += took_s
        return took_s / copy.flight.unit.work


class Rates:
    """The time that units take, over all workers: what to expect of a worker that has not done any."""

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=_RATES_KEPT)
        self.median: float | None = None  # seconds for each pixel

    def add(self, seconds_per_pixel: float) -> None:
        self._last.append(seconds_per_pixel)
        self.median = statistics.median(self._last)

    def expected_s(self, worker: Worker, work: float, now_s: float) -> float:
        """How long a worker takes for so many pixels: by what it has done, or is doing, or else by what all have."""
        rate = worker.rate or self.median or 0.0
        if worker.units:
            first = worker.first
            so_far_s = now_s - max(first.given_s, worker.free_since_s)
            rate = max(rate, so_far_s / ((first.share or 1.0) * first.flight.unit.work))
        return rate * work

    def left_s(self, worker: Worker, flight: Flight, now_s: float) -> float:
        """Until a worker is through with a unit and those it does before it."""
        seconds = 0.0
        for number, copy in worker.units.items():
            left = self.expected_s(worker, copy.flight.unit.work * (1 - copy.share), now_s)
            # Where nothing has moved for a while, nothing will for as long again.
            seconds += left if seconds else max(left, now_s - worker.idle_or_since_s(copy))
            if number == flight.unit.number:
                break
        return seconds
