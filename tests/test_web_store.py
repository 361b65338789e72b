"""The folder of jobs: what a server finds in it, what it removes, and what it leaves alone."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest
from web import served

from realesrgan.errors import UsageError
from realesrgan.web.store import RECORD, Store


def restart(folder: Path) -> list[str]:
    """The names of the jobs that a server started here hands to its worker or keeps."""
    with served(folder) as again:
        return sorted(entry.job.name for entry in again.desk.entries.values())


def test_a_job_removed_while_it_was_restored_does_not_come_back(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        removed = server.upload(name="removed.png").json()["id"]
        server.upload(name="kept.png")
        server.client.delete(f"/v1/jobs/{removed}")  # and the server ends before the worker lets go of it
    assert restart(tmp_path) == ["kept.png"]
    assert not (tmp_path / "jobs" / removed).exists()


def test_a_job_that_a_program_waited_for_is_not_taken_up_again(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        entry = server.desk.entries[server.upload().json()["id"]]
        entry.record.listed = False
        server.desk.store.save(entry)
    assert restart(tmp_path) == []
    assert os.listdir(tmp_path / "jobs") == []


def test_what_is_not_named_like_a_job_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "jobs" / "my photographs").mkdir(parents=True)
    (tmp_path / "jobs" / "my photographs" / "cat.jpg").write_bytes(b"cat")
    (tmp_path / "jobs" / "list.txt").write_text("work")
    assert restart(tmp_path) == []
    assert (tmp_path / "jobs" / "my photographs" / "cat.jpg").read_bytes() == b"cat"
    assert (tmp_path / "jobs" / "list.txt").read_text() == "work"


def test_a_record_that_cannot_be_read_now_costs_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(tmp_path) as server:
        entry = server.desk.entries[server.upload().json()["id"]]
    read = Path.read_bytes

    def failing(path: Path) -> bytes:
        if path.name == RECORD:
            raise OSError(24, "Too many open files")
        return read(path)

    with monkeypatch.context() as failed:
        failed.setattr(Path, "read_bytes", failing)
        assert restart(tmp_path) == []
    assert entry.source.exists()
    assert restart(tmp_path) == ["cat.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_only_the_jobs_are_made_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with Store(tmp_path).claimed():
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
        assert stat.S_IMODE((tmp_path / "jobs").stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_claimed_is_said(tmp_path: Path) -> None:
    (tmp_path / "server.lock").mkdir()
    with pytest.raises(UsageError, match="cannot be used"), Store(tmp_path).claimed():
        pass
