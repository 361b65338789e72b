"""degradations.jsonl: a line for each degraded picture, from which it can be made again."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ..errors import UsageError
from ..outputs import part_of
from .steps import Degradation

FILE_NAME = "degradations.jsonl"


class Record(BaseModel):
    """One degraded picture.

    Attributes:
        output: the result, as a path below the folder of the results.
        source: the original, as a path below the folder it was found through.
        sha256: of the original file.
        degradation: what happened to it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    output: str
    source: str
    sha256: str
    degradation: Degradation

    @property
    def line(self) -> str:
        return self.model_dump_json(exclude_none=True)


def read(path: Path) -> Iterator[Record]:
    """The records in a file, one by one.

    Raises:
        UsageError: the file cannot be read, or a line is no record.
    """
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _parse(line, f"{path}: line {number}")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not a text file in UTF-8") from error


def _parse(line: str, place: str) -> Record:
    try:
        return Record.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(
            f"{place}: no record of a degradation ({where + ': ' if where else ''}{first['msg']})"
        ) from error


class Recorder:
    """Adds records to a file as pictures are finished, in any order and from several threads.

    Use in `with`. On leaving, the file is put in the order of numbers, so that it does not depend on how many workers
    there were; records of earlier runs stay, unless their picture was made anew. If the process is killed, the file
    holds what was finished, and the next run puts it in order.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._lock = threading.Lock()

    def __enter__(self) -> Recorder:
        self._file = self._path.open("a+b", buffering=0)
        if self._file.tell():
            self._file.seek(-1, os.SEEK_END)
            if self._file.read() != b"\n":  # a run was killed while it wrote
                self._file.write(b"\n")
        return self

    def add(self, records: Iterable[Record]) -> None:
        with self._lock:
            self._file.write(b"".join(record.line.encode() + b"\n" for record in records))

    def __exit__(self, *error: object) -> None:
        self._file.close()
        self._put_in_order()

    def _put_in_order(self) -> None:
        """Keep the last record of each result. Only places in the file are held, so that it may be large."""
        places: dict[bytes, tuple[int, int]] = {}  # hash of the result's name → number, place
        part = part_of(self._path)
        try:
            with self._path.open("rb") as file, part.open("wb") as ordered:
                place = 0
                for line in file:
                    with suppress(UsageError):  # the last line of a run that was killed
                        record = _parse(line.decode("utf-8", "replace"), "")
                        name = hashlib.blake2b(os.fsencode(record.output), digest_size=16).digest()
                        places[name] = (record.degradation.number, place)
                    place += len(line)
                for _, start in sorted(places.values()):
                    file.seek(start)
                    ordered.write(file.readline())
            part.replace(self._path)
        finally:
            part.unlink(missing_ok=True)
