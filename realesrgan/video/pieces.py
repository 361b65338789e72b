"""Cut a video into pieces that can be restored elsewhere: a segment each, with all that it takes. Knows no network.

A piece holds the packets of its frames, from a key frame before them on, and a checksum of each decoded frame, because
not every file can be entered at every key frame it names. Where a checksum differs, or a source has no packets, the
frames go as pictures without loss instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..arrays import Array
from ..errors import VideoFileError
from .pipeline import Excerpt
from .sources.source import Decoded, Frame, Losses, Mark, VideoSource, with_repeats
from .sources.stills import Still, still_of, stills_of
from .sources.tape import Tape

MOST_BAD_CUTS = 2  # then a source's packets are not tried any more


class PieceDiffers(VideoFileError):
    """A piece was decoded into other frames than those it was cut from."""


@dataclass(frozen=True)
class Piece:
    """A segment of a video: frames from number `first` of an excerpt that begins at `start_s`.

    `pts` and `durations` are in the source's time base, `pts` counted from the start of the excerpt; `damaged` says of
    each frame whether it stands for one that could not be decoded. `checksums` are of the frames as decoded; None: the
    source is one of pictures, which needs none.
    """

    source: VideoSource
    start_s: float
    first: int
    pts: tuple[int, ...]
    durations: tuple[int, ...]
    damaged: tuple[bool, ...]
    checksums: tuple[int, ...] | None

    def frames(self) -> Iterator[Frame]:
        """Decode it.

        Raises:
            PieceDiffers: these are not the frames that it was cut from.
        """
        with self.source.marks(self.start_s, resume=(self.first, self.pts[0])) as reading:
            yield from with_repeats(self._checked(reading))

    def _checked(self, reading: Iterator[Mark]) -> Iterator[Mark]:
        for number, pts in enumerate(self.pts):
            try:
                mark = next(reading, None)
            except VideoFileError:
                mark = None
            if mark is None or mark.pts != pts or not self._is_right(number, mark):
                raise PieceDiffers(f"{self.source.path}: frame {self.first + number} was decoded otherwise")
            yield replace(mark, duration=self.durations[number], damaged=self.damaged[number])

    def _is_right(self, number: int, mark: Mark) -> bool:
        return self.checksums is None or self.checksums[number] == mark.picture.checksum


class Cutter:
    """Reads an excerpt and cuts it into pieces of `length` frames, in order; iterate over it once.

    Frames that `is_done` are left out, by whole pieces; `resume` is as for `VideoSource.frames`. `losses` and `frames`,
    how many there are in all, are complete after the last piece. `check` is called for each frame and may raise.

    Frames are decoded here too, since only that tells which there are. They are not converted to pixels, which would
    take five times as long.

    Raises:
        VideoFileError: nothing, or no more, can be decoded, or the files are no longer what they were.
    """

    def __init__(
        self,
        source: VideoSource,
        excerpt: Excerpt,
        length: int,
        *,
        resume: tuple[int, int] | None = None,
        is_done: Callable[[int], bool] = lambda index: False,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.losses = Losses()
        self.frames = resume[0] if resume else 0
        self._source = source
        self._excerpt = excerpt
        self._length = length
        self._resume = resume
        self._is_done = is_done
        self._check = check
        self._start_pts = source.start_pts_of(excerpt.start_s)
        self._bad_cuts = 0

    def __iter__(self) -> Iterator[Piece]:
        tape = Tape()
        excerpt, collected = self._excerpt, _Collected(self._start_pts)
        with self._source.marks(excerpt.start_s, excerpt.end_s, self._resume, tape) as reading:
            self.losses = reading.losses
            for mark in reading:
                self._check()
                if mark.index % self._length == 0:
                    if collected.marks:
                        yield self._piece(collected, tape)
                    tape.forget_before((self._start_pts + mark.pts) * self._source.time_base)
                    # Where packets cannot be had, that is known once a segment's first frame is here.
                    has_packets = self._bad_cuts < MOST_BAD_CUTS and tape.has_packets
                    collected = _Collected(self._start_pts, as_stills=not has_packets)
                self.frames = mark.index + 1
                if not self._is_done(mark.index):
                    collected.add(mark)
            if collected.marks:
                yield self._piece(collected, tape)

    def as_stills(self, piece: Piece) -> Piece:
        """The same piece as pictures without loss, read from the file again; for one that differs."""
        self._bad_cuts += 1
        collected = _Collected(self._start_pts, as_stills=True)
        with self._source.marks(piece.start_s, self._excerpt.end_s, (piece.first, piece.pts[0])) as reading:
            for _, mark in zip(piece.pts, reading, strict=False):
                self._check()
                collected.add(mark)
        self._source.refuse_changed()
        return replace(piece, source=stills_of(self._source, collected.stills), checksums=None)

    def _piece(self, collected: _Collected, tape: Tape) -> Piece:
        self._source.refuse_changed()  # what was read since the last piece may be of another video
        marks = collected.marks
        piece = Piece(
            source=self._source,
            start_s=self._excerpt.start_s,
            first=marks[0].index,
            pts=tuple(mark.pts for mark in marks),
            durations=tuple(mark.duration for mark in marks),
            damaged=tuple(mark.damaged for mark in marks),
            checksums=None if collected.as_stills else tuple(collected.checksums),
        )
        if collected.as_stills:
            return replace(piece, source=stills_of(self._source, collected.stills))
        recording = tape.cut((self._start_pts + piece.pts[0]) * self._source.time_base)
        if recording is None:
            return self.as_stills(piece)
        return replace(piece, source=self._source.replayed(recording))


class _Collected:
    """The frames of one piece as they are read: a checksum, or a picture without loss, of each."""

    def __init__(self, start_pts: int, *, as_stills: bool = False) -> None:
        self.as_stills = as_stills
        self.marks: list[Mark] = []
        self.checksums: list[int] = []
        self._start_pts = start_pts
        self._stills: list[Still] = []
        self._last: Array | None = None

    @property
    def stills(self) -> tuple[Still, ...]:
        return tuple(self._stills)

    def add(self, mark: Mark) -> None:
        if self.as_stills:
            pixels = mark.picture.pixels
            is_same = self._last is not None and (pixels is self._last or np.array_equal(pixels, self._last))
            self._stills.append(still_of(mark, self._start_pts, None if is_same else pixels))
            self._last = pixels
        else:
            self.checksums.append(mark.picture.checksum)
        self.marks.append(replace(mark, picture=_NOTHING))


_NOTHING = Decoded.of(np.zeros((0, 0, 3), np.uint8))  # in place of pictures that were read
