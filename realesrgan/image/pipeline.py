"""Take a batch of pictures through frame → frame functions; reading, restoring and writing overlap.

One thread reads ahead, one for each restorer computes, a few write. Queues between them are short, so memory holds a
handful of pictures however long the batch is.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from ..arrays import Array
from ..errors import ImageFileError, RealESRGANError
from ..restorer import FacePair, Listener, Restorer
from ..threads import Channel, Crew
from . import files
from .compare import side_by_side
from .files import Picture
from .jobs import Job

MAX_WRITERS = 4  # compressing a PNG takes about as long as restoring it on a fast GPU


class Reporter(Protocol):
    """Is told, from several threads, what happens to each job."""

    def progressed(self, job: Job, share: float) -> None: ...

    def restored_faces(self, job: Job, pairs: Sequence[FacePair]) -> None: ...

    def finished(self, job: Job, result: Array, seconds: float) -> None: ...

    def failed(self, job: Job, reason: str) -> None: ...


def restore_all(
    jobs: Sequence[Job],
    restorers: Sequence[Restorer],
    reporter: Reporter,
    *,
    quality: int = files.DEFAULT_QUALITY,
    compare_label: str | None = None,
) -> None:
    """Read, restore and write every job; each restorer runs in a thread of its own and takes the next picture.

    `compare_label`, if given, also writes a before/after picture beside each result, with this as the label of the
    after. A picture that fails is reported and the rest goes on; any other exception, Ctrl-C included, stops all
    threads and is raised here. What is being written then is finished first, so no half file is left.
    """
    writers = min(MAX_WRITERS, os.cpu_count() or 1)
    disk = _Disk(writers)
    with Crew() as crew:
        to_restore: Channel[tuple[Job, Picture]] = crew.channel(len(restorers) + 1)
        to_write: Channel[tuple[Job, Picture, Array, float]] = crew.channel(
            len(restorers) + 1, producers=len(restorers)
        )

        def read() -> None:
            for job in jobs:
                with _reported(job, reporter):
                    to_restore.put((job, files.read(job.source)))
            to_restore.close()

        def restore(restorer: Restorer) -> None:
            for job, picture in to_restore:
                with _reported(job, reporter):
                    started = time.monotonic()
                    listener = Listener(partial(progressed, job), partial(reporter.restored_faces, job))
                    result = restorer(picture.pixels, listener)
                    to_write.put((job, picture, result, time.monotonic() - started))
            to_write.close()

        def progressed(job: Job, share: float) -> None:
            crew.check()
            reporter.progressed(job, share)

        def write() -> None:
            for job, picture, result, seconds in to_write:
                with _reported(job, reporter):
                    job.target.parent.mkdir(parents=True, exist_ok=True)
                    disk.write(partial(files.write, job.target, replace(picture, pixels=result), quality))
                    if compare_label is not None:
                        both = side_by_side(picture.pixels, result, compare_label)
                        disk.write(partial(files.write, job.comparison, Picture(both)))
                    reporter.finished(job, result, seconds)

        crew.start("read", read)
        for number, restorer in enumerate(restorers):
            crew.start(f"restore-{number}", partial(restore, restorer))
        for number in range(writers):
            crew.start(f"write-{number}", write)


class _Disk:
    """Lets up to `writers` files be written side by side.

    One that finds the disk full is written once more, alone: what filled it may have been the beginning of a file that
    did not fit either, and is gone.
    """

    def __init__(self, writers: int) -> None:
        self._writers = writers
        self._room = threading.Semaphore(writers)
        self._alone = threading.Lock()

    def write(self, write: Callable[[], None]) -> None:
        try:
            with self._room:
                write()
        except ImageFileError as error:
            if not _is_disk_full(error):
                raise
            with self._alone:
                for _ in range(self._writers):
                    self._room.acquire()
                try:
                    write()
                finally:
                    self._room.release(self._writers)


def _is_disk_full(error: ImageFileError) -> bool:
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in (errno.ENOSPC, errno.EDQUOT)


class _reported:
    """Turns an error the user can mend into a report about `job`; lets everything else pass."""

    def __init__(self, job: Job, reporter: Reporter) -> None:
        self._job = job
        self._reporter = reporter

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if isinstance(error, (RealESRGANError, OSError)):
            self._reporter.failed(self._job, str(error))
            return True
        return False
