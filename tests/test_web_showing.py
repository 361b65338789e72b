"""Tiles of pictures: made once, told in plain words when they cannot be, and gone with their job."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from web import Served, picture, served, until

from realesrgan.errors import ImageFileError
from realesrgan.web import showing
from realesrgan.web.problems import is_disk_full


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path / "server") as made:
        yield made


def done(server: Served) -> str:
    """The id of a finished job."""
    job_id: str = server.upload().json()["id"]
    server.worker.finish(server.worker.tasks[-1], picture(64, 48))
    server.wait_for(job_id, "done")
    return job_id


def pyramid(server: Served, job_id: str, side: str = "before") -> Any:
    return server.client.get(f"/v1/jobs/{job_id}/{side}/pyramid")


class SlowMaking:
    """Takes the place of what makes pyramids, and waits to be let go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.go_on, self.count = threading.Event(), threading.Event(), 0
        self._write = showing.write_pyramid
        monkeypatch.setattr(showing, "write_pyramid", self)

    def __call__(self, source: Path, target: Path) -> None:
        self.count += 1
        self.begun.set()
        assert self.go_on.wait(20)
        self._write(source, target)


def test_a_picture_asked_for_by_many_is_made_once(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id, making = done(server), SlowMaking(monkeypatch)
    with ThreadPoolExecutor(5) as pool:
        answers = [pool.submit(pyramid, server, job_id) for _ in range(5)]
        assert making.begun.wait(20)
        making.go_on.set()
        assert [answer.result().status_code for answer in answers] == [200] * 5
    assert making.count == 1


def test_a_job_removed_while_its_tiles_are_made_leaves_nothing(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id, making = done(server), SlowMaking(monkeypatch)
    folder = server.desk.entries[job_id].folder
    content = server.desk.entries[job_id].source.read_bytes()
    with ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(pyramid, server, job_id) for _ in range(3)]
        assert making.begun.wait(20)
        server.client.delete(f"/v1/jobs/{job_id}")
        folder.mkdir(exist_ok=True)  # as if the removal had met the file that is being written
        (folder / "input.png").write_bytes(content)
        making.go_on.set()
        assert [answer.result().status_code for answer in answers] == [404] * 3
    until(lambda: not folder.exists())


def test_nothing_is_kept_in_memory_of_pictures_shown_and_removed(server: Served) -> None:
    for _ in range(3):
        job_id = done(server)
        assert pyramid(server, job_id, "after").status_code == 200
        server.client.delete(f"/v1/jobs/{job_id}")
    assert len(server.client.app.state.showing._locks) == 0  # type: ignore[attr-defined]


def test_a_damaged_picture_is_told_without_the_servers_folders(server: Served) -> None:
    job_id = server.upload(picture(64, 64)[:-3000]).json()["id"]
    answer = pyramid(server, job_id)
    assert (answer.status_code, "damaged or cut short" in answer.json()["error"]) == (422, True)
    for text in (answer.text, server.client.get(f"/v1/jobs/{job_id}/before/tiles/0/0_0.png").text):
        assert str(server.desk.store.folder) not in text
        assert "input" not in text


def test_a_tile_that_does_not_exist_is_said(server: Served) -> None:
    job_id = done(server)
    for place in ("9/0_0", "0/9_0", "-1/0_0", "0/0_-1"):
        answer = server.client.get(f"/v1/jobs/{job_id}/after/tiles/{place}.png")
        assert answer.status_code == 404
        assert "there is no such tile" in answer.json()["error"]


def test_a_result_that_somebody_deleted_is_said(server: Served) -> None:
    job_id = done(server)
    target = server.desk.entries[job_id].target
    assert target is not None
    os.remove(target)
    for path in (f"jobs/{job_id}/result", f"results.zip?id={job_id}", f"jobs/{job_id}/after/pyramid"):
        answer = server.client.get(f"/v1/{path}")
        assert (answer.status_code, answer.json()["error"]) == (404, "the result is no longer there")


def test_a_full_disk_is_known_behind_other_errors() -> None:
    full = OSError(28, "No space left on device")
    behind = ImageFileError("cannot be written")
    behind.__cause__ = full
    assert is_disk_full(full)
    assert is_disk_full(behind)
    assert not is_disk_full(ImageFileError("damaged"))
    assert not is_disk_full(None)
