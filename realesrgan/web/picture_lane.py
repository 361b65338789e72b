"""Restore pictures, one after the other; reading and writing overlap."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

from ..errors import Cancelled, RealESRGANError
from ..image import batch as images
from ..image.jobs import PictureJob
from ..loading import check
from ..machines import Machines
from ..model_zoo import DEFAULT_IMAGE_MODEL
from .lane import Lane, TaskReporter, Withdrawn, shown
from .messages import Failed, Kind, Said, Task

TICK_S = 0.1
QUALITY = 95


class PictureLane(Lane):
    """Restores pictures. Those with the same settings go through one pipeline: reading and writing overlap."""

    kind: Kind = "picture"

    def restore(self, task: Task) -> None:
        reporter = _PictureReporter(self)
        reporter.current = task
        try:
            machines = self.machines(check(task.settings, DEFAULT_IMAGE_MODEL), task)
        except Exception as error:
            return self.failed(task, error)
        try:
            self._restore(self._following(task, reporter), reporter, machines)
        except Cancelled:
            raise
        except RealESRGANError as error:  # of the machines: a picture's own does not end the others
            for unfinished in reporter.unfinished():
                self.failed(unfinished, error)
        except Exception as error:
            self._after_crash(reporter.unfinished(), error, machines)
        return self.say_devices(machines)

    def _restore(self, jobs: Iterator[PictureJob | None], reporter: _PictureReporter, machines: Machines) -> None:
        machines.restore_pictures(jobs, reporter, quality=QUALITY, wants_faces=False)

    def _after_crash(self, tasks: list[Task], error: Exception, machines: Machines) -> None:
        """A bug stopped the pipeline: find out by which of its pictures, one by one."""
        if len(tasks) == 1:
            return self.failed(tasks[0], error)
        for task in tasks:
            reporter = _PictureReporter(self)
            try:
                self._restore(self._jobs_of(task, reporter), reporter, machines)
            except Cancelled:
                raise
            except Exception as again:
                self.failed(task, again)
        return None

    def _following(self, first: Task, reporter: _PictureReporter) -> Iterator[PictureJob | None]:
        """Yield the pictures of `first` and of the tasks like it, as they come; None while none has come.

        Ends when another kind of task is next, or after the pipeline has been idle.
        """

        def is_alike(task: Task) -> bool:
            return task.settings == first.settings

        yield from self._jobs_of(first, reporter)
        while not self.is_over(is_alike):
            task = self.take(is_alike, TICK_S)
            if task is not None:
                yield from self._jobs_of(task, reporter)
            elif not reporter.unfinished():
                return
            yield None

    def _jobs_of(self, task: Task, reporter: _PictureReporter) -> Iterator[PictureJob]:
        batch = images.Batch([str(task.source)], task.output, ext=task.ext)
        try:
            if self.is_cancelled(task.job):
                raise Withdrawn("cancelled")
            selection, setup = images.select(batch, task.settings)
        except Exception as error:
            return self.failed(task, error)
        for reason in selection.failures:
            self.tell(Failed(task.job, shown(task, reason)))
        self.say_remarks(setup, task)
        for job in selection.jobs:
            reporter.add(task)
            yield job
        return None


class _PictureReporter(TaskReporter):
    """Knows which of several pictures in the pipeline something is about."""

    def __init__(self, lane: Lane) -> None:
        super().__init__(lane)
        self._tasks: dict[Path, Task] = {}
        self._lock = threading.Lock()

    def add(self, task: Task) -> None:
        with self._lock:
            self._tasks[task.source] = task

    def unfinished(self) -> list[Task]:
        """The pictures that are in the pipeline."""
        with self._lock:
            return list(self._tasks.values())

    def task_of(self, source: Path) -> Task | None:
        with self._lock:
            return self._tasks.get(source)

    def say(self, message: str, *, warning: bool) -> None:
        with self._lock:
            named = [task for source, task in self._tasks.items() if str(source) in message]
        for task in named:
            self.lane.tell(Said(task.job, shown(task, message), warning))
        if not named:
            super().say(message, warning=warning)

    def finished(self, source: Path, target: Path, facts: str) -> None:
        super().finished(source, target, facts)
        self._forget(source)

    def failed(self, source: Path, reason: str) -> None:
        task = self.task_of(source)
        self._forget(source)
        if task is not None:
            self.lane.failed(task, RealESRGANError(reason))

    def _forget(self, source: Path) -> None:
        with self._lock:
            self._tasks.pop(source, None)
