"""Animated WebP, which FFmpeg's libraries do not read, through libvips. Knows nothing of videos."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyvips

from ..arrays import Array
from ..errors import VideoFileError

_SHORTEST_MS, _INSTEAD_MS = 10, 100  # what all browsers show for delays up to the first, often written for "soon"


@dataclass(frozen=True)
class Animation:
    """What can be known before decoding: the size, and how long each picture is shown."""

    width: int
    height: int
    delays_ms: tuple[int, ...]
    has_alpha: bool


def probe_webp(path: Path) -> Animation | None:
    """Read the header of an animated WebP file; None if `path` is none by its content.

    Raises:
        VideoFileError: it is one, and damaged.
    """
    with path.open("rb") as file:
        beginning = file.read(21)
    # An extended header whose flags say animation, as in Google's WebP Container Specification.
    if beginning[:4] != b"RIFF" or beginning[8:16] != b"WEBPVP8X" or not beginning[20] & 2:
        return None
    try:
        strip = _open(path)
        count, height = strip.get("n-pages"), strip.get("page-height")
        delays = strip.get("delay") if "delay" in strip.get_fields() else []
    except pyvips.Error as error:
        raise VideoFileError(f"{path}: an animated WebP file, but damaged") from error
    delays = [*delays, *[0] * count][:count]
    shown = tuple(delay if delay > _SHORTEST_MS else _INSTEAD_MS for delay in delays)
    return Animation(strip.width, height, shown, strip.hasalpha())


def webp_pictures(path: Path) -> Iterator[Array]:
    """Yield the pictures in order as (H, W, 3) BGR uint8; transparency is dropped.

    Raises:
        VideoFileError: the rest of the file cannot be decoded.
    """
    try:
        strip = _open(path)
        height = strip.get("page-height")
        region = pyvips.Region.new(strip)
        for top in range(0, strip.height, height):
            data = region.fetch(0, top, strip.width, height)
            pixels = np.frombuffer(data, np.uint8).reshape(height, strip.width, strip.bands)
            yield np.ascontiguousarray(pixels[..., 2::-1])
    except pyvips.Error as error:
        raise VideoFileError(f"{path}: damaged or cut short") from error


def _open(path: Path) -> pyvips.Image:
    """All pictures one below the other, decoded as they are asked for."""
    source = pyvips.Source.new_from_file(str(path))  # unlike a file name, this is never parsed for options in [ ]
    return pyvips.Image.new_from_source(source, "", n=-1, access="sequential", fail_on="truncated")
