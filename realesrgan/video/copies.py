"""Everything a source has beside its picture, on its way into the output: copied bit for bit, or encoded anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import av
import av.error
import av.stream
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.subtitles.stream import SubtitleStream

from .containers import Container, Treatment, describe
from .notes import Note, at
from .sound import SoundEncoder, add_sound
from .sources.ffmpeg import error_text
from .sources.source import OtherStream
from .stream_clock import Restart, Span, StreamClock
from .stream_copy import StreamCopy
from .subtitles import SubtitleConverter, add_subtitles

if TYPE_CHECKING:
    Packet = av.Packet[Any]  # generic only in its type stubs

_OF_THE_OLD_FILE = ("encoder", "rotate", "DURATION")


class StreamRefused(Exception):
    """The muxer, or the encoder, does not take a stream; `index` is the source's, None where it is not known which."""

    def __init__(self, index: int | None, reason: str) -> None:
        super().__init__(reason)
        self.index = index
        self.reason = reason


@dataclass(frozen=True)
class Copied:
    """How many other streams the output has, and a line for each that is not as it was or that is lost."""

    count: int = 0
    remarks: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Handler(Protocol):
    """What turns the packets of one stream of the source into those of the output."""

    def packets(self, packet: Packet) -> Iterator[Packet]: ...

    def flush(self) -> Iterator[Packet]: ...

    def note(self) -> Note | None: ...


def add_stream(
    output: OutputContainer,
    original: InputContainer,
    other: OtherStream,
    container: Container,
    treatment: Treatment,
    span: Span,
) -> Handler | None:
    """Add a stream of `original` to `output`, before its header is written; None: the header is all there is to it.

    Raises:
        StreamRefused: the container does not hold it.
    """
    stream = original.streams[other.index]
    if other.kind in ("audio", "subtitle", "video") and getattr(stream, "codec_context", None) is None:
        raise StreamRefused(other.index, "this FFmpeg does not know its codec")
    if is_cover(stream) and not container.covers:
        raise StreamRefused(other.index, "it has no place for cover pictures")
    try:
        target = _added(output, original, other, container, treatment)
    except (ValueError, av.error.FFmpegError) as error:
        raise StreamRefused(other.index, error_text(error)) from error
    if target is None:
        return None
    target.metadata.update(kept(stream.metadata))
    target.disposition = stream.disposition
    if treatment is Treatment.ENCODE and isinstance(target, AudioStream):
        return SoundEncoder(target, span)
    if treatment is Treatment.ENCODE and isinstance(target, SubtitleStream):
        return SubtitleConverter(target, span)
    return StreamCopy(target, span, may_stand=container.format in ("matroska", "webm"))


def _added(
    output: OutputContainer, original: InputContainer, other: OtherStream, container: Container, treatment: Treatment
) -> av.stream.Stream | None:
    stream = original.streams[other.index]
    if other.kind == "attachment":
        name = stream.metadata.get("filename", f"attachment {other.index}")
        kind = stream.metadata.get("mimetype", "application/octet-stream")
        output.add_attachment(name, kind, bytes(getattr(stream, "data", None) or b""))
        return None
    if is_cover(stream) and container.attachments:
        extension, kind = ("png", "image/png") if other.codec == "png" else ("jpg", "image/jpeg")
        output.add_attachment(f"cover.{extension}", kind, _cover(original, other.index))
        return None
    if treatment is Treatment.ENCODE:
        encoder = container.instead(other)
        if isinstance(stream, SubtitleStream):
            return add_subtitles(output, stream, encoder)
        assert isinstance(stream, AudioStream)
        return add_sound(output, stream, encoder)
    # Opaque: by its data and not by an encoder of the same name, which many codecs do not have.
    return output.add_stream_from_template(stream, opaque=True)


class Copies:
    """The streams of `original` that go into `output`; made before the header is written, which names them all."""

    def __init__(
        self,
        output: OutputContainer,
        original: InputContainer,
        treatments: Mapping[OtherStream, Treatment],
        container: Container,
        span: Span,
        restarts: tuple[Restart, ...] = (),
    ) -> None:
        """`treatments` names the streams to take; `restarts` is where the clock of the picture starts again.

        Raises:
            StreamRefused: one of them does not fit after all.
        """
        self._original = original
        self._others = {other.index: other for other in treatments}
        self._handlers: dict[int, Handler] = {}
        self._clocks: dict[int, StreamClock] = {}
        for other, treatment in treatments.items():
            handler = add_stream(output, original, other, container, treatment, span)
            if handler is not None:
                self._handlers[other.index] = handler
                if not is_cover(original.streams[other.index]):
                    is_continuous = other.kind in ("audio", "video")
                    self._clocks[other.index] = StreamClock(span, restarts, is_continuous=is_continuous)
        self._damage: str | None = None

    def packets(self) -> Iterator[tuple[int, Packet]]:
        """The packets for the output, in file order, each with the index of the source's stream that it is from.

        Raises:
            StreamRefused: a stream cannot be encoded, or nothing of it decoded.
        """
        for packet in self._demuxed():
            index = packet.stream.index
            clock = self._clocks.get(index)
            if packet.size and clock is not None and not clock.rebase(packet):
                continue
            yield from self._made_by(index, self._handlers[index].packets(packet))
        for index, handler in self._handlers.items():
            yield from self._made_by(index, handler.flush())
            if isinstance(handler, SoundEncoder) and handler.is_empty:
                raise StreamRefused(index, "nothing of it can be decoded")

    def result(self) -> Copied:
        """What has become of the streams, once all packets are written."""
        remarks: list[str] = []
        warnings: list[str] = []
        for index, other in self._others.items():
            note = self._handlers[index].note() if index in self._handlers else None
            clock = self._clocks.get(index)
            if clock is not None and clock.restarted_at_s is not None and not (note and note.is_loss):
                note = Note(f"its clock starts again at {at(clock.restarted_at_s)}; it goes on from there")
            if note is not None:
                (warnings if note.is_loss else remarks).append(f"{describe(other)}: {note.text}")
        if self._damage is not None:
            warnings.append(f"what follows in the other streams cannot be read: {self._damage}")
        return Copied(len(self._others), tuple(remarks), tuple(warnings))

    def _demuxed(self) -> Iterator[Packet]:
        if not self._handlers:
            return
        try:
            yield from self._original.demux([self._original.streams[index] for index in self._handlers])
        except av.error.FFmpegError as error:
            self._damage = error_text(error)

    def _made_by(self, index: int, packets: Iterator[Packet]) -> Iterator[tuple[int, Packet]]:
        try:
            for packet in packets:
                yield index, packet
        except (ValueError, ArithmeticError, av.error.FFmpegError) as error:
            raise StreamRefused(index, error_text(error)) from error


def is_cover(stream: av.stream.Stream) -> bool:
    """Whether it is a cover picture: its one packet belongs to no moment."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def kept(metadata: Mapping[str, str]) -> dict[str, str]:
    """Without what described only the old file."""
    return {key: value for key, value in metadata.items() if key not in _OF_THE_OLD_FILE}


def _cover(original: InputContainer, index: int) -> bytes:
    """A cover picture, whose only packet comes first; read separately, so that `original` stays at its beginning."""
    with av.open(original.name) as again:
        return next(bytes(packet) for packet in again.demux(again.streams[index]) if packet.size)
