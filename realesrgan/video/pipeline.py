"""Take a video through frame → frame functions: decoding, restoring and encoding overlap, finished segments stay.

Frames are restored by as many threads as there are restorers and come back into order before they are encoded. A frame
equal to the one before it is not restored again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from ..arrays import Array
from ..restorer import FacePair, Listener, Restorer
from ..threads import Channel, Crew
from .encoding import Encoding
from .segment_encoder import SegmentEncoder
from .segments import Workspace, frames_per_segment
from .sources.source import Frame, Losses, VideoSource


@dataclass(frozen=True)
class Excerpt:
    """Which part of the video."""

    start_s: float = 0.0
    end_s: float | None = None


@dataclass
class Tally:
    """What happened: frames in the result, frames taken from an earlier run, repeats, and what could not be decoded."""

    frames: int = 0
    done_before: int = 0
    repeats: int = 0
    losses: Losses = field(default_factory=Losses)


@dataclass(frozen=True)
class _Restored:
    frame: Frame
    pixels: Array | None  # None: the same as the frame before


def restore_frames(
    source: VideoSource,
    excerpt: Excerpt,
    restorers: Sequence[Restorer],
    workspace: Workspace,
    encoding: Encoding,
    *,
    multiply_adds_per_frame: float,
    on_frame: Callable[[int], None],
    on_faces: Callable[[int, Sequence[FacePair]], None] = lambda index, pairs: None,
) -> Tally:
    """Restore every frame that `workspace` does not hold yet, segment by segment.

    `on_frame` is told how many frames are done, `on_faces` which frame has which faces. Any exception, Ctrl-C included,
    stops all threads and is raised here; the segments finished by then stay.
    """
    length = frames_per_segment(multiply_adds_per_frame)
    tally = Tally(done_before=workspace.frames_done)
    tally.frames = tally.done_before
    resume, damaged_before = workspace.resume_point, workspace.damaged_done
    with Crew() as crew:
        to_restore: Channel[Frame] = crew.channel(len(restorers) + 1)
        to_encode: Channel[_Restored] = crew.channel(2 * len(restorers) + 2, producers=1 + len(restorers))

        def read() -> None:
            with source.frames(excerpt.start_s, excerpt.end_s, resume) as reading:
                tally.losses = reading.losses
                for frame in reading:
                    if frame.repeats:
                        tally.repeats += 1
                        to_encode.put(_Restored(frame, None))
                    else:
                        to_restore.put(frame)
                reading.losses.concealed += damaged_before
            to_restore.close()
            to_encode.close()

        def restore(restorer: Restorer) -> None:
            for frame in to_restore:
                listener = Listener(lambda share: crew.check(), partial(on_faces, frame.index))
                to_encode.put(_Restored(frame, restorer(frame.pixels, listener)))
            to_encode.close()

        def encode() -> None:
            encoder: SegmentEncoder | None = None
            last: Array | None = None
            try:
                for restored in _in_order(to_encode, tally.done_before):
                    frame = restored.frame
                    last = _even(restored.pixels) if restored.pixels is not None else last
                    assert last is not None
                    if encoder is None:
                        size = (last.shape[1], last.shape[0])
                        encoder = SegmentEncoder(workspace, frame.index, source, encoding, size, source.rate)
                    encoder.write(last, frame.pts, frame.duration, damaged=frame.damaged)
                    tally.frames = frame.index + 1
                    on_frame(tally.frames)
                    if tally.frames % length == 0:
                        encoder.finish()
                        encoder = None
                if encoder is not None:
                    encoder.finish()
                    encoder = None
            finally:
                if encoder is not None:
                    encoder.close()

        crew.start("read", read)
        for number, restorer in enumerate(restorers):
            crew.start(f"restore-{number}", partial(restore, restorer))
        crew.start("encode", encode)
    return tally


def _in_order(restored: Channel[_Restored], first: int) -> Iterator[_Restored]:
    """Bring what several restorers finished back into the order of the frames."""
    waiting: dict[int, _Restored] = {}
    for one in restored:
        waiting[one.frame.index] = one
        while first in waiting:
            yield waiting.pop(first)
            first += 1


def _even(pixels: Array) -> Array:
    """Repeat the last row or column of odd sizes: most encoders take only even ones. Spread gray."""
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    if pixels.shape[0] % 2 == 0 and pixels.shape[1] % 2 == 0:
        return pixels  # np.pad would copy every frame
    return np.pad(pixels, ((0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0)), mode="edge")
