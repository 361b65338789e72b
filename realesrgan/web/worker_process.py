"""The server's end of the pipe to the process that restores: starts it, gives it orders, notices when it dies."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from ..machines import Where
from . import worker
from .messages import Order, Report, Stop

PATIENCE_S = worker.PATIENCE_S + worker.LEAVE_S + 2


class WorkerProcess:
    """A process that runs `worker.main` with `where` and `folder`, started by the first order after it has ended.

    `told` is given its reports and `died` is called when it ends without being asked, both from a thread.
    """

    def __init__(self, told: Callable[[Report], None], died: Callable[[], None], *, where: Where, folder: Path) -> None:
        self._told = told
        self._died = died
        self._where = where
        self._folder = folder
        self._lock = threading.Lock()
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        return self._process.pid if self._process is not None else None

    def give(self, order: Order) -> None:
        """Send an order; if the process has just died, `died` will say so."""
        with self._lock:
            if self._connection is None:
                self._start()
            assert self._connection is not None
            with suppress(OSError):
                self._connection.send(order)

    def stop(self) -> None:
        """End the process and wait for it; `died` is not called."""
        with self._lock:
            process, connection = self._process, self._connection
            self._process = self._connection = None
        if process is None or connection is None:
            return
        with suppress(OSError):
            connection.send(Stop())
        process.join(PATIENCE_S)
        if process.is_alive():
            process.kill()
            process.join()
        connection.close()

    def _start(self) -> None:
        # Spawned, not forked: the server has threads, whose locks a fork would copy as they happen to be.
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        arguments = (theirs, self._where, self._folder)
        self._process = context.Process(target=worker.main, args=arguments, name="realesrgan-worker")
        self._process.start()
        theirs.close()
        threading.Thread(target=self._listen, args=(self._process, self._connection), daemon=True).start()

    def _listen(self, process: SpawnProcess, connection: Connection) -> None:
        with suppress(EOFError, OSError):
            while True:
                self._told(connection.recv())
        process.join()
        with self._lock:
            if self._process is not process:  # stopped on purpose
                return
            self._process = self._connection = None
        connection.close()
        self._died()
