"""Run a video through frame → frame functions; decoding, restoring and encoding overlap.

There is a thread for each restorer, and frames are put back into order before they are encoded. A frame equal to the
one before is not restored again. However unequal the restorers' speeds, only a window of frames is held in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

from ..arrays import Array
from ..errors import VideoFileError
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

    At most `window` frames are in memory. `on_frame` is called with the number of frames done, those of earlier runs
    included, `on_faces` with a frame's number and faces; `check` is called often, and may raise to stop. Any exception,
    Ctrl-C included, stops all threads and is raised here; segments finished by then stay.
    """
    tally = Tally(frames=workspace.frames_done, done_before=workspace.frames_done)
    damaged_before = workspace.damaged_done
    length = frames_per_segment(multiply_adds_per_frame)
    with (
        source.frames(excerpt.start_s, excerpt.end_s, workspace.resume_point) as reading,
        _Segments(source, workspace, encoding, length) as segments,
    ):

        def accept(frame: Frame, pixels: Array) -> None:
            segments.add(frame, pixels)
            tally.frames += 1
            on_frame(tally.frames)

        missing = (None if workspace.is_done(frame.index) else frame for frame in reading)
        tally.repeats = restore_in_order(missing, restorers, accept, window=window, on_faces=on_faces, check=check)
        segments.finish()
    tally.losses = reading.losses
    tally.losses.concealed += damaged_before
    return tally


def restore_in_order(
    frames: Iterable[Frame | None],
    restorers: Sequence[Restorer],
    accept: Callable[[Frame, Array], None],
    *,
    window: int,
    on_faces: Callable[[int, Sequence[FacePair]], None] = lambda index, pairs: None,
    check: Callable[[], None] = lambda: None,
) -> int:
    """Restore frames and call `accept` with each and its result, in their order and in one thread.

    A thread of its own goes through `frames`, which may begin with any number and leave some out. Where it does, or has
    to wait, it should yield None, so that the work can stop. A frame that repeats the one before is not restored but
    accepted with the array of that one, unless that one was left out. At most `window` frames are in memory; the
    functions are those of `restore_frames`. Returns how many frames were not restored because they repeat.
    """
    with Crew() as crew:
        in_flight = Window(window, crew)
        to_restore: Channel[_Numbered] = crew.channel(window)
        to_accept: Channel[_Numbered] = crew.channel(window, producers=1 + len(restorers))
        repeats = 0

        def check_all() -> None:
            crew.check()
            check()

        def read() -> None:
            for one in _numbered(frames, check_all):
                in_flight.enter()
                (to_accept if one.repeats else to_restore).put(one)
            to_restore.close()
            to_accept.close()

        def restore(restorer: Restorer) -> None:
            for one in to_restore:
                check()
                listener = Listener(lambda share: check_all(), partial(on_faces, one.frame.index))
                to_accept.put(replace(one, pixels=restorer(one.frame.pixels, listener)))
            to_accept.close()

        def hand_on() -> None:
            nonlocal repeats
            pixels: Array | None = None
            for one in _in_order(to_accept):
                check()
                repeats += one.repeats
                pixels = pixels if one.repeats else one.pixels
                assert pixels is not None
                accept(one.frame, pixels)
                in_flight.leave()

        crew.start("read", read)
        for number, restorer in enumerate(restorers):
            crew.start(f"restore-{number}", partial(restore, restorer))
        crew.start("accept", hand_on)
    return repeats


@dataclass(frozen=True)
class _Numbered:
    """A frame with its place among those to restore. `pixels` are its result, `repeats` if that is the one before."""

    number: int
    frame: Frame
    repeats: bool
    pixels: Array | None = None


def _numbered(frames: Iterable[Frame | None], check: Callable[[], None]) -> Iterator[_Numbered]:
    """Number the frames from 0 on; only one that comes right after the frame it repeats counts as a repeat."""
    number, following = 0, None
    for frame in frames:
        if frame is None:
            check()
            continue
        yield _Numbered(number, frame, frame.repeats and frame.index == following)
        number, following = number + 1, frame.index + 1


def _in_order(results: Channel[_Numbered]) -> Iterator[_Numbered]:
    """Put the results of several restorers back into the order of the frames."""
    waiting: dict[int, _Numbered] = {}
    number = 0
    for one in results:
        waiting[one.number] = one
        while number in waiting:
            yield waiting.pop(number)
            number += 1


class _Segments:
    """Encodes frames into segments of a fixed length; on leaving, an unfinished segment is abandoned."""

    def __init__(self, source: VideoSource, workspace: Workspace, encoding: Encoding, length: int) -> None:
        self._source = source
        self._workspace = workspace
        self._encoding = encoding
        self._length = length
        self._first = 0
        self._encoder: SegmentEncoder | None = None

    def add(self, frame: Frame, pixels: Array) -> None:
        pixels = even(pixels)
        if self._encoder is None:
            self._first = frame.index
            file, size = self._workspace.path_for(frame.index), (pixels.shape[1], pixels.shape[0])
            self._encoder = SegmentEncoder(file, self._source, self._encoding, size, self._source.rate)
        self._encoder.write(pixels, frame.pts, frame.duration, damaged=frame.damaged)
        if (frame.index + 1) % self._length == 0:
            self.finish()

    def finish(self) -> None:
        if self._encoder is not None:
            self._source.refuse_changed()  # what was read since the last segment may be of another video
            encoded = self._encoder.finish()
            self._encoder = None
            self._workspace.commit(self._first, encoded.pts, encoded.durations, damaged=encoded.damaged)

    def __enter__(self) -> _Segments:
        return self

    def __exit__(self, *error: object) -> None:
        if self._encoder is not None:
            with suppress(VideoFileError):  # would hide why it is abandoned
                self._encoder.close()
