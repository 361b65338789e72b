"""What to tell a browser about an MP4 file: its media type, with the codec (RFC 6381). Knows nothing of frames."""

from __future__ import annotations

import struct

from ..image.boxes import MOVIE_FOLDERS, boxes

# A description of samples begins behind 8 bytes, and what its codec says of itself behind 78 (ISO/IEC 14496-12, 12.1).
_SAMPLES = dict.fromkeys((b"avc1", b"hvc1", b"vp09", b"av01"), 78)
_FOLDERS = MOVIE_FOLDERS | {b"stsd": 8} | _SAMPLES


def media_type(content: bytes) -> str | None:
    """As `video/mp4; codecs="avc1.640028"`; None: it holds no video that browsers know."""
    found = {kind: slice(start, end) for kind, start, end in boxes(content, _FOLDERS)}
    for codec, (box, describe) in _DESCRIPTIONS.items():
        if codec in found and box in found:
            return f'video/mp4; codecs="{codec.decode()}.{describe(content[found[box]])}"'
    return None


def _avc(record: bytes) -> str:
    """Profile, constraints and level (ISO/IEC 14496-15, 5.3.3.1)."""
    return bytes(record[at] for at in (1, 2, 3)).hex().upper()


def _hevc(record: bytes) -> str:
    """Profile, those it is compatible with, tier with level, constraints (ISO/IEC 14496-15, E.3)."""
    profile, compatible, constraints, level = struct.unpack_from(">xBI6sB", record)
    space = ("", "A", "B", "C")[profile >> 6]
    flags = int(f"{compatible:032b}"[::-1], 2)
    tier = "H" if profile & 0x20 else "L"
    parts = [f"{space}{profile & 0x1F}", f"{flags:X}", f"{tier}{level}"]
    return ".".join([*parts, *(f"{byte:X}" for byte in constraints.rstrip(b"\0"))])


def _vp9(record: bytes) -> str:
    """Profile, level and depth (VP Codec ISO Media File Format Binding, 1.0)."""
    profile, level, depth = struct.unpack_from(">4x3B", record)
    return f"{profile:02}.{level:02}.{depth >> 4:02}"


def _av1(record: bytes) -> str:
    """Profile, level with tier, and depth (AV1 Codec ISO Media File Format Binding, 5)."""
    profile, flags = struct.unpack_from(">x2B", record)
    is_high, is_twelve = flags & 0x40, flags & 0x20
    depth = (12 if is_twelve else 10) if is_high else 8
    return f"{profile >> 5}.{profile & 0x1F:02}{'H' if flags & 0x80 else 'M'}.{depth:02}"


# For each kind of samples, the box in which the codec describes itself, and how to put that into words.
_DESCRIPTIONS = {
    b"avc1": (b"avcC", _avc),
    b"hvc1": (b"hvcC", _hevc),
    b"vp09": (b"vpcC", _vp9),
    b"av01": (b"av1C", _av1),
}
