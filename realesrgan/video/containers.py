"""Which container holds what. Knows nothing of sources or packets."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from .encoding import HARDWARE
from .sources.source import OtherStream


class Treatment(Enum):
    """What is done with a stream that is not the picture."""

    COPY = "copied"
    ENCODE = "encoded anew"
    TAG = "kept as a tag of the picture"
    DROP = "left out"


@dataclass(frozen=True)
class Container:
    """What players expect in a kind of file, by FFmpeg's encoder and decoder names; None: whatever its muxer takes.

    FFmpeg also writes PCM or FLAC into an .mp4, which few play.
    """

    format: str  # FFmpeg's name of its muxer
    video: frozenset[str] | None = None
    audio: frozenset[str] | None = None
    audio_instead: str = "aac"  # the encoder for audio it does not hold
    lossless_instead: str | None = None  # the encoder for lossless audio it does not hold; None: as for other audio
    subtitles: frozenset[str] | None = None
    subtitles_instead: str = "mov_text"  # the encoder for text it does not hold as it is
    attachments: bool = False
    covers: bool = True
    more_video: bool = True

    def instead(self, other: OtherStream) -> str:
        """The encoder for a stream that it does not hold as it is."""
        if other.kind != "audio":
            return self.subtitles_instead
        return self.lossless_instead if self.lossless_instead and is_lossless(other.codec) else self.audio_instead

    def holds_video(self, encoder: str) -> bool:
        return self.video is None or encoder in self.video

    def holds_aspect(self, encoder: str) -> bool:
        """Whether pixels that are not square stay so: Matroska leaves that to the codec."""
        return self.format in ("mp4", "mov") or encoder in _H264_AND_HEVC

    def treatments(self, other: OtherStream) -> tuple[Treatment, ...]:
        """What can be done with a stream, best first."""
        if other.kind == "audio":
            is_held = self.audio is None or other.codec in self.audio
            return (Treatment.COPY, Treatment.ENCODE) if is_held else (Treatment.ENCODE,)
        if other.kind == "subtitle":
            held = (Treatment.COPY,) if self.subtitles is None or other.codec in self.subtitles else ()
            return (*held, Treatment.ENCODE) if other.codec in _TEXT else held
        if other.kind == "attachment":
            return (Treatment.COPY,) if self.attachments else ()
        if other.kind == "video":
            return (Treatment.COPY,) if self.more_video else ()
        return ()  # data: no container takes that of another


_H264_AND_HEVC = frozenset(("libx264", "libx265", *(name for name in HARDWARE if not name.startswith("av1"))))
_AV1_AND_VP9 = frozenset(("libsvtav1", "libvpx-vp9", *(name for name in HARDWARE if name.startswith("av1"))))
_MP4_AUDIO = frozenset(("aac", "mp3", "mp3float", "ac3", "eac3", "opus", "libopus", "alac"))
_MATROSKA_SUBTITLES = frozenset(("ssa", "ass", "srt", "subrip", "text", "webvtt", "pgssub", "dvdsub", "dvbsub"))
_TEXT = frozenset(("mov_text", "ssa", "ass", "srt", "subrip", "text", "webvtt"))  # other subtitles are pictures
_LOSSLESS = frozenset(("flac", "alac", "truehd", "mlp", "wmalossless", "s302m", "ape", "tta", "wavpack", "tak"))
CONTAINERS = {
    "mp4": Container("mp4", _H264_AND_HEVC | _AV1_AND_VP9, _MP4_AUDIO, subtitles=frozenset(("mov_text",))),
    "mkv": Container(
        "matroska",
        lossless_instead="flac",
        subtitles=_MATROSKA_SUBTITLES,
        subtitles_instead="subrip",
        attachments=True,
    ),
    "mov": Container(
        "mov",
        _H264_AND_HEVC | {"prores_ks"},
        lossless_instead="alac",
        subtitles=frozenset(("mov_text",)),
        covers=False,
    ),
    "webm": Container(
        "webm",
        _AV1_AND_VP9,
        frozenset(("opus", "libopus", "vorbis", "libvorbis")),
        "libopus",
        subtitles=frozenset(("webvtt",)),
        subtitles_instead="webvtt",
        more_video=False,
    ),
}


def is_lossless(codec: str) -> bool:
    """Whether sound of this decoder is as it was recorded: encoding it with losses would be the first."""
    return codec.startswith("pcm_") or codec in _LOSSLESS


def describe(stream: OtherStream) -> str:
    """A stream as people call it: "aac audio (jpn)"."""
    language = f" ({stream.language})" if stream.language not in (None, "und") else ""
    return stream.kind if stream.kind == stream.codec else f"{stream.codec} {stream.kind}{language}"
