"""Close connections on which no request comes: half a header must not hold a place for ever."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from .limits import IDLE_CONNECTION_S


class Transport(Protocol):
    """The socket of a connection."""

    def close(self) -> None: ...


class Connection(Protocol):
    """What uvicorn knows of a connection; `cycle` is its latest request, once the headers have come."""

    cycle: Any
    transport: Transport


class IdleConnections:
    """Knows how long connections have been without a request, however often it is asked."""

    def __init__(self, patience_s: float = IDLE_CONNECTION_S) -> None:
        self._patience_s = patience_s
        self._since_s: dict[tuple[Connection, Any], float] = {}  # by connection and its latest request

    def close(self, connections: Iterable[Connection], now_s: float) -> None:
        """Close those of all open `connections` whose next request does not come."""
        idle = [(one, one.cycle) for one in connections if one.cycle is None or one.cycle.response_complete]
        self._since_s = {key: self._since_s.get(key, now_s) for key in idle}
        for (connection, _), since_s in self._since_s.items():
            if now_s - since_s >= self._patience_s:
                connection.transport.close()
