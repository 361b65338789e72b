"""The jobs on disk: a private folder each, with the upload, the result and a record that survives the server."""

from __future__ import annotations

import logging
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import BaseModel

from ..errors import UsageError
from ..outputs import appearing, make_folder
from .models import Job

RECORD = "job.json"
_ID = re.compile(r"[A-Za-z0-9_-]{22}")

log = logging.getLogger("realesrgan")


class Record(BaseModel):
    """A job and what only the server knows of it.

    Attributes:
        client: whose it is, for the queue and for listing.
        listed: whether the client's page shows it; not where a program waits for the answer.
        source, target: file names below the job's folder.
        attempts: how often the process that restored it has died.
    """

    job: Job
    client: str
    listed: bool = True
    source: str
    target: str | None = None
    attempts: int = 0


@dataclass(frozen=True)
class Entry:
    """A record and the folder it lies in."""

    record: Record
    folder: Path

    @property
    def job(self) -> Job:
        return self.record.job

    @property
    def source(self) -> Path:
        return self.folder / self.record.source

    @property
    def output(self) -> Path:
        """The folder that the result is written into."""
        return self.folder / "result"

    @property
    def target(self) -> Path | None:
        return None if self.record.target is None else self.folder / self.record.target


class Store:
    """All jobs' folders below one, which belongs to one server at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.jobs_folder = folder / "jobs"

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Keep other servers out.

        Raises:
            UsageError: another one uses the folder, or it cannot be written.
        """
        make_folder(self.jobs_folder, "folder")
        lock = FileLock(self.folder / "server.lock")
        try:
            self.jobs_folder.chmod(0o700)  # not the folder itself, which may hold other things
            lock.acquire(timeout=0)
        except Timeout:
            raise UsageError(f"`folder` {self.folder}: another server uses it; give this one another") from None
        except OSError as error:
            raise UsageError(f"`folder` {self.folder}: cannot be used ({error.strerror})") from error
        try:
            yield
        finally:
            lock.release()

    def new_folder(self) -> Path:
        """Make a folder for a new job; its name is the job's id, which nobody can guess."""
        folder = self.jobs_folder / secrets.token_urlsafe(16)
        folder.mkdir(mode=0o700)
        return folder

    def folder_of(self, job_id: str) -> Path | None:
        """Where the files of a job lie; None if there are none."""
        folder = self.jobs_folder / job_id
        return folder if _ID.fullmatch(job_id) and folder.is_dir() else None

    def load(self) -> list[Entry]:
        """The jobs of earlier servers, oldest first. A job without a record, such as half an upload, is removed.

        What is not named like a job is not ours: somebody may have named a folder that has `jobs` of another kind.
        """
        entries = []
        for folder in self.jobs_folder.iterdir():
            if not _ID.fullmatch(folder.name) or not folder.is_dir() or folder.is_symlink():
                continue
            try:
                record = Record.model_validate_json((folder / RECORD).read_bytes())
                if record.job.id != folder.name:
                    raise ValueError(folder.name)
            except (FileNotFoundError, ValueError):
                shutil.rmtree(folder, ignore_errors=True)
            except OSError as error:  # the disk may recover
                log.warning("cannot read a job: %s", error)
            else:
                entries.append(Entry(record, folder))
        return sorted(entries, key=lambda entry: entry.job.created)

    def save(self, entry: Entry) -> None:
        """Write down how a job stands. If the disk refuses, the job goes on, and would begin anew after a restart."""
        try:
            with appearing(entry.folder / RECORD) as part:
                part.write_text(entry.record.model_dump_json(), encoding="utf-8")
        except OSError as error:
            log.warning("cannot record a job: %s", error)

    def forget(self, folder: Path) -> None:
        """Remove a job's record: no later server takes it up, and the next one removes what is left of it."""
        with suppress(OSError):
            (folder / RECORD).unlink(missing_ok=True)

    def remove(self, folder: Path) -> None:
        """Remove all files of a job."""
        self.forget(folder)  # first: a server that ends here does not leave half a job
        shutil.rmtree(folder, ignore_errors=True)

    def is_there(self) -> bool:
        """Whether jobs can still be kept."""
        return self.jobs_folder.is_dir()

    def free_bytes(self) -> int:
        """How much the disk still holds."""
        return shutil.disk_usage(self.jobs_folder).free
