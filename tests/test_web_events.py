"""What pages are told, and what telling them costs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from web import Served, events, served

from realesrgan.web.fair import FairQueue


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path / "server") as made:
        yield made


def told(server: Served, change: Any, last: str) -> list[tuple[str, Any]]:
    """What a page is told once `change` has happened, up to the message about the job `last`."""
    desk = server.desk

    async def listen() -> str:
        stream = desk.listeners.listen(lambda entry: True, lambda: "", desk.shown, lambda: False)
        await anext(stream)
        change()
        text = ""
        while last not in text:
            text += await asyncio.wait_for(anext(stream), 20)
        await stream.aclose()  # type: ignore[attr-defined]
        return text

    text: str = server.client.portal.call(listen)  # type: ignore[union-attr]
    return list(events(iter(text.splitlines())))


def test_the_queue_is_counted_once_for_all_who_moved_up(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [server.upload().json()["id"] for _ in range(25)]
    counted: list[FairQueue] = []
    count = FairQueue.__iter__

    def counting(queue: FairQueue) -> Iterator[str]:
        counted.append(queue)
        return count(queue)

    monkeypatch.setattr(FairQueue, "__iter__", counting)
    moved = told(server, lambda: server.worker.finish(server.worker.tasks[0]), last=ids[-1])
    assert {job["id"]: job["position"] for _, job in moved if job["state"] == "queued"} == {
        job_id: number for number, job_id in enumerate(ids[len(server.worker.tasks) :])
    }
    assert len(counted) <= 10, "for each of them, a thousand jobs keep the server busy for seconds"


def test_a_page_that_reads_slowly_is_told_the_latest_and_no_more(server: Served) -> None:
    entry = server.desk.entries[server.upload().json()["id"]]

    def change_often() -> None:
        for number in range(1000):
            entry.job.done = number
            server.desk.listeners.changed(entry)

    assert [job["done"] for _, job in told(server, change_often, last=entry.job.id)] == [999]
    assert len(server.desk.listeners) == 0
