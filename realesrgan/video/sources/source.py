"""One interface for everything that has frames, and what all kinds have in common. Knows no file format.

A kind of source says what is on show from a given time on; numbering, excerpts, resuming and the search for equal
frames are the same for all and are done here.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field, fields
from fractions import Fraction
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from ...arrays import Array
from ...errors import VideoFileError
from .hdr import Hdr
from .tape import Recording, Tape

HD_HEIGHT = 720  # untagged video from this height on is BT.709, below it BT.601: what players assume
Stamp = tuple[str, int, int]  # name, size in bytes, time of the last change in ns


@dataclass(frozen=True)
class Colour:
    """The colour description of a video, in FFmpeg's numbers (ISO/IEC 23091-2): 2 is "unspecified"."""

    space: int
    primaries: int
    transfer: int
    full_range: bool

    @property
    def tags(self) -> dict[str, int]:
        """As the attributes of an encoder."""
        return {
            "colorspace": self.space,
            "color_primaries": self.primaries,
            "color_trc": self.transfer,
            "color_range": ColorRange.JPEG if self.full_range else ColorRange.MPEG,
        }


def untagged_colour(height: int) -> Colour:
    """What RGB pictures of this height become: limited range, which all players know, unlike full range."""
    return Colour(int(Colorspace.ITU709 if height >= HD_HEIGHT else Colorspace.ITU601), 2, 2, False)


@dataclass(frozen=True)
class OtherStream:
    """A stream that is not the picture: audio, subtitle, attachment or data."""

    index: int
    kind: str
    codec: str
    language: str | None


@dataclass
class Losses:
    """What could not be decoded: `concealed` frames repeat the one before, `missing_s` is cut off the end.

    `resized` frames had another size than the first, and `deinterlaced` ones were made of two fields: nothing is
    lost, but a viewer will want to know. `reasons` are FFmpeg's words, each once.
    """

    concealed: int = 0
    missing_s: float = 0.0
    resized: int = 0
    deinterlaced: int = 0
    reasons: list[str] = field(default_factory=list)

    def note(self, reason: str) -> None:
        if reason not in self.reasons:
            self.reasons.append(reason)

    def clear(self) -> None:
        """Forget everything; for a reading that starts over."""
        fresh = Losses()
        for one in fields(self):
            setattr(self, one.name, getattr(fresh, one.name))


class Decoded:
    """A picture that was decoded, and is converted to pixels only for whoever wants these.

    `convert` gives (H, W, 3) BGR uint8 or uint16. `sum_up` gives a checksum of what came out of the decoder, which is
    quicker to have; without it, the pixels stand for that.
    """

    def __init__(self, convert: Callable[[], Array], sum_up: Callable[[], int] | None = None) -> None:
        self._convert = convert
        self._sum_up = sum_up

    @staticmethod
    def of(pixels: Array) -> Decoded:
        """A picture of which there is nothing but pixels."""
        return Decoded(lambda: pixels)

    @cached_property
    def pixels(self) -> Array:
        return self._convert()

    @cached_property
    def checksum(self) -> int:
        return zlib.crc32(np.ascontiguousarray(self.pixels).data) if self._sum_up is None else self._sum_up()


@dataclass(frozen=True)
class Shown:
    """A picture on show from `pts` for `duration`, in the source's time base.

    `damaged` says that it is the one before, because this one cannot be decoded.
    """

    pts: int
    duration: int
    picture: Decoded
    damaged: bool = False


@dataclass(frozen=True)
class Mark:
    """Where a frame is in an excerpt: numbered from 0, its `pts` counted from the start of the excerpt."""

    index: int
    pts: int
    duration: int
    picture: Decoded
    damaged: bool = False


@dataclass(frozen=True)
class Frame:
    """One frame of an excerpt: numbered from 0, its `pts` counted from the start of the excerpt.

    `pixels` are (H, W, 3) BGR uint8 or uint16; `pts` and `duration` are in the source's time base. `repeats` says that
    the pixels equal those of the frame before, bit for bit; `damaged` that they do because its own cannot be decoded.
    """

    index: int
    pts: int
    duration: int
    pixels: Array
    repeats: bool = False
    damaged: bool = False


def with_repeats(marks: Iterable[Mark]) -> Generator[Frame, None, None]:
    """Convert frames to pixels, and find those that repeat the one before; the first never does.

    Repeats share one array: however many wait somewhere, they hold one picture.
    """
    previous: Array | None = None
    for mark in marks:
        pixels = mark.picture.pixels
        repeats = previous is not None and (pixels is previous or np.array_equal(pixels, previous))
        if previous is None or not repeats:
            previous = pixels
        yield Frame(mark.index, mark.pts, mark.duration, previous, repeats, mark.damaged)


One = TypeVar("One")  # Frame or Mark


class Reading(Iterator[One], Generic[One]):
    """The frames of an excerpt, in order. Use it in `with`, or close it, so that stopping early closes all files.

    `losses` counts as the frames are read, and is complete after the last one.
    """

    def __init__(self, frames: Generator[One, None, None], losses: Losses) -> None:
        self._frames = frames
        self.losses = losses

    def __next__(self) -> One:
        return next(self._frames)

    def close(self) -> None:
        self._frames.close()

    def __enter__(self) -> Reading[One]:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


@dataclass(frozen=True, kw_only=True)
class VideoSource(ABC):
    """A video as it should be seen: sizes and pixel aspect are those of the upright picture.

    `rate` is the mean number of frames per second; their exact times count in `time_base`. `frame_count` and
    `duration_s` are what the file claims, or None. `origin_s` is what a container's clocks show when the video begins.
    `stamps` tell the files as they were when they were looked into. Only a container (`is_container`) has a
    `stream_index`, the number of the video stream, and can have `others`.
    """

    path: Path
    width: int
    height: int
    rate: Fraction
    time_base: Fraction
    frame_count: int | None
    duration_s: float | None
    colour: Colour
    stamps: tuple[Stamp, ...]
    pixel_aspect: Fraction = Fraction(1)
    depth_bits: int = 8
    has_alpha: bool = False
    interlaced: bool = False
    hdr: Hdr | None = None
    is_container: bool = False
    stream_index: int = 0
    origin_s: Fraction = Fraction(0)
    others: tuple[OtherStream, ...] = ()

    @property
    def area(self) -> int:
        return self.width * self.height

    @abstractmethod
    def shown_from(self, pts: int, losses: Losses, tape: Tape | None = None) -> Generator[Shown, None, None]:
        """Yield what is on show, beginning with the picture on show at `pts`: it may have begun before.

        A source with packets records them on `tape`; others leave it empty.

        Raises:
            VideoFileError: nothing can be decoded, or a picture that must not be missing cannot.
        """

    @abstractmethod
    def files(self) -> tuple[Path, ...]:
        """The files that the frames come from."""

    def replayed(self, recording: Recording) -> VideoSource:
        """This video with the frames of a recording of it, as far as that goes; only for one with packets."""
        raise NotImplementedError

    def start_pts_of(self, start_s: float) -> int:
        """Where an excerpt that begins at `start_s` has its pts 0."""
        return round(Fraction(start_s) / self.time_base)

    def frames(
        self, start_s: float = 0.0, end_s: float | None = None, resume: tuple[int, int] | None = None
    ) -> Reading[Frame]:
        """Read the frames that begin from `start_s` up to `end_s`.

        `resume` is the index and pts of the first frame wanted, as an earlier reading of the same excerpt gave them:
        the frames from there on come out as they did then, except that the first one never counts as a repeat.

        Raises:
            VideoFileError: as the frames are read: nothing, or no more, can be decoded.
        """
        losses = Losses()
        return Reading(with_repeats(self._marks(losses, start_s, end_s, resume, None)), losses)

    def marks(
        self,
        start_s: float = 0.0,
        end_s: float | None = None,
        resume: tuple[int, int] | None = None,
        tape: Tape | None = None,
    ) -> Reading[Mark]:
        """The same frames without their pixels; `tape` records the packets they come from."""
        losses = Losses()
        return Reading(self._marks(losses, start_s, end_s, resume, tape), losses)

    def identity(self) -> list[Any]:
        """What a job that goes on later must compare, ready for JSON: where the files are, and their stamps."""
        return [str(self.path.resolve()), [list(stamp) for stamp in self.stamps]]

    def unchanged(self) -> bool:
        """Whether the files are still those that were looked into."""
        try:
            return self.stamps == stamps_of(self.files())
        except VideoFileError:
            return False

    def refuse_changed(self) -> None:
        """Raise VideoFileError if the files are no longer those that were looked into."""
        if not self.unchanged():
            raise VideoFileError(
                f"{self.path}: was changed or removed while it was restored, and the result would mix the two; "
                "put it back and run again, or start over"
            )

    def _marks(
        self,
        losses: Losses,
        start_s: float,
        end_s: float | None,
        resume: tuple[int, int] | None,
        tape: Tape | None,
    ) -> Generator[Mark, None, None]:
        start = self.start_pts_of(start_s)
        end = None if end_s is None else round(Fraction(end_s) / self.time_base)
        if resume is None:
            course = self._begun_from(start, losses, tape)
        else:
            course = self._resumed(start, *resume, losses, tape)
        for index, shown in enumerate(course, resume[0] if resume else 0):
            if end is not None and shown.pts >= end:
                return
            losses.concealed += shown.damaged
            yield Mark(index, shown.pts - start, shown.duration, shown.picture, shown.damaged)

    def _begun_from(self, pts: int, losses: Losses, tape: Tape | None) -> Iterator[Shown]:
        return (shown for shown in self.shown_from(pts, losses, tape) if shown.pts >= pts)

    def _resumed(self, start: int, index: int, pts: int, losses: Losses, tape: Tape | None) -> Iterator[Shown]:
        course = self.shown_from(start + pts, losses, tape)
        first = next(course, None)
        if first is None or first.pts == start + pts:
            yield from () if first is None else (first,)
            yield from course
            return
        # The file's times depend on what came before, as where its clock stands still. So read all of it.
        course.close()
        losses.clear()
        yield from islice(self._begun_from(start, losses, tape), index, None)


def stamps_of(files: tuple[Path, ...]) -> tuple[Stamp, ...]:
    """Name, size and time of the last change of each file.

    Raises:
        VideoFileError: one of them is gone or cannot be looked at.
    """
    stamps = []
    for path in files:
        try:
            stat = path.stat()
        except OSError as error:
            raise VideoFileError(f"{path}: cannot be read ({error.strerror})") from error
        stamps.append((path.name, stat.st_size, stat.st_mtime_ns))
    return tuple(stamps)
