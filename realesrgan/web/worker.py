"""The process that restores. The server starts it, and starts another when it is killed or runs out of memory.

It reads orders from a pipe and writes reports to it, and knows nothing of clients, queues or HTTP.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from ..loading import prepare_process
from ..machines import Where
from .messages import Cancel, Noticed, Report, Task, WarmUp
from .turns import Turns
from .workshop import Workshop

if TYPE_CHECKING:
    from .lane import Lane

PATIENCE_S = 3.0  # for pictures that are being written when the server stops
LEAVE_S = 5.0  # a cluster, or ending one of this machine alone
SAID_AGAIN_S = 600.0  # both lanes hear of a node, one of them perhaps only at its next job
# Of two processes, Linux is to end this one when memory runs out: the server then starts it again.
OOM_SCORE_ADJ = "500"

log = logging.getLogger("realesrgan")


def main(connection: Connection, where: Where, folder: Path) -> None:
    """Carry out the orders that come through `connection` until it is closed or `Stop` comes.

    From the nodes of a cluster, results arrive in `folder`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the server says when to stop
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE_ADJ)
    prepare_process()
    from ..image import vips
    from .picture_lane import PictureLane
    from .video_lane import VideoLane

    vips.prepare_process()
    tell = _Telling(connection)
    workshop = Workshop(where, folder)

    def end() -> None:
        workshop.close(LEAVE_S)
        os._exit(1)

    turns = Turns()
    lanes: dict[str, Lane] = {
        # On a cluster the nodes share their devices out, and neither lane has to wait for the other.
        lane.kind: lane(workshop, turns if workshop.is_here else Turns(), tell, end)
        for lane in (PictureLane, VideoLane)
    }
    try:
        _follow_orders(connection, lanes)
    except Exception:  # a bug; the lanes' threads would keep a process alive that hears nothing any more
        log.exception("unexpected error")
        os._exit(1)
    for lane in lanes.values():
        lane.stop()
    for lane in lanes.values():
        lane.join(PATIENCE_S)
    workshop.close(LEAVE_S)
    os._exit(0)  # a step of a network that cannot be interrupted is not waited for


class _Telling:
    """Sends reports, from any thread; what was said of nodes a short while ago is not said again."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._noticed: dict[str, float] = {}

    def __call__(self, report: Report) -> None:
        with self._lock, suppress(OSError):  # the server is gone: the next order says so
            if not isinstance(report, Noticed) or self._is_new(report.text):
                self._connection.send(report)

    def _is_new(self, text: str) -> bool:
        now_s = time.monotonic()
        self._noticed = {said: at_s for said, at_s in self._noticed.items() if now_s - at_s < SAID_AGAIN_S}
        return self._noticed.setdefault(text, now_s) == now_s


def _follow_orders(connection: Connection, lanes: Mapping[str, Lane]) -> None:
    """Return when `Stop` comes or the server is gone."""
    with suppress(EOFError, OSError):
        while True:
            order = connection.recv()
            if isinstance(order, Task):
                lanes[order.kind].add(order)
            elif isinstance(order, Cancel):
                lanes[order.kind].cancel(order.job)
            elif isinstance(order, WarmUp):
                lanes["picture"].add(order)
            else:
                break
