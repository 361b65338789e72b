"""Units made ready in a thread of their own, a few ahead of whoever takes them. Knows nothing of what they are."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from ..threads import POLL_S, Stopped
from .units import Unit

READY = 2  # units that wait to be given


class Ahead(Iterator[Unit | None]):
    """Iterates over units without waiting: None while the next one is not ready. Use in `with`.

    `units` is called in the thread, with a function to call often: it raises Stopped once nobody takes units any more.
    What it gives, if it waits, must yield None often. What is raised there is raised to whoever takes units.
    """

    def __init__(self, units: Callable[[Callable[[], None]], Iterable[Unit | None]], ready: int = READY) -> None:
        self._units = units
        self._queue: queue.Queue[Unit | BaseException | None] = queue.Queue(ready)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ahead", daemon=True)

    def __enter__(self) -> Ahead:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _check(self) -> None:
        if self._stop.is_set():
            raise Stopped

    def __next__(self) -> Unit | None:
        try:
            found = self._queue.get_nowait()
        except queue.Empty:
            return None
        if isinstance(found, BaseException):
            self._queue.put_nowait(found)  # for whoever asks again
            raise found
        return found

    def _run(self) -> None:
        end: BaseException = StopIteration()
        try:
            for unit in self._units(self._check):
                self._check()
                if unit is not None:
                    self._put(unit)
        except Stopped:
            return
        except BaseException as error:
            end = error
        with suppress(Stopped):
            self._put(end)

    def _put(self, item: Unit | BaseException) -> None:
        while True:
            self._check()
            with suppress(queue.Full):
                return self._queue.put(item, timeout=POLL_S)
