"""Which encoders there are, what to tell them, and which pixel format suits. Knows nothing of files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction

import av
import av.codec
import av.error
import av.logging
import numpy as np
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from ..arrays import Array
from ..errors import UsageError
from .sources.conversion import EXACT_CONVERSION, SWSCALE_MATRICES
from .sources.ffmpeg import error_text
from .sources.hdr import Hdr
from .sources.source import Colour

DEFAULT_CODEC = "libx264"
# What people call codecs → the encoder meant.
_ALIASES = {
    "h264": "libx264",
    "x264": "libx264",
    "h265": "libx265",
    "hevc": "libx265",
    "x265": "libx265",
    "av1": "libsvtav1",
    "svt-av1": "libsvtav1",
    "vp9": "libvpx-vp9",
    "prores": "prores_ks",
}
# Quality when --crf is not given: hard to tell from the input, on each encoder's own scale.
_DEFAULT_CRF = {"libx264": 18, "libx265": 20, "libsvtav1": 24, "libvpx-vp9": 24}
HARDWARE = tuple(f"{codec}_{maker}" for maker in ("nvenc", "qsv", "videotoolbox") for codec in ("h264", "hevc", "av1"))
_KNOWN = ("libx264", "libx265", "libsvtav1", "libvpx-vp9", "prores_ks", "ffv1", *HARDWARE)
_TRIAL_SIZE = (256, 256)


@dataclass(frozen=True)
class Encoding:
    """How to encode: an FFmpeg encoder, its quality (None: its default), its preset and the pixel format.

    `hdr` is what the result should say of itself, for an encoder that can.
    """

    codec: str
    crf: int | None
    preset: str | None
    pixel_format: str
    hdr: Hdr | None = None

    @property
    def depth_bits(self) -> int:
        return int(max(component.bits for component in av.VideoFormat(self.pixel_format).components))

    @property
    def options(self) -> dict[str, str]:
        """As FFmpeg's encoders call them."""
        crf = _DEFAULT_CRF.get(self.codec) if self.crf is None else self.crf
        options = {} if self.preset is None else {"preset": self.preset}
        if crf is not None:
            if self.codec.endswith("_nvenc"):
                options |= {"rc": "vbr", "cq": str(crf), "b": "0"}
            elif self.codec.endswith("_qsv"):
                options |= {"global_quality": str(crf)}
            elif self.codec == "libvpx-vp9":
                options |= {"crf": str(crf), "b": "0", "row-mt": "1"}
            else:
                options |= {"crf": str(crf)}
        own = {"log-level": "error"} if self.codec == "libx265" else {}
        own |= self.hdr.options(self.codec) if self.hdr else {}
        if own:
            name = {"libx264": "x264-params", "libx265": "x265-params", "libsvtav1": "svtav1-params"}[self.codec]
            options[name] = ":".join(f"{key}={value}" for key, value in own.items())
        return options


def choose_encoding(
    codec: str,
    crf: int | None,
    preset: str | None,
    pixel_format: str | None,
    depth_bits: int,
    hdr: Hdr | None = None,
) -> Encoding:
    """Settle on an encoder and a pixel format for a picture of `depth_bits`, and try them out.

    Raises:
        UsageError: the encoder is not in this build or its hardware not in this machine, or it refuses the settings.
    """
    name = _ALIASES.get(codec.lower(), codec)
    try:
        formats = [format.name for format in av.codec.Codec(name, "w").video_formats or []]
    except (av.error.FFmpegError, ValueError) as error:
        raise UsageError(f"--codec {codec}: this installation has {', '.join(available())}") from error
    if pixel_format is not None and formats and pixel_format not in formats:
        raise UsageError(f"--pix_fmt {pixel_format}: {name} takes {', '.join(formats)}")
    encoding = Encoding(name, crf, preset, pixel_format or _suitable_format(formats, depth_bits), hdr)
    try:
        _try_out(encoding)
    except (av.error.FFmpegError, ValueError) as error:
        raise UsageError(
            f"--codec {name} with pixel format {encoding.pixel_format}"
            + (f" and preset {preset}" if preset else "")
            + f" cannot be used here ({refusal(encoding) or error_text(error)}); "
            f"available are {', '.join(available())}"
        ) from error
    return encoding


def refusal(encoding: Encoding, size: tuple[int, int] = _TRIAL_SIZE) -> str | None:
    """Why an encoder takes no pictures of `size` (width, height), in FFmpeg's own words; None: it does take them.

    FFmpeg is only asked to talk once something has failed: its threads would have to wait for Python's lock to do so.
    """
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as said:
            try:
                _try_out(encoding, size)
            except (av.error.FFmpegError, ValueError) as error:
                words = [message.strip().rstrip(".") for _, _, message in said]
                return "; ".join(dict.fromkeys(word for word in words if word)) or error_text(error)
    finally:
        av.logging.set_level(level)
    return None


def available() -> list[str]:
    """The encoders of this installation that make sense for restored video."""
    return [name for name in _KNOWN if name in av.codecs_available]


def _suitable_format(formats: list[str], depth_bits: int) -> str:
    deep = ["yuv420p10le", "p010le", "yuv422p10le", "yuv444p10le"]
    plain = ["yuv420p", "nv12", "yuv422p", "yuv444p"]
    for wanted in (deep + plain) if depth_bits > 8 else (plain + deep):
        if wanted in formats:
            return wanted
    return formats[0] if formats else "yuv420p"


def _try_out(encoding: Encoding, size: tuple[int, int] = _TRIAL_SIZE) -> None:
    context = av.CodecContext.create(encoding.codec, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height = size
    context.pix_fmt = encoding.pixel_format
    context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
    context.options = encoding.options
    # SVT-AV1 prints its settings whenever it starts, and listens to nothing but this: only errors.
    os.environ.setdefault("SVT_LOG", "1")
    frame = av.VideoFrame(*size, encoding.pixel_format)
    frame.pts = 0
    list(context.encode(frame)) + list(context.encode(None))


def configure(stream: VideoStream, encoding: Encoding, size: tuple[int, int], colour: Colour, aspect: Fraction) -> None:
    """Set an output stream up for pictures of `size` (width, height), tagged with the source's colour and aspect."""
    stream.width, stream.height = size
    stream.pix_fmt = encoding.pixel_format
    stream.codec_context.sample_aspect_ratio = aspect
    stream.codec_context.options = encoding.options
    for name, value in colour.tags.items():
        setattr(stream.codec_context, name, value)


def to_frame(pixels: Array, encoding: Encoding, colour: Colour) -> av.VideoFrame:
    """(H, W, 3) BGR uint8 or uint16 → a frame of the encoder's format, by the source's matrix and range."""
    rgb = av.VideoFrame.from_ndarray(
        np.ascontiguousarray(pixels), format="bgr24" if pixels.dtype == np.uint8 else "bgr48le"
    )
    matrix = colour.space if colour.space in SWSCALE_MATRICES else None
    frame = rgb.reformat(
        format=encoding.pixel_format,
        src_colorspace=matrix,
        dst_colorspace=matrix,
        src_color_range=ColorRange.JPEG,
        dst_color_range=colour.tags["color_range"],
        interpolation=EXACT_CONVERSION,
    )
    for name, value in colour.tags.items():
        setattr(frame, name, value)
    return frame
