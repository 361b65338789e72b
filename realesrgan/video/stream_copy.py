"""Copy the packets of one stream bit for bit, at decode times that a muxer accepts."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import av.stream

from .notes import Note, at
from .stream_clock import Span

if TYPE_CHECKING:
    Packet = av.Packet[Any]  # generic only in its type stubs

_MOST_HELD = 32  # packets without a decode time at the beginning; codecs reorder by 16 frames at most
_TOLERATED_S = Fraction(1, 500)  # a clock of milliseconds, as Matroska's, rounds shorter packets onto each other


class StreamCopy:
    """Takes over one stream. Packets come in with the output's times (see `StreamClock`)."""

    def __init__(self, target: av.stream.Stream, span: Span, *, may_stand: bool) -> None:
        """`may_stand`: the container takes two packets of one decode time."""
        self._target = target
        self._span = span
        self._times = RisingTimes(target, may_stand=may_stand)
        self._held: list[Packet] = []
        self._is_under_way = False

    def packets(self, packet: Packet) -> Iterator[Packet]:
        if not packet.size:
            return
        if self._target.disposition & av.stream.Disposition.attached_pic:
            packet.pts = packet.dts = 0  # a cover belongs to no moment
        elif not self._fits(packet):
            return
        self._held.append(packet)
        # A stream with reordered frames may say when to decode only from its third packet or so on.
        most_held = _MOST_HELD if self._target.type == "video" else 0
        if self._is_under_way or packet.dts is not None or len(self._held) > most_held:
            yield from self.flush()

    def flush(self) -> Iterator[Packet]:
        """Let go of the packets held back: each is decoded one frame before the next."""
        known = next((packet.dts for packet in self._held if packet.dts is not None), None)
        for ahead, packet in zip(range(len(self._held) - 1, -1, -1), self._held, strict=True):
            if packet.dts is None and known is not None:
                packet.dts = known - ahead * (packet.duration or 1)
            self._is_under_way = True
            yield self._times.settle(packet)
        self._held.clear()

    def note(self) -> Note | None:
        when_s = self._times.mended_at_s
        if when_s is None:
            return None
        return Note(f"its clock stands or goes back at {at(when_s)}; its packets were moved to follow on")

    def _fits(self, packet: Packet) -> bool:
        """Whether the packet is in the span; a subtitle on show where the span begins is shown from there."""
        if self._target.type == "subtitle":
            show_from_start(packet, self._span)
        return packet.pts is not None and self._span.holds(packet.pts * packet.time_base)


class RisingTimes:
    """Gives packets times that a muxer accepts: decode times that rise, and no presentation before decoding.

    Damaged and joined files have others. `mended_at_s` is where the source's clock first stood or went back, or None.
    """

    def __init__(self, target: av.stream.Stream, *, may_stand: bool) -> None:
        self._target = target
        self._step = 0 if may_stand or target.type in ("subtitle", "data") else 1
        self._earliest: int | None = None  # the decode time the muxer accepts next, in the target's time base
        self._last_s: Fraction | None = None  # the last one that the source has
        self.mended_at_s: Fraction | None = None

    def settle(self, packet: Packet) -> Packet:
        """The packet for the target, in its time base; call only once the header is written, which settles that."""
        unit = self._target.time_base
        assert unit is not None
        ratio = packet.time_base / unit
        assert packet.pts is not None  # `StreamClock` sees to that
        pts = round(packet.pts * ratio)
        if packet.dts is not None:
            dts = min(pts, round(packet.dts * ratio))
        else:
            dts = pts if self._earliest is None else min(pts, self._earliest)
        if self._earliest is not None and dts < self._earliest:
            self._notice(packet)
            dts = self._earliest
        self._earliest = dts + self._step
        self._last_s = (packet.pts if packet.dts is None else packet.dts) * packet.time_base
        packet.stream = self._target
        packet.duration = round((packet.duration or 0) * ratio)
        packet.time_base = unit
        packet.pts, packet.dts = max(pts, dts), dts
        return packet

    def _notice(self, packet: Packet) -> None:
        """Remember where the source's own clock fails, which rounding to a coarser one is not."""
        if packet.dts is None or self._last_s is None or self.mended_at_s is not None:
            return
        is_short = (packet.duration or 0) * packet.time_base < _TOLERATED_S
        if packet.dts * packet.time_base <= self._last_s and not is_short:
            self.mended_at_s = packet.dts * packet.time_base


def show_from_start(packet: Packet, span: Span) -> None:
    """Move the beginning of a subtitle that is already on show where the span begins; times are the output's."""
    duration = packet.duration or 0
    if span.start_s and packet.pts is not None and packet.pts < 0 < packet.pts + duration:
        packet.duration = duration + packet.pts
        packet.pts = 0
        packet.dts = None if packet.dts is None else 0
