"""Encode segments, and put them together with everything of the source that is not the picture."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.error
import av.stream
from av.container import InputContainer, OutputContainer
from av.video.stream import VideoStream

from ..errors import VideoFileError
from ..pixels import Array
from .encoding import MP4_ENCODERS, Encoding, configure, to_frame
from .probe import OtherStream, VideoSource, error_text
from .segments import Segment, Workspace

if TYPE_CHECKING:
    Packet = av.Packet[Any]  # generic only in its type stubs

# What players expect in an .mp4, by FFmpeg's decoder names. FFmpeg also writes PCM or FLAC into one, which few play.
_MP4_AUDIO = ("aac", "mp3", "mp3float", "ac3", "eac3", "opus", "libopus", "alac")
_MP4_SUBTITLES = ("mov_text",)
_FORMATS = {"mp4": "mp4", "mkv": "matroska", "mov": "mov", "webm": "webm"}
_FORMAT_FACTS = ("major_brand", "minor_version", "compatible_brands", "encoder")  # of the old file, not of the new


@dataclass(frozen=True)
class OutputPlan:
    """Which extension the output gets, and one line for each thing that is not as usual."""

    extension: str
    remarks: tuple[str, ...]


def plan_output(source: VideoSource, encoding: Encoding, extension: str | None) -> OutputPlan:
    """Choose the container: .mp4 unless something the source has would not fit, then .mkv; `extension` decides."""
    misfits = [_describe_stream(stream) for stream in source.others if not _fits_mp4(stream)]
    if encoding.codec not in MP4_ENCODERS:
        misfits.append(f"{encoding.codec} video")
    if extension is not None:
        return OutputPlan(extension, ())
    if misfits:
        return OutputPlan("mkv", (f"the output is .mkv, because .mp4 cannot hold {', '.join(misfits)}",))
    return OutputPlan("mp4", ())


def _fits_mp4(stream: OtherStream) -> bool:
    if stream.kind == "audio":
        return stream.codec in _MP4_AUDIO
    if stream.kind == "subtitle":
        return stream.codec in _MP4_SUBTITLES
    return stream.kind != "attachment"  # what is left is data, or a cover picture, which .mp4 holds


def _describe_stream(stream: OtherStream) -> str:
    language = f" ({stream.language})" if stream.language not in (None, "und") else ""
    return stream.kind if stream.kind == "attachment" else f"{stream.codec} {stream.kind}{language}"


class SegmentEncoder:
    """Encodes the frames of one segment; `finish` commits it to the workspace.

    Raises:
        VideoFileError: the encoder or the disk refuses, with FFmpeg's own words.
    """

    def __init__(
        self,
        workspace: Workspace,
        first: int,
        source: VideoSource,
        encoding: Encoding,
        size: tuple[int, int],
        rate: Fraction,
    ) -> None:
        self._workspace = workspace
        self._first = first
        self._encoding = encoding
        self._source = source
        self._pts: list[int] = []
        self._durations: list[int] = []
        self._container = av.open(str(workspace.path_for(first)), "w")
        stream = self._container.add_stream(encoding.codec, rate=rate)
        assert isinstance(stream, VideoStream)
        configure(stream, encoding, size, source.colour, source.pixel_aspect)
        self._stream = stream
        self._time_base = 1 / rate

    def write(self, pixels: Array, pts: int, duration: int) -> None:
        """Add (H, W, 3) BGR, shown from `pts` for `duration` in the output's time base."""
        frame = to_frame(pixels, self._encoding, self._source.colour)
        # Here frames are just counted: encoders differ in what timing they accept. The manifest has the times.
        frame.pts, frame.time_base = len(self._pts), self._time_base
        self._pts.append(pts)
        self._durations.append(duration)
        self._mux(frame)

    def finish(self) -> None:
        self._mux(None)
        self.close()
        self._workspace.commit(self._first, self._pts, self._durations)

    def _mux(self, frame: av.VideoFrame | None) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except av.error.FFmpegError as error:
            raise VideoFileError(f"{self._encoding.codec} failed: {error_text(error)}") from error

    def close(self) -> None:
        """Let go of the file; without `finish` before, it does not count."""
        try:
            self._container.close()
        except av.error.FFmpegError as error:
            raise VideoFileError(f"{self._workspace.folder}: cannot be written ({error_text(error)})") from error


def assemble(
    target: Path,
    workspace: Workspace,
    source: VideoSource,
    time_base: Fraction,
    *,
    start_s: float = 0.0,
    end_s: float | None = None,
) -> list[str]:
    """Join the segments, and copy every other stream of the source, into `target`; return remarks, one line each.

    Packets of other streams are copied bit for bit, cut to [start_s, end_s). The file appears whole or not at all.

    Raises:
        VideoFileError: the container refuses the video, or the disk.
    """
    part = target.with_name(f".{target.stem}.part{target.suffix}")
    format_name = _FORMATS.get(target.suffix[1:].lower())
    options = {}
    if format_name in ("mp4", "mov"):
        options = {"movflags": "+faststart", "video_track_timescale": str(time_base.denominator)}
    try:
        with av.open(str(part), "w", format=format_name, container_options=options) as output:
            remarks = _mux_all(output, workspace, source, time_base, start_s, end_s)
        part.replace(target)
    except (av.error.FFmpegError, OSError) as error:
        raise VideoFileError(f"{target}: cannot be written ({error_text(error)})") from error
    finally:
        part.unlink(missing_ok=True)
    return remarks


def _mux_all(
    output: OutputContainer,
    workspace: Workspace,
    source: VideoSource,
    time_base: Fraction,
    start_s: float,
    end_s: float | None,
) -> list[str]:
    with av.open(str(workspace.folder / workspace.segments[0].file)) as first:
        video = output.add_stream_from_template(first.streams.video[0])
    video.time_base = time_base
    if source.pictures:
        for packet in _segment_packets(workspace, video, time_base):
            output.mux(packet)
        return []
    with av.open(str(source.path)) as original:
        original_video = original.streams[source.stream_index]
        copies, remarks = _add_copies(output, original, source)
        _carry_facts(output, original, original_video, video, start_s, end_s)
        streams = [_segment_packets(workspace, video, time_base)]
        if copies:
            streams.append(_copied_packets(original, copies, source, start_s, end_s))
        for packet in heapq.merge(*streams, key=_seconds):
            output.mux(packet)
    return remarks


def _seconds(packet: Packet) -> float:
    when = packet.dts if packet.dts is not None else packet.pts
    return float((when or 0) * packet.time_base)


def _carry_facts(
    output: OutputContainer,
    original: InputContainer,
    original_video: av.stream.Stream,
    video: av.stream.Stream,
    start_s: float,
    end_s: float | None,
) -> None:
    """Titles, languages, dispositions and chapters; what only described the old file is left behind."""
    output.metadata.update({key: value for key, value in original.metadata.items() if key not in _FORMAT_FACTS})
    video.metadata.update(_kept(original_video.metadata))
    video.disposition = original_video.disposition
    chapters = [_cut(chapter, start_s, end_s) for chapter in original.chapters()]
    if kept := [chapter for chapter in chapters if chapter is not None]:
        output.set_chapters(kept)


def _kept(metadata: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in metadata.items() if key not in ("encoder", "rotate", "DURATION")}


def _cut(chapter: Any, start_s: float, end_s: float | None) -> Any | None:
    """A chapter as it stands in the excerpt, or None if it lies outside."""
    unit = chapter["time_base"]
    shift = round(Fraction(start_s) / unit)
    last = None if end_s is None else round(Fraction(end_s) / unit)
    begin, end = max(chapter["start"], shift), chapter["end"] if last is None else min(chapter["end"], last)
    return {**chapter, "start": begin - shift, "end": end - shift} if begin < end else None


def _add_copies(
    output: OutputContainer, original: InputContainer, source: VideoSource
) -> tuple[dict[int, av.stream.Stream], list[str]]:
    """Announce the streams that are copied; what the container refuses is named."""
    copies: dict[int, av.stream.Stream] = {}
    remarks = []
    for other in source.others:
        stream = original.streams[other.index]
        try:
            if other.kind == "attachment":
                name = stream.metadata.get("filename", f"attachment {other.index}")
                kind = stream.metadata.get("mimetype", "application/octet-stream")
                output.add_attachment(name, kind, bytes(getattr(stream, "data", None) or b""))
                continue
            if other.kind not in ("audio", "subtitle", "video"):
                raise ValueError
            copy = output.add_stream_from_template(stream)
        except (ValueError, av.error.FFmpegError, AttributeError):
            remarks.append(f"left out: {_describe_stream(other)}, which .{output.format.name} cannot hold")
            continue
        copy.metadata.update(_kept(stream.metadata))
        copy.disposition = stream.disposition
        copies[other.index] = copy
    return copies, remarks


def _copied_packets(
    original: InputContainer,
    copies: dict[int, av.stream.Stream],
    source: VideoSource,
    start_s: float,
    end_s: float | None,
) -> Iterator[Packet]:
    """The packets of other streams, in file order, with times counted as those of the video are."""
    origin_s = source.start_pts * source.time_base + Fraction(start_s)
    for packet in original.demux([original.streams[index] for index in copies]):
        if packet.size == 0 or packet.pts is None:
            continue
        when_s = packet.pts * packet.time_base - origin_s
        if (start_s > 0 and when_s < 0) or (end_s is not None and when_s >= Fraction(end_s) - Fraction(start_s)):
            continue
        shift = round(origin_s / packet.time_base)
        packet.pts -= shift
        packet.dts = packet.pts if packet.dts is None else packet.dts - shift
        packet.stream = copies[packet.stream_index]
        yield packet


def _segment_packets(workspace: Workspace, video: av.stream.Stream, time_base: Fraction) -> Iterator[Packet]:
    """All packets of all segments, at the times the manifest gives them.

    Within a segment the n-th packet in order of presentation is the n-th frame. Decoding times are the presentation
    times in order, moved back by as many frames as the encoder reorders.
    """
    times = [pts for segment in workspace.segments for pts in segment.pts]
    delay = max(_reordering(_ranks(workspace, segment)) for segment in workspace.segments)
    early = [times[0] - (delay - i) * _usual_step(times) for i in range(delay)]
    decode_times = iter(early + times)
    for segment in workspace.segments:
        with av.open(str(workspace.folder / segment.file)) as container:
            ranks = iter(_ranks(workspace, segment))
            for packet in container.demux(video=0):
                if packet.size == 0:
                    continue
                rank = next(ranks)
                packet.stream = video  # type: ignore[assignment]
                packet.time_base = time_base
                packet.pts, packet.dts = segment.pts[rank], next(decode_times)
                packet.duration = segment.durations[rank]
                yield packet


def _usual_step(times: Sequence[int]) -> int:
    return max(1, (times[-1] - times[0]) // max(1, len(times) - 1))


def _ranks(workspace: Workspace, segment: Segment) -> list[int]:
    """For each packet in the order of the file, which frame of the segment it is."""
    with av.open(str(workspace.folder / segment.file)) as container:
        counted = [packet.pts or 0 for packet in container.demux(video=0) if packet.size]
    order = {pts: rank for rank, pts in enumerate(sorted(counted))}
    if len(order) != len(segment.pts):
        raise VideoFileError(
            f"{segment.file}: has {len(order)} frames where {len(segment.pts)} were encoded; "
            f"delete {workspace.folder} and run again"
        )
    return [order[pts] for pts in counted]


def _reordering(ranks: Sequence[int]) -> int:
    """By how many frames decoding has to run ahead so that nothing is shown before it is decoded."""
    return max((position - rank for position, rank in enumerate(ranks)), default=0)
