"""The packets of finished segments, at the times the manifest gives their frames: in one row, or each as a clip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.error
import av.stream
from av.container import OutputContainer
from av.video.stream import VideoStream

from ..errors import VideoFileError
from .segments import Segment, Workspace
from .sources.ffmpeg import address
from .sources.source import VideoSource

if TYPE_CHECKING:
    Packet = av.Packet[Any]  # generic only in its type stubs

_RUN_AGAIN = "Run again: segments that are not whole are made anew"


def add_restored(output: OutputContainer, file: Path, source: VideoSource, time_base: Fraction) -> VideoStream:
    """Add a stream for the packets of a segment, and of those that follow it, with the source's aspect and colours.

    Raises:
        FFmpegError: the segment cannot be read.
    """
    with av.open(address(file)) as segment:
        # Opaque: by its data and not by an encoder of the decoder's name, which AV1 does not have.
        video = output.add_stream_from_template(segment.streams.video[0], opaque=True)
    assert isinstance(video, VideoStream)
    video.time_base = time_base
    # Said again: not every codec has room for them, and Matroska rounds the aspect.
    video.codec_context.sample_aspect_ratio = source.pixel_aspect
    for name, value in source.colour.tags.items():
        setattr(video.codec_context, name, value)
    return video


def segment_packets(workspace: Workspace, video: av.stream.Stream, time_base: Fraction) -> Iterator[Packet]:
    """All packets of all segments for the stream `video`, in `time_base`. There must be no gaps between segments.

    Within a segment the n-th packet in order of presentation is the n-th frame.

    Raises:
        VideoFileError: a segment lacks frames.
    """
    orders = [presentation_order(workspace.folder / segment.file, len(segment.pts)) for segment in workspace.segments]
    decode_times = iter(_decode_times(workspace.segments, orders))
    for segment, order in zip(workspace.segments, orders, strict=True):
        with av.open(address(workspace.folder / segment.file)) as container:
            packets = (packet for packet in container.demux(video=0) if packet.size)
            for packet, rank in zip(packets, order, strict=True):
                yield _timed(packet, video, time_base, segment, rank, next(decode_times))


def clip_packets(
    packets: Iterable[Packet], order: Sequence[int], segment: Segment, video: av.stream.Stream, time_base: Fraction
) -> Iterator[Packet]:
    """The packets of one segment as a clip that begins and ends, in order of decoding too, where its frames do.

    Each packet takes up its own frame's duration, so that clips follow each other without a gap or an overlap. Where
    frames are reordered, some are so decoded after they are to be shown; the packets are decoded earlier by as much as
    it takes for muxers to accept them, and a muxer with negative composition offsets puts that right.
    """
    decoded = list(accumulate((segment.durations[rank] for rank in order[:-1]), initial=segment.pts[0]))
    early = max(when - segment.pts[rank] for when, rank in zip(decoded, order, strict=True))
    for packet, rank, when in zip(packets, order, decoded, strict=True):
        yield _timed(packet, video, time_base, segment, rank, when - early)


def _timed(
    packet: Packet, video: av.stream.Stream, time_base: Fraction, segment: Segment, rank: int, decoded: int
) -> Packet:
    packet.stream = video
    packet.time_base = time_base
    packet.pts, packet.dts = segment.pts[rank], decoded
    packet.duration = segment.durations[rank]
    return packet


def presentation_order(file: Path, frames: int) -> list[int]:
    """For each packet in the order of a segment's file, which of its `frames` it is.

    Raises:
        VideoFileError: they are not all there.
    """
    try:
        with av.open(address(file)) as container:
            counted = [packet.pts or 0 for packet in container.demux(video=0) if packet.size]
    except av.error.FFmpegError as error:
        raise VideoFileError(f"{file}: cannot be read ({error.strerror}). {_RUN_AGAIN}") from error
    if (found := len(set(counted))) != frames:
        raise VideoFileError(f"{file}: has {found} frames where {frames} were encoded: is the disk full? {_RUN_AGAIN}")
    return ranks(counted)


def ranks(times: Sequence[int]) -> list[int]:
    """For each of some times, how many of them are earlier."""
    order = {time: rank for rank, time in enumerate(sorted(times))}
    return [order[time] for time in times]


def _decode_times(segments: Sequence[Segment], orders: Sequence[Sequence[int]]) -> list[int]:
    """When each packet is decoded: `delay` frames before the frame that is shown in its place.

    `delay` is how far the encoder reorders. The n-th packet is so decoded when frame n - delay is shown, and the first
    `delay` packets before anything is. How long before is free, and decides what players say the video lasts: an .mp4
    takes the last decode time minus the first plus the duration of that last packet. So the first is chosen to make
    that the time for which frames are shown.
    """
    times = [pts for segment in segments for pts in segment.pts]
    delay = max(map(_reordering, orders))
    if delay == 0:
        return times
    end = segments[-1].pts[-1] + segments[-1].durations[-1]
    last_decoded = times[-1 - delay]
    last_duration = segments[-1].durations[orders[-1][-1]]
    ahead = (end - times[0]) - (last_decoded - times[0]) - last_duration
    return [times[0] - ahead + index * ahead // delay for index in range(delay)] + times[: len(times) - delay]


def _reordering(order: Sequence[int]) -> int:
    """By how many frames decoding has to run ahead so that nothing is shown before it is decoded."""
    return max((position - rank for position, rank in enumerate(order)), default=0)
