"""Packets to frames, from the start of a file or from a key frame near by. Knows nothing of colours or networks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from .clock import SteadyClock, timestamps_of
from .ffmpeg import error_text
from .tape import Tape

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


@dataclass(frozen=True)
class Feed:
    """Packets in the order of decoding, and the decoder for those of the picture, which are of stream `index`."""

    packets: Iterable[Packet]
    decoder: av.VideoCodecContext
    index: int
    format_name: str
    time_base: Fraction

    @property
    def codec(self) -> str:
        return self.decoder.codec.canonical_name

    def is_of_picture(self, packet: Packet) -> bool:
        """Packets made by hand are of no stream, and all of the picture."""
        return packet.stream is None or packet.stream.index == self.index


def feed_of(container: InputContainer, stream: VideoStream, *, every_stream: bool) -> Feed:
    """The packets of an open file from where it stands; with `every_stream` those of the others too."""
    assert stream.time_base is not None
    packets = container.demux(*([] if every_stream else [stream]))
    return Feed(packets, stream.codec_context, stream.index, container.format.name, stream.time_base)


def picture_stream(container: InputContainer, index: int) -> VideoStream:
    """The stream to decode, set up so that a broken packet is reported at once."""
    stream = container.streams[index]
    assert isinstance(stream, VideoStream)
    # Threads that decode several frames at once would report a broken packet late, and so blame another.
    stream.thread_type = "SLICE"
    return stream


def steps(feed: Feed, *, from_key_frame: bool, tape: Tape | None = None) -> Iterator[Step]:
    """Decode packet by packet, with `from_key_frame` from the next one on; `tape` records what is decoded.

    There is a step for each packet of other streams too, undecoded, to tell how far they reach.

    Raises:
        FFmpegError: the file cannot be read on.
    """
    clock, timestamps = SteadyClock(), timestamps_of(feed.format_name, feed.codec)
    for packet in feed.packets:
        if not feed.is_of_picture(packet):
            yield Step(end_s=_end_s(packet))
            continue
        if from_key_frame and not packet.is_keyframe:
            continue
        from_key_frame = False
        clock.carry_on(packet)
        if tape is not None:
            tape.add(packet)
        due = None if packet.is_discard else timestamps.due(packet)
        # Theora says "as before" by a packet without content. The last packet of all, without a time, flushes.
        if packet.size == 0 and packet.pts is not None:
            yield Step(due, repeats_last=True, end_s=_end_s(packet))
            continue
        try:
            frames = feed.decoder.decode(packet)
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
