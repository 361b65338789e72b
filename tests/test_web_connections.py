"""Connections that stall, and requests that are under way when the server ends."""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send
from web import PlayedWorker, listening, until

from realesrgan.web.guard import Guard
from realesrgan.web.idle import IdleConnections

FORM = (
    "POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: multipart/form-data; boundary=b\r\n"
    "content-length: 100000\r\n\r\n--b\r\ncontent-disposition: form-data; name=file; filename=a.png\r\n\r\nhalf"
)


@dataclass(eq=False)
class Played:
    """A connection, or one of its requests, as far as it matters how idle it is."""

    cycle: Any = None
    response_complete: bool = False
    is_closed: bool = False
    transport: Any = field(init=False)

    def __post_init__(self) -> None:
        self.transport = self

    def close(self) -> None:
        self.is_closed = True


def test_a_connection_on_which_no_request_comes_is_closed() -> None:
    idle, silent = IdleConnections(30), Played()
    for now_s in (0.0, 29.0):
        idle.close([silent], now_s)
    assert not silent.is_closed
    idle.close([silent], 30.0)
    assert silent.is_closed


def test_a_connection_in_use_stays_open_though_it_is_always_met_between_two_requests() -> None:
    idle, used = IdleConnections(30), Played()
    for second in range(100):
        used.cycle = Played(response_complete=True)
        idle.close([used], float(second))
    assert not used.is_closed
    idle.close([used], 200.0)
    assert used.is_closed


def test_a_request_may_take_as_long_as_it_needs() -> None:
    idle, busy = IdleConnections(30), Played(cycle=Played())
    for now_s in (0.0, 1000.0):
        idle.close([busy], now_s)
    assert not busy.is_closed


def test_closed_connections_are_forgotten() -> None:
    idle = IdleConnections(30)
    idle.close([Played() for _ in range(10)], 0.0)
    idle.close([], 1.0)
    assert not idle._since_s


async def _never() -> Message:
    await asyncio.get_running_loop().create_future()
    raise AssertionError


async def _reading(scope: Scope, receive: Receive, send: Send) -> None:
    await Request(scope, receive).body()
    await PlainTextResponse("read")(scope, receive, send)


async def _answering(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("answered")(scope, receive, send)
    assert (await receive())["type"] == "http.disconnect"


@pytest.mark.parametrize(("app", "status"), [(_reading, 408), (_answering, 200)])
def test_a_body_that_stops_coming_is_not_waited_for(app: Any, status: int) -> None:
    scope = {"type": "http", "method": "POST", "path": "/v1/estimate", "query_string": b"", "headers": []}
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(Guard(app, None, None, {}, patience_s=0.01)(scope, _never, send))
    assert [message["status"] for message in sent if message["type"] == "http.response.start"] == [status]


def test_uploads_under_way_when_the_server_ends_are_told_and_leave_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with listening(tmp_path, PlayedWorker) as (address, desk):
        place = urlsplit(address)
        connections = [socket.create_connection((place.hostname or "", place.port or 0)) for _ in range(30)]
        for connection in connections:
            connection.sendall(FORM.encode())
        until(lambda: desk.uploading == 30)
    for connection in connections:
        connection.settimeout(20)
        with connection, connection.makefile("rb") as answer:
            assert answer.readline().split()[1] == b"503"
            assert b"is being stopped" in answer.read()
    assert os.listdir(tmp_path / "jobs") == []
    assert "Traceback" not in caplog.text


def test_thirty_clients_that_go_away_in_the_middle_of_an_upload_leave_nothing(tmp_path: Path) -> None:
    with listening(tmp_path, PlayedWorker) as (address, desk):
        place = urlsplit(address)
        connections = [socket.create_connection((place.hostname or "", place.port or 0)) for _ in range(30)]
        for connection in connections:
            connection.sendall(FORM.encode())
        until(lambda: desk.uploading == 30)
        for connection in connections:
            connection.close()
        until(lambda: desk.uploading == 0)
        assert os.listdir(tmp_path / "jobs") == []
        assert desk.entries == {}
