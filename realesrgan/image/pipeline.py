"""Take a batch of pictures through frame → frame functions; reading, restoring and writing overlap.

One thread reads ahead, one for each restorer computes, a few write. Queues between them are short, so memory holds a
handful of pictures however long the batch is.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from ..arrays import Array, opencv_memory_errors
from ..errors import ImageFileError, RealESRGANError
from ..outputs import remove_stale_parts
from ..restorer import FacePair, Listener, Reporter, Restorer
from ..threads import Channel, Crew
from ..words import count, duration
from . import files
from .compare import side_by_side
from .files import Picture
from .formats import DEFAULT_QUALITY
from .jobs import PictureJob

MAX_WRITERS = 4  # compressing a PNG takes about as long as restoring it on a fast GPU


def restore_all(
    jobs: Sequence[PictureJob],
    restorers: Sequence[Restorer],
    reporter: Reporter,
    *,
    quality: int = DEFAULT_QUALITY,
    compare_label: str | None = None,
) -> None:
    """Read, restore and write every job; each restorer runs in a thread of its own and takes the next picture.

    `compare_label`, if given, also writes a before/after picture beside each result, with this as the label of the
    after. `reporter` knows each picture by the path of its source. A picture that fails is reported and the rest
    goes on. Anything else, Ctrl-C included, stops all threads and is raised here; what is being written then is
    finished first, so no half file is left.

    Raises:
        Cancelled: raised by `reporter.check`.
    """
    remove_stale_parts(job.target.parent for job in jobs)
    _Batch(jobs, restorers, reporter, quality, compare_label).run()


@dataclass(frozen=True)
class _Result:
    """A restored picture on its way to the disk."""

    job: PictureJob
    picture: Picture  # as it was read
    pixels: Array
    faces: int | None  # None: not looked for
    seconds: float  # of computing


class _Batch:
    """One call of `restore_all`: three kinds of threads, and what they share."""

    def __init__(
        self,
        jobs: Sequence[PictureJob],
        restorers: Sequence[Restorer],
        reporter: Reporter,
        quality: int,
        compare_label: str | None,
    ) -> None:
        self._jobs = jobs
        self._restorers = restorers
        self._reporter = reporter
        self._quality = quality
        self._compare_label = compare_label
        self._crew = Crew()
        self._writers = min(MAX_WRITERS, os.cpu_count() or 1)
        self._disk = _Disk(self._writers)
        self._to_restore: Channel[tuple[PictureJob, Picture]] = self._crew.channel(len(restorers) + 1)
        self._to_write: Channel[_Result] = self._crew.channel(len(restorers) + 1, producers=len(restorers))

    def run(self) -> None:
        with self._crew as crew:
            crew.start("read", self._read)
            for number, restorer in enumerate(self._restorers):
                crew.start(f"restore-{number}", partial(self._restore, restorer))
            for number in range(self._writers):
                crew.start(f"write-{number}", self._write)

    def _read(self) -> None:
        for job in self._jobs:
            self._reporter.check()
            with self._failing(job):
                self._to_restore.put((job, files.read(job.source)))
        self._to_restore.close()

    def _restore(self, restorer: Restorer) -> None:
        for job, picture in self._to_restore:
            with self._failing(job):
                self._reporter.started(job.source, job.header.area)
                for line in picture.remarks:
                    self._reporter.remark(f"{job.source}: {line}")
                for line in picture.warnings:
                    self._reporter.warn(f"{job.source}: {line}")
                self._to_write.put(self._restored(job, picture, restorer))
        self._to_write.close()

    def _restored(self, job: PictureJob, picture: Picture, restorer: Restorer) -> _Result:
        faces: list[int] = []

        def progressed(share: float) -> None:
            self._crew.check()
            self._reporter.check()
            self._reporter.progressed(job.source, share * job.header.area)

        def restored_faces(pairs: Sequence[FacePair]) -> None:
            faces.append(len(pairs))
            self._reporter.restored_faces(job.source, None, pairs)

        self._reporter.check()
        began = time.monotonic()
        pixels = restorer(picture.pixels, Listener(progressed, restored_faces))
        return _Result(job, picture, pixels, faces[-1] if faces else None, time.monotonic() - began)

    def _write(self) -> None:
        for result in self._to_write:
            self._reporter.check()
            with self._failing(result.job):
                for line in self._written(result):
                    self._reporter.warn(f"{result.job.source}: {line}")
                self._reporter.finished(result.job.source, result.job.target, _facts(result))

    def _written(self, result: _Result) -> tuple[str, ...]:
        """Write a result and, if wanted, its comparison; return what was lost."""
        job, pixels = result.job, result.pixels
        job.target.parent.mkdir(parents=True, exist_ok=True)
        lost = self._disk.write(partial(files.write, job.target, replace(result.picture, pixels=pixels), self._quality))
        if self._compare_label is not None:
            both = side_by_side(result.picture.pixels, pixels, self._compare_label)
            self._disk.write(partial(files.write, job.comparison, Picture(both)))
        return lost

    @contextmanager
    def _failing(self, job: PictureJob) -> Iterator[None]:
        """Turn an error of one picture into a report about it; let everything else pass."""
        try:
            with opencv_memory_errors():
                yield
        except MemoryError:
            self._reporter.failed(job.source, f"{job.source}: not enough memory for this picture")
        except (RealESRGANError, OSError) as error:
            # A front end spells the options that are named in backticks.
            reason = error.message if isinstance(error, RealESRGANError) else str(error)
            self._reporter.failed(job.source, reason)


def _facts(result: _Result) -> str:
    height, width = result.pixels.shape[:2]
    parts = [f"{width}×{height}"]
    parts += [] if result.faces is None else [count(result.faces, "face")]
    return ", ".join((*parts, duration(result.seconds)))


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
