"""A server whose worker is played by the test."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import uvicorn
from fastapi.testclient import TestClient

from realesrgan.loading import Settings
from realesrgan.web.app import build
from realesrgan.web.desk import Desk
from realesrgan.web.limits import Limits
from realesrgan.web.messages import Cancel, Finished, Order, Progressed, Report, Started, Task
from realesrgan.web.store import Store

PATIENCE_S = 20.0


class PlayedWorker:
    """Takes orders down; the test tells what becomes of them."""

    def __init__(self, told: Callable[[Report], None], died: Callable[[], None]) -> None:
        self.tell, self.die = told, died
        self.orders: list[Order] = []
        self.pid: int | None = 1
        self.stopped = False

    def give(self, order: Order) -> None:
        self.orders.append(order)

    def stop(self) -> None:
        self.stopped, self.pid = True, None

    @property
    def tasks(self) -> list[Task]:
        return [order for order in self.orders if isinstance(order, Task)]

    @property
    def cancelled(self) -> list[str]:
        return [order.job for order in self.orders if isinstance(order, Cancel)]

    def finish(self, task: Task, content: bytes | None = None) -> None:
        """Write what the job asked for, and say so."""
        target = task.output / f"input_out{task.source.suffix or '.png'}"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(picture(8, 6) if content is None else content)
        self.tell(Started(task.job, 100, 0))
        self.tell(Progressed(task.job, 100))
        self.tell(Finished(task.job, target, 1.0))


class BusyWorker(PlayedWorker):
    """Finishes every job at once."""

    def give(self, order: Order) -> None:
        super().give(order)
        if isinstance(order, Task):
            self.finish(order)


class Served:
    """A client of a server, and the worker behind it."""

    def __init__(self, client: TestClient, desk: Desk) -> None:
        self.client = client
        self.desk = desk
        worker = desk.worker
        assert isinstance(worker, PlayedWorker)
        self.worker: PlayedWorker = worker

    def upload(self, content: bytes | None = None, name: str = "cat.png", **fields: Any) -> Any:
        file = picture() if content is None else content
        return self.client.post("/v1/jobs", files={"file": (name, file)}, data=fields)

    def job(self, job_id: str) -> Any:
        return self.client.get(f"/v1/jobs/{job_id}").json()

    def wait_for(self, job_id: str, state: str) -> Any:
        """The job once it is in this state."""
        return until(lambda: job if (job := self.job(job_id))["state"] == state else None)


def until(condition: Callable[[], Any]) -> Any:
    """Wait until `condition` gives something; fail after a long time."""
    end_s = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        assert time.monotonic() < end_s, "waited in vain"
        time.sleep(0.01)
    return value


@contextmanager
def served(
    folder: Path, *, limits: Limits | None = None, token: str | None = None, host: str = "localhost"
) -> Iterator[Served]:
    desk = Desk(Store(folder), limits or Limits(), Settings(), PlayedWorker)
    with desk.store.claimed():
        app = build(desk, token=token, warm_up=False)
        with TestClient(app, base_url=f"http://{host}:8000") as client:
            yield Served(client, desk)


def picture(width: int = 16, height: int = 12, extension: str = ".png") -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return bytes(cv2.imencode(extension, pixels)[1])


def events(lines: Iterator[str]) -> Iterator[tuple[str, Any]]:
    """The server-sent events in a stream of lines."""
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            yield name, json.loads(line[6:])


@contextmanager
def listening(folder: Path, worker: type[PlayedWorker], *, limits: Limits | None = None) -> Iterator[tuple[str, Desk]]:
    """A server on a port of its own, for what needs a real connection; its address and its desk."""
    desk = Desk(Store(folder), limits or Limits(), Settings(), worker)
    config = uvicorn.Config(build(desk, warm_up=False), log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with desk.store.claimed(), socket.create_server(("127.0.0.1", 0)) as sock:
        thread = threading.Thread(target=server.run, args=([sock],))
        thread.start()
        try:
            until(lambda: server.started)
            yield f"http://127.0.0.1:{sock.getsockname()[1]}", desk
        finally:
            server.should_exit = True
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
