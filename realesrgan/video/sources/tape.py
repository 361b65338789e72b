"""Packets of a video as they were read, so that a part of it can be decoded elsewhere. Knows no files, no pictures."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av

if TYPE_CHECKING:
    from .decoding import Feed

    Packet = av.Packet[Any]  # generic only in its type stubs

# Codecs whose marks on key frames can be trusted, and so decoding begin there. Animated GIF and PNG mark every frame,
# though each is drawn over the one before.
WITH_KEY_FRAMES = frozenset(("h264", "hevc", "vp8", "vp9", "av1", "mpeg2video", "prores", "dnxhd", "mjpeg", "ffv1"))
# How long before the first frame wanted a key frame must be: frames around it may need others before them, and making
# a frame of two fields takes its neighbours.
LEAD_S = Fraction(1, 2)
MOST_BYTES = 256_000_000  # a file with a key frame every hour would be held in memory


@dataclass(frozen=True)
class TapedPacket:
    """A packet of the picture, its times in the time base of the stream."""

    data: bytes
    pts: int | None
    dts: int | None
    duration: int
    is_key_frame: bool


@dataclass(frozen=True)
class Decoder:
    """What a decoder must be told before its first packet."""

    codec: str
    extradata: bytes | None
    width: int
    height: int
    pixel_format: str | None
    tag: str
    bits_per_coded_sample: int
    time_base: Fraction

    @staticmethod
    def of(feed: Feed) -> Decoder:
        """As a file's own decoder was told."""
        context = feed.decoder
        return Decoder(
            codec=context.codec.name,
            extradata=context.extradata,
            width=context.width,
            height=context.height,
            pixel_format=context.pix_fmt,
            tag=context.codec_tag,
            bits_per_coded_sample=context.bits_per_coded_sample,
            time_base=feed.time_base,
        )

    def open(self) -> av.VideoCodecContext:
        context = av.CodecContext.create(self.codec, "r")
        assert isinstance(context, av.VideoCodecContext)
        context.extradata = self.extradata
        context.width, context.height = self.width, self.height
        if self.pixel_format is not None:
            context.pix_fmt = self.pixel_format
        context.codec_tag = self.tag
        context.bits_per_coded_sample = self.bits_per_coded_sample
        context.thread_type = "SLICE"  # as `picture_stream` has it
        return context


@dataclass(frozen=True)
class Recording:
    """Consecutive packets, the first of them a key frame or the beginning of the video."""

    format_name: str
    decoder: Decoder
    packets: tuple[TapedPacket, ...]

    def play(self) -> Iterator[Packet]:
        """Yield the packets, and the empty one that gets the last frames out of the decoder."""
        for taped in self.packets:
            packet: Packet = av.Packet(taped.data)
            packet.pts, packet.dts, packet.duration = taped.pts, taped.dts, taped.duration
            packet.is_keyframe = taped.is_key_frame
            packet.time_base = self.decoder.time_base
            yield packet
        flush: Packet = av.Packet()
        flush.time_base = self.decoder.time_base
        yield flush


class Tape:
    """Records the packets that a source reads; `cut` gives those that a part of the video takes.

    What a part takes is known once the first frame after it has been read: then all of its packets are on the tape.
    Times are seconds from where the video begins.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._packets: deque[TapedPacket] = deque()
        self._bytes = 0
        self._decoder: Decoder | None = None
        self._format_name = ""
        self._origin_s = Fraction(0)
        self._is_whole = False  # whether nothing was forgotten since the reading began
        self._is_spoiled = False

    def begin(self, feed: Feed, origin_s: Fraction) -> None:
        """A reading begins, from the start of the video or from somewhere before what is wanted."""
        self._packets.clear()
        self._bytes = 0
        self._is_whole = True
        self._format_name, self._origin_s = feed.format_name, origin_s
        self._decoder = Decoder.of(feed) if feed.codec in WITH_KEY_FRAMES else None

    def add(self, packet: Packet) -> None:
        if self._decoder is None or packet.size == 0:
            return
        # Pictures that a file says not to show cannot be marked so in packets made by hand.
        self._is_spoiled |= packet.is_discard
        data = bytes(packet)
        self._packets.append(TapedPacket(data, packet.pts, packet.dts, packet.duration or 0, bool(packet.is_keyframe)))
        self._bytes += len(data)
        if self._bytes > self._most_bytes:
            self._drop(len(self._packets))

    @property
    def has_packets(self) -> bool:
        """Whether the source that is read has packets that can be cut."""
        return self._decoder is not None

    def cut(self, at_s: Fraction) -> Recording | None:
        """What was read, from the last key frame that lies safely before `at_s`; None: not all of it is here."""
        if self._decoder is None or self._is_spoiled:
            return None
        start = self._start_for(at_s)
        if start is None:
            return None
        return Recording(self._format_name, self._decoder, tuple(self._packets)[start:])

    def forget_before(self, at_s: Fraction) -> None:
        """Nothing before `at_s` will be asked for any more."""
        start = self._start_for(at_s)
        if start:
            self._drop(start)
        self._is_spoiled = False

    def _start_for(self, at_s: Fraction) -> int | None:
        """The number of the first packet that the frames from `at_s` on take; None: it is not here."""
        latest = max((number for number, time_s in self._key_frames() if time_s <= at_s - LEAD_S), default=None)
        return latest if latest is not None or not self._is_whole else 0

    def _key_frames(self) -> Iterator[tuple[int, Fraction]]:
        for number, packet in enumerate(self._packets):
            time = packet.pts if packet.pts is not None else packet.dts
            if packet.is_key_frame and time is not None and self._decoder is not None:
                yield number, time * self._decoder.time_base - self._origin_s

    def _drop(self, count: int) -> None:
        self._is_whole = False
        for _ in range(count):
            self._bytes -= len(self._packets.popleft().data)
