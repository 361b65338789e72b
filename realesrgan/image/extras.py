"""What a picture file holds besides the picture that is restored: more frames or pages, a gain map.

Found by walking the boxes of HEIF and AVIF files (ISO/IEC 14496-12) and the segments of JPEG files (ITU-T T.81).
Knows nothing of pixels.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .boxes import MOVIE_FOLDERS, Content, boxes

LONGEST_SIDE = 10_000_000  # pixels; libvips's limit
_FOLDERS = {b"meta": 4, b"iprp": 0, b"ipco": 0} | MOVIE_FOLDERS
# How Adobe and Google, Apple, and ISO 21496-1 mark a gain map in a JPEG that holds several pictures (CIPA DC-007).
_JPEG_MARKS = (b"hdrgm:", b"hdrgainmap", b"urn:iso:std:iso:ts:21496:-1")
_HEIF_MARKS = (b"hdrgainmap", b"tmap")

_AS_A_VIDEO = "frames, of which only the first is restored; restore it as a video to get all"
# By libvips's name of the format.
_NOT_RESTORED = {
    "gif": _AS_A_VIDEO,
    "webp": _AS_A_VIDEO,
    "png": _AS_A_VIDEO,
    "tiff": "pages, of which only the first is restored",
    "heif": "pictures, of which only the main one is restored",
}


@dataclass(frozen=True)
class Extras:
    """`frames` of an animation; `largest_side` in pixels, as the file claims, 0 if the format is not looked into."""

    frames: int = 1
    gain_map: bool = False
    largest_side: int = 0


def remarks(path: Path, loader: str, pages: int) -> tuple[str, ...]:
    """A line for each thing in a picture file that is not restored; `loader` and `pages` are libvips's."""
    found = look_into(path)
    lines = []
    if found.frames > 1:
        lines.append(f"holds {found.frames} frames, of which only the first is restored")
    elif pages > 1:
        lines.append(f"holds {pages} {_NOT_RESTORED.get(loader, _NOT_RESTORED['tiff'])}")
    if found.gain_map:
        lines.append("its HDR gain map is left out: the result is the picture as ordinary screens show it")
    return tuple(lines)


def look_into(path: Path) -> Extras:
    """What else there is in a JPEG, HEIF or AVIF file; nothing for other and damaged files.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        beginning = file.read(12)
        if beginning[:2] != b"\xff\xd8" and beginning[4:8] != b"ftyp":
            return Extras()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            try:
                return _look_into_heif(content) if beginning[4:8] == b"ftyp" else _look_into_jpeg(content)
            except struct.error:
                return Extras()


def _look_into_jpeg(content: mmap.mmap) -> Extras:
    several = any(content[at : at + 4] == b"MPF\0" for at in _segments(content, 0xE2))
    return Extras(gain_map=several and any(content.find(mark) >= 0 for mark in _JPEG_MARKS))


def _segments(content: Content, wanted: int) -> Iterator[int]:
    """Where the data of each segment with the marker `wanted` begins, up to the first scan."""
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF and content[at + 1] != 0xDA:
        length: int = struct.unpack_from(">H", content, at + 2)[0]
        if content[at + 1] == wanted:
            yield at + 4
        at += 2 + max(2, length)


def _look_into_heif(content: mmap.mmap) -> Extras:
    frames, gain_map, largest = 1, False, 0
    for kind, start, end in boxes(content, _FOLDERS):
        if kind == b"stsz":  # sample sizes: one sample is one frame
            frames = max(frames, struct.unpack_from(">I", content, start + 8)[0])
        elif kind == b"ispe":
            largest = max(largest, *struct.unpack_from(">II", content, start + 4))
        elif kind in (b"auxC", b"iinf"):
            gain_map = gain_map or any(content.find(mark, start, end) >= 0 for mark in _HEIF_MARKS)
    return Extras(frames, gain_map, largest)
