"""Tell pages what happens to their jobs, as server-sent events (HTML standard, section 9.2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable

from pydantic import BaseModel

from .limits import MAX_STREAMS
from .problems import Refused
from .store import Entry

INTERVAL_S = 0.2  # between two messages about the same job
HEARTBEAT_S = 15.0


class _Listener:
    """One open stream: the jobs that changed since its last message."""

    def __init__(self, concerns: Callable[[Entry], bool]) -> None:
        self.concerns = concerns
        self.changed: dict[str, Entry] = {}
        self.removed: list[str] = []
        self.woken = asyncio.Event()


class Listeners:
    """All open streams. Call from the event loop's thread."""

    def __init__(self) -> None:
        self._all: set[_Listener] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._all)

    def changed(self, entry: Entry) -> None:
        for listener in self._concerned(entry):
            listener.changed[entry.job.id] = entry
            listener.woken.set()

    def removed(self, entry: Entry) -> None:
        for listener in self._concerned(entry):
            listener.changed.pop(entry.job.id, None)
            listener.removed.append(entry.job.id)
            listener.woken.set()

    def close(self) -> None:
        """End all streams: the server ends."""
        self._closed = True
        for listener in self._all:
            listener.woken.set()

    async def listen(
        self,
        concerns: Callable[[Entry], bool],
        first: Callable[[], str],
        show: Callable[[Iterable[Entry]], Iterable[BaseModel]],
        until: Callable[[], bool],
    ) -> AsyncIterator[str]:
        """Yield `first()`, then messages about the jobs it `concerns`, as `show` makes them, `until` it is over."""
        listener = _Listener(concerns)
        self._all.add(listener)
        try:
            yield first()
            while not (self._closed or (until() and not listener.changed)):
                try:
                    await asyncio.wait_for(listener.woken.wait(), HEARTBEAT_S)
                except asyncio.TimeoutError:
                    yield ": still here\n\n"
                    continue
                listener.woken.clear()
                changed, listener.changed = listener.changed, {}
                removed, listener.removed = listener.removed, []
                for job in show(changed.values()):
                    yield message("job", job.model_dump_json())
                for job_id in removed:
                    yield message("removed", f'{{"id":"{job_id}"}}')
                await asyncio.sleep(INTERVAL_S)
        finally:
            self._all.discard(listener)

    def refuse_if_full(self) -> None:
        """Raise Refused (503) if no more streams can be opened."""
        if len(self._all) >= MAX_STREAMS:
            raise Refused(503, "too many pages listen to this server; close some")

    def _concerned(self, entry: Entry) -> Iterable[_Listener]:
        return [listener for listener in self._all if listener.concerns(entry)]


def message(event: str, data: str) -> str:
    """One server-sent event; `data` is one line of JSON."""
    return f"event: {event}\ndata: {data}\n\n"
