"""Change how a file begins while it is written, without writing it twice."""

from __future__ import annotations

import struct
from collections.abc import Callable

_JPEG_START = b"\xff\xd8"


class Beginning:
    """Passes the bytes of a file on to `sink`, with what `rewrite` makes of the first ones in their place.

    `rewrite` is given all bytes so far and returns None until they are enough.
    """

    def __init__(self, sink: Callable[[bytes], None], rewrite: Callable[[bytes], bytes | None]) -> None:
        self._sink = sink
        self._rewrite = rewrite
        self._seen: bytes | None = b""

    def write(self, content: bytes) -> None:
        if self._seen is None:
            self._sink(content)
            return
        self._seen += content
        if (beginning := self._rewrite(self._seen)) is not None:
            self._seen = None
            self._sink(beginning)

    def close(self) -> None:
        """Pass on what is still held back: the file was too short to be changed."""
        if self._seen:
            self._sink(self._seen)
        self._seen = None


def jfif(beginning: bytes, pixels_per_mm: tuple[float, float] | None) -> bytes | None:
    """Put a JFIF segment, which libvips leaves out and which holds the density, behind the start of a JPEG file.

    ITU-T T.871, 10.1: version 1.02, unit (1: dots per inch, 0: only a ratio), horizontal and vertical density, no
    thumbnail.
    """
    if len(beginning) < len(_JPEG_START) + 2:
        return None
    unit, across, down = 0, 1, 1
    if pixels_per_mm is not None:
        unit, (across, down) = 1, (min(65535, max(1, round(density * 25.4))) for density in pixels_per_mm)
    segment = struct.pack(">4sH5sHBHHBB", b"\xff\xd8\xff\xe0", 16, b"JFIF\0", 0x0102, unit, across, down, 0, 0)
    if beginning.startswith(b"\xff\xd8\xff\xe0"):  # there is one
        return beginning
    return segment + beginning[len(_JPEG_START) :]
