"""Share the units of a job out among workers, until each is done, whatever becomes of the workers.

Knows no Ray, no files and no pictures: units come from an iterator, workers from a session, time from a clock. One
thread runs it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator

from ..errors import RealESRGANError
from ..words import count, duration
from .flights import Copy, Flight, Rates, Worker
from .patience import Limits
from .pool import Broken, Done, Event, Failed, Heard, Joined, Lost, Progressed, Said, Session
from .units import Delivery, Unit, WorkerInfo


class NoWorkers(RealESRGANError):
    """There is nobody left to do the work."""


class Client:
    """What a job is told by its scheduler. All methods are called by the thread that runs it."""

    def check(self) -> None:
        """Called often; may raise to stop."""

    def remark(self, message: str) -> None:
        """Something worth knowing about the workers."""

    def warn(self, message: str) -> None:
        """A worker is lost, or a unit has to be done again."""

    def began(self, unit: Unit) -> None:
        """A worker begins with a unit; called once for each. May raise RealESRGANError: then the unit has failed."""

    def progressed(self, unit: Unit, share: float) -> None:
        """So much of a unit is done, from 0 to 1; less than before if it is begun anew. May raise as `began`."""

    def done(self, unit: Unit, delivery: Delivery) -> None:
        """A unit is done."""
        raise NotImplementedError

    def failed(self, unit: Unit, reason: str, *, final: bool) -> None:
        """A unit cannot be done; may raise to stop, or the others go on. `final`: it was at fault, not the workers."""
        raise NotImplementedError


class Scheduler:
    """Runs one job after the other on the workers of a session.

    `workers` are those who are there; `gone` those who were lost during the present job.
    """

    def __init__(
        self, session: Session, limits: Limits | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.workers: dict[str, Worker] = {}
        self.gone: list[Worker] = []
        self._session = session
        self._limits = limits or Limits()
        self._clock = clock
        self._rates = Rates()
        self._units: Iterator[Unit | None] = iter(())
        self._client = Client()
        self._waiting: deque[Flight] = deque()  # to be given again, before new ones
        self._set_aside: list[Flight] = []  # and after all others
        self._flights: dict[int, Flight] = {}
        self._is_exhausted = False
        self._alone_since_s = clock()
        self._had_workers = False

    def run(self, units: Iterator[Unit | None], client: Client) -> None:
        """Return when every unit is done or has failed. `units` yields None while there is none to be had yet.

        Raises:
            NoWorkers: there has been no worker for too long.
        """
        self._units, self._client, self._is_exhausted = units, client, False
        self._waiting.clear()
        self._set_aside.clear()
        self._flights.clear()
        self.gone.clear()
        self._alone_since_s = self._clock()
        for worker in self.workers.values():
            worker.begin_job()
        try:
            while not (self._is_exhausted and not self._flights):
                client.check()
                self._give_out()
                for event in self._session.events(self._limits.tick_s):
                    self._handle(event)
                self._watch()
        finally:
            for flight in self._flights.values():
                self._release(flight)

    # Giving out

    def _give_out(self) -> None:
        while sum(self._give_next(worker) for worker in self._free()):
            pass  # each of the free ones in turn, until none of them takes another

    def _free(self) -> list[Worker]:
        """Who can be given a unit: idle workers before others, those idle longest first."""
        free = [worker for worker in self.workers.values() if self._has_room(worker)]
        return sorted(free, key=lambda worker: (len(worker.units), worker.free_since_s))

    def _has_room(self, worker: Worker) -> bool:
        is_alone = any(copy.flight.is_suspect for copy in worker.units.values())
        # Somebody is to become idle for a unit that must be alone.
        at_most = 1 if any(flight.is_suspect for flight in self._waiting) else self._limits.in_flight
        return len(worker.units) < at_most and not is_alone

    def _give_next(self, worker: Worker) -> bool:
        flight = self._next_for(worker)
        if flight is None:
            return False
        now_s = self._clock()
        if not worker.units:
            worker.heard_s = now_s
        worker.units[flight.unit.number] = Copy(flight, now_s, now_s)
        flight.workers.add(worker.info.worker)
        self._session.give(worker.info.worker, flight.unit)
        return True

    def _next_for(self, worker: Worker) -> Flight | None:
        return self._again(worker) or self._new() or (None if worker.units else self._late(worker))

    def _again(self, worker: Worker) -> Flight | None:
        """A unit that was begun before, for a worker that may have more luck with it."""
        for flight in self._waiting:
            if worker.info.node not in flight.failed_on or not self._has_other_nodes(flight):
                self._waiting.remove(flight)
                return flight
        return None

    def _new(self) -> Flight | None:
        if self._is_exhausted:
            return None
        try:
            unit = next(self._units)
        except StopIteration:
            self._is_exhausted = True
            return None
        if unit is None:
            return None
        self._flights[unit.number] = flight = Flight(unit)
        return flight

    def _late(self, worker: Worker) -> Flight | None:
        """What there is for an idle worker where nothing is new: last attempts, or a unit that another has."""
        if self._flights and all(flight.is_last for flight in self._flights.values()):
            self._waiting += self._set_aside
            self._set_aside.clear()
            return self._again(worker)
        return self._worth_doing_twice(worker)

    def _has_other_nodes(self, flight: Flight) -> bool:
        return any(worker.info.node not in flight.failed_on for worker in self.workers.values())

    def _worth_doing_twice(self, worker: Worker) -> Flight | None:
        """A unit that this idle worker will probably finish before the one that has it, when there are no others."""
        best: Flight | None = None
        most, now_s = 0.0, self._clock()
        for flight in self._flights.values():
            if len(flight.workers) == 1 and worker.info.node not in flight.failed_on:
                (holder,) = flight.workers
                left_s = self._rates.left_s(self.workers[holder], flight, now_s)
                gain_s = left_s - self._rates.expected_s(worker, flight.unit.work, now_s)
                if gain_s > most:
                    best, most = flight, gain_s
        return best

    # What happens

    def _handle(self, event: Event) -> None:
        if isinstance(event, Joined):
            self._joined(event.info)
        elif isinstance(event, Said):
            (self._client.warn if event.warning else self._client.remark)(event.message)
        elif isinstance(event, Broken):
            raise NoWorkers(event.reason)
        elif event.worker in self.workers:  # else it is of one that was given up
            worker = self.workers[event.worker]
            worker.heard_s = self._clock()
            if isinstance(event, Lost):
                self._lost(worker, event)
            elif not isinstance(event, Heard) and event.number in worker.units:
                self._told(worker, event)

    def _told(self, worker: Worker, event: Progressed | Done | Failed) -> None:
        if isinstance(event, Progressed):
            self._progressed(worker.units[event.number], event.share)
        elif isinstance(event, Done):
            self._done(worker, event.number, event.delivery)
        else:
            self._failed(worker, event)

    def _joined(self, info: WorkerInfo) -> None:
        now_s = self._clock()
        self.workers[info.worker] = Worker(info, now_s, now_s)
        self._had_workers = True

    def _progressed(self, copy: Copy, share: float) -> None:
        flight = copy.flight
        if share > copy.share:
            copy.share, copy.moved_s = share, self._clock()
        if copy.share >= max(self.workers[holder].units[flight.unit.number].share for holder in flight.workers):
            self._tell(flight, copy.share)

    def _tell(self, flight: Flight, share: float | None = None) -> bool:
        """Tell the client that a unit has begun, and how much is done; return whether it is to go on."""
        try:
            if not flight.has_begun:
                flight.has_begun = True
                self._client.began(flight.unit)
            if share is not None:
                self._client.progressed(flight.unit, share)
        except RealESRGANError as error:
            self._give_up(flight, error.message, final=True)
            return False
        return True

    def _done(self, worker: Worker, number: int, delivery: Delivery) -> None:
        flight = self._flights[number]
        if not self._tell(flight):
            return
        del self._flights[number]
        flight.workers.discard(worker.info.worker)
        self._rates.add(worker.finish(number, self._clock()))
        self._release(flight)
        self._client.done(flight.unit, delivery)

    def _release(self, flight: Flight) -> None:
        """Take a unit from all who have it."""
        for holder in flight.workers:
            self._session.drop(holder, flight.unit.number)
            self.workers[holder].units.pop(flight.unit.number)
        flight.workers.clear()

    def _failed(self, worker: Worker, event: Failed) -> None:
        flight = worker.units.pop(event.number).flight
        flight.workers.discard(worker.info.worker)
        worker.free_since_s = self._clock()
        if event.final:
            self._give_up(flight, event.reason, final=True)
        elif self._is_tried_again(flight, worker.info, event.reason):
            self._client.warn(f"{flight.unit.name} failed on {worker.info.name} ({event.reason}); it is tried again")

    def _is_tried_again(self, flight: Flight, info: WorkerInfo, reason: str) -> bool:
        """Note that an attempt failed; whether another is to follow."""
        flight.failed_on.append(info.node)
        tried = len(flight.failed_on)
        if flight.workers:  # somebody else is at it
            return False
        if tried < self._limits.attempts:
            # Whoever killed workers from outside may have hit it by chance. In the end that is less likely.
            flight.is_last = flight.is_suspect and tried == self._limits.attempts - 1
            (self._set_aside if flight.is_last else self._waiting).append(flight)
            return True
        self._give_up(flight, f"failed {count(tried, 'time')}, the last on {info.name}: {reason}", final=False)
        return False

    def _give_up(self, flight: Flight, reason: str, *, final: bool) -> None:
        self._release(flight)
        del self._flights[flight.unit.number]
        self._client.failed(flight.unit, reason, final=final)

    def _lost(self, worker: Worker, event: Lost) -> None:
        info = worker.info
        del self.workers[info.worker]
        self.gone.append(worker)
        self._client.warn(f"{info.name} ({info.device}): {event.reason}; its work goes to others")
        copies = list(worker.units.values())
        worker.units.clear()
        for copy in copies:
            copy.flight.workers.discard(info.worker)
            if event.crashed:
                # Any of them may have ended it, also while it was only read. Alone, it will show.
                was_alone = len(copies) == 1
                copy.flight.is_suspect = True
                if was_alone:
                    self._is_tried_again(copy.flight, info, event.reason)
                elif not copy.flight.workers:
                    self._waiting.append(copy.flight)
            elif not copy.flight.workers:
                self._waiting.append(copy.flight)

    # Deadlines

    def _watch(self) -> None:
        now_s = self._clock()
        for worker in list(self.workers.values()):
            if worker.units and (lost := self._limits.given_up(worker, self._rates, now_s)):
                self._session.dismiss(worker.info.worker, lost.reason)
                self._lost(worker, lost)
        if self.workers or self._session.is_expecting():
            self._alone_since_s = now_s
        elif not self._had_workers and now_s - self._alone_since_s > self._limits.none_s:
            raise NoWorkers("no node of the cluster can take part in this job")
        elif now_s - self._alone_since_s > self._limits.alone_s:
            raise NoWorkers(f"no node has been able to work for {duration(self._limits.alone_s)}")
