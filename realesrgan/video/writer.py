"""Encode segments, and put them together with everything of the source that is not the picture."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.error
import av.stream
from av.container import InputContainer, OutputContainer
from av.video.stream import VideoStream

from ..arrays import Array
from ..errors import VideoFileError
from .containers import OutputPlan
from .copies import Copies, Span, kept
from .encoding import Encoding, configure, refusal, to_frame
from .segments import Segment, Workspace, sync
from .sources.ffmpeg import address, error_text
from .sources.source import VideoSource

if TYPE_CHECKING:
    Packet = av.Packet[Any]  # generic only in its type stubs

MOST_COUNTED = Fraction(500)  # frames per second in a segment, whose clock has milliseconds; only a count anyway
_FORMAT_FACTS = ("major_brand", "minor_version", "compatible_brands", "encoder")  # of the old file, not of the new


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
        self._size = size
        self._source = source
        self._pts: list[int] = []
        self._durations: list[int] = []
        rate = min(rate, MOST_COUNTED)
        with self._named_errors():
            self._container = av.open(str(workspace.path_for(first)), "w")
            stream = self._container.add_stream(encoding.codec, rate=rate)
            assert isinstance(stream, VideoStream)
            configure(stream, encoding, size, source.colour, source.pixel_aspect)
        self._stream = stream
        self._time_base = 1 / rate

    def write(self, pixels: Array, pts: int, duration: int) -> None:
        """Add (H, W, 3) BGR, shown from `pts` for `duration` in the output's time base."""
        with self._named_errors():
            frame = to_frame(pixels, self._encoding, self._source.colour)
        # Here frames are just counted: encoders differ in what timing they accept. The manifest has the times.
        frame.pts, frame.time_base = len(self._pts), self._time_base
        self._pts.append(pts)
        self._durations.append(duration)
        self._mux(frame)

    def finish(self) -> None:
        self._mux(None)
        self.close()
        presentation_order(self._workspace.path_for(self._first), len(self._pts))  # a full disk may show only here
        self._workspace.commit(self._first, self._pts, self._durations)

    def _mux(self, frame: av.VideoFrame | None) -> None:
        with self._named_errors():
            for packet in self._stream.encode(frame):
                self._container.mux(packet)

    def close(self) -> None:
        """Let go of the file; without `finish` before, it does not count."""
        with self._named_errors():
            self._container.close()

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except av.error.FFmpegError as error:
            reason = refusal(self._encoding, self._size) or error_text(error)
            raise VideoFileError(f"{self._encoding.codec} into {self._workspace.folder} failed: {reason}") from error


def assemble(
    target: Path,
    workspace: Workspace,
    source: VideoSource,
    time_base: Fraction,
    plan: OutputPlan,
    *,
    start_s: float = 0.0,
    end_s: float | None = None,
) -> Copies | None:
    """Join the segments, and everything of the source that `plan` keeps, into `target`; return what was copied.

    Packets of other streams are copied bit for bit, cut to [start_s, end_s). The file appears whole, with all its
    frames counted, or not at all.

    Raises:
        VideoFileError: the container refuses the video, or the disk.
    """
    part = target.with_name(f".{target.stem}.part{target.suffix}")
    # Sound may begin a little before the picture, and then both stay where they are.
    options = {"avoid_negative_ts": "disabled"}
    if plan.container.format in ("mp4", "mov"):
        clock = str(time_base.denominator)
        options = {"movflags": "+faststart", "video_track_timescale": clock, "movie_timescale": clock}
    span = Span(source.origin_s + Fraction(start_s), Fraction(start_s), _fraction(end_s))
    try:
        with av.open(str(part), "w", format=plan.container.format, container_options=options) as output:
            copies = _mux_all(output, workspace, source, time_base, plan, span)
        _check_count(part, workspace.frames_done)
        sync(part)
        part.replace(target)
    except (av.error.FFmpegError, OSError) as error:
        raise VideoFileError(f"{target}: cannot be written ({error_text(error)})") from error
    finally:
        part.unlink(missing_ok=True)
    return copies


def _fraction(seconds: float | None) -> Fraction | None:
    return None if seconds is None else Fraction(seconds)


def _check_count(part: Path, frames: int) -> None:
    """Frames in = frames out: counted in the file, which a full disk may have cut short without an error."""
    with av.open(str(part)) as container:
        written = sum(1 for packet in container.demux(video=0) if packet.size)
    if written != frames:
        raise VideoFileError(f"{part.name}: has {written} frames where {frames} were restored; is the disk full?")


def _mux_all(
    output: OutputContainer,
    workspace: Workspace,
    source: VideoSource,
    time_base: Fraction,
    plan: OutputPlan,
    span: Span,
) -> Copies | None:
    video = _announce_video(output, workspace, source, time_base)
    if not source.is_container:
        for packet in _segment_packets(workspace, video, time_base):
            output.mux(packet)
        return None
    with av.open(address(source.path)) as original:
        copies = Copies(output, original, source, plan)
        _carry_facts(output, original, original.streams[source.stream_index], video, span)
        for packet in heapq.merge(_segment_packets(workspace, video, time_base), copies.packets(span), key=_seconds):
            output.mux(packet)
    return copies


def _announce_video(
    output: OutputContainer, workspace: Workspace, source: VideoSource, time_base: Fraction
) -> VideoStream:
    with av.open(str(workspace.folder / workspace.segments[0].file)) as first:
        # Opaque: by its data and not by an encoder of the decoder's name, which AV1 does not have.
        video = output.add_stream_from_template(first.streams.video[0], opaque=True)
    assert isinstance(video, VideoStream)
    video.time_base = time_base
    # Said again: not every codec has room for them, and Matroska rounds the aspect.
    video.codec_context.sample_aspect_ratio = source.pixel_aspect
    for name, value in source.colour.tags.items():
        setattr(video.codec_context, name, value)
    return video


def _seconds(packet: Packet) -> float:
    when = packet.dts if packet.dts is not None else packet.pts
    return float((when or 0) * packet.time_base)


def _carry_facts(
    output: OutputContainer,
    original: InputContainer,
    original_video: av.stream.Stream,
    video: av.stream.Stream,
    span: Span,
) -> None:
    """Titles, languages, dispositions and chapters; what only described the old file is left behind."""
    output.metadata.update({key: value for key, value in original.metadata.items() if key not in _FORMAT_FACTS})
    video.metadata.update(kept(original_video.metadata))
    video.disposition = original_video.disposition
    chapters = [_cut(chapter, span) for chapter in original.chapters()]
    if inside := [chapter for chapter in chapters if chapter is not None]:
        output.set_chapters(inside)


def _cut(chapter: Any, span: Span) -> Any | None:
    """A chapter as it stands in the excerpt, or None if it lies outside."""
    unit = chapter["time_base"]
    shift = round(span.start_s / unit)
    last = None if span.end_s is None else round(span.end_s / unit)
    begin, end = max(chapter["start"], shift), chapter["end"] if last is None else min(chapter["end"], last)
    return {**chapter, "start": begin - shift, "end": end - shift} if begin < end else None


def _segment_packets(workspace: Workspace, video: av.stream.Stream, time_base: Fraction) -> Iterator[Packet]:
    """All packets of all segments, at the times the manifest gives them.

    Within a segment the n-th packet in order of presentation is the n-th frame. Decoding times are the presentation
    times in order, moved back by as many frames as the encoder reorders.
    """
    times = [pts for segment in workspace.segments for pts in segment.pts]
    orders = [presentation_order(workspace.folder / segment.file, len(segment.pts)) for segment in workspace.segments]
    early = leading_dts(times, workspace.segments[-1], max(map(_reordering, orders)), orders[-1][-1])
    decode_times = iter(early + times)
    for segment, order in zip(workspace.segments, orders, strict=True):
        with av.open(str(workspace.folder / segment.file)) as container:
            rank_of_next = iter(order)
            for packet in container.demux(video=0):
                if packet.size == 0:
                    continue
                rank = next(rank_of_next)
                packet.stream = video  # type: ignore[assignment]
                packet.time_base = time_base
                packet.pts, packet.dts = segment.pts[rank], next(decode_times)
                packet.duration = segment.durations[rank]
                yield packet


def leading_dts(times: Sequence[int], last: Segment, delay: int, last_decoded: int) -> list[int]:
    """The decoding times of the first `delay` packets, which lie before anything is shown.

    An .mp4 takes for its duration the last decoding time minus the first, plus the duration of that packet: the first
    is chosen so that this is how long the frames are shown, whatever their times.
    """
    end = last.pts[-1] + last.durations[-1]
    ahead = end - times[-1 - delay] - last.durations[last_decoded]
    return [times[0] - ahead + i * ahead // delay for i in range(delay)]


def presentation_order(file: Path, frames: int) -> list[int]:
    """For each packet in the order of a segment's file, which of its `frames` it is.

    Raises:
        VideoFileError: they are not all there.
    """
    with av.open(str(file)) as container:
        counted = [packet.pts or 0 for packet in container.demux(video=0) if packet.size]
    order = {pts: rank for rank, pts in enumerate(sorted(counted))}
    if len(order) != frames:
        raise VideoFileError(
            f"{file}: has {len(order)} frames where {frames} were encoded: is the disk full? "
            "If it is not, delete the folder and run again"
        )
    return [order[pts] for pts in counted]


def _reordering(order: Sequence[int]) -> int:
    """By how many frames decoding has to run ahead so that nothing is shown before it is decoded."""
    return max((position - rank for position, rank in enumerate(order)), default=0)
