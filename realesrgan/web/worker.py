"""The process that restores. The server starts it, and starts another when it is killed or runs out of memory.

It reads orders from a pipe and writes reports to it, and knows nothing of clients, queues or HTTP.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from ..loading import prepare_process
from .messages import Cancel, Report, Task, WarmUp
from .turns import Turns

if TYPE_CHECKING:
    from .lane import Lane

PATIENCE_S = 3.0  # for pictures that are being written when the server stops
# Of two processes, Linux is to end this one when memory runs out: the server then starts it again.
OOM_SCORE_ADJ = "500"

log = logging.getLogger("realesrgan")


def main(connection: Connection) -> None:
    """Carry out the orders that come through `connection` until it is closed or `Stop` comes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the server says when to stop
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE_ADJ)
    prepare_process()
    from ..image import vips
    from .picture_lane import PictureLane
    from .video_lane import VideoLane

    vips.prepare_process()
    lock = threading.Lock()

    def tell(report: Report) -> None:
        with lock, suppress(OSError):  # the server is gone: the next order says so
            connection.send(report)

    turns = Turns()
    lanes: dict[str, Lane] = {lane.kind: lane for lane in (PictureLane(turns, tell), VideoLane(turns, tell))}
    try:
        _follow_orders(connection, lanes)
    except Exception:  # a bug; the lanes' threads would keep a process alive that hears nothing any more
        log.exception("unexpected error")
        os._exit(1)
    for lane in lanes.values():
        lane.stop()
    for lane in lanes.values():
        lane.join(PATIENCE_S)
    os._exit(0)  # a step of a network that cannot be interrupted is not waited for


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
                lanes["picture"].warm_up(order.settings)
            else:
                break
