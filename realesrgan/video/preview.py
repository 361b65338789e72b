"""Watch a video while it is restored: each finished segment as a clip, restored and as it was, for a browser.

Clips are numbered in order; a segment finished behind a gap is none before the gap is filled.

A clip is a fragmented MP4 as Media Source Extensions take it, at the times of the finished video. Append its bytes to a
SourceBuffer in "segments" mode with `timestampOffset` 0, in any order; `media_type` says what to create that with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.error
from av.container import OutputContainer
from av.video.stream import VideoStream

from ..errors import VideoFileError
from .encoding import Encoding, configure, even, to_frame
from .job import excerpt_of
from .pipeline import Excerpt
from .segments import Segment, folder_for, read_manifest
from .sources.ffmpeg import address, error_text
from .sources.source import Frame, VideoSource
from .timeline import add_restored, clip_packets, presentation_order, ranks

if TYPE_CHECKING:
    Packet = av.Packet[Any]  # generic only in its type stubs

# What every browser plays, and hard to tell from the source: 44 dB, as with the preset "veryfast", which takes three
# times as long to encode.
_SOURCE_ENCODING = Encoding("libx264", 18, "ultrafast", "yuv420p")
_SHOWN = ("h264", "hevc", "vp9", "av1")  # codecs that some browser plays
# The init segment at once, a fragment from each key frame on, and times as they are: no edit list, which browsers treat
# differently, and so composition offsets that may be negative.
_MOVFLAGS = "empty_moov+default_base_moof+frag_keyframe+frag_discont+negative_cts_offsets+skip_trailer"


@dataclass(frozen=True)
class Clip:
    """A finished part of a video: its number from 0, and when in the finished video it begins and how long it lasts."""

    number: int
    start_s: float
    duration_s: float
    frames: int


def clips(target: Path, source: VideoSource) -> list[Clip]:
    """What is finished of the video that is being restored from `source` into `target`.

    Empty before the first segment is finished, and once the video is: then its segments are removed.
    """
    found = _finished(target, source)
    return [] if found is None else [_clip(number, segment, source) for number, segment in enumerate(found.segments)]


def restored_clip(target: Path, source: VideoSource, number: int) -> bytes:
    """A clip as it was restored; its packets are copied.

    Raises:
        VideoFileError: there is no such clip (any more), it is damaged, or no browser plays its codec.
    """
    segment = _segment(target, source, number)[1]
    file = folder_for(target) / segment.file
    order = presentation_order(file, len(segment.pts))
    with _named_errors(file), av.open(address(file)) as container, _fragmented(source) as (output, buffer):
        codec = container.streams.video[0].codec_context.codec.canonical_name
        if codec not in _SHOWN:
            raise VideoFileError(f"{target}: no browser shows {codec} video; `codec` libx264 can be watched")
        video = add_restored(output, file, source, source.time_base)
        if codec == "hevc":
            video.codec_context.codec_tag = "hvc1"  # Safari takes no other
        packets = (packet for packet in container.demux(video=0) if packet.size)
        for packet in clip_packets(packets, order, segment, video, source.time_base):
            output.mux(packet)
    return buffer.getvalue()


def source_clip(target: Path, source: VideoSource, number: int, *, check: Callable[[], None] = lambda: None) -> bytes:
    """The same frames as they were, at the same times, encoded as H.264 of 8 bits.

    Odd sizes are made even as those of restored frames are: the last column or row is repeated. So the pixel at (x, y)
    lies at (scale · x, scale · y) of the restored clip, if both are shown from the top left corner on, and cut to the
    size of the source. `check` is called for each frame, and may raise to stop; not while a file that cannot be entered
    in the middle, such as an .avi, is decoded up to the clip.

    Raises:
        VideoFileError: there is no such clip (any more), or the source cannot be read, or is no longer what it was.
    """
    excerpt, segment = _segment(target, source, number)
    with _named_errors(source.path), _fragmented(source) as (output, buffer):
        video, packets = _encoded(output, source, _frames(source, excerpt, segment), check)
        order = ranks([packet.pts or 0 for packet in packets])
        for packet in clip_packets(packets, order, segment, video, source.time_base):
            output.mux(packet)
    return buffer.getvalue()


@dataclass(frozen=True)
class _Finished:
    excerpt: Excerpt
    segments: list[Segment]


def _finished(target: Path, source: VideoSource) -> _Finished | None:
    """What is finished in a row beside `target`; None: there is no manifest, or it is of a job with another source."""
    manifest = read_manifest(folder_for(target))
    excerpt = None if manifest is None else excerpt_of(manifest.identity, source)
    return None if manifest is None or excerpt is None else _Finished(excerpt, manifest.head)


def _segment(target: Path, source: VideoSource, number: int) -> tuple[Excerpt, Segment]:
    found = _finished(target, source)
    count = 0 if found is None else len(found.segments)
    if found is None or not 0 <= number < count:
        raise VideoFileError(f"{target}: there is no clip {number}; {count} are finished")
    return found.excerpt, found.segments[number]


def _clip(number: int, segment: Segment, source: VideoSource) -> Clip:
    begin, end = segment.pts[0], segment.pts[-1] + segment.durations[-1]
    unit = source.time_base
    return Clip(number, float(begin * unit), float((end - begin) * unit), len(segment.pts))


def _frames(source: VideoSource, excerpt: Excerpt, segment: Segment) -> Iterator[Frame]:
    """The frames of the source that a segment was made of, read as a job reads that goes on there."""
    resume = (segment.first, segment.pts[0]) if segment.first else None
    missing = len(segment.pts)
    with source.frames(excerpt.start_s, excerpt.end_s, resume) as reading:
        for pts, frame in zip(segment.pts, reading, strict=False):
            if frame.pts != pts:
                break
            missing -= 1
            yield frame
    if missing:
        source.refuse_changed()
        raise VideoFileError(f"{source.path}: {missing} frames that were restored can no longer be read")


def _encoded(
    output: OutputContainer, source: VideoSource, frames: Iterator[Frame], check: Callable[[], None]
) -> tuple[VideoStream, list[Packet]]:
    """The frames as packets that only count them, and the stream of `output` that they are for."""
    stream = output.add_stream(_SOURCE_ENCODING.codec, rate=source.rate)
    assert isinstance(stream, VideoStream)
    size = (source.width + source.width % 2, source.height + source.height % 2)
    configure(stream, _SOURCE_ENCODING, size, source.colour, source.pixel_aspect)
    packets: list[Packet] = []
    for count, frame in enumerate(frames):
        check()
        picture = to_frame(even(frame.pixels), _SOURCE_ENCODING, source.colour)
        picture.pts, picture.time_base = count, 1 / source.rate
        packets += stream.encode(picture)
    return stream, packets + stream.encode(None)


@contextmanager
def _fragmented(source: VideoSource) -> Iterator[tuple[OutputContainer, BytesIO]]:
    """An MP4 to put a clip into; its bytes are complete after leaving `with`."""
    buffer = BytesIO()
    options = {
        "movflags": _MOVFLAGS,
        "use_editlist": "0",
        "avoid_negative_ts": "disabled",
        "video_track_timescale": str(source.time_base.denominator),
    }
    with av.open(buffer, "w", format="mp4", container_options=options) as output:
        yield output, buffer


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except av.error.FFmpegError as error:
        raise VideoFileError(f"{path}: no clip can be made of it ({error_text(error)})") from error
