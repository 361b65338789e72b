"""Batches in order, prepared by other processes while the last one is learned from. Knows nothing of what is in them.

Each process computes with one thread, so that none of them waits for another. They are started anew and not forked:
libvips and torch have threads, which a fork would leave without.
"""

from __future__ import annotations

import atexit
import os
import re
import signal
import threading
import time
import warnings
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from ctypes import c_bool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol, cast

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from ..errors import RealESRGANError
from ..image import vips
from ..restorer import Reporter
from .datasets import Batch, Sample, stack

BATCHES_AHEAD = 2  # for each process
PATIENCE_S = 30.0  # for processes to end by themselves; torch itself waits for 5 s
_ENDED = re.compile(r"DataLoader worker .*(exited unexpectedly|is killed by signal)")  # torch's words for it


class Samples(Protocol):
    """A data set: a function from a sample number."""

    def __getitem__(self, number: int) -> Sample: ...

    def path(self, number: int) -> Path: ...


class Waiting:
    """How long training waited for batches, beside how long it took in all. The first batch is counted by itself.

    Attributes:
        start_s: until the first batch was there; most of it is the start of the processes.
        waited_s: for all later ones.
        total_s: from the first batch to the last.
    """

    def __init__(self) -> None:
        self.start_s = self.waited_s = self.total_s = 0.0
        self._first_at_s: float | None = None

    @property
    def share(self) -> float:
        """The share of time spent waiting, 0 to 1."""
        return self.waited_s / self.total_s if self.total_s else 0.0

    def note(self, began_s: float, ended_s: float) -> None:
        """Note one wait, in the time of time.perf_counter."""
        if self._first_at_s is None:
            self.start_s, self._first_at_s = ended_s - began_s, ended_s
        else:
            self.waited_s += ended_s - began_s
            self.total_s = ended_s - self._first_at_s


def batches(
    samples: Samples,
    numbers: Iterable[range],
    *,
    workers: int = 0,
    pin: bool = False,
    reporter: Reporter | None = None,
    waiting: Waiting | None = None,
) -> Generator[Batch, None, None]:
    """Yield a batch for each of `numbers`, in order. The result does not depend on how many `workers` there are.

    With 0 workers, samples are computed here, when they are asked for. `pin` puts batches into memory that a GPU can
    fetch from by itself. What goes wrong with a picture is said once. Close the generator, or use it up, to end the
    processes; they do not listen to Ctrl-C themselves, and end when this one does.

    Raises:
        RealESRGANError: there is nothing to make samples of, or a process was ended from outside, most likely because
            memory ran out.
        RuntimeError: a bug; the message names the sample and its picture.
    """
    waiting, said = waiting or Waiting(), set[str]()
    began_s = time.perf_counter()
    # Without a lock, which a process that is killed may take along.
    stop = get_context("spawn").RawValue(c_bool, False) if workers else None
    iterator = _start(_Work(samples, stop), numbers, workers, pin and torch.cuda.is_available())
    try:
        while (loaded := _next(iterator)) is not None:
            waiting.note(began_s, time.perf_counter())
            for note in loaded.notes:
                if note not in said and reporter is not None:
                    reporter.warn(note)
                said.add(note)
            if loaded.error is not None:
                raise loaded.error
            assert loaded.batch is not None
            yield loaded.batch
            del loaded  # else its batch would be held while the next one is waited for
            began_s = time.perf_counter()
    finally:
        if stop is not None:
            stop.value = True
        _end(iterator)


@dataclass(frozen=True)
class _Loaded:
    """What comes from a process: a batch, or the error that a user can mend; and lines of what went wrong."""

    batch: Batch | None
    notes: tuple[str, ...] = ()
    error: RealESRGANError | None = None

    def pin_memory(self) -> _Loaded:
        return _Loaded(self.batch and self.batch.pin_memory(), self.notes, self.error)


class _Work(Dataset[Any]):
    """What processes do: make a batch of the samples of a range, or nothing once it is no longer wanted."""

    def __init__(self, samples: Samples, stop: c_bool | None) -> None:
        self._samples = samples
        self._stop = stop

    def __getitems__(self, numbers: range) -> _Loaded:
        made = []
        try:
            for number in numbers:
                if self._stop is not None and self._stop.value:
                    return _Loaded(None)
                made.append(self._sample(number))
        except RealESRGANError as error:
            # Not raised here: torch would put a traceback into its message.
            return _Loaded(None, error=error)
        return _Loaded(stack(made), tuple(note for sample in made for note in sample.notes))

    def _sample(self, number: int) -> Sample:
        try:
            return self._samples[number]
        except RealESRGANError:
            raise
        except Exception as error:
            raise RuntimeError(f"sample {number}, of {self._samples.path(number)}: {error!r}") from error


def _start(work: _Work, numbers: Iterable[range], workers: int, pin: bool) -> Iterator[_Loaded]:
    loader = DataLoader(
        work,
        batch_sampler=cast("Iterable[list[int]]", numbers),
        num_workers=workers,
        collate_fn=_as_it_is,
        pin_memory=pin,
        prefetch_factor=BATCHES_AHEAD if workers else None,
        worker_init_fn=partial(_set_up, flush_denormal=_flushes_denormal()) if workers else None,
        multiprocessing_context="spawn" if workers else None,
        generator=torch.Generator(),  # else the global one would be drawn from
    )
    with _interrupts_held_back(), warnings.catch_warnings():
        # Of more processes than processors; how many there are is the caller's business.
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        return iter(loader)


def _as_it_is(loaded: Any) -> Any:
    return loaded


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Hold Ctrl-C back from processes started meanwhile, for good, so that none ends with a traceback of its own."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _set_up(worker: int, *, flush_denormal: bool) -> None:
    """Set a process up to compute as this one does, with one thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Python would end its threads one by one, and torch, if in the middle of handing over a batch, complain aloud.
    atexit.register(os._exit, 0)
    vips.prepare_process()
    vips.use_one_thread()
    torch.set_num_threads(1)
    torch.set_flush_denormal(flush_denormal)
    cv2.setNumThreads(1)


def _flushes_denormal() -> bool:
    """Whether numbers near zero become zero here; torch only lets one set that."""
    return bool(torch.tensor([1e-40]).mul(1.0) == 0)


def _next(iterator: Iterator[_Loaded]) -> _Loaded | None:
    try:
        return next(iterator, None)
    except (RuntimeError, EOFError, ConnectionError, FileNotFoundError) as error:
        # The latter ones come where a process ends while a batch of it is being fetched.
        if type(error) is RuntimeError and not _ENDED.search(str(error)):
            raise
        raise RealESRGANError(
            "a process that prepares pictures was ended from outside, most likely because memory ran out "
            "(in a container perhaps shared memory, /dev/shm); try a smaller `num_worker_per_gpu`"
        ) from error


def _end(iterator: Iterator[_Loaded], patience_s: float = PATIENCE_S) -> None:
    """End the processes, if there are any; those that do not end by themselves are killed.

    By name, because the traceback of an exception may keep the iterator, and with it the processes. In a thread,
    because a process that is killed may take a lock along that torch would wait for without end.
    """
    shut_down = getattr(iterator, "_shutdown_workers", None)
    if shut_down is None:
        return

    def end_in_order() -> None:
        with suppress(RuntimeError):  # the death of a process, which torch may report once more here
            shut_down()

    with suppress(RuntimeError):
        thread = threading.Thread(target=end_in_order, name="end", daemon=True)
        thread.start()
        thread.join(patience_s)
    for process in getattr(iterator, "_workers", ()):
        with suppress(RuntimeError):
            if process.is_alive():
                process.kill()
            process.join()
