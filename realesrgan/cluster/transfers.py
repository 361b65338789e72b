"""Files on their way to workers and back, in parts, of which only so many are under way at once. Knows no Ray."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import RealESRGANError
from .remote import Process
from .units import MadeFile, Report


class FileRefused(RealESRGANError):
    """A file of this machine cannot be read or written: another worker would not help."""


class Transfers:
    """Those of one session; files arrive in the folder `spool`. All in the event loop's thread."""

    def __init__(self, spool: Path) -> None:
        self.sent_bytes = self.received_bytes = 0
        self._spool = spool
        self._room = asyncio.Semaphore(1)

    def begin(self, *, at_once: int) -> None:
        """So many parts may be on their way at once."""
        self._room = asyncio.Semaphore(at_once)

    async def send(self, process: Process, key: int, content: Path, chunk_bytes: int) -> None:
        """Send a file to a worker, for the unit that has this key there.

        Raises:
            FileRefused: it cannot be read.
            ProcessDied, RealESRGANError: the worker cannot take it.
        """
        offset = 0
        with _named_errors(content, "read"), content.open("rb") as file:
            while part := file.read(chunk_bytes):
                async with self._room:
                    await process.call("take", key, offset, part)
                offset += len(part)
                self.sent_bytes += len(part)

    async def fetch(self, process: Process, key: int, report: Report, chunk_bytes: int) -> tuple[Path, ...]:
        """Get the files that a worker made of a unit; there are none of them if this fails.

        Raises:
            FileRefused: they cannot be written.
            ProcessDied, RealESRGANError: the worker is gone, or they did not arrive as they were sent.
        """
        paths = tuple(self._spool / f"{key}-{number}" for number in range(len(report.files)))
        rest = None if report.content is None else memoryview(report.content)
        try:
            for number, (path, file) in enumerate(zip(paths, report.files, strict=True)):
                if rest is None:
                    await self._write(path, file, self._parts(process, key, number, file.size_bytes, chunk_bytes))
                else:
                    await self._write(path, file, _at_once(rest[: file.size_bytes]))
                    rest = rest[file.size_bytes :]
        except BaseException:
            remove(paths)
            raise
        return paths

    async def _parts(
        self, process: Process, key: int, number: int, size_bytes: int, chunk_bytes: int
    ) -> AsyncIterator[bytes]:
        offset = 0
        while offset < size_bytes:
            async with self._room:
                part = await process.call("give", key, number, offset, chunk_bytes)
            if not part:
                return  # there is less than was said; whoever writes it will see
            yield part
            offset += len(part)

    async def _write(self, path: Path, file: MadeFile, parts: AsyncIterator[bytes | memoryview]) -> None:
        checksum = 0
        with _named_errors(self._spool.parent, "written"), path.open("wb") as output:
            async for part in parts:
                checksum = zlib.crc32(part, checksum)
                output.write(part)
                self.received_bytes += len(part)
        if checksum != file.checksum:
            raise RealESRGANError("its result did not arrive as it was sent")


def remove(paths: Iterable[Path]) -> None:
    """Remove files that may not be there."""
    for path in paths:
        path.unlink(missing_ok=True)


async def _at_once(content: memoryview) -> AsyncIterator[memoryview]:
    yield content


@contextmanager
def _named_errors(path: Path, verb: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FileRefused(f"{path}: cannot be {verb} ({error.strerror or error})") from error
