"""Small clips of every awkward kind, made with PyAV: times, turns, aspects, colours, many streams, damage."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.stream
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from realesrgan.arrays import Array

WIDTH, HEIGHT = 64, 48
RATE = Fraction(25)
AUDIO_RATE = 48000
FONT = bytes(range(256)) * 2  # stands for a font file
ASS = """\
[Script Info]
ScriptType: v4.00+
[V4+ Styles]
Format: Name, Fontname, Fontsize
Style: Default,Arial,20
[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:00.20,0:00:00.50,Default,,0,0,0,,{\\b1}one{\\b0}
Dialogue: 0,0:00:00.60,0:00:00.90,Default,,0,0,0,,two
"""
SRT = "1\n00:00:00,200 --> 00:00:00,500\none\n\n2\n00:00:00,600 --> 00:00:00,900\ntwo\n"
# What the numbers mean: ISO/IEC 23091-2.
BT709 = {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 1}
BT601 = {"colorspace": 6, "color_primaries": 6, "color_trc": 6, "color_range": 1}
BT2020 = {"colorspace": 9, "color_primaries": 9, "color_trc": 14, "color_range": 1}
PQ = BT2020 | {"color_trc": 16}


@dataclass(frozen=True)
class Sound:
    """An audio track of `seconds` of noise."""

    codec: str = "aac"
    language: str = ""
    title: str = ""


@dataclass(frozen=True)
class Clip:
    """What to put into a file; `write` does it."""

    frames: Sequence[av.VideoFrame]
    times: Sequence[int] | None = None  # in `time_base`; None: one after the other
    time_base: Fraction = 1 / RATE
    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    options: dict[str, str] = field(default_factory=lambda: {"crf": "10", "preset": "ultrafast"})
    tags: dict[str, int] = field(default_factory=dict)
    aspect: Fraction = Fraction(1)
    sounds: Sequence[Sound] = ()
    subtitles: str = ""  # the text of an .ass or .srt file
    font: bool = False
    chapters: bool = False
    metadata: dict[str, str] = field(default_factory=dict)
    cover: bool = False

    def write(self, path: Path, format: str | None = None) -> Path:
        with av.open(str(path), "w", format=format) as output:
            streams = [self._video(output)] if self.frames else []
            sounds = [self._sound(output, sound) for sound in self.sounds]
            cover = self._cover(output) if self.cover else None
            subtitle_file = path.with_suffix(".ass" if self.subtitles.startswith("[") else ".srt")
            subtitles = self._announce_subtitles(output, subtitle_file) if self.subtitles else None
            if self.font:
                output.add_attachment("font.ttf", "application/x-truetype-font", FONT)
            if self.chapters:
                marks = ((1, 0, 500, "Opening"), (2, 500, 1000, "Ending"))
                output.set_chapters([_chapter(*mark) for mark in marks])
            output.metadata.update(self.metadata)
            packets = [*self._pictures(streams), *_noise(sounds, self._seconds)]
            packets += _cover_packets(cover) if cover else []
            packets += _subtitle_packets(subtitle_file, subtitles) if subtitles else []
            for packet in sorted(packets, key=lambda packet: (packet.dts or 0) * (packet.time_base or 0)):
                output.mux(packet)
        return path

    @property
    def _seconds(self) -> float:
        last = self.times[-1] if self.times else len(self.frames) - 1
        return float((last + 1) * self.time_base) if self.frames else 1.0

    def _video(self, output: av.container.OutputContainer) -> VideoStream:
        stream = output.add_stream(self.codec, rate=RATE, options=dict(self.options))
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = self.frames[0].width, self.frames[0].height
        stream.pix_fmt = self.pixel_format
        stream.time_base = stream.codec_context.time_base = self.time_base
        stream.codec_context.sample_aspect_ratio = self.aspect
        for name, value in self.tags.items():
            setattr(stream.codec_context, name, value)
        return stream

    def _pictures(self, streams: Iterable[VideoStream]) -> Iterable[Any]:
        for stream in streams:
            for index, frame in enumerate(self.frames):
                frame.pts = self.times[index] if self.times else index
                frame.time_base = self.time_base
                for name, value in self.tags.items():
                    setattr(frame, name, value)
                yield from stream.encode(frame)
            yield from stream.encode(None)

    def _sound(self, output: av.container.OutputContainer, sound: Sound) -> AudioStream:
        stream = output.add_stream(sound.codec, rate=AUDIO_RATE, layout="stereo")
        assert isinstance(stream, AudioStream)
        facts = {"language": sound.language, "title": sound.title}
        stream.metadata.update({name: value for name, value in facts.items() if value})
        return stream

    def _cover(self, output: av.container.OutputContainer) -> VideoStream:
        stream = output.add_stream("mjpeg")
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 200, 200, "yuvj420p"
        stream.time_base = Fraction(1, 25)
        stream.disposition = av.stream.Disposition.attached_pic
        return stream

    def _announce_subtitles(self, output: av.container.OutputContainer, file: Path) -> av.stream.Stream:
        file.write_text(self.subtitles, encoding="utf-8")
        with av.open(str(file)) as subtitles:
            stream = output.add_stream_from_template(subtitles.streams[0])
        stream.metadata["language"] = "ger"
        return stream


def _chapter(number: int, start: int, end: int, title: str) -> Any:
    return {"id": number, "start": start, "end": end, "time_base": Fraction(1, 1000), "metadata": {"title": title}}


def _noise(streams: Sequence[AudioStream], seconds: float) -> Iterable[Any]:
    for number, stream in enumerate(streams):
        count = round(seconds * AUDIO_RATE)
        samples = np.random.default_rng(number).integers(-9000, 9000, (1, 2 * count), dtype=np.int16)
        step = stream.codec_context.frame_size or 1024
        resampler = av.AudioResampler(stream.codec_context.format, "stereo", AUDIO_RATE, frame_size=step)
        frame = av.AudioFrame.from_ndarray(samples, "s16", "stereo")
        frame.sample_rate, frame.pts = AUDIO_RATE, 0
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            yield from stream.encode(piece)
        yield from stream.encode(None)


def _cover_packets(stream: VideoStream) -> list[Any]:
    frame = av.VideoFrame.from_ndarray(np.full((200, 200, 3), 90, np.uint8), "rgb24").reformat(format="yuvj420p")
    frame.pts = 0
    return [*stream.encode(frame), *stream.encode(None)]


def _subtitle_packets(file: Path, stream: av.stream.Stream) -> list[Any]:
    packets = []
    with av.open(str(file)) as subtitles:
        for packet in subtitles.demux():
            if packet.size:
                packet.stream = stream
                packets.append(packet)
    return packets


def moving(count: int, width: int = WIDTH, height: int = HEIGHT, pixel_format: str = "yuv420p") -> list[av.VideoFrame]:
    """Frames of a slowly turning gradient with a block that marks the number: no two are the same."""
    y, x = np.mgrid[:height, :width]
    frames = []
    for number in range(count):
        levels = np.stack([(x * 3 + number * 5) % 256, (y * 4 + number * 3) % 256, (x + y + number * 7) % 256], axis=2)
        picture = (64 + levels // 2).astype(np.uint8)
        picture[: height // 4, : width // 4] = 10 + number * 235 // max(count, 1)
        frames.append(av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format=pixel_format))
    return frames


def flat(levels: Sequence[int], width: int = WIDTH, height: int = HEIGHT, pixel_format: str = "yuv420p") -> Any:
    """A frame whose planes hold one level each."""
    frame = av.VideoFrame(width, height, pixel_format)
    for plane, level in zip(frame.planes, levels, strict=True):
        wide = frame.format.components[0].bits > 8
        plane.update(np.full(plane.buffer_size // (2 if wide else 1), level, np.uint16 if wide else np.uint8).tobytes())
    return frame


def turned(path: Path, degrees: int) -> Path:
    """Write a display rotation (clockwise, as phones do) into the track header of an .mp4."""
    a, b = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    return with_matrix(path, (a, b, -b, a))


def with_matrix(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Write a display matrix into the track header of an .mp4: (x, y) is shown at (a·x + c·y, b·x + d·y)."""
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd")
    version = content[at + 4]
    a, b, c, d = (0x10000 * number for number in matrix)
    struct.pack_into(">9i", content, at + (56 if version else 44), a, b, 0, c, d, 0, 0, 0, 0x40000000)
    path.write_bytes(content)
    return path


def end_to_end(parts: Sequence[Path], path: Path) -> Path:
    """Files concatenated, as by `cat`."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def remuxed(path: Path, target: Path, contents: dict[int, bytes] | None = None, later: int = 0) -> Path:
    """A copy of the video alone, with some packets replaced, by their numbers, and all of them shown `later`."""
    options = {"avoid_negative_ts": "disabled"}
    with av.open(str(path)) as source, av.open(str(target), "w", container_options=options) as output:
        stream = output.add_stream_from_template(source.streams.video[0], opaque=True)
        for number, packet in enumerate(packet for packet in source.demux(video=0) if packet.size):
            copy = av.Packet((contents or {}).get(number, bytes(packet)))
            copy.pts, copy.dts, copy.time_base = packet.pts + later, packet.dts + later, packet.time_base
            copy.stream = stream
            copy.duration, copy.is_keyframe = packet.duration or 0, packet.is_keyframe
            output.mux(copy)
    return target


def cut_off(path: Path, share: float = 0.6) -> Path:
    """Cut off the end of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def corrupted(path: Path, number: int) -> Path:
    """Overwrite the bytes of the `number`-th video packet with nonsense."""
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    content = path.read_bytes()
    at = content.index(packets[number])
    size = len(packets[number])
    path.write_bytes(content[:at] + b"\xff" * size + content[at + size :])
    return path


def decoded(path: Path, pixel_format: str | None = None) -> list[Array]:
    """All frames of the first video that is not a cover, in order; by default in the pixel format of the file."""
    with av.open(str(path)) as container:
        stream = next(s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic)
        frames = list(container.decode(stream))
        return [frame.to_ndarray(**({"format": pixel_format} if pixel_format else {})) for frame in frames]


def frame_times(path: Path) -> list[Fraction]:
    """When each frame of the video is shown, in seconds."""
    with av.open(str(path)) as container:
        return [Fraction(frame.pts) * Fraction(frame.time_base) for frame in container.decode(video=0)]


def packets_of(path: Path, kind: str) -> list[list[tuple[float, bytes]]]:
    """For each stream of a kind: the time in seconds and the bytes of each packet, in order."""
    with av.open(str(path)) as container:
        streams = [stream for stream in container.streams if stream.type == kind]
        found: dict[int, list[tuple[float, bytes]]] = {stream.index: [] for stream in streams}
        for packet in container.demux(streams) if streams else ():  # without streams it gives all
            if packet.size:
                found[packet.stream_index].append((float(packet.pts * packet.time_base), bytes(packet)))
        return list(found.values())
