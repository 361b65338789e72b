"""Decoded pictures in one memory-mapped file, shared by all processes that train. Knows nothing of crops or chance.

The file has an entry for each picture and then their pixels, each at a place that follows from the list of pictures
alone; so processes need not agree on anything. An entry is written after the pixels it vouches for and holds their
checksum, which every process compares once. So what a killed process, a crash or another process has left half written
is decoded again instead of being believed. Pixels are written as to any file, because writing into mapped memory would
end the process where the disk is full.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import shutil
import zlib
from collections.abc import Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Array
from ..restorer import Reporter
from ..words import size
from .pictures import PictureFile

KEPT_FREE_BYTES = 1_000_000_000  # of the disk, so that weights can still be saved
_NAME, _ENDING = "training-pictures-", ".cache"
_LAYOUT = 2  # to be raised when the file's layout changes: files of other layouts have other names
_ENTRY = np.dtype("<u8")  # 0, or _READY and the CRC-32 of the pixels
_READY = 1 << 32
_ALIGNMENT = 64  # bytes; where pixels begin


class PictureCache:
    """Keeps the pixels of `files`, as far as `limit_bytes` go, in a file in `folder`.

    The file is named after the pictures' paths, sizes and times, so a run that goes on finds what was decoded before,
    and a changed picture is decoded again. It is removed by `close`, or on leaving as a context manager, unless it is
    to be kept. Pictures without room, and all if the file cannot be written, are never found; `note` then says why.
    Pickled, as for another process, it refers to the same file.
    """

    def __init__(
        self, files: Sequence[PictureFile], folder: Path, limit_bytes: int, reporter: Reporter, *, keep: bool = False
    ) -> None:
        self.note: str | None = None
        self._keep = keep
        self._offsets, self._total_bytes = _places(files, limit_bytes)
        self.path = folder / f"{_NAME}{_digest(files, self._offsets)}{_ENDING}"
        self._shapes = np.array([(file.height, file.width, file.depth_bits) for file in files], np.int32)
        self._compared = np.zeros(len(files), bool)
        self._filling = True
        self._map: mmap.mmap | None = None
        if self._total_bytes:
            self._open(create=True)
        if self.note:
            reporter.warn(self.note)

    def get(self, index: int) -> Array | None:
        """The pixels of a picture, (H, W, 3) BGR, not to be written to; None if they are not there."""
        content = self._content()
        if content is None or self._offsets[index] < 0:
            return None
        entry = int(content[: len(self._offsets) * _ENTRY.itemsize].view(_ENTRY)[index])
        if not entry & _READY:
            return None
        height, width, depth_bits = map(int, self._shapes[index])
        first = int(self._offsets[index])
        held = content[first : first + height * width * 3 * depth_bits // 8]
        if not self._compared[index]:
            if zlib.crc32(held.data) != entry & (_READY - 1):
                return None
            self._compared[index] = True
        return held.view(np.uint16 if depth_bits == 16 else np.uint8).reshape(height, width, 3)

    def put(self, index: int, pixels: Array) -> None:
        """Keep the pixels of a picture if there is room for them; once the disk is full, nothing more is kept."""
        if not self._filling or self._offsets[index] < 0 or self._content() is None:
            return None
        try:
            free = shutil.disk_usage(self.path.parent).free
            if free < KEPT_FREE_BYTES + pixels.nbytes:
                return self._stop_filling(f"{size(free)} are free there")
            data = np.ascontiguousarray(pixels).reshape(-1).view(np.uint8)
            entry = np.array([_READY | zlib.crc32(data.data)], _ENTRY).view(np.uint8)
            with self.path.open("r+b", buffering=0) as file:
                _write(file, int(self._offsets[index]), data)
                _write(file, index * _ENTRY.itemsize, entry)
        except OSError as error:
            self._stop_filling(error.strerror or str(error))
        return None

    def close(self) -> None:
        """Give the memory back and remove the file, unless it is to be kept. Call this in one process."""
        self._map = None  # it goes with the last array that shows it
        self._total_bytes = 0
        if not self._keep:
            with suppress(OSError):  # on Windows, a file that another run has open cannot be removed
                self.path.unlink(missing_ok=True)

    def __enter__(self) -> PictureCache:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_map": None}

    def _content(self) -> Array | None:
        if self._map is None and self._total_bytes:
            self._open(create=False)
        return None if self._map is None else np.frombuffer(self._map, np.uint8)

    def _open(self, *, create: bool) -> None:
        """Open and map the file; it is as long as all pictures take, but only what is written takes room on disk."""
        try:
            if create:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self.path.touch()
            with self.path.open("r+b", buffering=0) as file:
                if os.fstat(file.fileno()).st_size < self._total_bytes:
                    file.truncate(self._total_bytes)
                self._map = mmap.mmap(file.fileno(), self._total_bytes, access=mmap.ACCESS_READ)
        except (OSError, ValueError, OverflowError) as error:  # the last two: more than 32 bits can address
            self._total_bytes = 0
            reason = getattr(error, "strerror", None) or str(error)
            self.note = (
                f"{self.path}: decoded pictures cannot be kept there ({reason}); each is decoded anew every time"
            )

    def _stop_filling(self, reason: str) -> None:
        self._filling = False
        self.note = f"{self.path}: no more decoded pictures can be kept there ({reason}); others are decoded every time"


def remove_others(files: Sequence[PictureFile], folder: Path, limit_bytes: int) -> None:
    """Remove what killed runs left in `folder`, but for the cache of these files. No training may be at work there."""
    kept = f"{_NAME}{_digest(files, _places(files, limit_bytes)[0])}{_ENDING}"
    for path in folder.glob(f"{_NAME}*{_ENDING}"):
        if path.name != kept:
            with suppress(OSError):
                path.unlink()


def _write(file: FileIO, place: int, data: Array) -> None:
    file.seek(place)
    rest = data.data
    while rest:
        rest = rest[file.write(rest) :]


def _digest(files: Sequence[PictureFile], offsets: Array) -> str:
    digest = hashlib.blake2b(f"{_LAYOUT}".encode() + offsets.tobytes(), digest_size=8)
    for file in files:
        facts = (file.width, file.height, file.depth_bits, file.size_bytes, file.modified_ns)
        digest.update(os.fsencode(os.path.abspath(file.path)) + f"\n{facts}\n".encode())
    return digest.hexdigest()


def _places(files: Sequence[PictureFile], limit_bytes: int) -> tuple[Array, int]:
    """Where the pixels of each picture begin, -1 where there is no room for them; and how long the file becomes."""
    offsets = np.full(len(files), -1, np.int64)
    end = _aligned(len(files) * _ENTRY.itemsize)
    for index, file in enumerate(files):
        needed = _aligned(file.width * file.height * 3 * file.depth_bits // 8)
        if end + needed <= limit_bytes:
            offsets[index] = end
            end += needed
    return offsets, end if (offsets >= 0).any() else 0


def _aligned(length: int) -> int:
    return length + -length % _ALIGNMENT
