"""Convert one subtitle stream of text into another form of text; styling that form lacks is lost."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import av.error
from av.container import OutputContainer
from av.subtitles.stream import SubtitleStream
from av.subtitles.subtitle import AssSubtitle, SubtitleSet

from .notes import Note
from .stream_clock import Span
from .stream_copy import RisingTimes, show_from_start

if TYPE_CHECKING:
    Packet = av.Packet[Any]  # generic only in its type stubs

_MILLISECOND = Fraction(1, 1000)


def add_subtitles(output: OutputContainer, stream: SubtitleStream, codec: str) -> SubtitleStream:
    """Add a stream in `codec` (an FFmpeg encoder) for the text of `stream`."""
    stream.codec_context.open(strict=False)  # only then it knows its header: the styles
    target = output.add_stream(codec)
    assert isinstance(target, SubtitleStream)
    target.codec_context.subtitle_header = stream.codec_context.subtitle_header
    target.time_base = target.codec_context.time_base = _MILLISECOND
    return target


class SubtitleConverter:
    """Converts one stream. Packets come in with the output's times (see `StreamClock`)."""

    def __init__(self, target: SubtitleStream, span: Span) -> None:
        self._target = target
        self._span = span
        self._times = RisingTimes(target, may_stand=True)
        self._damaged = 0

    def packets(self, packet: Packet) -> Iterator[Packet]:
        if packet.size == 0 or packet.pts is None:
            return
        show_from_start(packet, self._span)
        when_s = packet.pts * packet.time_base
        if not self._span.holds(when_s):
            return
        stream = packet.stream
        assert isinstance(stream, SubtitleStream)
        try:
            shown = stream.codec_context.decode2(packet)
        except av.error.FFmpegError:
            self._damaged += 1
            return
        for line in shown or ():
            assert isinstance(line, AssSubtitle)
            duration_ms = round((packet.duration or 0) * packet.time_base * 1000)
            text = SubtitleSet.create(line.ass, 0, duration_ms, round(when_s * 1000))
            converted = self._target.codec_context.encode_subtitle(text)
            converted.time_base = _MILLISECOND
            yield self._times.settle(converted)

    def flush(self) -> Iterator[Packet]:
        """There is nothing held back."""
        return iter(())

    def note(self) -> Note | None:
        return Note(f"{self._damaged} lines of it cannot be decoded", is_loss=True) if self._damaged else None
