"""What a video is, found by looking into it and never by its name. Knows nothing of networks or of writing."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.error
import av.stream
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from ..errors import UsageError, VideoFileError
from ..image import files

DEFAULT_FOLDER_RATE = Fraction(24)  # frames per second of a folder of pictures, as published
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

    `pictures` is empty for a container, else the frames of a folder in order. Timestamps count in `time_base` from
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

    @property
    def area(self) -> int:
        return self.width * self.height


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
    try:
        with av.open(str(path)) as container:
            stream = find_picture_stream(container)
            if stream is None:
                raise VideoFileError(f"{path}: has no video in it, only {_kinds(container)}")
            return _describe(path, container, stream)
    except (av.error.FFmpegError, UnicodeDecodeError) as error:
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
    first = next(iter(container.decode(stream)), None)
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
        interlaced=bool(first.interlaced_frame),
        others=tuple(
            OtherStream(other.index, other.type, _codec_name(other), other.language)
            for other in container.streams
            if other.index != stream.index and not _holds_chapters(other, container)
        ),
        format_name=container.format.name,
    )


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
    """A folder of frames, in the order of their names; each is checked before work begins."""
    pictures: list[Path] = []
    sizes: dict[tuple[int, int], Path] = {}
    depth, alpha = 8, False
    for path in sorted(entry for entry in folder.iterdir() if entry.is_file() and not entry.name.startswith(".")):
        header = files.probe(path)
        if header is None:
            continue
        pictures.append(path)
        sizes.setdefault((header.width, header.height), path)
        depth, alpha = max(depth, header.depth_bits), alpha or header.has_alpha
    if not pictures:
        raise VideoFileError(f"{folder}: no pictures in this folder to make a video of")
    if len(sizes) > 1:
        (first, a), (second, b) = list(sizes.items())[:2]
        raise VideoFileError(
            f"{folder}: its pictures are not of one size: {a.name} is {first[0]}×{first[1]}, "
            f"{b.name} is {second[0]}×{second[1]}"
        )
    width, height = next(iter(sizes))
    space = Colorspace.ITU709 if height >= HD_HEIGHT else Colorspace.ITU601
    return VideoSource(
        path=folder,
        pictures=tuple(pictures),
        stream_index=0,
        width=width,
        height=height,
        rotation=0,
        pixel_aspect=Fraction(1),
        rate=rate,
        time_base=1 / rate,
        start_pts=0,
        frame_count=len(pictures),
        duration_s=float(len(pictures) / rate),
        duration_is_own=True,
        colour=Colour(int(space), 2, 2, False),
        depth_bits=depth,
        has_alpha=alpha,
        interlaced=False,
        others=(),
        format_name="folder",
    )
