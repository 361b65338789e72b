"""Packets to frames, from the start of a file or from a key frame near by. Knows nothing of colours or networks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from .clock import SteadyClock, timestamps_of
from .ffmpeg import error_text

if TYPE_CHECKING:
    Packet = av.Packet[Any]  # generic only in its type stubs


@dataclass(frozen=True)
class Step:
    """What one packet gave. Times are as the file counts them, `due` in the time base of the video.

    `due` is when the packet's picture is to be shown; None if that is unknown, or if it is not meant to be shown.
    `frames` have come out of the decoder meanwhile, often those of earlier packets. `failure` says why this packet
    could not be decoded. `repeats_last`: the packet only says that the picture stays. `end_s` is how far the packet
    reaches, whatever its stream.
    """

    due: int | None = None
    frames: list[av.VideoFrame] = field(default_factory=list)
    failure: str | None = None
    repeats_last: bool = False
    end_s: Fraction | None = None


def picture_stream(container: InputContainer, index: int) -> VideoStream:
    """The stream to decode, set up so that a broken packet is reported at once."""
    stream = container.streams[index]
    assert isinstance(stream, VideoStream)
    # Threads that decode several frames at once would report a broken packet late, and so blame another.
    stream.thread_type = "SLICE"
    return stream


def codec_of(stream: VideoStream) -> str:
    return stream.codec_context.codec.canonical_name


def steps(
    container: InputContainer, stream: VideoStream, *, every_stream: bool, from_key_frame: bool
) -> Iterator[Step]:
    """Decode from where `container` stands, or from the next key frame, packet by packet.

    With `every_stream` there is a step for each packet of the others too, undecoded, to tell how far they reach.

    Raises:
        FFmpegError: the file cannot be read on.
    """
    clock, timestamps = SteadyClock(), timestamps_of(container.format.name, codec_of(stream))
    for packet in container.demux(*([] if every_stream else [stream])):
        if packet.stream.index != stream.index:
            yield Step(end_s=_end_s(packet))
            continue
        if from_key_frame and not packet.is_keyframe:
            continue
        from_key_frame = False
        clock.carry_on(packet)
        due = None if packet.is_discard else timestamps.due(packet)
        # Theora says "as before" by a packet without content. The last packet of all, without a time, flushes.
        if packet.size == 0 and packet.pts is not None:
            yield Step(due, repeats_last=True, end_s=_end_s(packet))
            continue
        try:
            frames = [frame for frame in packet.decode() if isinstance(frame, av.VideoFrame)]
        except av.error.FFmpegError as error:
            if due is not None:
                timestamps.failed(due)
            yield Step(due, failure=error_text(error), end_s=_end_s(packet))
            continue
        for frame in frames:
            timestamps.stamp(frame)
        yield Step(due, frames, end_s=_end_s(packet))


def _end_s(packet: Packet) -> Fraction | None:
    if packet.pts is None or not packet.time_base:
        return None
    return (packet.pts + (packet.duration or 0)) * packet.time_base
