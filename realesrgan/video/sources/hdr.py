"""HDR metadata of a video: the mastering display and the light levels, read from a frame, written for encoders.

FFmpeg attaches them to frames as side data, which PyAV can read but not write; so the encoders get them as options.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av

Point = tuple[Fraction, Fraction]  # CIE 1931 x and y

_RATIONALS = struct.Struct("=20i2i")  # AVMasteringDisplayMetadata: ten fractions, and which of them count
_LEVELS = struct.Struct("=2I")  # AVContentLightMetadata
_DYNAMIC = ("DYNAMIC_HDR_PLUS", "DOVI_RPU_BUFFER", "DOVI_METADATA", "DYNAMIC_HDR_VIVID")
# The encoders that take them, and what they call the two.
_NAMES = {
    "libx264": ("mastering-display", "cll"),
    "libx265": ("master-display", "max-cll"),
    "libsvtav1": ("mastering-display", "content-light"),
}


@dataclass(frozen=True)
class Mastering:
    """The mastering display (SMPTE ST 2086): primaries, white point, and the range of its luminance in cd/m²."""

    red: Point
    green: Point
    blue: Point
    white: Point
    darkest: Fraction
    brightest: Fraction


@dataclass(frozen=True)
class Hdr:
    """`levels` are MaxCLL and MaxFALL, the brightest pixel and the brightest frame on average, in cd/m². `dynamic` says
    that there is metadata that changes from scene to scene too, as in HDR10+ and Dolby Vision."""

    mastering: Mastering | None = None
    levels: tuple[int, int] | None = None
    dynamic: bool = False

    @property
    def is_static(self) -> bool:
        """Whether there is metadata that holds for the whole video."""
        return self.mastering is not None or self.levels is not None

    def options(self, encoder: str) -> dict[str, str]:
        """The encoder's own parameters for it; empty if there is none, or the encoder takes none."""
        if encoder not in _NAMES:
            return {}
        screen, levels = _NAMES[encoder]
        options = {}
        if self.mastering is not None:
            options[screen] = _spelled(self.mastering, in_units=encoder != "libsvtav1")
        if self.levels is not None:
            options[levels] = f"{self.levels[0]},{self.levels[1]}"
        return options


def hdr_of(frame: av.VideoFrame) -> Hdr | None:
    """The metadata of a frame, from the stream or the container; None if there is none."""
    try:
        entries: Any = frame.side_data  # typed as if it held only motion vectors
        data = {entry.type.name: bytes(entry) for entry in entries}
    except ValueError:  # a kind that FFmpeg knows and this PyAV does not
        return None
    hdr = Hdr(
        _mastering(data.get("MASTERING_DISPLAY_METADATA", b"")),
        _levels(data.get("CONTENT_LIGHT_LEVEL", b"")),
        any(name in data for name in _DYNAMIC),
    )
    return None if hdr == Hdr() else hdr


def _mastering(data: bytes) -> Mastering | None:
    if len(data) < _RATIONALS.size:
        return None
    *numbers, has_primaries, has_luminance = _RATIONALS.unpack_from(data)
    if not (has_primaries and has_luminance) or not all(numbers[1::2]):
        return None
    values = [Fraction(a, b) for a, b in zip(numbers[::2], numbers[1::2], strict=True)]
    points = list(zip(values[:8:2], values[1:8:2], strict=True))
    # Encoders refuse impossible values, or crash on them.
    if not all(0 <= value <= 1 for value in values[:8]) or not 0 <= values[8] < values[9] <= 100_000:
        return None
    red, green, blue, white = points
    return Mastering(red, green, blue, white, darkest=values[8], brightest=values[9])


def _levels(data: bytes) -> tuple[int, int] | None:
    if len(data) < _LEVELS.size:
        return None
    spot, average = _LEVELS.unpack_from(data)
    return (spot, average) if (spot or average) and max(spot, average) < 1 << 16 else None


def _spelled(mastering: Mastering, *, in_units: bool) -> str:
    """As an encoder reads it: `in_units` of the bitstream (0.00002 of x and y, 0.0001 cd/m²), or as plain numbers."""

    def spell(value: Fraction, units: int, digits: int) -> str:
        return str(round(value * units)) if in_units else f"{float(value):.{digits}f}"

    points = {"G": mastering.green, "B": mastering.blue, "R": mastering.red, "WP": mastering.white}
    places = "".join(f"{name}({spell(x, 50_000, 5)},{spell(y, 50_000, 5)})" for name, (x, y) in points.items())
    return f"{places}L({spell(mastering.brightest, 10_000, 4)},{spell(mastering.darkest, 10_000, 4)})"
