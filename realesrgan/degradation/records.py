"""degradations.jsonl: a line for each degraded picture, from which it can be made again."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Annotated

from filelock import FileLock
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticSerializationError

from ..errors import UsageError
from ..outputs import appearing
from .steps import Degradation

FILE_NAME = "degradations.jsonl"


def _below_its_folder(output: str) -> str:
    path = PurePath(os.fsdecode(os.fsencode(output)))  # a ValueError where no file can have this name
    if path.anchor or ".." in path.parts or not path.name or "\0" in output:
        raise ValueError("must be a path below the folder of the results")
    return output


class Record(BaseModel):
    """One degraded picture.

    Attributes:
        output: the result, as a path below the folder of the results.
        source: the original, as a path below the folder it was found through.
        sha256: of the original file.
        degradation: what happened to it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    output: Annotated[str, AfterValidator(_below_its_folder)]
    source: str
    sha256: str
    degradation: Degradation

    @property
    def line(self) -> str:
        try:
            return self.model_dump_json(exclude_none=True)
        except PydanticSerializationError:  # the name of a file that is not UTF-8
            return json.dumps(self.model_dump(exclude_none=True), separators=(",", ":"))


def read(path: Path) -> Iterator[Record]:
    """The records in a file, one by one.

    Raises:
        UsageError: the file cannot be read, or a line is no record.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _parse(line, f"{path}: line {number}")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not a text file in UTF-8") from error


def _parse(line: str, place: str) -> Record:
    try:
        # A name that is not UTF-8 has halves of surrogate pairs in it, which pydantic's own parser refuses.
        return Record.model_validate(json.loads(line)) if "\\ud" in line else Record.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        where, said = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
        raise UsageError(f"{place}: no record of a degradation ({where + ': ' if where else ''}{said})") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{place}: no record of a degradation ({error})") from error


def outputs(folder: Path) -> set[str]:
    """The results that are recorded in a folder; lines that are no records count for nothing."""
    found = set()
    with suppress(OSError), (folder / FILE_NAME).open("rb") as file:
        for line in file:
            with suppress(UsageError):
                found.add(_parse(line.decode("utf-8", "replace"), "").output)
    return found


class Recorder:
    """Adds records to a file as pictures are finished, in any order, from several threads and processes.

    Use in `with`. On leaving, the file is put in the order of numbers, so that it does not depend on how many workers
    there were; records of earlier runs stay, unless their picture was made anew. If the process is killed or the disk
    is full, the file holds what was finished, and the next run puts it in order.

    Raises:
        UsageError: on entering, the file cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._lock = FileLock(folder / f".{FILE_NAME}.lock")
        self._threads = threading.Lock()  # a file lock polls, which takes longer

    def __enter__(self) -> Recorder:
        try:
            with self._lock, self._path.open("ab"):
                pass
        except OSError as error:
            raise UsageError(f"`output` {self._path}: cannot be written ({error.strerror})") from error
        return self

    def add(self, records: Iterable[Record]) -> None:
        """
        Raises:
            OSError: they cannot be written; then none of them is.
        """
        lines = b"".join(record.line.encode() + b"\n" for record in records)
        # Opened each time: another process may have put a new file in its place.
        with self._threads, self._lock, self._path.open("a+b", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            if end:
                file.seek(end - 1)
                if file.read() != b"\n":  # a run was killed while it wrote
                    lines = b"\n" + lines
            try:
                rest = memoryview(lines)
                while rest:
                    rest = rest[file.write(rest) :]
            except OSError:
                file.truncate(end)
                raise

    def __exit__(self, *error: object) -> None:
        with suppress(OSError), self._lock:
            self._put_in_order()
            # While it is held: whoever waits for it notices, and makes another.
            Path(self._lock.lock_file).unlink(missing_ok=True)

    def _put_in_order(self) -> None:
        """Keep the last record of each result. Only places in the file are held, so that it may be large."""
        places: dict[bytes, tuple[int, int]] = {}  # hash of the result's name → number, place
        with appearing(self._path, durable=True) as part, self._path.open("rb") as file, part.open("wb") as ordered:
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
