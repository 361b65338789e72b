"""A video in a container that FFmpeg reads."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import av.error

from ...arrays import Array
from ...errors import VideoFileError
from .conversion import Orientation, checksum_of, has_own_planes, to_bgr
from .decoding import Feed, feed_of, picture_stream, steps
from .deinterlacing import Deinterlacer
from .ffmpeg import address, error_text
from .seeking import landing_before
from .source import Decoded, Losses, Shown, VideoSource
from .tape import Recording, Tape
from .timeline import Placed, Timeline, lasting

CODEC_DELAY_S = 0.1  # what files count in or leave out of their duration at the ends of sound


@dataclass(frozen=True, kw_only=True)
class ContainerSource(VideoSource):
    """Frames come in order of time, upright, fields made into frames; what cannot be decoded repeats the one before.

    `start_pts` is where the file's clock stands at pts 0. `duration_is_own` says that `duration_s` is that of the
    picture and not of the longest stream.
    """

    is_container: bool = True
    format_name: str
    start_pts: int
    duration_is_own: bool
    orientation: Orientation

    def files(self) -> tuple[Path, ...]:
        return (self.path,)

    def replayed(self, recording: Recording) -> TapedSource:
        return TapedSource(**{one.name: getattr(self, one.name) for one in fields(self)}, recording=recording)

    def shown_from(self, pts: int, losses: Losses, tape: Tape | None = None) -> Generator[Shown, None, None]:
        frame: av.VideoFrame | None = None
        picture: Decoded | None = None
        reach = _Reach()
        end: int | None = None
        try:
            for placed in lasting(self._decoded(pts, losses, reach, tape)):
                end = placed.pts + placed.duration
                if end <= pts:
                    continue
                if picture is None or placed.picture is not frame:
                    frame, picture = placed.picture, self._picture(placed.picture, losses)
                yield Shown(placed.pts, placed.duration, picture, placed.damaged)
        except (OSError, av.error.FFmpegError) as error:
            raise VideoFileError(f"{self.path}: cannot be read ({error_text(error)})") from error
        if end is None:
            raise VideoFileError(f"{self.path}: no frame of its video can be decoded")
        losses.missing_s = self._missing_s(float(end * self.time_base), reach.seconds(self))

    def _decoded(self, pts: int, losses: Losses, reach: _Reach, tape: Tape | None) -> Iterator[Placed]:
        """The pictures in order of time, from `pts` at the latest."""
        timeline = Timeline(self.start_pts, self.time_base, max(1, round(1 / (self.rate * self.time_base))))
        fields = Deinterlacer()
        with self._feed(pts) as (feed, in_the_middle):
            if tape is not None:
                tape.begin(feed, self.origin_s)
            try:
                for step in steps(feed, from_key_frame=in_the_middle, tape=tape):
                    reach.note(step.end_s)
                    if step.failure is not None:
                        losses.note(step.failure)
                    yield from timeline.expect(step)
                    for decoded in step.frames:
                        for frame in fields.push(decoded):
                            yield from timeline.place(frame)
                    losses.deinterlaced = fields.fields_seen
            except av.error.FFmpegError as error:
                losses.note(error_text(error))
                timeline.fail()
            for frame in fields.flush():
                yield from timeline.place(frame)
            yield from timeline.finish()

    @contextmanager
    def _feed(self, pts: int) -> Iterator[tuple[Feed, bool]]:
        """Packets to decode for what is shown from `pts` on, and whether they begin in the middle of the video."""
        name = address(self.path)
        landing = landing_before(name, self.stream_index, self.start_pts, self.start_pts + pts)
        with av.open(name) as container:
            stream = picture_stream(container, self.stream_index)
            if landing is not None:
                container.seek(landing, stream=stream)
            yield feed_of(container, stream, every_stream=not self.duration_is_own), landing is not None

    def _picture(self, frame: av.VideoFrame, losses: Losses) -> Decoded:
        size = (self.height, self.width) if self.orientation.transposed else (self.width, self.height)
        losses.resized += (frame.width, frame.height) != size

        def convert() -> Array:
            return self.orientation.upright(to_bgr(frame, size, self.colour, wide=self.depth_bits > 8))

        return Decoded(convert, partial(checksum_of, frame) if has_own_planes(frame) else None)

    def _missing_s(self, end_s: float, reached_s: float) -> float:
        """By how much the picture ends before the file says.

        Where only the file as a whole says how long it is, sound may rightly go on for longer than the picture; then
        the file is cut off if nothing in it lasts until then.
        """
        if self.duration_s is None:
            return 0.0
        tolerance_s = float(2 / self.rate) + (0.0 if self.duration_is_own else CODEC_DELAY_S)
        reached_s = end_s if self.duration_is_own else max(end_s, reached_s)
        return self.duration_s - end_s if self.duration_s - reached_s > tolerance_s else 0.0


@dataclass(frozen=True, kw_only=True)
class TapedSource(ContainerSource):
    """A part of a video, from packets that were recorded as the file was read; the file need not be here."""

    recording: Recording

    @contextmanager
    def _feed(self, pts: int) -> Iterator[tuple[Feed, bool]]:
        recording = self.recording
        decoder = recording.decoder.open()
        yield Feed(recording.play(), decoder, 0, recording.format_name, recording.decoder.time_base), False


class _Reach:
    """How far the packets of a file reach."""

    def __init__(self) -> None:
        self._end_s = Fraction(0)

    def note(self, end_s: Fraction | None) -> None:
        if end_s is not None and end_s > self._end_s:
            self._end_s = end_s

    def seconds(self, source: VideoSource) -> float:
        """Counted from where the video begins."""
        return float(self._end_s - source.origin_s)
