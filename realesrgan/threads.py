"""Threads that hand work to each other through short queues and stop together. Knows nothing of pictures."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

STARTING_S = 5.0  # a thread that has no identifier by then was kept from starting by Ctrl-C
POLL_S = 0.1  # how soon a waiting thread notices that it should stop

T = TypeVar("T")


class Stopped(Exception):
    """Ends a thread whose work is no longer wanted; raised by `Crew.check` and while waiting on a `Channel`."""


def run_in_own_thread(work: Callable[[], T]) -> T:
    """Run `work` in a new thread, wait for it, and return its result or raise its exception.

    Use for torch work done before the worker threads start. Every thread that computes keeps a team of OpenMP threads
    until it ends. If all teams together outnumber the processors, OpenMP no longer spins between two steps of a network
    but sleeps, and a 64×64 picture takes a fifth longer.
    """
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(work).result()


class Channel(Generic[T]):
    """A bounded queue filled by `producers` threads; iterating ends when each of them has closed it."""

    def __init__(self, length: int, stop: threading.Event, producers: int) -> None:
        self._queue: queue.Queue[T] = queue.Queue(length)
        self._stop = stop
        self._open = producers
        self._lock = threading.Lock()

    def put(self, item: T) -> None:
        """Add `item`, waiting while the queue is full."""
        while not self._stop.is_set():
            try:
                return self._queue.put(item, timeout=POLL_S)
            except queue.Full:
                continue
        raise Stopped

    def close(self) -> None:
        """Say that one producer is done."""
        with self._lock:
            self._open -= 1

    def __iter__(self) -> Iterator[T]:
        while not self._stop.is_set():
            closed = self._open == 0  # read first: an item put before closing must still be found
            try:
                yield self._queue.get(timeout=0 if closed else POLL_S)
            except queue.Empty:
                if closed:
                    return
        raise Stopped


class Crew:
    """Runs functions in threads; when one of them raises, or the caller is interrupted, all stop.

    Use as a context manager: on leaving, it waits for the threads, then raises the first exception of any of them.
    """

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._threads: list[tuple[threading.Thread, threading.Event]] = []  # each with the event set when it ends
        self._crashes: list[BaseException] = []

    def channel(self, length: int, producers: int = 1) -> Channel[T]:
        return Channel(length, self.stop, producers)

    def check(self) -> None:
        """Raise Stopped if the work is no longer wanted."""
        if self.stop.is_set():
            raise Stopped

    def start(self, name: str, work: Callable[[], None]) -> None:
        ended = threading.Event()
        thread = threading.Thread(target=self._guard, args=(work, ended), name=name)
        # Registered before it starts: if Ctrl-C came in between, nobody would wait for it.
        self._threads.append((thread, ended))
        try:
            thread.start()
        except RuntimeError:  # out of threads
            self._threads.pop()
            raise

    def _guard(self, work: Callable[[], None], ended: threading.Event) -> None:
        try:
            work()
        except Stopped:
            pass
        except BaseException as error:
            self._crashes.append(error)
            self.stop.set()
        finally:
            ended.set()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        try:
            if error is None:
                self._wait()
        finally:
            self.stop.set()  # no effect if all have ended
            self._wait()
        if self._crashes and error is None:
            raise self._crashes[0]

    def _wait(self) -> None:
        # Thread.join alone is not enough: interrupted by Ctrl-C, it takes a running thread for dead (bpo-46726), and
        # the process ends under it. Without a timeout, Ctrl-C would not get through on Windows.
        for thread, ended in self._threads:
            never_started_after = time.monotonic() + STARTING_S
            while not ended.wait(POLL_S):
                if thread.ident is None and time.monotonic() > never_started_after:
                    break
            if thread.ident is not None:
                thread.join()


class Window:
    """Limits how many items are in flight: `enter` waits until there is room for another."""

    def __init__(self, size: int, crew: Crew) -> None:
        self._room = threading.Semaphore(size)
        self._crew = crew

    def enter(self) -> None:
        while not self._room.acquire(timeout=POLL_S):
            self._crew.check()

    def leave(self) -> None:
        self._room.release()
