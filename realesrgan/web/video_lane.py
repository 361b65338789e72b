"""Restore videos, one after the other. Their segments stay: a cancelled one can go on, and parts can be shown."""

from __future__ import annotations

import time
from pathlib import Path

from ..errors import Cancelled
from ..outputs import make_folder
from ..video import job as videos
from ..video.request import Request, check_request, plan_job
from ..video.segments import folder_for, read_manifest
from .lane import Lane, TaskReporter
from .messages import Dropped, Kind, Progressed, Task

COUNT_CLIPS_EVERY_S = 1.0


class VideoLane(Lane):
    """Restores videos, one after the other."""

    kind: Kind = "video"

    def restore(self, task: Task) -> None:
        request = request_of(task)
        try:
            setup = check_request(request, task.settings)
            machines = self.machines(setup, task)
            self.say_remarks(setup, task)
            make_folder(task.output, "output")
            job = plan_job(task.source, request)
            videos.restore(job, request, setup, machines, _VideoReporter(self, task, folder_for(job.target)))
            self.say_devices(machines)
        except Cancelled:
            if not self.is_cancelled(task.job):  # the process ends
                raise
            self.tell(Dropped(task.job))
        except Exception as error:
            self.failed(task, error)


def request_of(task: Task) -> Request:
    """What the video job is asked for. Its segments stay, so that parts of it can be shown."""
    return Request(output=task.output, ext=task.ext, keep_segments=True)


class _VideoReporter(TaskReporter):
    """Also tells how many clips can be shown: the finished segments in a row in the folder `segments`."""

    def __init__(self, lane: Lane, task: Task, segments: Path) -> None:
        super().__init__(lane)
        self.current = self._task = task
        self._segments = segments
        self._counted_s = 0.0
        self._clips = 0

    def check(self) -> None:
        super().check()
        if self.lane.is_cancelled(self._task.job):
            raise Cancelled

    def withdraw(self, task: Task) -> None:
        self.check()

    def progressed(self, source: Path, done: float) -> None:
        self.check()
        if time.monotonic() - self._counted_s >= COUNT_CLIPS_EVERY_S:
            self._count_clips()
        self.lane.tell(Progressed(self._task.job, done, self._clips))

    def finished(self, source: Path, target: Path, facts: str) -> None:
        self._count_clips()
        self.lane.tell(Progressed(self._task.job, 0, self._clips))  # the frames stay as they are
        super().finished(source, target, facts)

    def _count_clips(self) -> None:
        manifest = read_manifest(self._segments)
        self._clips = 0 if manifest is None else len(manifest.head)
        self._counted_s = time.monotonic()
