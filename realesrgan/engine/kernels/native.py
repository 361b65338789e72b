"""A network computed by the compiled library, from the levels of a picture to those of its result, strip by strip."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import byref

import numpy as np
from torch import nn

from ...arrays import Array
from ...families.family import Family
from ..tensors import Levels
from .library import Rows, check
from .lowering import lower

_NOTHING = np.empty((0, 1, 1), np.uint8)
UNCLAMPED = 3
_DEPTHS = {np.dtype(np.uint8): 0, np.dtype(np.uint16): 1, np.dtype(np.float32): 2}


class NativeNetwork:
    """A network with its weights packed for one variant of the library. Threads may share it.

    Raises:
        NotLowered: the library cannot compute this network.
        MemoryError: its weights do not fit into memory.
    """

    def __init__(self, loaded: ctypes.CDLL, variant: str, network: nn.Module, family: Family) -> None:
        self.variant = variant
        self._library = loaded
        program = lower(network, family)
        self._scale, self._channels = program.scale, program.channels
        self._network = ctypes.c_void_p()
        check(loaded.re_create(variant.encode(), byref(program.table), byref(self._network)))
        self._sessions: list[ctypes.c_void_p] = []  # all there are
        self._idle: list[ctypes.c_void_p] = []  # each keeps its memory and its threads for the next picture
        weakref.finalize(self, _free, loaded, self._network, self._sessions)

    @property
    def bytes_idle(self) -> int:
        """What is kept for the next pictures."""
        return sum(self._library.re_held_bytes(session) for session in self._idle)

    def bytes_held(self, height: int, width: int, strip: int, threads: int) -> int:
        """What computing a picture of this size will hold, besides the weights, the picture and the result."""
        return int(self._library.re_session_bytes(self._network, height, width, strip, threads))

    def run(
        self,
        height: int,
        width: int,
        strip: int,
        threads: int,
        read: Callable[[int, int], Array],
        levels: Levels,
        on_work: Callable[[float], None] | None = None,
    ) -> Iterator[tuple[int, Array]]:
        """Compute a picture, and yield a top row and (rows, W·scale, C) of the result, from top to bottom.

        Args:
            height, width: of the picture, multiples of what the network folds.
            strip: rows that are computed at a time, after folding.
            read: returns rows [top, bottom) of the picture: (rows, width, C) with the network's channels, or gray with
                C = 1, of uint8, uint16 or, in [0, 1], floating point; called for each row once, from top to bottom.
            levels: in which form the result is wanted.
            on_work: called with the multiply-adds of each step. It may raise, to end the iteration.

        Raises:
            MemoryError: memory ran out.
            ArithmeticError: a value of the result is not finite.
        """
        with self._session() as session:
            check(self._library.re_begin(session, height, width, strip, threads))
            fed = done = 0
            count, written = ctypes.c_int64(), ctypes.c_int64()
            while self._library.re_next(session, byref(count), byref(written)):
                picture = _laid_out(read(fed, fed + count.value)) if count.value else _NOTHING
                shape = written.value, width * self._scale, levels.channels_of(self._channels)
                result = np.empty(shape, levels.depth)
                work = ctypes.c_double()
                tables = _table(picture), _table(result, clamped=levels.clamped)
                check(self._library.re_advance(session, *map(byref, tables), byref(work)))
                fed += count.value
                if written.value:
                    yield done, result
                done += written.value
                if on_work is not None:
                    on_work(work.value)

    @contextmanager
    def _session(self) -> Iterator[ctypes.c_void_p]:
        if self._idle:
            session = self._idle.pop()
        else:
            session = ctypes.c_void_p()
            check(self._library.re_open(self._network, byref(session)))
            self._sessions.append(session)
        try:
            yield session
        finally:
            self._idle.append(session)


def _laid_out(rows: Array) -> Array:
    """The same rows, pixel after pixel, in a type the library reads."""
    if rows.dtype not in _DEPTHS:
        return rows.astype(np.float32, order="C")
    item = rows.itemsize
    return rows if rows.strides[1:] == (rows.shape[2] * item, item) else np.ascontiguousarray(rows)


def _table(rows: Array, *, clamped: bool = True) -> Rows:
    depth = _DEPTHS[rows.dtype] if clamped or rows.dtype != np.float32 else UNCLAMPED
    return Rows(rows.ctypes.data, rows.strides[0], rows.shape[2], depth)


def _free(loaded: ctypes.CDLL, network: ctypes.c_void_p, sessions: list[ctypes.c_void_p]) -> None:
    for session in sessions:
        loaded.re_close(session)
    loaded.re_destroy(network)
