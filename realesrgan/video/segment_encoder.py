"""Encode one segment of a video into a file. Knows nothing of what becomes of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.video.stream import VideoStream

from ..arrays import Array
from ..errors import VideoFileError
from .encoding import Encoding, configure, refusal, to_frame
from .sources.ffmpeg import address, error_text
from .sources.source import VideoSource
from .timeline import presentation_order

MOST_COUNTED = Fraction(500)  # frames per second in a segment, whose clock has milliseconds; only a count anyway


@dataclass(frozen=True)
class Encoded:
    """What a segment's file cannot say: each frame's pts and duration in the output's time base, how many are damaged.

    A damaged frame repeats the one before, because its own picture could not be decoded.
    """

    pts: list[int]
    durations: list[int]
    damaged: int


class SegmentEncoder:
    """Encodes frames into `file`, with the colours and the pixel aspect of `source`; `finish` makes it whole.

    `size` is (width, height) of the frames, `rate` about how many a second there are.

    Raises:
        VideoFileError: the encoder or the disk refuses, with FFmpeg's own words.
    """

    def __init__(
        self, file: Path, source: VideoSource, encoding: Encoding, size: tuple[int, int], rate: Fraction
    ) -> None:
        self._file = file
        self._encoding = encoding
        self._size = size
        self._source = source
        self._pts: list[int] = []
        self._durations: list[int] = []
        self._damaged = 0
        rate = min(rate, MOST_COUNTED)
        with self._named_errors():
            self._container = av.open(address(file), "w")
            stream = self._container.add_stream(encoding.codec, rate=rate)
            assert isinstance(stream, VideoStream)
            configure(stream, encoding, size, source.colour, source.pixel_aspect)
        self._stream = stream
        self._time_base = 1 / rate

    def write(self, pixels: Array, pts: int, duration: int, *, damaged: bool = False) -> None:
        """Add (H, W, 3) BGR, shown from `pts` for `duration` in the output's time base.

        `damaged` says that it stands for a picture that could not be decoded.
        """
        with self._named_errors():
            frame = to_frame(pixels, self._encoding, self._source.colour)
        # Frames are only counted here: encoders differ in the timing they accept. The manifest has their times.
        frame.pts, frame.time_base = len(self._pts), self._time_base
        self._pts.append(pts)
        self._durations.append(duration)
        self._damaged += damaged
        self._mux(frame)

    def finish(self) -> Encoded:
        """Write what the encoder still holds, close the file, and look whether all frames are in it."""
        self._mux(None)
        self.close()
        presentation_order(self._file, len(self._pts))  # a full disk may show only here
        return Encoded(self._pts, self._durations, self._damaged)

    def _mux(self, frame: av.VideoFrame | None) -> None:
        with self._named_errors():
            for packet in self._stream.encode(frame):
                self._container.mux(packet)

    def close(self) -> None:
        """Let go of the file; without `finish` before, it is not whole."""
        with self._named_errors():
            self._container.close()

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except av.error.FFmpegError as error:
            reason = refusal(self._encoding, self._size) or error_text(error)
            raise VideoFileError(f"{self._encoding.codec} into {self._file.parent} failed: {reason}") from error
