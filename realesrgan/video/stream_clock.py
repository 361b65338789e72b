"""When the packets of a source are shown in the output: cut to the excerpt, going on where a clock starts again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import av.error

from .sources.clock import SteadyClock
from .sources.ffmpeg import address
from .sources.source import VideoSource

if TYPE_CHECKING:
    Packet = av.Packet[Any]  # generic only in its type stubs

# These carry an index or relative times, in which no clock can start again; others can be joined end to end.
_NEVER_RESTART = frozenset(("mp4", "matroska", "avi", "gif"))
_ALONE_S = Fraction(1)  # by less, a stream stays on the picture's clock, whose restarts are told from jitter elsewhere
_NEAR_BYTES = 4 << 20  # how far apart a file may hold packets of different streams that belong together


@dataclass(frozen=True)
class Span:
    """The part of the source that goes into the output, in seconds of the source."""

    origin_s: Fraction  # what becomes 0
    start_s: Fraction = Fraction(0)
    end_s: Fraction | None = None

    def holds(self, when_s: Fraction) -> bool:
        """Whether a moment, counted from the origin, is part of it. Sound may begin before a whole video."""
        return (self.start_s == 0 or when_s >= 0) and (self.end_s is None or when_s < self.end_s - self.start_s)


@dataclass(frozen=True)
class Restart:
    """A place in the file where the picture's clock starts again, and how much later than it says all is from there."""

    position: int
    later_s: Fraction


def find_restarts(source: VideoSource) -> tuple[Restart, ...]:
    """Where the clock of the picture starts again, as in files joined end to end; reads the whole file."""
    restarts: list[Restart] = []
    try:
        with av.open(address(source.path)) as container:
            if not _NEVER_RESTART & set(container.format.name.split(",")):
                restarts.extend(_restarts(container.demux(container.streams[source.stream_index])))
    except av.error.FFmpegError:
        pass  # damaged from here on, or gone; whoever needs the packets says so
    return tuple(restarts)


def _restarts(packets: Iterator[Packet]) -> Iterator[Restart]:
    """Wherever the pictures' own clock is moved, that of the other streams must be moved with it."""
    clock = SteadyClock()
    later_s = Fraction(0)
    for packet in packets:
        own = packet.dts
        clock.carry_on(packet)
        if own is None or packet.dts is None:
            continue
        moved_s = (packet.dts - own) * packet.time_base
        if moved_s != later_s:
            later_s = moved_s
            yield Restart(packet.pos or 0, later_s)


class StreamClock:
    """Counts the times of one stream's packets from the origin of the output, across restarts of the clock.

    `restarted_at_s` is when the clock first started again, in the output, or None.
    """

    def __init__(self, span: Span, restarts: Sequence[Restart] = (), *, is_continuous: bool = True) -> None:
        """`is_continuous`: packets follow each other in order, as those of sound do and those of subtitles may not."""
        self._span = span
        self._is_continuous = is_continuous
        self._restarts = list(restarts)
        self._later_s = Fraction(0)
        self._last: int | None = None  # in the stream's own ticks
        self._end: int | None = None
        self.restarted_at_s: Fraction | None = None

    def rebase(self, packet: Packet) -> bool:
        """Change the packet's times to those of the output; False if it has none and none can be inferred."""
        if packet.pts is None:
            packet.pts = packet.dts  # .avi counts only what is decoded
        if packet.pts is None:
            packet.pts = self._end  # what has no time of its own follows what came before
        if packet.pts is None:
            return False
        now = packet.dts
        if now is None and packet.stream.type != "video":  # of which pictures may be stored in another order
            now = packet.pts
        if now is not None:
            self._look_for_restart(packet, now)
            self._last = now
        self._end = packet.pts + (packet.duration or 0)
        shift = round((self._later_s - self._span.origin_s) / packet.time_base)
        packet.pts += shift
        if packet.dts is not None:
            packet.dts += shift
        return True

    def _look_for_restart(self, packet: Packet, now: int) -> None:
        back_s = Fraction(0) if self._last is None else (self._last - now) * packet.time_base
        restarted = False
        while self._restarts and _is_past(self._restarts[0], packet.pos, went_back=back_s > 0):
            self._later_s = self._restarts.pop(0).later_s
            restarted, back_s = True, Fraction(0)
        if back_s > _ALONE_S and self._is_continuous and self._end is not None:
            self._later_s += (self._end - now) * packet.time_base  # this stream's alone: it goes on where it was
            restarted = True
        if restarted and self.restarted_at_s is None:
            self.restarted_at_s = now * packet.time_base + self._later_s - self._span.origin_s


def _is_past(restart: Restart, position: int | None, *, went_back: bool) -> bool:
    """Whether a packet lies beyond a restart: its own clock goes back near by, or it is far beyond."""
    if position is None:
        return went_back
    return position > restart.position + (-_NEAR_BYTES if went_back else _NEAR_BYTES)
