"""Read and write EXIF in TIFF files, which libvips does not.

EXIF is itself a little TIFF: directories (IFDs) of tagged values, the camera's facts in directories of their own that
the first one points to (TIFF 6.0, section 2; EXIF 2.32, section 4.6). So both ways are: parse, select, write again.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

EXIF_HEADER = b"Exif\0\0"  # stands in front of the TIFF in JPEG files, and in libvips's "exif-data"
SUB_DIRECTORIES = (34665, 34853, 40965)  # Exif, GPS, Interoperability: their value is an offset, they are copied whole
# Tags of the first directory that describe the picture and not how this file stores it: description, maker, model,
# software, date, artist, copyright.
_DESCRIPTIVE = (270, 271, 272, 305, 306, 315, 33432)
_WANTED = (*_DESCRIPTIVE, *SUB_DIRECTORIES)
_RESOLUTION_UNIT = 296
_LONG, _SHORT = 4, 3
# Limits for untrusted files: all entries of a directory may point to the same bytes, so that a small file could expand
# to gigabytes. A JPEG file holds 64 KB of EXIF in all.
_MOST_BYTES = 60_000
_MOST_ENTRIES = 1000  # of one directory
# TIFF's value types: how many bytes a value has, and in which units its bytes are swapped.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_UNITS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 1, 7: 1, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8}


@dataclass(frozen=True)
class _Value:
    """One entry of a directory; `data` is little-endian, `below` the directory a SUB_DIRECTORIES tag points to."""

    kind: int
    count: int
    data: bytes
    below: Mapping[int, _Value] | None = None


_Directory = Mapping[int, _Value]


def extract(path: Path) -> bytes | None:
    """The EXIF of a TIFF file as the block other formats embed, or None if it has none."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        described = _parse_foreign(content)
    return EXIF_HEADER + struct.pack("<2sHI", b"II", 42, 8) + _serialise(described, 8) if described else None


def complete(path: Path, exif: bytes | None, width: int, height: int, *, has_density: bool) -> None:
    """Add what an EXIF block says to the TIFF file at `path`, its pixel sizes as `width` and `height`.

    Without `has_density` the file's resolution, which TIFF requires, becomes a mere ratio. The file's own first
    directory is written anew at the end, with the changes; nothing else moves. A BigTIFF file (over 4 GB) is left as
    it is, and a block that cannot be parsed adds nothing.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        own = _parse(content)
    added = _parse_foreign(exif.removeprefix(EXIF_HEADER)) if exif else None
    if own is None or (not added and has_density):
        return
    directory = {**_with_size(added or {}, width, height), **own}
    if not has_density:
        directory[_RESOLUTION_UNIT] = _Value(_SHORT, 1, struct.pack("<H", 1))  # 1: no unit
    at = path.stat().st_size
    at += at % 2  # directories begin at even offsets
    with path.open("r+b") as output:
        output.seek(at)
        output.write(_serialise(directory, at))
        output.seek(4)
        output.write(struct.pack("<I", at))


def _with_size(directory: _Directory, width: int, height: int) -> _Directory:
    camera = directory.get(SUB_DIRECTORIES[0])
    if camera is None:
        return directory
    below = {**(camera.below or {}), 40962: _long(width), 40963: _long(height)}
    return {**directory, SUB_DIRECTORIES[0]: _Value(camera.kind, camera.count, camera.data, below)}


def _long(number: int) -> _Value:
    return _Value(_LONG, 1, struct.pack("<I", number))


def _parse(content: bytes | mmap.mmap) -> _Directory | None:
    """All of the first directory of a classic TIFF file that this process wrote."""
    return _Parser(content).first()


def _parse_foreign(content: bytes | mmap.mmap) -> _Directory | None:
    """What describes the picture in the first directory of any classic TIFF, within the limits above."""
    return _Parser(content, most_bytes=_MOST_BYTES, most_entries=_MOST_ENTRIES, wanted=_WANTED).first()


class _Parser:
    def __init__(
        self,
        content: bytes | mmap.mmap,
        most_bytes: int | None = None,
        most_entries: int | None = None,
        wanted: Collection[int] | None = None,
    ) -> None:
        self._content = content
        self._room = len(content) if most_bytes is None else most_bytes
        self._most_entries = most_entries
        self._wanted = wanted
        self._order = {b"II*\0": "<", b"MM\0*": ">"}.get(content[:4])

    def first(self) -> _Directory | None:
        """The first directory, or None if this is not a TIFF, or a damaged one."""
        if self._order is None:
            return None
        try:
            (at,) = self._unpack("I", 4)
            return self._directory(at, self._wanted, depth=0)
        except (struct.error, KeyError, ValueError):
            return None

    def _unpack(self, fields: str, at: int) -> tuple[int, ...]:
        return struct.unpack_from(f"{self._order}{fields}", self._content, at)

    def _directory(self, at: int, wanted: Collection[int] | None, depth: int) -> _Directory:
        if depth > 2:
            raise ValueError("directories nest deeper than EXIF's do")
        directory: dict[int, _Value] = {}
        (entries,) = self._unpack("H", at)
        if self._most_entries is not None and entries > self._most_entries:
            raise ValueError("more entries than EXIF has")
        for entry in range(at + 2, at + 2 + 12 * entries, 12):
            tag, kind, count = self._unpack("HHI", entry)
            if tag in directory or (wanted is not None and tag not in wanted):
                continue
            data = self._data(entry, _SIZES[kind] * count)
            if data is None:
                continue
            below = None
            if tag in SUB_DIRECTORIES:
                below = self._directory(self._unpack("I", entry + 8)[0], None, depth + 1)
            directory[tag] = _Value(kind, count, data if self._order == "<" else _swapped(data, _UNITS[kind]), below)
        return directory

    def _data(self, entry: int, size: int) -> bytes | None:
        """The value of an entry, or None if all values together would be too large with it."""
        start = entry + 8 if size <= 4 else self._unpack("I", entry + 8)[0]
        if start + size > len(self._content):
            raise ValueError("a value lies outside the file")
        if size > self._room:
            return None
        self._room -= size
        return bytes(self._content[start : start + size])


def _swapped(data: bytes, unit: int) -> bytes:
    return b"".join(data[i : i + unit][::-1] for i in range(0, len(data), unit))


def _serialise(directory: _Directory, at: int) -> bytes:
    """A little-endian directory that will stand at offset `at` of its file, with all it points to behind it."""
    entries, behind = [], bytearray()
    behind_at = at + 2 + 12 * len(directory) + 4
    for tag in sorted(directory):
        value = directory[tag]
        data = value.data
        if value.below is not None:
            data = struct.pack("<I", behind_at + len(behind))
            behind += _serialise(value.below, behind_at + len(behind))
        elif len(data) > 4:
            data = struct.pack("<I", behind_at + len(behind))
            behind += value.data
        behind += b"\0" * (len(behind) % 2)
        entries.append(struct.pack("<HHI", tag, value.kind, value.count) + data.ljust(4, b"\0"))
    return struct.pack("<H", len(directory)) + b"".join(entries) + struct.pack("<I", 0) + bytes(behind)
