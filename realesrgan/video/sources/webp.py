"""Animated WebP, which FFmpeg's libraries do not read, through libvips."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyvips

from ...arrays import Array
from ...errors import VideoFileError
from .source import Decoded, Losses, Shown, VideoSource, stamps_of, untagged_colour
from .tape import Tape

_SHORTEST_MS, _INSTEAD_MS = 10, 100  # what all browsers show for delays up to the first, often written for "soon"


@dataclass(frozen=True, kw_only=True)
class WebpSource(VideoSource):
    """Times count in milliseconds. Of a file that is cut short, what can be decoded is shown."""

    delays_ms: tuple[int, ...]

    def files(self) -> tuple[Path, ...]:
        return (self.path,)

    def shown_from(self, pts: int, losses: Losses, tape: Tape | None = None) -> Generator[Shown, None, None]:
        ends = tuple(itertools.accumulate(self.delays_ms))
        end = 0
        try:
            # Each is drawn over the one before, so all are decoded.
            for delay, end, pixels in zip(self.delays_ms, ends, _pictures(self.path), strict=True):
                if end > pts:
                    yield Shown(end - delay, delay, Decoded.of(pixels))
        except (pyvips.Error, OSError) as error:
            if end == 0:
                raise VideoFileError(f"{self.path}: damaged or cut short") from error
            losses.note(f"{self.path}: damaged or cut short")
            losses.missing_s = (ends[-1] - end) / 1000


def probe_webp(path: Path) -> WebpSource | None:
    """Look into an animated WebP file; None if `path` has any other content.

    Raises:
        OSError: it cannot be read.
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
        delays = strip.get("delay") if strip.get_typeof("delay") else []
    except pyvips.Error as error:
        raise VideoFileError(f"{path}: an animated WebP file, but damaged") from error
    delays = [*delays, *[0] * count][:count]
    shown = tuple(delay if delay > _SHORTEST_MS else _INSTEAD_MS for delay in delays)
    duration_s = Fraction(sum(shown), 1000)
    return WebpSource(
        path=path,
        stamps=stamps_of((path,)),
        width=strip.width,
        height=height,
        rate=count / duration_s,
        time_base=Fraction(1, 1000),
        frame_count=count,
        duration_s=float(duration_s),
        colour=untagged_colour(height),
        has_alpha=strip.hasalpha(),
        delays_ms=shown,
    )


def _pictures(path: Path) -> Iterator[Array]:
    """The pictures in order as (H, W, 3) BGR uint8; transparency is dropped."""
    strip = _open(path)
    height = strip.get("page-height")
    region = pyvips.Region.new(strip)
    for top in range(0, strip.height, height):
        data = region.fetch(0, top, strip.width, height)
        pixels = np.frombuffer(data, np.uint8).reshape(height, strip.width, strip.bands)
        yield np.ascontiguousarray(pixels[..., 2::-1])


def _open(path: Path) -> pyvips.Image:
    """All pictures one below the other, decoded as they are asked for."""
    # From memory: libvips takes brackets in a name for options, and has trouble with names that are not UTF-8.
    return pyvips.Image.new_from_buffer(path.read_bytes(), "", n=-1, access="sequential", fail_on="truncated")
