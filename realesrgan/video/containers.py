"""Which container holds what, and what becomes of a stream that it cannot hold. Knows nothing of pixels or packets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from ..errors import UsageError
from .encoding import HARDWARE, Encoding
from .sources.source import OtherStream, VideoSource


class Treatment(Enum):
    """What is done with a stream that is not the picture."""

    COPY = "copied"
    ENCODE = "encoded anew"
    DROP = "left out"


@dataclass(frozen=True)
class Container:
    """What players expect in a kind of file, by FFmpeg's encoder and decoder names; None is anything.

    FFmpeg also writes PCM or FLAC into an .mp4, which few play.
    """

    format: str  # FFmpeg's name of its muxer
    video: frozenset[str] | None = None
    audio: frozenset[str] | None = None
    audio_instead: str = "aac"  # the encoder for audio it does not hold
    subtitles: frozenset[str] | None = None
    subtitles_instead: str = "mov_text"  # the encoder for text it does not hold as it is
    attachments: bool = False

    def instead(self, other: OtherStream) -> str:
        """The encoder for a stream that it does not hold as it is."""
        return self.audio_instead if other.kind == "audio" else self.subtitles_instead


_H264_AND_HEVC = frozenset(("libx264", "libx265", *(name for name in HARDWARE if not name.startswith("av1"))))
_AV1_AND_VP9 = frozenset(("libsvtav1", "libvpx-vp9", *(name for name in HARDWARE if name.startswith("av1"))))
_MP4_AUDIO = frozenset(("aac", "mp3", "mp3float", "ac3", "eac3", "opus", "libopus", "alac"))
_MATROSKA_SUBTITLES = frozenset(("ssa", "ass", "srt", "subrip", "text", "webvtt", "pgssub", "dvdsub", "dvbsub"))
CONTAINERS = {
    "mp4": Container("mp4", _H264_AND_HEVC | _AV1_AND_VP9, _MP4_AUDIO, subtitles=frozenset(("mov_text",))),
    "mkv": Container("matroska", subtitles=_MATROSKA_SUBTITLES, subtitles_instead="subrip", attachments=True),
    "mov": Container("mov", _H264_AND_HEVC | {"prores_ks"}, None, subtitles=frozenset(("mov_text",))),
    "webm": Container(
        "webm",
        _AV1_AND_VP9,
        frozenset(("opus", "libopus", "vorbis", "libvorbis")),
        "libopus",
        frozenset(("webvtt",)),
        "webvtt",
    ),
}
_SPOKEN = {"aac": "AAC", "libopus": "Opus", "mov_text": "timed text", "subrip": "SRT", "webvtt": "WebVTT"}
_TEXT = frozenset(("mov_text", "ssa", "ass", "srt", "subrip", "text", "webvtt"))  # other subtitles are pictures


@dataclass(frozen=True)
class OutputPlan:
    """The extension, what becomes of each other stream, and one line for each thing that is not as usual."""

    extension: str
    remarks: tuple[str, ...]
    treatments: Mapping[int, Treatment] = field(default_factory=dict)

    @property
    def container(self) -> Container:
        return CONTAINERS[self.extension]


def plan_output(source: VideoSource, encoding: Encoding, extension: str | None) -> OutputPlan:
    """Choose the container: .mp4 unless something the source has would not fit, then .mkv; `extension` decides.

    Raises:
        UsageError: the container asked for cannot hold video of this encoder.
    """
    remarks: list[str] = []
    if extension is None:
        misfits = [
            describe(other) for other in source.others if other.kind != "data" and _treatment(other, CONTAINERS["mp4"])
        ]
        if not _holds(CONTAINERS["mp4"].video, encoding.codec):
            misfits.append(f"{encoding.codec} video")
        extension = "mkv" if misfits else "mp4"
        if misfits:
            remarks.append(f"the output is .mkv, because .mp4 cannot hold {', '.join(misfits)}")
    container = CONTAINERS[extension]
    if not _holds(container.video, encoding.codec):
        holds = container.video or frozenset()
        fitting = [name for name in ("libx264", "libvpx-vp9", "libsvtav1", "prores_ks") if name in holds]
        others = " or ".join(fitting)
        raise UsageError(f"--ext {extension}: cannot hold {encoding.codec} video; try --codec {others}, or --ext mkv")
    if source.pixel_aspect != 1 and container.format in ("matroska", "webm") and encoding.codec not in _H264_AND_HEVC:
        remarks.append(
            f"the pixel aspect {source.pixel_aspect} is lost: .{extension} with {encoding.codec} has no room"
        )
    treatments = {}
    for other in source.others:
        treatments[other.index] = treatment = _treatment(other, container) or Treatment.COPY
        if treatment is Treatment.ENCODE:
            instead = _SPOKEN[container.instead(other)]
            remarks.append(f"{describe(other)} is encoded anew as {instead}: .{extension} cannot hold it")
        elif treatment is Treatment.DROP:
            remarks.append(f"left out: {describe(other)}, which .{extension} cannot hold")
    return OutputPlan(extension, tuple(remarks), treatments)


def _holds(names: frozenset[str] | None, name: str) -> bool:
    return names is None or name in names


def _treatment(other: OtherStream, container: Container) -> Treatment | None:
    """What a stream that does not fit needs; None where it fits as it is."""
    if other.kind == "audio":
        return None if _holds(container.audio, other.codec) else Treatment.ENCODE
    if other.kind == "subtitle":
        if _holds(container.subtitles, other.codec):
            return None
        return Treatment.ENCODE if other.codec in _TEXT else Treatment.DROP
    if other.kind == "attachment":
        return None if container.attachments else Treatment.DROP
    if other.kind == "video":
        return None if container.format != "webm" else Treatment.DROP
    return Treatment.DROP  # timecodes and other data: no container takes those of another


def describe(stream: OtherStream) -> str:
    """A stream as people call it: "aac audio (jpn)"."""
    language = f" ({stream.language})" if stream.language not in (None, "und") else ""
    return stream.kind if stream.kind == stream.codec else f"{stream.codec} {stream.kind}{language}"
