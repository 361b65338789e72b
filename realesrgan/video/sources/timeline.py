"""Puts decoded frames on the clock of their video, in order, and fills the places of those that cannot be decoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import av

from .decoding import Step


@dataclass(frozen=True)
class Placed:
    """A decoded picture, on show from `pts` for `duration`; `damaged` if it is the one before, for want of its own."""

    pts: int
    duration: int
    picture: av.VideoFrame
    damaged: bool = False


class Timeline:
    """Takes steps of decoding and the frames that come of them; gives pictures at rising times, in `time_base`.

    A broken packet takes others with it that the decoder swallows in silence: from the failure until the next whole
    key frame, each packet that should have given a frame and did not is filled in by the picture before. At other times
    it is not: whole files too have packets that give no frame.
    """

    def __init__(self, start_pts: int, time_base: Fraction, usual_duration: int) -> None:
        self._start = start_pts
        self._time_base = time_base
        self._usual = usual_duration
        self._due: set[int] = set()
        self._broken_at: int | None = None
        self._last: Placed | None = None

    def expect(self, step: Step) -> Iterator[Placed]:
        """Note what a packet is to give; call it before `place` for the frames of the step."""
        due = None if step.due is None else step.due - self._start
        if step.failure is not None:
            self.fail(due)
        if due is not None and step.repeats_last and self._last is not None:
            yield self._put(Placed(max(due, self._last.pts + 1), self._usual, self._last.picture))
        elif due is not None:
            self._due.add(due)

    def fail(self, due: int | None = None) -> None:
        """Something that was to be shown at `due` is lost, or, without that, anything from here on."""
        at = due if due is not None else self._end
        self._broken_at = max(at, self._broken_at or at)

    def place(self, frame: av.VideoFrame) -> Iterator[Placed]:
        """The next frame at its time, after what is missing before it."""
        ticks = (frame.time_base or self._time_base) / self._time_base
        pts = self._end if frame.pts is None else round(frame.pts * ticks) - self._start
        yield from self._fill(pts)
        self._due = {due for due in self._due if due > pts}
        if self._last is not None and pts <= self._last.pts:
            pts = self._last.pts + 1  # jitter: times that do not rise could not be written
        if frame.is_corrupt:
            self.fail(pts)
        elif frame.key_frame and self._broken_at is not None and pts > self._broken_at:
            self._broken_at = None
        picture = self._last.picture if frame.is_corrupt and self._last is not None else frame
        yield self._put(Placed(pts, round(frame.duration * ticks) or self._usual, picture, bool(frame.is_corrupt)))

    def finish(self) -> Iterator[Placed]:
        """What is missing after the last frame."""
        yield from self._fill(None)

    @property
    def _end(self) -> int:
        return self._last.pts + self._last.duration if self._last is not None else 0

    def _fill(self, until: int | None) -> Iterator[Placed]:
        if self._last is None or self._broken_at is None:
            return
        begun = self._last.pts
        for due in sorted(due for due in self._due if due > begun and (until is None or due < until)):
            yield self._put(Placed(due, self._usual, self._last.picture, damaged=True))

    def _put(self, placed: Placed) -> Placed:
        self._last = placed
        return placed


def lasting(course: Iterable[Placed]) -> Iterator[Placed]:
    """Let each picture last until the next one begins."""
    last: Placed | None = None
    for placed in course:
        if last is not None:
            yield replace(last, duration=placed.pts - last.pts)
        last = placed
    if last is not None:
        yield last
