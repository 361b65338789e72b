"""The workers of a cluster as one job sees them: who takes part, units on their way, results back. Knows no Ray.

Methods of `Session` are called by the job's thread, all others by the event loop's. A unit that is given to a worker
has a key there, which no other has: so events of one that was dropped cannot be taken for those of a later one.
"""

from __future__ import annotations

import asyncio
import queue
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import RealESRGANError
from ..words import count
from .alike import ROUNDING, Level, common_level
from .crew import Crew, Seat, run_quietly
from .pool import Broken, Done, Event, Failed, Heard, Joined, Lost, Progressed, Said, Session
from .remote import Process, ProcessDied
from .transfers import FileRefused, Transfers, remove
from .units import Delivery, ModelOrder, Prepared, Report, ShippedFile, Unit, WorkerInfo

_PART_BYTES = 16_000_000  # of a weights file that is put into the store


@dataclass(eq=False)
class _Carried:
    worker: str
    number: int
    seat: Seat
    task: asyncio.Task[None] | None = None


class CrewSession(Session):
    """Use in `with`. `contents` has the model's files on this machine, `spool` is where results arrive.

    `kernels` says whether the compiled kernels can compute the network.
    """

    def __init__(
        self, crew: Crew, order: ModelOrder, contents: Mapping[ShippedFile, Path], spool: Path, *, kernels: bool
    ) -> None:
        self.level: Level | None = None
        self.transfers = Transfers(spool)
        self._crew = crew
        self._order = order
        self._contents = contents
        self._kernels = kernels
        self._events: queue.Queue[tuple[int | None, Event]] = queue.Queue()  # of a unit with its key
        self._given: dict[tuple[str, int], int] = {}  # keys by worker and unit; the job's thread alone looks here
        self._refs: dict[ShippedFile, list[Any]] = {}
        self._carried: dict[int, _Carried] = {}  # by key
        self._tasks: set[asyncio.Task[None]] = set()  # that make workers ready
        self._here: dict[str, Seat] = {}  # workers that take part
        self._preparing = 0
        self._waiting: dict[str, tuple[Seat, Prepared]] = {}  # ready before it is decided who takes part
        self._out: set[Seat] = set()  # those that cannot
        self._digest: int | None = None
        self._is_decided = False  # how to compute
        self._has_begun = False  # and who takes part

    def __enter__(self) -> CrewSession:
        self._in_loop(self._open)
        return self

    def __exit__(self, *error: object) -> None:
        done = asyncio.run_coroutine_threadsafe(self._close(), self._crew.loop)
        done.result()

    # Session

    def give(self, worker: str, unit: Unit) -> None:
        key = self._given[worker, unit.number] = self._crew.new_key()
        self._in_loop(lambda: self._give(worker, key, unit))

    def drop(self, worker: str, number: int) -> None:
        if (key := self._given.pop((worker, number), None)) is not None:
            self._in_loop(lambda: self._drop(key))

    def dismiss(self, worker: str, reason: str) -> None:
        def dismissed() -> None:
            if (seat := self._here.get(worker)) is not None:
                seat.ended(seat.process, ProcessDied(reason, crashed=False))

        self._forget_given(worker)
        self._in_loop(dismissed)

    def events(self, timeout_s: float) -> Iterator[Event]:
        # One by one: if the job stops at one, those behind it are for the next job.
        with suppress(queue.Empty):
            yield from self._if_wanted(*self._events.get(timeout=timeout_s))
            for _ in range(self._events.qsize()):
                yield from self._if_wanted(*self._events.get_nowait())

    def _if_wanted(self, key: int | None, event: Event) -> Iterator[Event]:
        if isinstance(event, Lost):
            self._forget_given(event.worker)
        if not isinstance(event, (Progressed, Done, Failed)):
            yield event
        elif self._given.get((event.worker, event.number)) == key:
            if not isinstance(event, Progressed):
                del self._given[event.worker, event.number]
            yield event
        elif isinstance(event, Done):
            remove(event.delivery.files)

    def _forget_given(self, worker: str) -> None:
        for place in [place for place in self._given if place[0] == worker]:
            del self._given[place]

    def is_expecting(self) -> bool:
        return not self._has_begun or self._preparing > 0 or self._crew.is_growing()

    # What the crew tells

    def say(self, message: str, *, warning: bool) -> None:
        self._tell(Said(message, warning))

    def is_broken(self, reason: str) -> None:
        self._tell(Broken(reason))

    def broke(self, error: BaseException) -> None:
        """A bug ended a task of the crew."""
        self._tell(Broken(f"an unexpected error: {error!r}"))

    def welcome(self, seat: Seat) -> None:
        """A worker was started: let it load the model, as soon as it is decided how to compute."""
        if self._is_decided:
            self._spawn(self._welcome(seat, seat.worker))

    def lost(self, seat: Seat, worker: str, end: ProcessDied) -> None:
        self._waiting.pop(worker, None)
        for key in [key for key, carried in self._carried.items() if carried.worker == worker]:
            self._forget(key)
        if self._here.pop(worker, None) is not None:
            self._tell(Lost(worker, end.reason, end.crashed))
        elif self._has_begun or seat.failures >= self._crew.limits.failures:
            self.say(f"{seat.name}: its worker ended before it was ready ({end.reason})", warning=True)

    def heard(self, seat: Seat) -> None:
        # Between jobs nobody takes events; then these would pile up.
        if any(carried.worker == seat.worker for carried in self._carried.values()):
            self._tell(Heard(seat.worker))

    def progressed(self, key: int, share: float) -> None:
        carried = self._carried[key]
        self._tell(Progressed(carried.worker, carried.number, share), key)

    # Who takes part

    def _open(self) -> None:
        self._crew.enter(self)
        self._spawn(self._begin())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._crew.spawn(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _begin(self) -> None:
        crew = self._crew
        await crew.until_known()
        if not crew.mixed and crew.seats:
            nodes = [(seat.facts, seat.device.kind == "cuda") for seat in crew.seats]
            self.level = common_level(self._order.settings, self._kernels, nodes)
            self._order = replace(self._order, settings=self.level.applied(self._order.settings))
        stores = [seat.store_bytes for seat in crew.seats]
        self.transfers.begin(at_once=crew.transfers(min(stores, default=0)))
        self._is_decided = True
        expected = list(crew.seats)
        for seat in expected:
            if seat.worker:
                self.welcome(seat)
        await self._settled(expected)
        self._choose()

    async def _settled(self, expected: list[Seat]) -> None:
        """Wait for the workers that are expected, but for the later ones not for ever."""
        waited_s, step_s = 0.0, 0.05
        while waited_s < self._crew.limits.settle_s:
            ready = {seat for seat, _ in self._waiting.values()}
            if all(seat in ready or seat not in self._crew.seats or seat in self._out for seat in expected):
                return
            await asyncio.sleep(step_s)
            waited_s += step_s if ready else 0.0

    def _choose(self) -> None:
        """Take those who compute alike, the largest group of them."""
        digests = Counter(prepared.digest for _, prepared in self._waiting.values())
        self._digest = max(digests, key=lambda digest: digests[digest], default=None)
        self._has_begun = True
        waiting, self._waiting = self._waiting, {}
        taking_part = [self._take(seat, prepared) for seat, prepared in waiting.values()]
        infos = [info for info in taking_part if info is not None]
        if infos:
            nodes = len({info.node for info in infos})
            devices = ", ".join(
                f"{times} × {name}" if times > 1 else name
                for name, times in Counter(f"{info.name} ({info.device})" for info in infos).items()
            )
            self.say(f"{count(nodes, 'node')}, {count(len(infos), 'device')}: {devices}", warning=False)
            self.say(_how(infos), warning=False)

    async def _welcome(self, seat: Seat, worker: str) -> None:
        if self.level is not None and not self._suits(seat):
            return self._leave_out(seat, f"it cannot compute by {self.level} as the others do, {ROUNDING}")
        process = seat.process
        assert process is not None
        self._preparing += 1
        try:
            prepared = await self._prepared(process)
        except ProcessDied as error:
            return seat.ended(process, error)
        except RealESRGANError as error:
            return self._leave_out(seat, error.message)
        finally:
            self._preparing -= 1
        if seat.worker != worker:
            return None
        if self._has_begun:
            if self._digest is None:
                self._digest = prepared.digest
            if (info := self._take(seat, prepared)) is not None:
                self.say(f"{info.name} ({info.device}) joins", warning=False)
        else:
            self._waiting[worker] = (seat, prepared)
        return None

    def _suits(self, seat: Seat) -> bool:
        assert self.level is not None
        return self.level.suits(seat.facts) and self.level.on_gpus == (seat.device.kind == "cuda")

    def _take(self, seat: Seat, prepared: Prepared) -> WorkerInfo | None:
        if not self._crew.mixed and prepared.digest != self._digest:
            self._leave_out(seat, f"it computes otherwise than the others, and {ROUNDING}")
            return None
        info = WorkerInfo(
            worker=seat.worker,
            node=seat.node.node,
            name=seat.name,
            device=prepared.device,
            way=prepared.way,
            digest=prepared.digest,
        )
        self._here[seat.worker] = seat
        self._tell(Joined(info))
        return info

    def _leave_out(self, seat: Seat, reason: str) -> None:
        self._out.add(seat)
        self.say(f"{seat.name} is left out: {reason}", warning=True)

    async def _prepared(self, process: Process) -> Prepared:
        prepared: Prepared = await process.call("prepare", self._order)
        if prepared.missing:
            refs = {file: self._put(file) for file in prepared.missing}
            prepared = await process.call("prepare", self._order, refs)
        return prepared

    def _put(self, file: ShippedFile) -> list[Any]:
        """What stands for a weights file; it is put into the store once."""
        if file not in self._refs:
            with self._contents[file].open("rb") as content:
                parts = iter(lambda: content.read(_PART_BYTES), b"")
                self._refs[file] = [self._crew.cluster.put(part) for part in parts]
        return self._refs[file]

    # Units

    def _give(self, worker: str, key: int, unit: Unit) -> None:
        seat = self._here.get(worker)
        if seat is None or seat.process is None:
            return  # lost in this moment; the event is on its way
        self._crew.keys[key] = self
        self._carried[key] = carried = _Carried(worker, unit.number, seat)
        carried.task = self._crew.spawn(self._carry(seat, seat.process, worker, key, unit))

    def _drop(self, key: int) -> None:
        if (carried := self._carried.get(key)) is not None:
            self._forget(key)
            self._drop_there(carried.seat.process, key)

    def _drop_there(self, process: Process | None, key: int) -> None:
        if process is not None:
            self._crew.spawn(run_quietly(process.call("drop", key)))

    def _forget(self, key: int) -> None:
        carried = self._carried.pop(key)
        self._crew.keys.pop(key, None)
        if carried.task is not None:
            carried.task.cancel()

    async def _carry(self, seat: Seat, process: Process, worker: str, key: int, unit: Unit) -> None:
        """Send a unit, have it done, and fetch what was made."""
        event: Event
        try:
            await self.transfers.send(process, key, unit.content, self._crew.chunk_bytes)
            report: Report = await process.call("restore", key, self._order, unit.order)
            if report.error is not None:
                event = Failed(worker, unit.number, report.error, report.final)
            else:
                files = await self.transfers.fetch(process, key, report, self._crew.chunk_bytes)
                event = Done(worker, unit.number, Delivery(report.facts, files))
                seat.failures = 0
                if report.content is None:
                    self._drop_there(process, key)
        except ProcessDied as error:
            return seat.ended(process, error)
        except RealESRGANError as error:
            event = Failed(worker, unit.number, error.message, isinstance(error, FileRefused))
            self._drop_there(process, key)
        self._carried.pop(key, None)
        self._crew.keys.pop(key, None)
        self._tell(event, key)
        return None

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for key in list(self._carried):
            self._drop(key)
        self._crew.sessions.remove(self)
        self._refs.clear()

    def _tell(self, event: Event, key: int | None = None) -> None:
        self._events.put((key, event))

    def _in_loop(self, work: Callable[[], None]) -> None:
        self._crew.loop.call_soon_threadsafe(work)


def _how(infos: Sequence[WorkerInfo]) -> str:
    """Whether all compute alike, and how."""
    if len({info.digest for info in infos}) == 1:
        return f"all compute alike: {infos[0].way}"
    ways = ", ".join(dict.fromkeys(info.way for info in infos))
    return f"each computes in its own best way, so results may differ by rounding: {ways}"
