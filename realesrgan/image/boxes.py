"""Walk the boxes of an ISO base media file (ISO/IEC 14496-12): HEIF, AVIF, MP4. Knows nothing of what is in them."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Mapping

Content = bytes | mmap.mmap
# Boxes that hold boxes, and how many bytes come before those: the way to the tables of a track.
MOVIE_FOLDERS = {b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0}
_MOST_BOXES = 10_000  # looked at in one file; a photograph has a few hundred


def boxes(content: Content, folders: Mapping[bytes, int]) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of the data of each box, those in `folders` included: kind → bytes before the first box.

    Raises:
        struct.error: the file is cut off within a box's header.
    """
    todo, seen = [(0, len(content))], 0
    while todo:
        at, end = todo.pop()
        while at + 8 <= end and seen < _MOST_BOXES:
            seen += 1
            size, kind = struct.unpack_from(">I4s", content, at)
            start = at + 8
            if size == 1:
                (size,), start = struct.unpack_from(">Q", content, start), at + 16
            stop = min(end, at + size) if size else end
            if stop < start:
                break
            yield kind, start, stop
            if kind in folders:
                todo.append((start + folders[kind], stop))
            at = stop
