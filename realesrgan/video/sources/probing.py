"""What a container says of its video, and the first few frames show. Knows nothing of decoding the rest."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import av.error
import av.stream
from av.container import InputContainer
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from ...errors import VideoFileError
from .container import ContainerSource
from .conversion import orientation_of
from .ffmpeg import address
from .hdr import hdr_of
from .source import Colour, OtherStream, stamps_of, untagged_colour

UNKNOWN_RATE = Fraction(24)  # frames per second, where neither container nor codec tells
LOOK_AHEAD_FRAMES = 12  # enough to meet a field among the whole frames of a telecined film, which has two in five
MOST_UNTIMED_FRAMES = 250  # how many may come before 0 in Matroska, where they have no time
_UNSPECIFIED = (0, 2, 3)  # RGB, not said, reserved: what a YUV video cannot be


def probe_container(path: Path) -> ContainerSource:
    """Look into a file.

    Raises:
        FFmpegError, UnicodeDecodeError: FFmpeg cannot read it.
        VideoFileError: it has no video, or none that can be decoded.
    """
    with av.open(address(path)) as container:
        stream = find_picture_stream(container)
        if stream is None:
            kinds = ", ".join(sorted({stream.type for stream in container.streams}))
            found = f", only {kinds}" if kinds else ""
            if any(stream.codec_context is None for stream in container.streams.video):
                found = " that can be decoded here"
            raise VideoFileError(f"{path}: has no video in it{found}")
        beginning = _look_ahead(container, stream)
        if not beginning:
            raise VideoFileError(f"{path}: no frame of its video can be decoded")
        return _described(path, container, stream, beginning)


def _described(
    path: Path, container: InputContainer, stream: VideoStream, beginning: list[av.VideoFrame]
) -> ContainerSource:
    first, context = beginning[0], stream.codec_context
    orientation = orientation_of(first)
    width, height = first.width, first.height
    aspect = Fraction(stream.sample_aspect_ratio or context.sample_aspect_ratio or 1) or Fraction(1)
    if orientation.transposed:
        width, height, aspect = height, width, 1 / aspect
    assert stream.time_base is not None
    rate = Fraction(stream.average_rate or stream.guessed_rate or context.framerate or UNKNOWN_RATE)
    start_pts = _start(container, stream, beginning, rate)
    origin_s = start_pts * stream.time_base
    duration, duration_is_own = _duration(container, stream, origin_s)
    return ContainerSource(
        path=path,
        stamps=stamps_of((path,)),
        stream_index=stream.index,
        width=width,
        height=height,
        orientation=orientation,
        pixel_aspect=aspect,
        rate=rate,
        time_base=stream.time_base,
        start_pts=start_pts,
        origin_s=origin_s,
        frame_count=stream.frames or (round(duration * rate) if duration else None),
        duration_s=float(duration) if duration else None,
        duration_is_own=duration_is_own,
        colour=_colour(first),
        depth_bits=max(component.bits for component in first.format.components),
        has_alpha=_has_alpha(stream, first),
        interlaced=any(frame.interlaced_frame for frame in beginning[:LOOK_AHEAD_FRAMES]),
        others=_others(container, stream),
        format_name=container.format.name,
        hdr=hdr_of(first),
    )


def find_picture_stream(container: InputContainer) -> VideoStream | None:
    """The video to restore: the default one, else the largest. A cover picture is not a video.

    Streams without a decoder here are left out, among them SVG drawings.
    """
    attached = av.stream.Disposition.attached_pic
    known = [stream for stream in container.streams.video if stream.codec_context is not None]
    candidates = [stream for stream in known if not stream.disposition & attached]
    default = av.stream.Disposition.default
    return max(
        candidates,
        key=lambda stream: (bool(stream.disposition & default), (stream.width or 0) * (stream.height or 0)),
        default=None,
    )


def _look_ahead(container: InputContainer, stream: VideoStream) -> list[av.VideoFrame]:
    """The first few frames, or fewer if they cannot be decoded; in Matroska up to the first that has a time."""
    frames: list[av.VideoFrame] = []
    most_untimed = MOST_UNTIMED_FRAMES if "matroska" in container.format.name else 0
    try:
        for frame in container.decode(stream):
            frames.append(frame)
            if len(frames) >= (LOOK_AHEAD_FRAMES if frame.pts is not None else most_untimed):
                break
    except av.error.FFmpegError:
        if not frames:
            raise
    return frames


def _start(container: InputContainer, stream: VideoStream, beginning: list[av.VideoFrame], rate: Fraction) -> int:
    """What counts as 0: where the container starts, as .ts files begin at 1.4 s or at hours.

    Sound may start a little before 0, as encoders need some to get going. If the video does, 0 is where it starts.
    """
    assert stream.time_base is not None
    start = round(Fraction(max(container.start_time or 0, 0), av.time_base) / stream.time_base)
    untimed = 0
    for frame in beginning:
        if frame.pts is not None:
            first_pts = frame.pts - untimed
            return min(start, first_pts) if first_pts < 0 else start
        untimed += frame.duration or round(1 / (rate * stream.time_base))
    return start


def _duration(container: InputContainer, stream: VideoStream, origin_s: Fraction) -> tuple[Fraction | None, bool]:
    """Seconds from the start, and whether that is of the video and not of the longest stream."""
    if stream.duration:
        return Fraction(stream.duration) * (stream.time_base or 1), True
    # Matroska counts up to the end, wherever the beginning; only what mkvmerge writes for each stream is a length.
    before_s = origin_s if "matroska" in container.format.name else Fraction(0)
    if (tag := _duration_tag(stream)) is not None:
        return tag - (0 if "_STATISTICS_WRITING_APP" in stream.metadata else before_s), True
    return Fraction(container.duration, av.time_base) - before_s if container.duration else None, False


def _duration_tag(stream: VideoStream) -> Fraction | None:
    """The tag that Matroska files have for each stream, in seconds."""
    try:
        hours, minutes, seconds = stream.metadata.get("DURATION", "").split(":")
        return Fraction(hours) * 3600 + Fraction(minutes) * 60 + Fraction(seconds)
    except ValueError:
        return None


def _others(container: InputContainer, stream: VideoStream) -> tuple[OtherStream, ...]:
    return tuple(
        OtherStream(other.index, other.type, _codec_name(other), other.language)
        for other in container.streams
        if other.index != stream.index and not _holds_chapters(other, container)
    )


def _holds_chapters(stream: av.stream.Stream, container: InputContainer) -> bool:
    """.mp4 keeps the titles of its chapters in a stream, which is read as chapters and as a stream of data."""
    return stream.type == "data" and "mp4" in container.format.name and bool(container.chapters())


def _codec_name(stream: av.stream.Stream) -> str:
    context = getattr(stream, "codec_context", None)
    return str(context.name) if context is not None else stream.type


def _has_alpha(stream: VideoStream, first: av.VideoFrame) -> bool:
    """VP8 and VP9 have it in a second picture, which FFmpeg does not decode."""
    return stream.metadata.get("alpha_mode") == "1" or any(part.is_alpha for part in first.format.components)


def _colour(frame: av.VideoFrame) -> Colour:
    """What the file says; where it says nothing, what players assume, so that nothing shifts."""
    said = int(frame.colorspace or 2)
    # Pictures in RGB become limited range, which all players know, unlike full range.
    full = not frame.format.is_rgb and (frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj"))
    space = untagged_colour(frame.height).space if said in _UNSPECIFIED else said
    return Colour(space, int(frame.color_primaries or 2), int(frame.color_trc or 2), full)
