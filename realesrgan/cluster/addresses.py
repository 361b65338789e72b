"""Addresses of clusters: what answers there, and whether this machine is a node of it. Knows no Ray."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress

import psutil

from ..errors import UsageError

CONNECT_S = 5.0
NO_HEAD = "what listens there is not the head of a cluster; is it the address that `ray start --head` printed?"
_HEAD_FLAG = "--gcs-address="  # of the processes that manage nodes


def check_reachable(address: str) -> None:
    """Raise UsageError if no cluster is at HOST:PORT, soon: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise UsageError(f"`ray` {address}: give auto, local, or the head of a cluster as HOST:PORT, say 10.0.0.1:6379")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), CONNECT_S) as connection:
            speaks = bool(os.environ.get("RAY_USE_TLS")) or _speaks_grpc(connection)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"`ray` {address}: no cluster answers there ({reason}); is it the address that `ray start --head` printed?"
        ) from error
    if not speaks:
        raise UsageError(f"`ray` {address}: {NO_HEAD}")


def _speaks_grpc(connection: socket.socket) -> bool:
    """Whether a server answers as gRPC's do: to HTTP/2's greeting and empty settings, with its own settings."""
    with suppress(OSError):
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        return connection.recv(4)[3:] == b"\4"
    return False


def is_node(address: str) -> bool:
    """Whether a node of the cluster at `address` runs on this machine."""
    wanted = _places(address)
    return any(wanted & _places(head) for head in _heads_of_nodes_here())


def _heads_of_nodes_here() -> Iterator[str]:
    for process in psutil.process_iter(["name", "cmdline"]):
        if "raylet" in (process.info["name"] or ""):
            for word in process.info["cmdline"] or ():
                if word.startswith(_HEAD_FLAG):
                    yield word[len(_HEAD_FLAG) :]


def _places(address: str) -> set[tuple[str, str]]:
    """All that HOST:PORT may also be called; of this machine, each of its addresses."""
    host, _, port = address.rpartition(":")
    hosts = {host.strip("[]")}
    with suppress(OSError):
        hosts |= {str(entry[4][0]) for entry in socket.getaddrinfo(host.strip("[]"), None)}
    here = {one.address for card in psutil.net_if_addrs().values() for one in card}
    return {(one, port) for one in (hosts | here if hosts & here else hosts)}
