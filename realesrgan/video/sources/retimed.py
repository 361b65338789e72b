"""Any source at a constant rate: each moment shows what it showed, by repeating and dropping frames."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

from .source import Losses, Shown, VideoSource
from .tape import Recording, Tape


@dataclass(frozen=True, kw_only=True)
class Retimed(VideoSource):
    """`source`, whose frame n is what is on show at n / `rate` seconds. Made by `retimed`."""

    source: VideoSource

    def files(self) -> tuple[Path, ...]:
        return self.source.files()

    def identity(self) -> list[Any]:
        return [*self.source.identity(), str(self.rate)]

    def replayed(self, recording: Recording) -> VideoSource:
        return replace(self, source=self.source.replayed(recording))

    def shown_from(self, pts: int, losses: Losses, tape: Tape | None = None) -> Generator[Shown, None, None]:
        index = max(pts, 0)
        unit = self.source.time_base
        shown: Shown | None = None
        for following in self.source.shown_from(floor(index / self.rate / unit), losses, tape):
            # The picture on show at a time is the last one that began by then.
            while shown is not None and index / self.rate < following.pts * unit:
                yield self._at(index, shown)
                index += 1
            shown = following
        while shown is not None and index / self.rate < (shown.pts + shown.duration) * unit:
            yield self._at(index, shown)
            index += 1

    def _at(self, index: int, shown: Shown) -> Shown:
        begins_here = index == 0 or (index - 1) / self.rate < shown.pts * self.source.time_base
        return Shown(index, 1, shown.picture, shown.damaged and begins_here)


def retimed(source: VideoSource, rate: Fraction) -> Retimed:
    """`source` at `rate` frames per second."""
    facts = {fact.name: getattr(source, fact.name) for fact in fields(VideoSource)}
    facts["rate"], facts["time_base"] = rate, 1 / rate
    if source.duration_s is not None:
        facts["frame_count"] = round(Fraction(source.duration_s) * rate)
    elif source.frame_count is not None:
        facts["frame_count"] = round(source.frame_count / source.rate * rate)
    return Retimed(source=source, **facts)
