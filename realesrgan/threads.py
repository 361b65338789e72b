"""Threads that hand work on through short queues and stop together. Knows nothing of pictures."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

POLL_S = 0.1  # how soon a waiting thread notices that everything is to stop

T = TypeVar("T")


class Stopped(Exception):
    """Ends a thread whose work is no longer wanted. Raised by Crew.check and by waiting on a Channel."""


class Channel(Generic[T]):
    """A queue of bounded length from `producers` threads; it ends for its readers when each of them has closed it."""

    def __init__(self, length: int, stop: threading.Event, producers: int) -> None:
        self._queue: queue.Queue[T] = queue.Queue(length)
        self._stop = stop
        self._open = producers
        self._lock = threading.Lock()

    def put(self, item: T) -> None:
        """Hand `item` on, waiting while the queue is full."""
        while not self._stop.is_set():
            try:
                return self._queue.put(item, timeout=POLL_S)
            except queue.Full:
                continue
        raise Stopped

    def close(self) -> None:
        """Say that one producer has no more."""
        with self._lock:
            self._open -= 1

    def __iter__(self) -> Iterator[T]:
        while not self._stop.is_set():
            closed = self._open == 0  # asked first: what was put before closing must still be found
            try:
                yield self._queue.get(timeout=0 if closed else POLL_S)
            except queue.Empty:
                if closed:
                    return
        raise Stopped


class Crew:
    """Runs functions in threads. When one of them raises, or the caller is interrupted, all stop.

    Use as a context manager: leaving it waits for the threads, then raises what the first failing one raised.
    """

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._crashes: list[BaseException] = []

    def channel(self, length: int, producers: int = 1) -> Channel[T]:
        return Channel(length, self.stop, producers)

    def check(self) -> None:
        """Raise Stopped if the work is no longer wanted."""
        if self.stop.is_set():
            raise Stopped

    def start(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=self._guard, args=(work,), name=name)
        self._threads.append(thread)
        thread.start()

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Stopped:
            pass
        except BaseException as error:
            self._crashes.append(error)
            self.stop.set()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        try:
            if error is None:
                for thread in self._threads:
                    while thread.is_alive():
                        thread.join(POLL_S)  # a join without end would not let Ctrl-C through on Windows
        finally:
            self.stop.set()  # does nothing where all ended by themselves
            for thread in self._threads:
                if thread.is_alive():  # Ctrl-C may have come before it was started
                    thread.join()
        if self._crashes and error is None:
            raise self._crashes[0]
