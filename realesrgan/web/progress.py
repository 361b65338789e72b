"""How far jobs are, from what the worker tells of them."""

from __future__ import annotations

import time

from .messages import Downloading, Loading, Progressed, Report, Said, Started
from .models import Download, Job
from .problems import plain

MAX_LINES = 50  # remarks and warnings kept for a job


class Progress:
    """Follows the jobs that are being restored."""

    def __init__(self) -> None:
        self._began: dict[str, tuple[float, float]] = {}  # when restoring began, in seconds, and how much was done then

    def follow(self, job: Job, report: Report) -> None:
        """Enter into `job` what was told of it."""
        if isinstance(report, Loading):
            job.stage = "loading"
        elif isinstance(report, Downloading):
            job.stage = "downloading"
            job.download = Download(name=report.name, done=report.here_bytes, total=report.total_bytes)
        elif isinstance(report, Started):
            job.stage, job.download = "restoring", None
            job.total, job.done = report.total, report.done
            self._began[job.id] = (time.monotonic(), report.done)
        elif isinstance(report, Progressed):
            job.done, job.clips = max(job.done, report.done), max(job.clips, report.clips)
            job.stage = "writing" if job.total and job.done >= job.total else "restoring"
        elif isinstance(report, Said):
            lines = job.warnings if report.warning else job.notes
            if len(lines) < MAX_LINES:
                lines.append(plain(report.text))

    def seconds_left(self, job: Job) -> float | None:
        """At the speed so far; None: not known yet."""
        if job.id not in self._began or not job.total:
            return None
        began_s, done_before = self._began[job.id]
        done = job.done - done_before
        return (time.monotonic() - began_s) * (job.total - job.done) / done if done > 0 else None

    def forget(self, job_id: str) -> None:
        """The job has ended."""
        self._began.pop(job_id, None)
