"""Take a batch of pictures through frame → frame functions; reading, restoring and writing overlap.

One thread reads ahead, one for each restorer computes, a few write. Queues between them are short, so memory holds a
handful of pictures however long the batch is.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Generic, Protocol, TypeVar

from ..errors import RealESRGANError
from ..pixels import Array
from . import files
from .compare import side_by_side
from .files import Picture
from .jobs import Job

# Takes pixels and a listener to be told, from 0 to 1, how much of them is done; the listener may raise to cancel.
Restorer = Callable[[Array, Callable[[float], None]], Array]

MAX_WRITERS = 4  # compressing a PNG takes about as long as restoring it on a fast GPU
POLL_S = 0.1  # how soon a waiting thread notices that everything is to stop

T = TypeVar("T")


class Reporter(Protocol):
    """Is told, from several threads, what happens to each job."""

    def progressed(self, job: Job, share: float) -> None: ...

    def finished(self, job: Job, result: Array, seconds: float) -> None: ...

    def failed(self, job: Job, reason: str) -> None: ...


class _Stopped(Exception):
    """Ends a thread whose work is no longer wanted."""


class _Channel(Generic[T]):
    """A short queue that can be closed, and lets nobody wait once `stop` is set."""

    def __init__(self, size: int, stop: threading.Event) -> None:
        self._queue: queue.Queue[T | None] = queue.Queue(size)
        self._stop = stop

    def put(self, item: T | None) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=POLL_S)
                return
            except queue.Full:
                continue
        raise _Stopped

    def close(self) -> None:
        with contextlib.suppress(_Stopped):
            self.put(None)

    def __iter__(self) -> Iterator[T]:
        while not self._stop.is_set():
            try:
                item = self._queue.get(timeout=POLL_S)
            except queue.Empty:
                continue
            if item is None:
                self.put(None)  # for the next reader of this channel
                return
            yield item
        raise _Stopped


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
    stop = threading.Event()
    to_restore: _Channel[tuple[Job, Picture]] = _Channel(len(restorers) + 1, stop)
    to_write: _Channel[tuple[Job, Picture, Array, float]] = _Channel(len(restorers) + 1, stop)
    crashes: list[BaseException] = []

    def read() -> None:
        for job in jobs:
            with _reported(job, reporter):
                to_restore.put((job, files.read(job.source)))
        to_restore.close()

    def restore(restorer: Restorer) -> None:
        for job, picture in to_restore:
            with _reported(job, reporter):
                started = time.monotonic()
                result = restorer(picture.pixels, lambda share, job=job: _progress(job, share))  # type: ignore[misc]
                to_write.put((job, picture, result, time.monotonic() - started))

    def _progress(job: Job, share: float) -> None:
        if stop.is_set():
            raise _Stopped
        reporter.progressed(job, share)

    def write() -> None:
        for job, picture, result, seconds in to_write:
            with _reported(job, reporter):
                job.target.parent.mkdir(parents=True, exist_ok=True)
                files.write(job.target, replace(picture, pixels=result), quality)
                if compare_label is not None:
                    both = side_by_side(picture.pixels, result, compare_label)
                    files.write(job.comparison, Picture(both))
                reporter.finished(job, result, seconds)

    def guarded(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                work()
            except _Stopped:
                pass
            except BaseException as error:
                crashes.append(error)
                stop.set()

        return run

    reading = [threading.Thread(target=guarded(read), name="read")]
    restoring = [
        threading.Thread(target=guarded(lambda restorer=restorer: restore(restorer)), name=f"restore-{i}")  # type: ignore[misc]
        for i, restorer in enumerate(restorers)
    ]
    writers = min(MAX_WRITERS, os.cpu_count() or 1)
    writing = [threading.Thread(target=guarded(write), name=f"write-{i}") for i in range(writers)]
    try:
        for thread in (*reading, *restoring, *writing):
            thread.start()
        _wait_for(restoring)
        to_write.close()
        _wait_for((*reading, *writing))
    finally:
        stop.set()  # does nothing where all ended by themselves
        for thread in (*reading, *restoring, *writing):
            if thread.is_alive():  # Ctrl-C may have come before all were started
                thread.join()
    if crashes:
        raise crashes[0]


def _wait_for(threads: Sequence[threading.Thread]) -> None:
    for thread in threads:
        while thread.is_alive():
            thread.join(POLL_S)  # a join without end would not let Ctrl-C through on Windows


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
