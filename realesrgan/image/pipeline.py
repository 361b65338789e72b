"""Take a batch of pictures through workers; reading, working and writing overlap. Knows nothing of what workers do.

One thread reads ahead, one for each worker computes, a few write. Queues between them are short, so memory holds a
handful of pictures however long the batch is.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeAlias

from ..arrays import opencv_memory_errors
from ..errors import ImageFileError, RealESRGANError
from ..outputs import remove_stale_parts
from ..restorer import Reporter
from ..threads import Channel, Crew
from ..words import duration
from . import files
from .files import Picture
from .formats import DEFAULT_COMPRESSION, DEFAULT_QUALITY
from .jobs import PictureJob, Selection

MAX_WRITERS = 4  # compressing a PNG takes about as long as restoring it on a fast GPU


@dataclass(frozen=True)
class Made:
    """What a worker made of a picture.

    Attributes:
        files: each file to write, with its picture. A writing thread goes through them and may be given a generator,
            which then does its work there.
        facts: said when the files are written, before the time the worker took.
        timed: whether to say that time; of little meaning where the work is done while writing.
    """

    files: Iterable[tuple[Path, Picture]]
    facts: tuple[str, ...] = ()
    timed: bool = True


@dataclass(frozen=True)
class Outcome:
    """What became of a batch: the first file of each job, a line for each failure, and how many were done before."""

    written: list[Path] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    done_before: int = 0

    def after(self, selection: Selection) -> Outcome:
        """This, with what was known when the batch was selected: what failed then, and what was done before."""
        return Outcome(self.written, [*selection.failures, *self.failures], selection.done_before)


# Is given a job, its picture as read, and what to call with the share that is done; that may raise, to cancel.
Worker: TypeAlias = "Callable[[PictureJob, Picture, Callable[[float], None]], Made]"


def process(
    jobs: Iterable[PictureJob | None],
    workers: Sequence[Worker],
    reporter: Reporter,
    *,
    quality: int = DEFAULT_QUALITY,
    compression: int = DEFAULT_COMPRESSION,
    writers: int | None = None,
) -> Outcome:
    """Read, work on and write every job; each worker runs in a thread of its own and takes the next picture.

    `jobs` may be a generator that waits for more: a thread of its own goes through it, a few pictures ahead of the
    work. While it waits, it must yield None often, so that the batch can stop.
    `quality` and `compression` are those of `files.write`, `writers` the number of threads that write (None: a few).
    `reporter` knows each picture by the path of its source. A picture that fails is reported and the rest goes on.
    Anything else, Ctrl-C included, stops all threads and is raised here; what is being written then is finished first,
    so no half file is left.

    Raises:
        Cancelled: raised by `reporter.check`.
    """

    def write(path: Path, picture: Picture) -> tuple[str, ...]:
        return files.write(path, picture, quality, compression)

    return _Batch(jobs, workers, reporter, write, writers or min(MAX_WRITERS, os.cpu_count() or 1)).run()


@dataclass(frozen=True)
class _Result:
    """What a worker made, on its way to the disk."""

    job: PictureJob
    made: Made
    seconds: float  # of computing


class _Batch:
    """One call of `process`: three kinds of threads, and what they share."""

    def __init__(
        self,
        jobs: Iterable[PictureJob | None],
        workers: Sequence[Worker],
        reporter: Reporter,
        write: Callable[[Path, Picture], tuple[str, ...]],
        writers: int,
    ) -> None:
        self._jobs = jobs
        self._workers = workers
        self._reporter = reporter
        self._write_file = write
        self._outcome = Outcome()
        self._crew = Crew()
        self._writers = writers
        self._disk = _Disk(self._writers)
        self._to_do: Channel[tuple[PictureJob, Picture]] = self._crew.channel(len(workers) + 1)
        self._to_write: Channel[_Result] = self._crew.channel(len(workers) + 1, producers=len(workers))

    def run(self) -> Outcome:
        with self._crew as crew:
            crew.start("read", self._read)
            for number, worker in enumerate(self._workers):
                crew.start(f"work-{number}", partial(self._work, worker))
            for number in range(self._writers):
                crew.start(f"write-{number}", self._write)
        return self._outcome

    def _read(self) -> None:
        tidied: set[Path] = set()
        for job in self._jobs:
            self._crew.check()
            self._reporter.check()
            if job is None:
                continue
            folders = {target.parent for target in job.targets} - tidied
            remove_stale_parts(folders)
            tidied |= folders
            with self._failing(job):
                self._to_do.put((job, files.read(job.source)))
        self._to_do.close()

    def _work(self, worker: Worker) -> None:
        for job, picture in self._to_do:
            with self._failing(job):
                self._reporter.started(job.source, job.header.area)
                for line in picture.remarks:
                    self._reporter.remark(f"{job.source}: {line}")
                for line in picture.warnings:
                    self._reporter.warn(f"{job.source}: {line}")
                self._to_write.put(self._made(job, picture, worker))
        self._to_write.close()

    def _made(self, job: PictureJob, picture: Picture, worker: Worker) -> _Result:
        def progressed(share: float) -> None:
            self._crew.check()
            self._reporter.check()
            self._reporter.progressed(job.source, share * job.header.area)

        self._reporter.check()
        began = time.monotonic()
        made = worker(job, picture, progressed)
        return _Result(job, made, time.monotonic() - began)

    def _write(self) -> None:
        for result in self._to_write:
            with self._failing(result.job):
                for path, picture in result.made.files:
                    self._crew.check()
                    self._reporter.check()
                    path.parent.mkdir(parents=True, exist_ok=True)
                    for line in self._disk.write(partial(self._write_file, path, picture)):
                        self._reporter.warn(f"{result.job.source}: {line}")
                facts = (*result.made.facts, *([duration(result.seconds)] if result.made.timed else []))
                self._reporter.finished(result.job.source, result.job.target, ", ".join(facts))
                self._outcome.written.append(result.job.target)

    @contextmanager
    def _failing(self, job: PictureJob) -> Iterator[None]:
        """Turn an error of one picture into a report about it; let everything else pass."""
        try:
            with opencv_memory_errors():
                yield
        except MemoryError:
            self._failed(job, f"{job.source}: not enough memory for this picture")
        except (RealESRGANError, OSError) as error:
            # A front end spells the options that are named in backticks.
            self._failed(job, error.message if isinstance(error, RealESRGANError) else str(error))

    def _failed(self, job: PictureJob, reason: str) -> None:
        self._outcome.failures.append(reason if str(job.source) in reason else f"{job.source}: {reason}")
        self._reporter.failed(job.source, reason)


class _Disk:
    """Lets up to `writers` files be written side by side.

    One that finds the disk full is written once more, alone: what filled it may have been the beginning of a file that
    did not fit either, and is gone.
    """

    def __init__(self, writers: int) -> None:
        self._writers = writers
        self._room = threading.Semaphore(writers)
        self._alone = threading.Lock()

    def write(self, write: Callable[[], tuple[str, ...]]) -> tuple[str, ...]:
        try:
            with self._room:
                return write()
        except ImageFileError as error:
            if not _is_disk_full(error):
                raise
            with self._alone:
                for _ in range(self._writers):
                    self._room.acquire()
                try:
                    return write()
                finally:
                    self._room.release(self._writers)


def _is_disk_full(error: ImageFileError) -> bool:
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in (errno.ENOSPC, errno.EDQUOT)
