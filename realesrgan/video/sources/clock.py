"""When pictures are shown, where a file's own clock does not simply tell."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import av

if TYPE_CHECKING:
    Packet = av.Packet[Any]  # generic only in its type stubs

RESTART_S = 0.1  # a jump back by more than this is a new clock, as in FFmpeg; smaller ones are jitter


class SteadyClock:
    """Makes the clock of one stream go on where it starts anew, as in recordings that were joined end to end."""

    def __init__(self) -> None:
        self._offset = 0
        self._last_dts: int | None = None
        self._step = 0

    def carry_on(self, packet: Packet) -> None:
        """Move the times of the next packet of the stream, in decoding order, behind those before it."""
        if packet.dts is not None and packet.time_base:
            dts = packet.dts + self._offset
            if self._last_dts is not None:
                if dts < self._last_dts - RESTART_S / packet.time_base:
                    self._offset += self._last_dts + self._step - dts
                    dts = self._last_dts + self._step
                self._step = packet.duration or max(dts - self._last_dts, 0)
            else:
                self._step = packet.duration or 0
            self._last_dts = dts
        if self._offset:
            packet.dts = None if packet.dts is None else packet.dts + self._offset
            packet.pts = None if packet.pts is None else packet.pts + self._offset


class Timestamps:
    """Frames come with their times, as in most containers."""

    def due(self, packet: Packet) -> int | None:
        """When the picture in `packet` is to be shown, if the file says so."""
        return packet.pts

    def failed(self, due: int) -> None:
        """The packet that was due then gives no frame."""

    def stamp(self, frame: av.VideoFrame) -> None:
        """Set the time of a frame that comes out of the decoder."""


class CountedPackets(Timestamps):
    """An .avi only counts packets, and its H.264 comes out in another order: the n-th frame has the n-th place."""

    def __init__(self) -> None:
        self._places: deque[int] = deque()

    def due(self, packet: Packet) -> int | None:
        if packet.dts is not None:
            self._places.append(packet.dts)
        return packet.dts

    def failed(self, due: int) -> None:
        self._places.remove(due)

    def stamp(self, frame: av.VideoFrame) -> None:
        frame.pts = self._places.popleft() if self._places else None


class CountedFrames(Timestamps):
    """MPEG-4 Part 2 in .avi, as by XviD: FFmpeg guesses the times of B-frames wrong, but knows the order of frames.

    A frame comes out as the packet goes in whose place it takes; only the last ones come out by themselves.
    """

    def due(self, packet: Packet) -> int | None:
        return packet.dts

    def stamp(self, frame: av.VideoFrame) -> None:
        if frame.dts is not None:
            frame.pts = frame.dts


def timestamps_of(format_name: str, codec: str) -> Timestamps:
    """What to believe of the times in a file of this kind."""
    if format_name != "avi":
        return Timestamps()
    return {"h264": CountedPackets, "hevc": CountedPackets, "mpeg4": CountedFrames}.get(codec, Timestamps)()
