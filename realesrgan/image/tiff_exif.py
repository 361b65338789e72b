"""Carry EXIF into and out of TIFF files, which libvips neither reads nor writes there.

EXIF is itself a little TIFF: directories (IFDs) of tagged values, the camera's facts in directories of their own that
the first one points to (TIFF 6.0, section 2; EXIF 2.32, section 4.6). So both ways are: parse, select, write again.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

EXIF_HEADER = b"Exif\0\0"  # stands in front of the TIFF in JPEG files, and in libvips's "exif-data"
SUB_DIRECTORIES = (34665, 34853, 40965)  # Exif, GPS, Interoperability: their value is an offset, they are copied whole
# Tags of the first directory that tell of the picture and not of how this file stores it: description, maker, model,
# software, date, artist, copyright.
_DESCRIPTIVE = (270, 271, 272, 305, 306, 315, 33432)
_LONG, _SHORT = 4, 3
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
    parsed = _parse_file(path)
    if parsed is None:
        return None
    told = {tag: value for tag, value in parsed.items() if tag in _DESCRIPTIVE or value.below is not None}
    return EXIF_HEADER + struct.pack("<2sHI", b"II", 42, 8) + _serialise(told, 8) if told else None


def insert(path: Path, exif: bytes, width: int, height: int) -> None:
    """Add what an EXIF block tells to the TIFF file at `path`; its pixel sizes become `width` and `height`.

    The file's own first directory is written anew at the end, with the additions; nothing else moves. A BigTIFF file
    (over 4 GB) and a block that cannot be parsed leave it as it is.
    """
    own, told = _parse_file(path), _parse(exif.removeprefix(EXIF_HEADER))
    if own is None or told is None:
        return
    added = {tag: value for tag, value in told.items() if tag in _DESCRIPTIVE or value.below is not None}
    if camera := added.get(SUB_DIRECTORIES[0]):
        sizes = {40962: _long(width), 40963: _long(height)}
        added[SUB_DIRECTORIES[0]] = _Value(camera.kind, camera.count, camera.data, {**(camera.below or {}), **sizes})
    at = path.stat().st_size
    at += at % 2  # directories begin at even offsets
    with path.open("r+b") as file:
        file.seek(at)
        file.write(_serialise({**added, **own}, at))
        file.seek(4)
        file.write(struct.pack("<I", at))


def _long(number: int) -> _Value:
    return _Value(_LONG, 1, struct.pack("<I", number))


def _parse_file(path: Path) -> _Directory | None:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return _parse(content)


def _parse(content: bytes | mmap.mmap) -> _Directory | None:
    """The first directory of a classic TIFF, or None if `content` is none or is damaged."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(content[:4])
    if order is None:
        return None
    try:
        return _parse_directory(content, struct.unpack_from(f"{order}I", content, 4)[0], order, depth=0)
    except (struct.error, KeyError, ValueError):
        return None


def _parse_directory(content: bytes | mmap.mmap, at: int, order: str, depth: int) -> _Directory:
    if depth > 2:
        raise ValueError("directories nest deeper than EXIF's do")
    directory = {}
    (entries,) = struct.unpack_from(f"{order}H", content, at)
    for entry in range(at + 2, at + 2 + 12 * entries, 12):
        tag, kind, count = struct.unpack_from(f"{order}HHI", content, entry)
        size = _SIZES[kind] * count
        start = entry + 8 if size <= 4 else struct.unpack_from(f"{order}I", content, entry + 8)[0]
        data = content[start : start + size]
        if len(data) != size:
            raise ValueError("a value lies outside the file")
        below = None
        if tag in SUB_DIRECTORIES:
            offset = struct.unpack_from(f"{order}I", content, entry + 8)[0]
            below = _parse_directory(content, offset, order, depth + 1)
        directory[tag] = _Value(kind, count, data if order == "<" else _swapped(data, _UNITS[kind]), below)
    return directory


def _swapped(data: bytes, unit: int) -> bytes:
    return b"".join(data[i : i + unit][::-1] for i in range(0, len(data), unit))


def _serialise(directory: _Directory, at: int) -> bytes:
    """A little-endian directory that will stand at offset `at` of its file, with all it points to behind it."""
    entries, behind = b"", b""
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
        entries += struct.pack("<HHI", tag, value.kind, value.count) + data.ljust(4, b"\0")
    return struct.pack("<H", len(directory)) + entries + struct.pack("<I", 0) + behind
