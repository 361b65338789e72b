"""What all lanes of the process restore with: this machine, or a cluster, to which one connects when it is needed."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path

from ..loading import Setup
from ..machines import Connection, Machines, Where, connected
from ..outputs import remove_stale_parts
from ..restorer import Reporter


class Workshop:
    """Connects at the first call, and keeps that; where it fails, the next call tries again.

    From other machines, results arrive in `folder`.
    """

    def __init__(self, where: Where, folder: Path) -> None:
        self._where = where
        self._folder = folder
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._exit = ExitStack()

    @property
    def is_here(self) -> bool:
        """Whether the devices are this process's own."""
        return self._where.ray is None

    @property
    def is_lost(self) -> bool:
        """Whether nothing can be restored any more, unless by another process."""
        return self._connection is not None and self._connection.is_lost

    def engaged(self, setup: Setup, reporter: Reporter, *, for_video: bool) -> AbstractContextManager[Machines]:
        """As `machines.engaged`."""
        with self._lock:
            if self._connection is None:
                remove_stale_parts([self._folder])
                self._connection = self._exit.enter_context(connected(self._where, reporter, setup.settings.gpu_id))
        return self._connection.engaged(setup, reporter, self._folder, for_video=for_video)

    def close(self, patience_s: float) -> None:
        """Leave the cluster; what does not end within this time is left to end with the process."""
        closing = threading.Thread(target=self._close, daemon=True)
        closing.start()
        closing.join(patience_s)

    def _close(self) -> None:
        with self._lock, suppress(Exception):
            self._exit.close()
