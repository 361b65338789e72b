"""Keeps all jobs: takes them on, hands them to the worker in a fair order, follows what becomes of them.

Everything here runs in the event loop's thread; the worker's reports are brought there. It computes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from itertools import islice
from pathlib import Path
from typing import Protocol

from ..loading import Settings
from .estimates import Speeds
from .events import Listeners
from .fair import FairQueue
from .intake import Accepted
from .limits import Limits
from .media import describe
from .messages import Cancel, Dropped, Equipped, Failed, Finished, Kind, Noticed, Order, Report, Task, WarmUp
from .models import DEFAULT_MODELS, ENDED, Job, Options
from .problems import Refused, option_in, plain
from .progress import Progress
from .store import Entry, Record, Store

PICTURES_BESIDES = 3  # at the worker: some are read and others written while some are restored
MAX_ATTEMPTS = 2
NEAR = 20  # so far ahead in the queue each step is told at once, further behind every now and then
SWEEP_S = 20.0


class Worker(Protocol):
    """What restores: takes orders, and is started by the first one."""

    @property
    def pid(self) -> int | None: ...

    def give(self, order: Order) -> None: ...

    def stop(self) -> None: ...


log = logging.getLogger("realesrgan")


class Desk:
    """All jobs of a server.

    `machine` says on which devices and in how much memory they are restored; `start_worker` is called with what hears
    the worker's reports and what is called when it dies.
    """

    def __init__(
        self,
        store: Store,
        limits: Limits,
        machine: Settings,
        start_worker: Callable[[Callable[[Report], None], Callable[[], None]], Worker],
    ) -> None:
        self.store = store
        self.limits = limits
        self.machine = machine
        self.listeners = Listeners()
        self.speeds = Speeds()
        self.uploading = 0
        self.entries: dict[str, Entry] = {}
        self._queues: dict[Kind, FairQueue] = {"picture": FairQueue(), "video": FairQueue()}
        self._in_flight: dict[str, Kind] = {}
        self._progress = Progress()
        self._busy_at_s = time.monotonic()
        self._ended = asyncio.Event()  # set whenever some job ends
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self.worker = start_worker(self._from_thread(self._told), self._from_thread(self._died))

    # Starting and ending

    async def start(self, *, warm_up: bool = True) -> None:
        """Take up the jobs of an earlier server, and begin."""
        self._loop = asyncio.get_running_loop()
        for entry in self.store.load():
            if not entry.record.listed:  # the program that waited for it is gone, and nobody else knows its id
                self.store.remove(entry.folder)
                continue
            self.entries[entry.job.id] = entry
            if entry.job.state not in ENDED:
                self._queue(entry)
        if warm_up:
            self.worker.give(WarmUp(Options().settings("picture", self.machine)))
        self._dispatch()
        self._sweeping = asyncio.create_task(self._sweep_for_ever())

    async def stop(self) -> None:
        """End the worker. Jobs that are not finished go on with the next server of this folder."""
        self.listeners.close()
        if self._sweeping is not None:
            self._sweeping.cancel()
        await asyncio.to_thread(self.worker.stop)

    # What clients ask for

    def submit(self, folder: Path, record: Record) -> Entry:
        """Queue a new job whose upload lies in `folder`."""
        entry = Entry(record, folder)
        self.entries[entry.job.id] = entry
        self._queue(entry)
        self.store.save(entry)
        self._dispatch()
        return entry

    def find(self, job_id: str) -> Entry:
        """Raises Refused (404) if there is no such job."""
        entry = self.entries.get(job_id)
        if entry is None:
            raise Refused(404, "there is no such job; it may have expired")
        return entry

    def jobs_of(self, client: str) -> list[Job]:
        """The jobs that a client's page shows, oldest first."""
        return self.shown(
            entry for entry in self.entries.values() if entry.record.client == client and entry.record.listed
        )

    def shown(self, entries: Iterable[Entry]) -> list[Job]:
        """Jobs as clients see them now, with their places in the queue and the time left."""
        positions = {job: number for queue in self._queues.values() for number, job in enumerate(queue)}
        return [
            entry.job.model_copy(
                update={
                    "position": positions.get(entry.job.id),
                    "seconds_left": self._progress.seconds_left(entry.job),
                }
            )
            for entry in entries
        ]

    def cancel(self, entry: Entry) -> None:
        """Stop a job that has not ended; it counts as cancelled at once."""
        if entry.job.state in ENDED:
            raise Refused(409, f"the job is {entry.job.state} already")
        self._withdraw(entry)
        self._end(entry, "cancelled")

    def resume(self, entry: Entry) -> None:
        """Queue a cancelled or failed job again; a video goes on after its finished segments."""
        if entry.job.state not in ("cancelled", "failed"):
            raise Refused(409, f"the job is {entry.job.state}: only cancelled and failed ones can be resumed")
        self.refuse_if_full()
        if entry.job.id in self._in_flight:
            raise Refused(409, "the job is still being stopped; try again in a moment")
        job = entry.job
        job.error = job.error_field = job.finished = job.expires = None
        job.warnings, job.notes, entry.record.attempts = [], [], 0
        self._queue(entry)
        self.store.save(entry)
        self._dispatch()

    def remove(self, entry: Entry) -> None:
        """Cancel a job if need be, and remove everything of it."""
        if entry.job.state not in ENDED:
            self._withdraw(entry)
            entry.job.state = "cancelled"
            self._ended.set()
        if self.entries.pop(entry.job.id, None) is None:
            return
        self.listeners.removed(entry)
        self.store.forget(entry.folder)
        if entry.job.id not in self._in_flight:  # else when the worker has let go of it
            self.store.remove(entry.folder)

    async def ended(self, entry: Entry) -> None:
        """Wait until a job has ended."""
        while entry.job.state not in ENDED:
            self._ended.clear()
            await self._ended.wait()

    def refuse_if_full(self) -> None:
        """Raise Refused (429) if no more jobs can be queued."""
        waiting = sum(map(len, self._queues.values())) + len(self._in_flight) + self.uploading
        if waiting >= self.limits.jobs:
            raise Refused(429, f"{waiting} jobs are waiting, the most this server takes; try again later")

    def waiting_s(self) -> float | None:
        """About how long a new picture would wait."""
        total = 0.0
        for entry in self.entries.values():
            if entry.job.state in ENDED or entry.job.kind == "video":
                continue
            seconds = self._progress.seconds_left(entry.job)
            if seconds is None:
                seconds = self.speeds.seconds(entry.job.kind, entry.job.source, entry.job.options)
            if seconds is None:
                return None
            total += seconds
        return total / self.speeds.at_once

    # The queue

    def _queue(self, entry: Entry) -> None:
        job = entry.job
        job.state, job.stage, job.download = "queued", None, None
        self._queues[job.kind].add(entry.record.client, job.id)
        self._changed(entry)

    def _dispatch(self) -> None:
        for kind, queue in self._queues.items():
            while (job_id := queue.first()) is not None and self._may_begin(kind, self.entries[job_id]):
                queue.take()
                self._begin(self.entries[job_id])

    def _may_begin(self, kind: Kind, entry: Entry) -> bool:
        """A job whose worker died is tried once more by itself: the others did nothing wrong."""
        if any(self.entries[job].record.attempts for job in self._in_flight if job in self.entries):
            return False
        if entry.record.attempts:
            return not self._in_flight
        return sum(other == kind for other in self._in_flight.values()) < self._most_in_flight(kind)

    def _most_in_flight(self, kind: Kind) -> int:
        """How many jobs the worker has at a time. Two pictures for each device: one waits while one is computed."""
        return PICTURES_BESIDES + 2 * self.speeds.at_once if kind == "picture" else 1

    def _begin(self, entry: Entry) -> None:
        job = entry.job
        job.state = "running"
        self._in_flight[job.id] = job.kind
        self.worker.give(task_of(entry, self.machine))
        self._changed(entry)
        self._tell_places(NEAR)

    def _tell_places(self, among: int | None = None) -> None:
        """Tell the jobs that wait, of the first so many, that they have moved up."""
        for queue in self._queues.values():
            for job_id in islice(queue, among):
                self._changed(self.entries[job_id])

    def _withdraw(self, entry: Entry) -> None:
        self._queues[entry.job.kind].remove(entry.job.id)
        if entry.job.id in self._in_flight:
            self.worker.give(Cancel(entry.job.id, entry.job.kind))

    def _end(self, entry: Entry, state: str) -> None:
        job = entry.job
        job.state = state  # type: ignore[assignment]
        job.stage = job.download = None
        job.finished = datetime.now(timezone.utc)
        job.expires = job.finished + timedelta(seconds=self.limits.keep_s)
        self._progress.forget(job.id)
        self.store.save(entry)
        self._ended.set()
        self._changed(entry)

    # What the worker tells

    def _told(self, report: Report) -> None:
        if isinstance(report, Noticed):
            log.log(logging.WARNING if report.warning else logging.INFO, "%s", plain(report.text))
            return None
        if isinstance(report, Equipped):
            self.speeds.equipped(report)
            return self._dispatch()
        if isinstance(report, Finished | Failed | Dropped):
            self._let_go(report.job)
        entry = self.entries.get(report.job)
        if entry is not None and entry.job.state == "running":
            self._follow(entry, report)
        return self._dispatch()

    def _follow(self, entry: Entry, report: Report) -> None:
        if isinstance(report, Failed):
            entry.job.error, entry.job.error_field = plain(report.reason), option_in(report.reason)
            self._end(entry, "failed")
        elif isinstance(report, Finished):
            self._finish(entry, report)
        else:
            self._progress.follow(entry.job, report)
            self._changed(entry)

    def _finish(self, entry: Entry, report: Finished) -> None:
        job = entry.job
        try:
            job.result = describe(report.target, job)
        except OSError as error:
            job.error = f"the result cannot be read ({error.strerror})"
            return self._end(entry, "failed")
        entry.record.target = str(report.target.relative_to(entry.folder))
        job.done = job.total or job.done
        self.speeds.finished(job, report.seconds)
        return self._end(entry, "done")

    def _let_go(self, job_id: str) -> None:
        self._busy_at_s = time.monotonic()
        self._in_flight.pop(job_id, None)
        folder = self.store.folder_of(job_id)
        if job_id not in self.entries and folder is not None:
            self.store.remove(folder)

    def _died(self) -> None:
        """The worker was killed, or ran out of memory: try what it had once more, each by itself."""
        log.warning("the process that restores ended unexpectedly; another one is started")
        lost = list(self._in_flight)
        self._in_flight.clear()
        for job_id in reversed(lost):
            entry = self.entries.get(job_id)
            if entry is None or entry.job.state != "running":
                self._let_go(job_id)
                continue
            entry.record.attempts += 1
            if entry.record.attempts >= MAX_ATTEMPTS:
                entry.job.error = (
                    "the process that restores ended twice while it worked on this, perhaps for lack of memory"
                )
                self._end(entry, "failed")
            else:
                entry.job.state, entry.job.stage = "queued", None
                self._queues[entry.job.kind].put_back(entry.record.client, job_id)
                self._changed(entry)
        self._dispatch()

    # Odds and ends

    def _from_thread(self, function: Callable[..., None]) -> Callable[..., None]:
        def call(*values: object) -> None:
            if self._loop is not None:
                with suppress(RuntimeError):  # the loop is closed: the server ends
                    self._loop.call_soon_threadsafe(function, *values)

        return call

    def _changed(self, entry: Entry) -> None:
        self.listeners.changed(entry)

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            await self.sweep(datetime.now(timezone.utc))

    async def sweep(self, now: datetime) -> None:
        """Remove what has expired, and end a worker that has long had nothing to do."""
        for entry in list(self.entries.values()):
            if entry.job.expires is not None and entry.job.expires <= now:
                self.remove(entry)
        self._tell_places()
        idle_s = time.monotonic() - self._busy_at_s
        if not self._in_flight and idle_s > self.limits.idle_s and self.worker.pid is not None:
            await asyncio.to_thread(self.worker.stop)
            if self._in_flight and self.worker.pid is None:  # a job came just then, and ended with it
                self._died()


def task_of(entry: Entry, machine: Settings) -> Task:
    """What the worker is told of a job."""
    job = entry.job
    return Task(
        job=job.id,
        kind=job.kind,
        source=entry.source,
        name=job.name,
        output=entry.output,
        ext=job.options.ext,
        settings=job.options.settings(job.kind, machine),
    )


def new_record(
    folder: Path, client: str, accepted: Accepted, name: str, source: str, options: Options, *, listed: bool
) -> Record:
    """The record of a job whose upload was accepted."""
    job = Job(
        id=folder.name,
        name=name,
        kind=accepted.kind,
        source=accepted.source,
        options=options.model_copy(update={"model_name": options.model_name or DEFAULT_MODELS[accepted.kind]}),
        created=datetime.now(timezone.utc),
    )
    return Record(job=job, client=client, listed=listed, source=source)
