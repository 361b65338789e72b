"""Run a video through frame → frame functions; decoding, restoring and encoding overlap.

There is a thread for each restorer, and frames are put back into order before they are encoded. A frame equal to the
one before is not restored again. However unequal the restorers' speeds, only a window of frames is held in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from ..arrays import Array
from ..restorer import FacePair, Listener, Restorer
from ..threads import Channel, Crew, Window
from .encoding import Encoding, even
from .segment_encoder import SegmentEncoder
from .segments import Workspace, frames_per_segment
from .sources.source import Frame, Losses, VideoSource

# Frames between decoding and encoding: as many as fit into these bytes, up to a limit. While one worker is slow, the
# others get no further ahead than that.
WINDOW_BYTES = 1_000_000_000
MOST_IN_FLIGHT = 240


@dataclass(frozen=True)
class Excerpt:
    """A part of the video, in seconds; `end_s` None: up to its end."""

    start_s: float = 0.0
    end_s: float | None = None


@dataclass
class Tally:
    """Counts of frames in the result, of those from an earlier run, of repeats, and what could not be decoded."""

    frames: int = 0
    done_before: int = 0
    repeats: int = 0
    losses: Losses = field(default_factory=Losses)


@dataclass(frozen=True)
class _Restored:
    frame: Frame
    pixels: Array | None  # None: those of the frame before


def frames_in_flight(frame_bytes: int, workers: int) -> int:
    """How many frames may be between decoding and encoding; `frame_bytes` is one frame and its result."""
    return max(2 * workers + 2, min(MOST_IN_FLIGHT, WINDOW_BYTES // max(1, frame_bytes)))


def restore_frames(
    source: VideoSource,
    excerpt: Excerpt,
    restorers: Sequence[Restorer],
    workspace: Workspace,
    encoding: Encoding,
    *,
    multiply_adds_per_frame: float,
    window: int,
    on_frame: Callable[[int], None],
    on_faces: Callable[[int, Sequence[FacePair]], None] = lambda index, pairs: None,
    check: Callable[[], None] = lambda: None,
) -> Tally:
    """Restore every frame that `workspace` does not hold yet, segment by segment.

    At most `window` frames are in memory. `on_frame` is called with the number of frames done, `on_faces` with a
    frame's number and faces; `check` is called often, and may raise to stop. Any exception, Ctrl-C included, stops all
    threads and is raised here; segments finished by then stay.
    """
    tally = Tally(frames=workspace.frames_done, done_before=workspace.frames_done)
    resume, damaged_before = workspace.resume_point, workspace.damaged_done
    with Crew() as crew:
        in_flight = Window(window, crew)
        to_restore: Channel[Frame] = crew.channel(window)
        to_encode: Channel[_Restored] = crew.channel(window, producers=1 + len(restorers))

        def read() -> None:
            with source.frames(excerpt.start_s, excerpt.end_s, resume) as reading:
                tally.losses = reading.losses
                for frame in reading:
                    in_flight.enter()
                    if frame.repeats:
                        tally.repeats += 1
                        to_encode.put(_Restored(frame, None))
                    else:
                        to_restore.put(frame)
                reading.losses.concealed += damaged_before
            to_restore.close()
            to_encode.close()

        def restore(restorer: Restorer) -> None:
            def progressed(share: float) -> None:
                crew.check()
                check()

            for frame in to_restore:
                check()
                listener = Listener(progressed, partial(on_faces, frame.index))
                to_encode.put(_Restored(frame, restorer(frame.pixels, listener)))
            to_encode.close()

        def encode() -> None:
            with _Segments(source, workspace, encoding, frames_per_segment(multiply_adds_per_frame)) as segments:
                for restored in _in_order(to_encode, tally.done_before):
                    check()
                    segments.add(restored)
                    in_flight.leave()
                    tally.frames = restored.frame.index + 1
                    on_frame(tally.frames)
                segments.finish()

        crew.start("read", read)
        for number, restorer in enumerate(restorers):
            crew.start(f"restore-{number}", partial(restore, restorer))
        crew.start("encode", encode)
    return tally


class _Segments:
    """Encodes frames into segments of a fixed length; on leaving, an unfinished segment is abandoned."""

    def __init__(self, source: VideoSource, workspace: Workspace, encoding: Encoding, length: int) -> None:
        self._source = source
        self._workspace = workspace
        self._encoding = encoding
        self._length = length
        self._encoder: SegmentEncoder | None = None
        self._last: Array | None = None

    def add(self, restored: _Restored) -> None:
        frame = restored.frame
        self._last = even(restored.pixels) if restored.pixels is not None else self._last
        assert self._last is not None
        if self._encoder is None:
            size = (self._last.shape[1], self._last.shape[0])
            self._encoder = SegmentEncoder(
                self._workspace, frame.index, self._source, self._encoding, size, self._source.rate
            )
        self._encoder.write(self._last, frame.pts, frame.duration, damaged=frame.damaged)
        if (frame.index + 1) % self._length == 0:
            self.finish()

    def finish(self) -> None:
        if self._encoder is not None:
            self._source.refuse_changed()  # what was read since the last segment may be of another video
            self._encoder.finish()
            self._encoder = None

    def __enter__(self) -> _Segments:
        return self

    def __exit__(self, *error: object) -> None:
        if self._encoder is not None:
            self._encoder.close()


def _in_order(restored: Channel[_Restored], first: int) -> Iterator[_Restored]:
    """Put the results of several restorers back into the order of the frames."""
    waiting: dict[int, _Restored] = {}
    for one in restored:
        waiting[one.frame.index] = one
        while first in waiting:
            yield waiting.pop(first)
            first += 1
