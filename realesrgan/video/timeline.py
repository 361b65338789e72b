"""The packets of the finished segments in one row, at the times the manifest gives their frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.error
import av.stream

from ..errors import VideoFileError
from .segments import Segment, Workspace
from .sources.ffmpeg import address

if TYPE_CHECKING:
    Packet = av.Packet[Any]  # generic only in its type stubs

_RUN_AGAIN = "Run again: segments that are not whole are made anew"


def segment_packets(workspace: Workspace, video: av.stream.Stream, time_base: Fraction) -> Iterator[Packet]:
    """All packets of all segments for the stream `video`, in `time_base`.

    Within a segment the n-th packet in order of presentation is the n-th frame.

    Raises:
        VideoFileError: a segment lacks frames.
    """
    orders = [presentation_order(workspace.folder / segment.file, len(segment.pts)) for segment in workspace.segments]
    decode_times = iter(_decode_times(workspace.segments, orders))
    for segment, order in zip(workspace.segments, orders, strict=True):
        with av.open(address(workspace.folder / segment.file)) as container:
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
    order = {pts: rank for rank, pts in enumerate(sorted(counted))}
    if len(order) != frames:
        raise VideoFileError(
            f"{file}: has {len(order)} frames where {frames} were encoded: is the disk full? {_RUN_AGAIN}"
        )
    return [order[pts] for pts in counted]


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
