"""A part of a video as pictures without loss, for sources whose packets cannot be cut. The files need not be here."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np

from ...arrays import Array
from .source import Decoded, Losses, Mark, Shown, VideoSource
from .tape import Tape

_FAST = [cv2.IMWRITE_PNG_COMPRESSION, 1]


@dataclass(frozen=True)
class Still:
    """A picture as PNG, or None for the one before, and when it is shown, in the time base of its source."""

    pts: int
    duration: int
    picture: bytes | None
    damaged: bool


@dataclass(frozen=True, kw_only=True)
class StillsSource(VideoSource):
    """Has only the frames that were put in. Made by `stills_of`."""

    stills: tuple[Still, ...]

    def files(self) -> tuple[Path, ...]:
        return ()

    def shown_from(self, pts: int, losses: Losses, tape: Tape | None = None) -> Generator[Shown, None, None]:
        pixels: Array | None = None
        for still in self.stills:
            if still.picture is not None:
                pixels = cv2.imdecode(np.frombuffer(still.picture, np.uint8), cv2.IMREAD_UNCHANGED)
            assert pixels is not None
            if still.pts + still.duration > pts:
                yield Shown(still.pts, still.duration, Decoded.of(pixels), still.damaged)


def still_of(mark: Mark, start_pts: int, pixels: Array | None) -> Still:
    """A frame of an excerpt that begins at `start_pts`; without pixels, it shows what the one before shows."""
    picture = None if pixels is None else cv2.imencode(".png", pixels, _FAST)[1].tobytes()
    return Still(start_pts + mark.pts, mark.duration, picture, mark.damaged)


def stills_of(source: VideoSource, stills: tuple[Still, ...]) -> StillsSource:
    """A part of `source`."""
    facts = {fact.name: getattr(source, fact.name) for fact in fields(VideoSource)}
    return StillsSource(stills=stills, **facts | {"is_container": False, "others": ()})
