"""What a source has beside its picture, on its way into the output: copied bit for bit, or encoded anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import av.error
import av.stream
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.subtitles.stream import SubtitleStream
from av.subtitles.subtitle import AssSubtitle, SubtitleSet

from .containers import OutputPlan, Treatment, describe
from .sources.source import OtherStream, VideoSource

if TYPE_CHECKING:
    Packet = av.Packet[Any]  # generic only in its type stubs

_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000)
_OF_THE_OLD_FILE = ("encoder", "rotate", "DURATION")
_MILLISECOND = Fraction(1, 1000)
_ATTACHED = av.stream.Disposition.attached_pic


@dataclass(frozen=True)
class Span:
    """The part of the source that goes into the output, in seconds of the source."""

    origin_s: Fraction  # what becomes 0
    start_s: Fraction = Fraction(0)
    end_s: Fraction | None = None

    def holds(self, when_s: Fraction) -> bool:
        """Whether what happens `when_s` after the origin is part of it. Sound may begin before a whole video."""
        return (self.start_s == 0 or when_s >= 0) and (self.end_s is None or when_s < self.end_s - self.start_s)


class _Copy:
    """One stream whose packets are taken over as they are."""

    def __init__(self, target: av.stream.Stream, span: Span) -> None:
        self._target = target
        self._span = span

    def packets(self, packet: Packet) -> Iterator[Packet]:
        if packet.pts is None:
            packet.pts = packet.dts  # .avi counts only what is decoded
        if self._target.disposition & _ATTACHED:
            packet.pts = packet.dts = 0  # a cover belongs to no moment
        elif packet.pts is None or not self._span.holds(packet.pts * packet.time_base - self._span.origin_s):
            return
        else:
            shift = round(self._span.origin_s / packet.time_base)
            packet.pts -= shift
            packet.dts = packet.pts if packet.dts is None else packet.dts - shift
        if packet.size:
            packet.stream = self._target
            yield packet


class _Reencoder:
    """One audio stream in another codec, sample for sample at its time."""

    def __init__(self, target: AudioStream, span: Span) -> None:
        self._target = target
        self._span = span
        self._unit = Fraction(1, target.codec_context.sample_rate)

    def packets(self, packet: Packet) -> Iterator[Packet]:
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            return  # a gap in the sound; what follows has its own times
        for frame in frames:
            assert isinstance(frame, av.AudioFrame)
            if frame.pts is None or frame.time_base is None:
                continue
            when_s = frame.pts * frame.time_base - self._span.origin_s
            if not self._span.holds(when_s):
                continue
            frame.pts = round(when_s / frame.time_base)
            yield from self._target.encode(frame)
        if packet.size == 0:
            yield from self._target.encode(None)


class _TextConverter:
    """One subtitle stream in another form of text; styles that form has no words for are lost."""

    def __init__(self, target: SubtitleStream, span: Span) -> None:
        self._target = target
        self._span = span

    def packets(self, packet: Packet) -> Iterator[Packet]:
        if packet.size == 0 or packet.pts is None or packet.time_base is None:
            return
        when_s = packet.pts * packet.time_base - self._span.origin_s
        if not self._span.holds(when_s):
            return
        stream = packet.stream
        assert isinstance(stream, SubtitleStream)
        try:
            shown = stream.codec_context.decode2(packet)
        except av.error.FFmpegError:
            return  # a gap in the text; what follows has its own times
        for line in shown or ():
            assert isinstance(line, AssSubtitle)
            duration_ms = round((packet.duration or 0) * packet.time_base * 1000)
            text = SubtitleSet.create(line.ass, 0, duration_ms, round(when_s * 1000))
            converted = self._target.codec_context.encode_subtitle(text)
            converted.time_base = _MILLISECOND
            converted.stream = self._target
            yield converted


class Copies:
    """All streams of `original` that go into `output`; made before anything is written, so that each is announced.

    `remarks` names what the output refused although its kind of file should hold it.
    """

    def __init__(
        self, output: OutputContainer, original: InputContainer, source: VideoSource, plan: OutputPlan
    ) -> None:
        self.remarks: list[str] = []
        self.count = 0
        self._output = output
        self._original = original
        self._plan = plan
        self._targets = self._announce(source)

    def _announce(self, source: VideoSource) -> dict[int, av.stream.Stream]:
        targets = {}
        for other in source.others:
            treatment = self._plan.treatments[other.index]
            if treatment is Treatment.DROP:
                continue
            stream = self._original.streams[other.index]
            try:
                target = self._add(other, stream, treatment)
            except (ValueError, av.error.FFmpegError) as error:
                self.remarks.append(f"left out: {describe(other)}, which .{self._plan.extension} refuses ({error})")
                continue
            self.count += 1
            if target is not None:
                target.metadata.update(kept(stream.metadata))
                target.disposition = stream.disposition
                targets[other.index] = target
        return targets

    def _add(self, other: OtherStream, stream: av.stream.Stream, treatment: Treatment) -> av.stream.Stream | None:
        if other.kind == "attachment":
            name = stream.metadata.get("filename", f"attachment {other.index}")
            kind = stream.metadata.get("mimetype", "application/octet-stream")
            self._output.add_attachment(name, kind, bytes(getattr(stream, "data", None) or b""))
            return None
        if other.kind == "video" and stream.disposition & _ATTACHED and self._plan.container.attachments:
            extension, kind = ("png", "image/png") if other.codec == "png" else ("jpg", "image/jpeg")
            self._output.add_attachment(f"cover.{extension}", kind, _cover(self._original, other.index))
            return None
        if treatment is Treatment.ENCODE:
            encoder = self._plan.container.instead(other)
            if isinstance(stream, SubtitleStream):
                return _converted(self._output, stream, encoder)
            assert isinstance(stream, AudioStream)
            return _encoded_anew(self._output, stream, encoder)
        # Opaque: by its data and not by an encoder of the same name, which many codecs do not have.
        return self._output.add_stream_from_template(stream, opaque=True)

    def packets(self, span: Span) -> Iterator[Packet]:
        """What goes into the output, in file order, with times counted as those of the video are."""
        if not self._targets:
            return
        handlers = {index: self._handler(index, target, span) for index, target in self._targets.items()}
        for packet in self._original.demux([self._original.streams[index] for index in self._targets]):
            yield from handlers[packet.stream.index].packets(packet)

    def _handler(self, index: int, target: av.stream.Stream, span: Span) -> _Copy | _Reencoder | _TextConverter:
        if self._plan.treatments[index] is Treatment.ENCODE:
            if isinstance(target, AudioStream):
                return _Reencoder(target, span)
            if isinstance(target, SubtitleStream):
                return _TextConverter(target, span)
        return _Copy(target, span)


def kept(metadata: dict[str, str]) -> dict[str, str]:
    """Without what described only the old file."""
    return {key: value for key, value in metadata.items() if key not in _OF_THE_OLD_FILE}


def _cover(original: InputContainer, index: int) -> bytes:
    """A cover picture, whose only packet comes first; read apart, so that `original` stays at its beginning."""
    with av.open(original.name) as again:
        return next(bytes(packet) for packet in again.demux(again.streams[index]) if packet.size)


def _encoded_anew(output: OutputContainer, stream: AudioStream, codec: str) -> AudioStream:
    rate = stream.codec_context.sample_rate
    if codec == "libopus" or rate not in _AAC_RATES:
        rate = 48000
    channels = stream.codec_context.layout.nb_channels
    layout = {1: "mono", 2: "stereo"}.get(channels, stream.codec_context.layout.name)
    target = output.add_stream(codec, rate=rate, layout=layout)
    assert isinstance(target, AudioStream)
    target.bit_rate = 96_000 * channels
    return target


def _converted(output: OutputContainer, stream: SubtitleStream, codec: str) -> SubtitleStream:
    stream.codec_context.open(strict=False)  # only then it knows its header: the styles
    target = output.add_stream(codec)
    assert isinstance(target, SubtitleStream)
    target.codec_context.subtitle_header = stream.codec_context.subtitle_header
    target.time_base = target.codec_context.time_base = _MILLISECOND
    return target
