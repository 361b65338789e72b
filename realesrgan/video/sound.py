"""Encode one audio stream anew, sample for sample at its time, whatever its channel layout and however damaged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import av.codec
import av.error
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer

from .notes import Note
from .stream_clock import Span

if TYPE_CHECKING:
    Packet = av.Packet[Any]  # generic only in its type stubs

_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000)
_BIT_RATE_PER_CHANNEL = 96_000
# The layouts that every decoder of a codec knows, smallest first. FFmpeg's AAC encoder takes others too, but describes
# them in a way that few players read.
_LAYOUTS = {
    "aac": ("mono", "stereo", "3.0", "4.0", "5.0", "5.1", "7.1"),
    "libopus": ("mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1"),
    "flac": ("mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1"),
    "alac": ("mono", "stereo", "3.0", "4.0", "5.0", "5.1", "6.1(back)", "7.1(wide)"),
}
_BACK_FOR_SIDE = {"SL": "BL", "SR": "BR"}
# Frames further from their place than this are moved there; clocks jitter by a few milliseconds, and a lost frame of
# AAC leaves a gap of 21.
_TOLERANCE_S = Fraction(1, 50)


def add_sound(output: OutputContainer, stream: AudioStream, codec: str) -> AudioStream:
    """Add a stream in `codec` (an FFmpeg encoder) for the sound of `stream`."""
    context = stream.codec_context
    rate = context.sample_rate
    if codec == "libopus" or (codec == "aac" and rate not in _AAC_RATES):
        rate = 48000
    layout = standard_layout(context.layout, codec)
    target = output.add_stream(codec, rate=rate, layout=layout.name)
    assert isinstance(target, AudioStream)
    if codec in ("flac", "alac"):
        target.codec_context.format = _format_of_depth(codec, context.format.bits if context.format else 16)
    else:
        target.bit_rate = _BIT_RATE_PER_CHANNEL * layout.nb_channels
    return target


def standard_layout(layout: av.AudioLayout, codec: str) -> av.AudioLayout:
    """The smallest layout that players know in `codec` with room for all channels; sides may become backs."""
    names = {channel.name for channel in named(layout).channels}
    if not {"BL", "BR"} & names:
        names = {_BACK_FOR_SIDE.get(name, name) for name in names}
    known = [av.AudioLayout(name) for name in _LAYOUTS[codec]]
    for one in known:
        channels = {channel.name for channel in one.channels}
        if names <= channels or names <= {_BACK_FOR_SIDE.get(name, name) for name in channels}:
            return one
    return next((one for one in known if one.nb_channels >= layout.nb_channels), known[-1])


def named(layout: av.AudioLayout) -> av.AudioLayout:
    """The usual layout of as many channels, where a file says only how many there are."""
    if any(channel.name == "NONE" for channel in layout.channels):
        return av.AudioLayout("stereo" if layout.nb_channels == 2 else f"{layout.nb_channels}c")
    return layout


def _format_of_depth(codec: str, bits: int) -> str:
    formats = {format.bits: format.name for format in av.codec.Codec(codec, "w").audio_formats or []}
    return formats[min((deep for deep in formats if deep >= bits), default=max(formats))]


class SoundEncoder:
    """Encodes one stream. Packets come in with the output's times (see `StreamClock`).

    The sound is one row of samples: gaps that damage leaves become silence, so that what follows keeps its time.
    """

    def __init__(self, target: AudioStream, span: Span) -> None:
        self._target = target
        self._span = span
        self._rate = target.codec_context.sample_rate
        self._position: int | None = None  # of the next sample to encode, in samples from the origin
        self._resampler: av.AudioResampler | None = None
        self._made_for: tuple[str, str, int] | None = None
        self._damaged = 0
        self._silent_samples = 0  # where there were packets
        self._packets_end_s: Fraction | None = None
        self._pauses = False  # the source itself has no packets for a while

    def packets(self, packet: Packet) -> Iterator[Packet]:
        self._look_for_pause(packet)
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            is_wanted = packet.pts is None or self._span.holds(packet.pts * packet.time_base)
            self._damaged += bool(packet.size) and is_wanted
            return
        for frame in frames:
            assert isinstance(frame, av.AudioFrame)
            yield from self._frame(frame)

    def flush(self) -> Iterator[Packet]:
        """End the stream; the decoder has been given everything."""
        yield from self._change_resampler(None)
        if self._position is not None:
            yield from self._target.encode(None)

    @property
    def is_empty(self) -> bool:
        """Whether there was sound, and none of it could be decoded."""
        return self._position is None and self._damaged > 0

    def note(self) -> Note | None:
        if self._silent_samples:
            silent_s = self._silent_samples / self._rate
            return Note(f"{silent_s:.2f} s of it cannot be decoded and are silent", is_loss=True)
        if self._damaged:
            return Note(f"{self._damaged} packets of it cannot be decoded", is_loss=True)
        return None

    def _look_for_pause(self, packet: Packet) -> None:
        begin_s = packet.pts * packet.time_base if packet.pts is not None else self._packets_end_s
        if begin_s is None or not packet.size:
            return
        if self._packets_end_s is not None and begin_s - self._packets_end_s > _TOLERANCE_S:
            self._pauses = True
        self._packets_end_s = begin_s + (packet.duration or 0) * packet.time_base

    def _frame(self, frame: av.AudioFrame) -> Iterator[Packet]:
        if frame.pts is not None and frame.time_base is not None:
            when_s = frame.pts * frame.time_base
            if not self._span.holds(when_s):
                return
            place = round(when_s * self._rate)
            self._position = place if self._position is None else self._position
            late_s = Fraction(place - self._position, self._rate)
            if late_s > _TOLERANCE_S:
                yield from self._fill_up_to(place)
            elif -late_s > max(_TOLERANCE_S, Fraction(frame.samples, 2 * frame.sample_rate)):
                return  # this moment has its sound already
            self._pauses = False
        if self._position is not None:
            yield from self._resampled(frame)

    def _fill_up_to(self, place: int) -> Iterator[Packet]:
        """Silence until the sample `place`."""
        yield from self._change_resampler(None)
        assert self._position is not None
        samples = place - self._position
        self._silent_samples += 0 if self._pauses else samples
        layout = self._target.codec_context.layout
        while samples > 0:
            count = min(samples, self._rate)
            zeros = np.zeros((1, count * layout.nb_channels), np.int16)
            frame = av.AudioFrame.from_ndarray(zeros, "s16", layout.name)
            frame.sample_rate = self._rate
            resampler = self._to_target()
            yield from self._encode([*resampler.resample(frame), *resampler.resample(None)])
            samples -= count

    def _resampled(self, frame: av.AudioFrame) -> Iterator[Packet]:
        """Convert a frame, and encode what comes of it."""
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != self._made_for:
            yield from self._change_resampler(kind)
        assert self._resampler is not None
        frame = _with_named_layout(frame)
        frame.pts = None  # a resampler that sees gaps would fill or stretch
        yield from self._encode(self._resampler.resample(frame))

    def _change_resampler(self, kind: tuple[str, str, int] | None) -> Iterator[Packet]:
        """Encode what the resampler still holds, and make one for frames of another format, layout and rate."""
        if self._resampler is not None:
            yield from self._encode(self._resampler.resample(None))
        self._made_for = kind
        self._resampler = None if kind is None else self._to_target()

    def _to_target(self) -> av.AudioResampler:
        context = self._target.codec_context
        return av.AudioResampler(context.format.name, context.layout.name, self._rate)

    def _encode(self, frames: Sequence[av.AudioFrame | None]) -> Iterator[Packet]:
        """Give the encoder frames of its own format, one after the other without a gap."""
        for frame in frames:
            if frame is None:
                continue
            assert self._position is not None
            frame.pts, frame.time_base = self._position, Fraction(1, self._rate)
            self._position += frame.samples
            yield from self._target.encode(frame)


def _with_named_layout(frame: av.AudioFrame) -> av.AudioFrame:
    """A frame whose file says only how many channels there are, with the usual layout of so many."""
    layout = named(frame.layout)
    if layout == frame.layout:
        return frame
    # Packed: PyAV cannot read planar frames of eight channels.
    packed = frame.format.packed.name
    (same,) = av.AudioResampler(packed, frame.layout.name, frame.sample_rate).resample(frame)
    result = av.AudioFrame.from_ndarray(same.to_ndarray(), packed, layout.name)
    result.sample_rate = frame.sample_rate
    return result
