"""Find out before anything is computed what a container takes: mux the beginning of each stream into memory."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import av.error
from av.container import InputContainer

from ..errors import VideoFileError
from .containers import Container, Treatment
from .copies import StreamRefused, add_stream, is_cover
from .sources.ffmpeg import address, error_text
from .sources.source import OtherStream, VideoSource
from .stream_clock import Span, StreamClock

if TYPE_CHECKING:
    Packet = av.Packet[Any]  # generic only in its type stubs

_ENOUGH_PACKETS = 8  # of each stream: some muxers refuse only once they have seen a frame or two
_MOST_PACKETS, _MOST_BYTES = 5000, 64 << 20  # read at most, where a stream begins late


class Trial:
    """The beginnings of a source's other streams, to try containers with."""

    def __init__(self, source: VideoSource, original: InputContainer, packets: Sequence[Packet]) -> None:
        self._original = original
        self._picture = original.streams[source.stream_index]
        self._packets = packets
        self._span = Span(source.origin_s)

    def is_timecode(self, other: OtherStream) -> bool:
        """Whether a stream of data is the picture's timecode, which FFmpeg also reads and writes as its tag."""
        timecode = self._original.streams[other.index].metadata.get("timecode")
        return other.kind == "data" and timecode is not None and timecode == self._picture.metadata.get("timecode")

    def refusal(self, other: OtherStream, container: Container, treatment: Treatment) -> str | None:
        """Why the container does not take the stream treated so; None: it does."""
        try:
            with av.open(io.BytesIO(), "w", format=container.format) as output:
                handler = add_stream(output, self._original, other, container, treatment, self._span)
                output.start_encoding()
                if handler is None:
                    return None
                clock = StreamClock(self._span)
                for packet in self._packets:
                    if packet.stream.index != other.index:
                        continue
                    copy = _copy_of(packet)
                    if is_cover(packet.stream) or clock.rebase(copy):
                        output.mux(list(handler.packets(copy)))
                output.mux(list(handler.flush()))
        except StreamRefused as refused:
            return refused.reason
        except (ValueError, av.error.FFmpegError) as error:
            return error_text(error)
        return None


@contextmanager
def try_out(source: VideoSource) -> Iterator[Trial]:
    """A trial of a source that is a container.

    Raises:
        VideoFileError: it cannot be read any more.
    """
    try:
        original = av.open(address(source.path))
    except av.error.FFmpegError as error:
        raise VideoFileError(f"{source.path}: cannot be read ({error_text(error)})") from error
    with original:
        yield Trial(source, original, _first_packets(source, original))


def _first_packets(source: VideoSource, original: InputContainer) -> list[Packet]:
    wanted = {other.index: _ENOUGH_PACKETS for other in source.others if other.kind in ("audio", "subtitle", "video")}
    packets: list[Packet] = []
    size_bytes = 0
    try:
        for number, packet in enumerate(original.demux()):
            size_bytes += packet.size
            if packet.size and wanted.get(packet.stream.index, 0) > 0:
                wanted[packet.stream.index] -= 1
                packets.append(packet)
            # Subtitles come when they come; they are not waited for.
            missing = [other for other in source.others if other.kind == "audio" and wanted[other.index] > 0]
            if not missing or number == _MOST_PACKETS or size_bytes > _MOST_BYTES:
                break
    except av.error.FFmpegError:
        pass  # damaged from here on; what came before has to do
    return packets


def _copy_of(packet: Packet) -> Packet:
    """The same packet again: muxing changes its times and its stream."""
    copy = av.Packet(bytes(packet))
    copy.stream = packet.stream
    copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
    copy.time_base = Fraction(packet.time_base)
    copy.is_keyframe = packet.is_keyframe
    return copy
