"""What both kinds of work share in the process that computes: a thread that takes tasks, and a reporter for each.

The jobs are those of the commands. A task that fails, or that finds a bug, does not hurt the others.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from ..errors import Cancelled, RealESRGANError
from ..loading import Settings, Setup, check
from ..machines import Machines
from ..model_zoo import DEFAULT_IMAGE_MODEL
from ..restorer import Reporter
from ..video import job as videos
from ..weights.store import find
from .media import result_name
from .messages import (
    Downloading,
    Dropped,
    Equipped,
    Failed,
    Finished,
    Kind,
    Loading,
    Noticed,
    Progressed,
    Report,
    Said,
    Started,
    Task,
    WarmUp,
)
from .turns import Turns
from .workshop import Workshop

MODELS_KEPT = 2  # for each lane; a model takes up to a gigabyte, and loading one about a second

log = logging.getLogger("realesrgan")


class Withdrawn(RealESRGANError):
    """The task was cancelled; the others of its lane go on."""


class Lane:
    """Takes tasks of one kind in the order they come, and has a workshop do them.

    `tell` hears what happens, and is called from several threads. `end` ends the process, so that the server starts
    another one.
    """

    kind: Kind

    def __init__(
        self, workshop: Workshop, turns: Turns, tell: Callable[[Report], None], end: Callable[[], None]
    ) -> None:
        self._workshop = workshop
        self._turns = turns
        self._tell = tell
        self._end = end
        self._waiting: deque[Task | WarmUp] = deque()
        self._changed = threading.Condition()
        self._cancelled: set[str] = set()
        self._stopping = False
        self._models: OrderedDict[Settings, tuple[Machines, ExitStack]] = OrderedDict()
        self._thread = threading.Thread(target=self._run, name=self.kind)
        self._thread.start()

    def add(self, order: Task | WarmUp) -> None:
        with self._changed:
            if isinstance(order, Task):
                self._cancelled.discard(order.job)  # it may have been cancelled and resumed
            self._waiting.append(order)
            self._changed.notify_all()

    def cancel(self, job: str) -> None:
        """Stop `job` at its next check, if it is here."""
        with self._changed:
            self._cancelled.add(job)

    def stop(self) -> None:
        """End all work at its next check; finished segments of a video stay."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def check(self) -> None:
        """Wait for this lane's turn. Raises Cancelled when the process ends."""
        self._turns.wait(self.kind, self._check_stopping)
        self._check_stopping()

    def is_cancelled(self, job: str) -> bool:
        with self._changed:
            return job in self._cancelled

    def tell(self, report: Report) -> None:
        """Say what happens to a job. With the last report of it, what was known of it here is forgotten."""
        if isinstance(report, Finished | Failed | Dropped):
            with self._changed:
                self._cancelled.discard(report.job)
        self._tell(report)

    def machines(self, setup: Setup, task: Task | None) -> Machines:
        """Those that have the model of `setup`, loaded for `task` and kept for the next one that wants the same."""
        if setup.settings not in self._models:
            while len(self._models) >= MODELS_KEPT:
                _, displaced = self._models.popitem(last=False)[1]
                displaced.close()
            with ExitStack() as exit_stack:
                reporter = _LoadReporter(self, task)
                engaged = self._workshop.engaged(setup, reporter, for_video=self.kind == "video")
                self._models[setup.settings] = exit_stack.enter_context(engaged), exit_stack.pop_all()
        self._models.move_to_end(setup.settings)
        return self._models[setup.settings][0]

    def say_devices(self, machines: Machines) -> None:
        """Tell what computes; nodes of a cluster come and go."""
        self.tell(Equipped(machines.devices, machines.at_once))

    def say_remarks(self, setup: Setup, task: Task) -> None:
        """Tell which options have no effect."""
        for line in setup.remarks():
            self.tell(Said(task.job, line, warning=False))

    def warm_up(self, settings: Settings) -> None:
        """Load a model before the first task comes, and tell what computes. Nothing is downloaded for that.

        Where that fails, the jobs will say why; the server's terminal says it now.
        """
        try:
            setup = check(settings, DEFAULT_IMAGE_MODEL)
            if not all(map(find, setup.published_files)):
                return
            machines = self.machines(setup, None)
            machines.wait(_LoadReporter(self, None))
            self.tell(Equipped(machines.devices, machines.at_once, settings.fp32, machines.speed))
        except (RealESRGANError, OSError, MemoryError) as error:
            self.tell(Noticed(f"no model could be loaded: {videos.reason_of(error)}", warning=True))
            self._end_if_lost()

    def restore(self, task: Task) -> None:
        """Restore `task`, and perhaps those that wait behind it."""
        raise NotImplementedError

    def failed(self, task: Task, error: BaseException) -> None:
        """Tell why a task ended; a bug's traceback goes to the server's terminal."""
        if self.is_cancelled(task.job):
            self.tell(Dropped(task.job))
        elif self._workshop.is_lost:
            self.tell(Noticed(videos.reason_of(error), warning=True))
            self._end_if_lost()
        elif isinstance(error, RealESRGANError | OSError | MemoryError):
            reason, *advice = videos.reason_of(error).splitlines() or ["failed"]
            if advice:  # what to do on this machine, with its folders: not for clients
                log.warning("%s", "\n".join([reason, *advice]))
            self.tell(Failed(task.job, shown(task, reason)))
        else:
            log.error("unexpected error", exc_info=error)
            self.tell(Failed(task.job, f"an unexpected error: {shown(task, repr(error))}"))

    def take(self, wanted: Callable[[Task], bool], wait_s: float) -> Task | None:
        """The next task, or None if it is not `wanted`, if none comes within `wait_s`, or if the process ends."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping, wait_s)
            if self._stopping or not self._waiting:
                return None
            order = self._waiting[0]
            if not isinstance(order, Task) or not wanted(order):
                return None
            self._waiting.popleft()
            return order

    def is_over(self, wanted: Callable[[Task], bool]) -> bool:
        """Whether nothing that is `wanted` can come next: something else waits, or the process ends."""
        with self._changed:
            order = self._waiting[0] if self._waiting else None
            return self._stopping or not (order is None or (isinstance(order, Task) and wanted(order)))

    def _check_stopping(self) -> None:
        if self._stopping:
            raise Cancelled

    def _end_if_lost(self) -> None:
        if self._workshop.is_lost:
            self._end()

    def _run(self) -> None:
        try:
            while (order := self._next()) is not None:
                with self._turns.working(self.kind), suppress(Cancelled):
                    if isinstance(order, Task):
                        self.restore(order)
                    else:
                        self.warm_up(order.settings)
            for _, kept in self._models.values():
                kept.close()
        except Exception:  # a bug; without this thread the process would only seem to work
            log.exception("unexpected error")
            self._end()

    def _next(self) -> Task | WarmUp | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping)
            return None if self._stopping else self._waiting.popleft()


def shown(task: Task, message: str) -> str:
    """`message` with the name that the client gave the file, and without the server's folders."""
    message = message.replace(f"{task.source}: ", "").replace(str(task.source), task.name)
    message = message.replace(f"{task.output}{os.sep}", "").replace(f"{task.source.parent}{os.sep}", "")
    return message.replace(f"{task.source.stem}_out", result_name(task.name, Path()))


class _LoadReporter(Reporter):
    """Passes on downloads. What computes is not said: a model is loaded once for many tasks."""

    def __init__(self, lane: Lane, task: Task | None) -> None:
        self._lane = lane
        self._task = task
        if task is not None:
            lane.tell(Loading(task.job))

    def check(self) -> None:
        self._lane.check()
        if self._task is not None and self._lane.is_cancelled(self._task.job):
            raise Withdrawn("cancelled")

    def about_machines(self, message: str, *, warning: bool) -> None:
        self._lane.tell(Noticed(message, warning))

    def downloading(self, name: str, address: str, here_bytes: int, total_bytes: int | None) -> None:
        if self._task is not None:
            self._lane.tell(Downloading(self._task.job, name, here_bytes, total_bytes))


class TaskReporter(Reporter):
    """Passes on what a job says; `current` is the task it is about where no source is named."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.current: Task | None = None
        self._began_s: dict[str, float] = {}

    def check(self) -> None:
        self.lane.check()

    def task_of(self, source: Path) -> Task | None:
        """Whose file `source` is."""
        return self.current

    def remark(self, message: str) -> None:
        self.say(message, warning=False)

    def warn(self, message: str) -> None:
        self.say(message, warning=True)

    def about_machines(self, message: str, *, warning: bool) -> None:
        if warning:  # what else they say, they say of every job
            self.lane.tell(Noticed(message, warning))

    def say(self, message: str, *, warning: bool) -> None:
        """Tell the job that `message` is about."""
        task = self.current
        if task is not None and not self.lane.is_cancelled(task.job):
            self.lane.tell(Said(task.job, shown(task, message), warning))

    def started(self, source: Path, total: int, done: int = 0) -> None:
        task = self.task_of(source)
        if task is not None:
            self.withdraw(task)
            self._began_s[task.job] = time.monotonic()
            self.lane.tell(Started(task.job, total, done))

    def progressed(self, source: Path, done: float) -> None:
        task = self.task_of(source)
        if task is not None:
            self.withdraw(task)
            self.lane.tell(Progressed(task.job, done))

    def finished(self, source: Path, target: Path, facts: str) -> None:
        task = self.task_of(source)
        if task is not None:
            seconds = time.monotonic() - self._began_s.pop(task.job, time.monotonic())
            self.lane.tell(Finished(task.job, target, seconds))

    def withdraw(self, task: Task) -> None:
        """Raise if `task` was cancelled."""
        if self.lane.is_cancelled(task.job):
            raise Withdrawn("cancelled")
