"""The chunks of a PNG file that libvips neither reads nor writes: colour space and text. Knows nothing of pixels.

A file is a signature and chunks: length, kind, data, CRC of kind and data (PNG specification, third edition).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# What the samples mean. At most one of each, and all before the palette and the pixels (section 5.6).
COLOUR = (b"cICP", b"gAMA", b"cHRM", b"sRGB", b"mDCV", b"cLLI")
TEXT = (b"tEXt", b"zTXt", b"iTXt")
# XMP, which libvips carries, and how ImageMagick used to store EXIF, IPTC and XMP: with sizes and an orientation that
# are no longer true.
_NOT_CARRIED = (b"XML:com.adobe.xmp\0", b"Raw profile type ")
MOST_BYTES = 8 << 20  # kept of one file: AI programs store whole work flows as text, of a few hundred kilobytes
MOST_CHUNKS = 1000  # kept of one file


@dataclass(frozen=True)
class Chunk:
    kind: bytes
    data: bytes

    def serialise(self) -> bytes:
        body = self.kind + self.data
        return struct.pack(">I", len(self.data)) + body + struct.pack(">I", zlib.crc32(body))


@dataclass(frozen=True)
class Contents:
    """What a PNG file says: chunks to keep, pictures in it (over 1: an animation), whether its density is known."""

    kept: tuple[Chunk, ...] = ()
    frames: int = 1
    has_density: bool = False


def read(path: Path) -> Contents:
    """Go through the chunks of a PNG file. Damaged ones, and all behind the point where a file is cut, are left out."""
    kept: list[Chunk] = []
    frames, has_density, room = 1, False, MOST_BYTES
    with path.open("rb", buffering=0) as file:  # only a few bytes of each of thousands of chunks are wanted
        for kind, length in _chunks(file):
            if kind == b"acTL" and length == 8:
                frames = struct.unpack(">II", file.read(8))[0]
            elif kind == b"pHYs" and length == 9:
                has_density = file.read(9)[8] == 1  # pixels per metre; 0 is only a ratio
            elif kind in (*COLOUR, *TEXT) and length <= room and len(kept) < MOST_CHUNKS:
                chunk = Chunk(kind, file.read(length))
                if file.read(4) == chunk.serialise()[-4:] and _wanted(chunk, kept):
                    room -= length
                    kept.append(chunk)
    return Contents(tuple(kept), frames, has_density)


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield kind and length of each chunk, with the file positioned at its data."""
    at = len(SIGNATURE)
    if file.read(at) != SIGNATURE:
        return
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        yield kind, length
        at += 8 + length + 4
        file.seek(at)


def _wanted(chunk: Chunk, kept: Iterable[Chunk]) -> bool:
    if chunk.kind in TEXT:
        return not chunk.data.startswith(_NOT_CARRIED)
    return all(chunk.kind != other.kind for other in kept)


def rewrite_beginning(beginning: bytes, chunks: Iterable[Chunk], *, keep_density: bool) -> bytes | None:
    """Put `chunks` into the beginning of a PNG file, behind its header; None if the pixels are not in sight yet.

    Without `keep_density` the density is removed: libvips writes one even where it is unknown.
    """
    at = len(SIGNATURE)
    parts: list[bytes] = [SIGNATURE]
    chunks = list(chunks)
    replaced = {chunk.kind for chunk in chunks if chunk.kind in COLOUR}
    while len(beginning) >= at + 8:
        length, kind = struct.unpack_from(">I4s", beginning, at)
        if kind in (b"IDAT", b"IEND"):
            return b"".join((*parts, beginning[at:]))
        end = at + 12 + length
        if kind not in replaced and (keep_density or kind != b"pHYs"):
            parts.append(beginning[at:end])
        if kind == b"IHDR":
            parts += [chunk.serialise() for chunk in chunks]
        at = end
    return None
