"""Put the finished segments together with everything of the source that is not its picture."""

from __future__ import annotations

import errno
import heapq
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.error
import av.stream
from av.container import InputContainer, OutputContainer

from ..errors import VideoFileError
from ..outputs import appearing, part_of
from .containers import Treatment, describe
from .copies import Copied, Copies, StreamRefused, kept
from .output_plan import OutputPlan
from .segments import Workspace
from .sources.ffmpeg import address, error_text
from .sources.source import OtherStream, VideoSource
from .stream_clock import Restart, Span, find_restarts
from .timeline import add_restored, segment_packets

if TYPE_CHECKING:
    Packet = av.Packet[Any]  # generic only in its type stubs

_FORMAT_FACTS = ("major_brand", "minor_version", "compatible_brands", "encoder")  # of the old file, not of the new
# Errors of the disk, which leaving a stream out does not help.
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.ENOENT)


def check_target(target: Path) -> None:
    """Find out before anything is computed whether `target` can be written.

    Raises:
        VideoFileError: a folder has its name, its own folder does not exist or cannot be written, or it is too long.
    """
    part = part_of(target)
    try:
        with suppress(FileNotFoundError):
            if stat.S_ISDIR(target.stat().st_mode):  # unlike is_dir, in any Python it fails where the name is too long
                raise VideoFileError(f"{target}: a folder has this name; move it away, or choose another `suffix`")
        part.touch()
        part.unlink()
    except OSError as error:
        raise VideoFileError(f"{target}: cannot be written ({error_text(error)})") from error


def assemble(
    target: Path,
    workspace: Workspace,
    source: VideoSource,
    time_base: Fraction,
    plan: OutputPlan,
    *,
    start_s: float = 0.0,
    end_s: float | None = None,
) -> Copied:
    """Join the segments, and everything of the source that `plan` keeps, into `target`; return what became of the rest.

    Packets of other streams are copied bit for bit, cut to [start_s, end_s). One that cannot be written after all is
    left out and named in the warnings: it never costs the video. The file appears whole, with all its frames counted,
    or not at all.

    Raises:
        VideoFileError: segments are missing; the container refuses the video, or the disk does; or the input is no
            longer the file that was probed, and its sound not that of the picture.
    """
    source.refuse_changed()
    if not workspace.segments or workspace.head != workspace.segments:
        missing = sum(len(segment.pts) for segment in workspace.head)
        raise VideoFileError(f"{workspace.folder}: frame {missing} is not restored yet; run again, and it will be")
    span = Span(source.origin_s + Fraction(start_s), Fraction(start_s), _fraction(end_s))
    try:
        restarts = find_restarts(source) if source.others else ()
        with appearing(target, durable=True) as part:
            copied = _write_all_that_fits(_Assembly(part, workspace, source, time_base, plan, span, restarts))
            _check_count(part, workspace.frames_done)
    except (av.error.FFmpegError, OSError, StreamRefused) as error:
        raise VideoFileError(
            f"{target}: cannot be written ({error_text(error)}); the frames stay in {workspace.folder}"
        ) from error
    return copied


@dataclass(frozen=True)
class _Assembly:
    """What goes into a file, and how."""

    part: Path
    workspace: Workspace
    source: VideoSource
    time_base: Fraction
    plan: OutputPlan
    span: Span
    restarts: tuple[Restart, ...]

    @property
    def options(self) -> dict[str, str]:
        """As FFmpeg's muxers call them."""
        if self.plan.container.format in ("mp4", "mov"):
            clock = str(self.time_base.denominator)
            return {"movflags": "+faststart", "video_track_timescale": clock, "movie_timescale": clock}
        # Sound may begin a little before the picture, and then both stay where they are.
        return {"avoid_negative_ts": "disabled"}


def _fraction(seconds: float | None) -> Fraction | None:
    return None if seconds is None else Fraction(seconds)


def _write_all_that_fits(job: _Assembly) -> Copied:
    """Write the file; where it fails because of a stream beside the picture, write it again without that one.

    Raises:
        StreamRefused: the picture itself is refused.
    """
    left_out: dict[int, str] = {}
    while True:
        treatments = {
            other: job.plan.treatments[other.index]
            for other in job.source.others
            if other.index not in left_out and job.plan.treatments[other.index] in (Treatment.COPY, Treatment.ENCODE)
        }
        try:
            copied = _write(job, treatments)
        except StreamRefused as refused:
            blamed = [other.index for other in treatments] if refused.index is None else [refused.index]
            if not blamed:
                raise
            left_out.update(dict.fromkeys(blamed, refused.reason))
            continue
        names = {other.index: describe(other) for other in job.source.others}
        lines = [f"left out: {names[index]} ({reason})" for index, reason in left_out.items()]
        return replace(copied, warnings=(*copied.warnings, *lines))


def _write(job: _Assembly, treatments: Mapping[OtherStream, Treatment]) -> Copied:
    with _output(job) as output:
        first = job.workspace.folder / job.workspace.segments[0].file
        video = add_restored(output, first, job.source, job.time_base)
        if not job.source.is_container:
            with _refusals(None):
                for packet in segment_packets(job.workspace, video, job.time_base):
                    output.mux(packet)
            return Copied()
        with _original(job) as original:
            copies = Copies(output, original, treatments, job.plan.container, job.span, job.restarts)
            _carry_facts(output, original, original.streams[job.source.stream_index], video, job.span)
            with _refusals(None):
                output.start_encoding()
            pictures = ((None, packet) for packet in segment_packets(job.workspace, video, job.time_base))
            for index, packet in heapq.merge(pictures, copies.packets(), key=lambda entry: _seconds(entry[1])):
                with _refusals(index):
                    output.mux(packet)
    return copies.result()


@contextmanager
def _original(job: _Assembly) -> Iterator[InputContainer]:
    try:
        original = av.open(address(job.source.path))
    except av.error.FFmpegError as error:
        raise VideoFileError(
            f"{job.source.path}: cannot be read any more ({error_text(error)}), and its sound is needed; "
            f"the frames stay in {job.workspace.folder}"
        ) from error
    with original:
        yield original


@contextmanager
def _output(job: _Assembly) -> Iterator[OutputContainer]:
    output = av.open(address(job.part), "w", format=job.plan.container.format, container_options=job.options)
    try:
        yield output
    except BaseException:
        with suppress(ValueError, av.error.FFmpegError):
            output.close()  # fails for the same reason, and would hide it
        raise
    with _refusals(None):
        output.close()


@contextmanager
def _refusals(index: int | None) -> Iterator[None]:
    """Take what the muxer raises for a refusal of stream `index` (times may overflow, too), unless the disk fails."""
    try:
        yield
    except (av.error.FFmpegError, ValueError, ArithmeticError) as error:
        if getattr(error, "errno", None) in _DISK_ERRORS:
            raise
        raise StreamRefused(index, error_text(error)) from error


def _check_count(part: Path, frames: int) -> None:
    """Frames in = frames out: counted in the file, which a full disk may have cut short without an error."""
    with av.open(address(part)) as container:
        written = sum(1 for packet in container.demux(video=0) if packet.size)
    if written != frames:
        raise VideoFileError(f"{part.name}: has {written} frames where {frames} were restored; is the disk full?")


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
    if span.start_s:
        video.metadata.pop("timecode", None)  # it is that of the first frame, which an excerpt may not have
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
