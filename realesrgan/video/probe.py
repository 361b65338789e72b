"""What a video is, found by looking into it and never by its name. Knows nothing of networks or of writing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import av.error
import av.stream
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from ..errors import UsageError, VideoFileError
from ..image import files
from .animation import Animation, probe_webp
from .hdr import Hdr, hdr_of

DEFAULT_FOLDER_RATE = Fraction(24)  # frames per second of a folder of pictures, as published
_PICTURES, _ANIMATED_WEBP = "pictures", "animated webp"  # in place of FFmpeg's names of formats
LOOK_AHEAD_FRAMES = 12  # enough to meet a field among the whole frames of a telecined film, which has two in five
HD_HEIGHT = 720  # untagged video from this height on is BT.709, below it BT.601: what players assume


@dataclass(frozen=True)
class Colour:
    """The colour description of a video, in FFmpeg's numbers (ISO/IEC 23091-2): 2 is "not said"."""

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


@dataclass(frozen=True)
class OtherStream:
    """A stream that is not the picture: audio, subtitle, attachment or data."""

    index: int
    kind: str
    codec: str
    language: str | None


@dataclass(frozen=True)
class VideoSource:
    """A video as it should be seen: sizes and aspect are those after rotation.

    `pictures` is empty unless it is a folder, whose frames they are, in order. Timestamps count in `time_base` from
    `start_pts`. `frame_count` and `duration_s` are what the file claims, or None; `duration_is_own` says that the
    duration is that of the picture and not of the longest stream.
    """

    path: Path
    pictures: tuple[Path, ...]
    stream_index: int
    width: int
    height: int
    rotation: int
    pixel_aspect: Fraction
    rate: Fraction
    time_base: Fraction
    start_pts: int
    frame_count: int | None
    duration_s: float | None
    duration_is_own: bool
    colour: Colour
    depth_bits: int
    has_alpha: bool
    interlaced: bool
    others: tuple[OtherStream, ...]
    format_name: str
    hdr: Hdr | None = None

    @property
    def area(self) -> int:
        return self.width * self.height

    @property
    def is_container(self) -> bool:
        """Whether FFmpeg reads it, and so whether it can have other streams."""
        return self.format_name not in (_PICTURES, _ANIMATED_WEBP)


def probe(path: Path, folder_rate: Fraction | None = None) -> VideoSource:
    """Look into a file of any container FFmpeg reads, an animated picture, a single picture, or a folder of frames.

    Raises:
        UsageError: there is no such file or folder.
        VideoFileError: it is no video, has no picture stream, or is a folder whose frames do not fit together.
    """
    if path.is_dir():
        return _probe_folder(path, folder_rate or DEFAULT_FOLDER_RATE)
    if not path.exists():
        raise UsageError(f"-i {path}: there is no such file or folder")
    if path.stat().st_size == 0:
        raise VideoFileError(f"{path}: an empty file")
    if (animation := probe_webp(path)) is not None:
        return _of_animation(path, animation)
    try:
        with av.open(str(path)) as container:
            stream = find_picture_stream(container)
            if stream is None:
                raise VideoFileError(f"{path}: has no video in it, only {_kinds(container)}")
            return _describe(path, container, stream)
    except (av.error.FFmpegError, UnicodeDecodeError) as error:
        if files.probe(path) is not None:  # a single picture of a kind that FFmpeg does not know
            return _of_pictures(path, [path], folder_rate or DEFAULT_FOLDER_RATE)
        raise VideoFileError(f"{path}: not a video, or damaged ({error_text(error)})") from error


def error_text(error: BaseException) -> str:
    """FFmpeg's own words, without the number and the file name PyAV puts around them."""
    return str(getattr(error, "strerror", None) or error)


def find_picture_stream(container: av.container.InputContainer) -> VideoStream | None:
    """The video to restore: the default one, else the largest; a cover picture is none."""
    attached = av.stream.Disposition.attached_pic
    candidates = [stream for stream in container.streams.video if not stream.disposition & attached]
    default = av.stream.Disposition.default
    return max(
        candidates,
        key=lambda stream: (bool(stream.disposition & default), (stream.width or 0) * (stream.height or 0)),
        default=None,
    )


def _kinds(container: av.container.InputContainer) -> str:
    return ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"


def _describe(path: Path, container: av.container.InputContainer, stream: VideoStream) -> VideoSource:
    first, interlaced = _look_ahead(container, stream)
    if first is None:
        raise VideoFileError(f"{path}: no frame of its video can be decoded")
    context = stream.codec_context
    rotation = first.rotation % 360
    width, height = first.width, first.height
    aspect = Fraction(stream.sample_aspect_ratio or context.sample_aspect_ratio or 1) or Fraction(1)
    if rotation in (90, 270):
        width, height, aspect = height, width, 1 / aspect
    assert stream.time_base is not None
    rate = Fraction(stream.average_rate or stream.guessed_rate or context.framerate or DEFAULT_FOLDER_RATE)
    # Everything is counted from where the container says it starts: .ts files begin at 1.4 s, or at hours.
    start_s = Fraction(max(container.start_time or 0, 0), av.time_base)
    own_duration = _own_duration(stream)
    duration = own_duration
    if duration is None and container.duration:
        duration = Fraction(container.duration, av.time_base)
    return VideoSource(
        path=path,
        pictures=(),
        stream_index=stream.index,
        width=width,
        height=height,
        rotation=rotation,
        pixel_aspect=aspect,
        rate=rate,
        time_base=stream.time_base,
        start_pts=round(start_s / stream.time_base),
        frame_count=stream.frames or (round(duration * rate) if duration else None),
        duration_s=float(duration) if duration else None,
        duration_is_own=own_duration is not None,
        colour=_colour(first, context),
        depth_bits=max(component.bits for component in first.format.components),
        has_alpha=any(component.is_alpha for component in first.format.components),
        interlaced=interlaced,
        others=tuple(
            OtherStream(other.index, other.type, _codec_name(other), other.language)
            for other in container.streams
            if other.index != stream.index and not _holds_chapters(other, container)
        ),
        format_name=container.format.name,
        hdr=hdr_of(first),
    )


def _look_ahead(container: av.container.InputContainer, stream: VideoStream) -> tuple[av.VideoFrame | None, bool]:
    """The first frame, and whether there is an interlaced one among the first few."""
    first: av.VideoFrame | None = None
    try:
        for number, frame in enumerate(container.decode(stream)):
            first = first or frame
            if frame.interlaced_frame or number + 1 == LOOK_AHEAD_FRAMES:
                return first, bool(frame.interlaced_frame)
    except av.error.FFmpegError:
        if first is None:
            raise
    return first, False


def _holds_chapters(stream: av.stream.Stream, container: av.container.InputContainer) -> bool:
    """.mp4 keeps the titles of its chapters in a stream, which is read as chapters and as a stream of data."""
    return stream.type == "data" and "mp4" in container.format.name and bool(container.chapters())


def _own_duration(stream: VideoStream) -> Fraction | None:
    """Seconds from the header of the stream, or from the tag that Matroska files have for each."""
    if stream.duration:
        return Fraction(stream.duration) * (stream.time_base or 1)
    try:
        hours, minutes, seconds = stream.metadata.get("DURATION", "").split(":")
        return Fraction(hours) * 3600 + Fraction(minutes) * 60 + Fraction(seconds)
    except ValueError:
        return None


def _codec_name(stream: av.stream.Stream) -> str:
    context = getattr(stream, "codec_context", None)
    return str(context.name) if context is not None else stream.type


def _colour(frame: av.VideoFrame, context: av.VideoCodecContext) -> Colour:
    """What the file says; where it says nothing, what players assume, so that nothing shifts."""
    said = int(frame.colorspace or 2)
    assumed = Colorspace.ITU709 if frame.height >= HD_HEIGHT else Colorspace.ITU601
    # Pictures in RGB become limited range, which all players know, unlike full range.
    full = not frame.format.is_rgb and (frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj"))
    space = int(assumed) if said in (0, 2, 3) else said
    return Colour(space, int(frame.color_primaries or 2), int(frame.color_trc or 2), full)


def _probe_folder(folder: Path, rate: Fraction) -> VideoSource:
    """A folder of frames, in the order of their names."""
    entries = sorted(entry for entry in folder.iterdir() if entry.is_file() and not entry.name.startswith("."))
    return _of_pictures(folder, entries, rate)


def _of_pictures(path: Path, entries: Sequence[Path], rate: Fraction) -> VideoSource:
    """Those of `entries` that are pictures, as frames; each is checked before work begins."""
    pictures: list[Path] = []
    sizes: dict[tuple[int, int], Path] = {}
    depth, alpha = 8, False
    for entry in entries:
        header = files.probe(entry)
        if header is None:
            continue
        pictures.append(entry)
        sizes.setdefault((header.width, header.height), entry)
        depth, alpha = max(depth, header.depth_bits), alpha or header.has_alpha
    if not pictures:
        raise VideoFileError(f"{path}: no pictures in this folder to make a video of")
    if len(sizes) > 1:
        (first, a), (second, b) = list(sizes.items())[:2]
        raise VideoFileError(
            f"{path}: its pictures are not of one size: {a.name} is {first[0]}×{first[1]}, "
            f"{b.name} is {second[0]}×{second[1]}"
        )
    ((width, height),) = sizes
    source = _without_container(path, _PICTURES, (width, height), rate, 1 / rate, len(pictures), len(pictures) / rate)
    return replace(source, pictures=tuple(pictures), depth_bits=depth, has_alpha=alpha)


def _of_animation(path: Path, animation: Animation) -> VideoSource:
    count, duration_s = len(animation.delays_ms), Fraction(sum(animation.delays_ms), 1000)
    size, unit = (animation.width, animation.height), Fraction(1, 1000)
    source = _without_container(path, _ANIMATED_WEBP, size, count / duration_s, unit, count, duration_s)
    return replace(source, has_alpha=animation.has_alpha)


def _without_container(
    path: Path,
    format_name: str,
    size: tuple[int, int],
    rate: Fraction,
    time_base: Fraction,
    count: int,
    duration_s: Fraction,
) -> VideoSource:
    width, height = size
    space = Colorspace.ITU709 if height >= HD_HEIGHT else Colorspace.ITU601
    return VideoSource(
        path=path,
        pictures=(),
        stream_index=0,
        width=width,
        height=height,
        rotation=0,
        pixel_aspect=Fraction(1),
        rate=rate,
        time_base=time_base,
        start_pts=0,
        frame_count=count,
        duration_s=float(duration_s),
        duration_is_own=True,
        colour=Colour(int(space), 2, 2, False),
        depth_bits=8,
        has_alpha=False,
        interlaced=False,
        others=(),
        format_name=format_name,
    )
