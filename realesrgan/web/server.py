"""Run the application on an address until Ctrl-C."""

from __future__ import annotations

import ipaddress
import logging
import re
import socket
import time
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from urllib.parse import quote

import platformdirs
import uvicorn

from ..errors import UsageError
from ..loading import Settings
from ..machines import Where
from .app import build
from .desk import Desk
from .idle import IdleConnections
from .limits import IDLE_CONNECTION_S, Limits
from .store import Store
from .worker_process import WorkerProcess

GRACE_S = 2  # for answers that are being sent when the server ends
TICKS_PER_SECOND = 10  # of uvicorn
MIN_TOKEN = 16
_SENDABLE = re.compile(r"[!-~]+")  # printable ASCII


@dataclass(frozen=True)
class Address:
    """Where to listen, and the token that clients must have; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None


def default_folder() -> Path:
    """Where jobs are kept unless a folder is named."""
    return Path(platformdirs.user_data_dir("realesrgan")) / "server"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_address(address: Address) -> None:
    """Raises UsageError: others could use the server without a token, or the token is easily guessed."""
    if address.token is not None and len(address.token) < MIN_TOKEN:
        raise UsageError(f"`token`: must have at least {MIN_TOKEN} letters, so that nobody guesses it")
    if address.token is not None and not _SENDABLE.fullmatch(address.token):
        raise UsageError("`token`: use letters a to z, digits and signs without spaces; no header can carry others")
    if address.token is None and not is_loopback(address.host):
        raise UsageError(
            f"`host` {address.host}: everybody who reaches this address could use the server: give a `token` that they "
            "must know, such as a long random word, or leave `host` out to serve this machine only"
        )


def serve(
    address: Address,
    folder: Path,
    limits: Limits,
    machine: Settings,
    where: Where,
    *,
    open_browser: bool = False,
    say: Callable[[str], None] = print,
) -> None:
    """Serve until interrupted; `say` is given the address once the server listens.

    Raises:
        UsageError: the address cannot be listened on or is open to all, or the folder cannot be used.
        KeyboardInterrupt: Ctrl-C, after everything has ended in order.
    """
    check_address(address)
    store = Store(folder)
    with store.claimed(), _listening(address) as sock:
        # In the folder of the jobs, for the sake of its rights and its disk; no job is called like that.
        desk = Desk(store, limits, machine, partial(WorkerProcess, where=where, folder=store.jobs_folder))
        app = build(desk, token=address.token)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
            timeout_keep_alive=round(IDLE_CONNECTION_S),
        )
        shown = address_of(sock, address)
        server = _Server(config, desk, on_start=lambda: _announce(shown, say, open_browser))
        server.run(sockets=[sock])


class _Server(uvicorn.Server):
    """Says when it listens, and lets pages that listen to events go when it ends."""

    def __init__(self, config: uvicorn.Config, desk: Desk, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._desk = desk
        self._on_start = on_start
        self._idle = IdleConnections()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_start()

    async def on_tick(self, counter: int) -> bool:
        if counter % TICKS_PER_SECOND == 0:
            self._idle.close(self.server_state.connections, time.monotonic())  # type: ignore[arg-type]
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._desk.listeners.close()
        # Requests that do not end in time are cut off, which is no error to be shown with its traceback.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        super().handle_exit(sig, frame)


def _listening(address: Address) -> socket.socket:
    try:
        family = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((address.host, address.port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"`port` {address.port} of {address.host}: cannot be listened on ({reason}); try another, or 0"
        ) from error


def address_of(sock: socket.socket, address: Address) -> str:
    """What to open in a browser: the address that is listened on, with the token."""
    port = sock.getsockname()[1]
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"http://{host}:{port}/" + (f"?token={quote(address.token, safe='')}" if address.token else "")


def _announce(shown: str, say: Callable[[str], None], open_browser: bool) -> None:
    say(f"serving on {shown} (Ctrl-C to stop)")
    if open_browser:
        webbrowser.open(shown)
