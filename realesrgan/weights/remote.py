"""A file on a server, read by HTTP ranges: only what is read is fetched. Knows nothing of what is in it."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..errors import WeightsError
from ..model_zoo import WeightFile
from . import download

if TYPE_CHECKING:
    import requests

BUFFER_BYTES = 1 << 16  # the least that is fetched at once; a power of two, so that large reads go past the buffer


class WholeOnly(Exception):
    """A file cannot be read in parts, because its server or its layout does not allow that; fetch it whole."""


def open_remote(file: WeightFile, received: Callable[[int], None]) -> io.BufferedReader:
    """Open `file` where it was published, or at the mirror. `received` is told how many bytes each piece brought.

    Raises, here and in reading:
        WholeOnly: the server does not serve parts.
        WeightsError: the machine is offline, or the server does not answer, or has no such file.
    """
    return io.BufferedReader(_RemoteFile(file, received), BUFFER_BYTES)


class _RemoteFile(io.RawIOBase):
    """`io.BufferedReader` makes the whole of a file of it."""

    def __init__(self, file: WeightFile, received: Callable[[int], None]) -> None:
        import requests

        super().__init__()
        self._file = file
        self._url = download.permitted_address(file)
        self._received = received
        self._session = requests.Session()
        self._at = 0
        self._size: int | None = None  # known after the first answer

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        assert whence == os.SEEK_SET  # all that io.BufferedReader asks for, unless its user seeks from the end
        self._at = offset
        return offset

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        if not self.closed:
            self._session.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` as far as the file goes; a connection that breaks is taken up again where it broke."""
        import requests

        view, done = memoryview(buffer).cast("B"), 0
        for attempt in range(1, download.ATTEMPTS + 1):
            before = done
            try:
                for piece in self._pieces(self._at, len(view) - done):
                    view[done : done + len(piece)] = piece
                    done += len(piece)
                    self._at += len(piece)
                    self._received(len(piece))
            except requests.RequestException as error:
                # A connection that brought nothing will fail again at once: say so instead of waiting.
                if attempt == download.ATTEMPTS or done == before:
                    raise WeightsError(download.failure_of(error, self._file)) from error
            if done == len(view) or self._at == self._size:
                return done
            if done == before:
                break
        raise WeightsError(f"{self._url} stopped {self._at} bytes into the file")

    def _pieces(self, start: int, count: int) -> Iterator[bytes]:
        """What the server sends of `count` bytes from `start` on, as it comes; never more than that."""
        if self._size is not None:
            count = min(count, self._size - start)
        if count <= 0:
            return
        # "identity": a compressed transfer would make byte ranges meaningless.
        headers = {"Accept-Encoding": "identity", "Range": f"bytes={start}-{start + count - 1}"}
        with self._session.get(self._url, headers=headers, stream=True, timeout=download.TIMEOUTS_S) as response:
            response.raise_for_status()
            self._size = self._size_told_by(response, start)
            for piece in response.iter_content(download.CHUNK_BYTES):
                if len(piece) > count:
                    raise WholeOnly(f"{self._url} sends more than it is asked for")
                count -= len(piece)
                yield piece

    def _size_told_by(self, response: requests.Response, start: int) -> int:
        told = response.headers.get("Content-Range", "")
        size = told.rpartition("/")[2]
        if not told.startswith(f"bytes {start}-") or not size.isdecimal():
            raise WholeOnly(f"{self._url} serves whole files only")
        if self._size not in (None, int(size)):
            raise WeightsError(f"{self._url} changed while it was read; run again")
        return int(size)
