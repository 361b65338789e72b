"""Which encoders there are, their options, and which pixel format suits. Knows nothing of files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import av
import av.codec
import av.error
import av.logging
import cv2
import numpy as np
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from ..arrays import Array
from ..errors import UsageError
from .sources.conversion import EXACT_CONVERSION, SWSCALE_MATRICES
from .sources.ffmpeg import error_text
from .sources.hdr import Hdr
from .sources.source import Colour

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
# Quality where none is asked for: hard to tell from the input, on each encoder's own scale.
_DEFAULT_CRF = {"libx264": 18, "libx265": 20, "libsvtav1": 24, "libvpx-vp9": 24}
# The scales, best first. FFmpeg takes more for some and ignores it: libx264 makes 99 into 51, and 0 means "not said"
# where a scale begins at 1.
_CRF_RANGES = {"libx264": (0, 51), "libx265": (0, 51), "libsvtav1": (1, 63), "libvpx-vp9": (0, 63)}
_HARDWARE_CRF_RANGES = {"h264_nvenc": (1, 51), "hevc_nvenc": (1, 51), "av1_nvenc": (1, 63)}
_QSV_CRF_RANGE = (1, 51)
HARDWARE = tuple(f"{codec}_{maker}" for maker in ("nvenc", "qsv", "videotoolbox") for codec in ("h264", "hevc", "av1"))
_KNOWN = ("libx264", "libx265", "libsvtav1", "libvpx-vp9", "prores_ks", "ffv1", *HARDWARE)
_TRIAL_SIZE = (256, 256)
# Looking ahead in slices depends on the number of processors, and x265's account of itself names their instructions.
_X265_OPTIONS = {"log-level": "error", "lookahead-slices": "0", "info": "0"}
# Left alone, encoders take as many threads as there are processors, and the bytes of most depend on that. So many are
# enough for 16 processors; on two, encoding takes 2 % longer with libx264 and 11 % with libvpx-vp9.
_THREADS = 8
_X265_FRAMES_AT_ONCE = 4  # the rows of each are shared out to all processors, on which no byte depends
_AVX512 = 256  # OpenCV's number for the instructions that x264 calls so (its headers: CV_CPU_AVX512_SKX)
_SAME_WITH_ANY_THREADS = frozenset(("libsvtav1", "prores_ks", "ffv1", *HARDWARE))


@dataclass(frozen=True)
class Encoding:
    """An FFmpeg encoder, its quality (None: its default), its preset and the pixel format.

    `hdr` is the mastering data to write into the stream, by encoders that can.
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
        """By the names FFmpeg's encoders have for them."""
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
        options |= self._threads
        own = dict(_X265_OPTIONS) if self.codec == "libx265" else {}
        own |= self.hdr.options(self.codec) if self.hdr else {}
        if own:
            name = {"libx264": "x264-params", "libx265": "x265-params", "libsvtav1": "svtav1-params"}[self.codec]
            options[name] = ":".join(f"{key}={value}" for key, value in own.items())
        return options

    @property
    def _threads(self) -> dict[str, str]:
        """The same number on every machine, where the bytes depend on it."""
        if self.codec in _SAME_WITH_ANY_THREADS:
            return {}
        if self.codec == "libx265":
            return {"threads": str(_X265_FRAMES_AT_ONCE)}
        # PyAV asks for slices of one frame, which know nothing of each other and so take up more bytes.
        kind = {"thread_type": "frame"} if self.codec == "libx264" else {}
        return {"threads": str(_THREADS)} | kind


def choose_encoding(
    codec: str,
    crf: int | None,
    preset: str | None,
    pixel_format: str | None,
    depth_bits: int,
    hdr: Hdr | None = None,
) -> Encoding:
    """Choose an encoder and a pixel format for pictures of `depth_bits`, and try them out.

    Raises:
        UsageError: this FFmpeg lacks the encoder, this machine its hardware, or it refuses the settings.
    """
    name = _ALIASES.get(codec.lower(), codec)
    try:
        formats = [format.name for format in av.codec.Codec(name, "w").video_formats or []]
    except (av.error.FFmpegError, ValueError) as error:
        raise UsageError(f"`codec` {codec}: this installation has {', '.join(available())}") from error
    if pixel_format is not None and formats and pixel_format not in formats:
        raise UsageError(f"`pix_fmt` {pixel_format}: {name} takes {', '.join(formats)}")
    if crf is not None:
        _check_crf(name, crf)
    encoding = Encoding(name, crf, preset, pixel_format or _suitable_format(formats, depth_bits), hdr)
    try:
        _try_out(encoding)
    except (av.error.FFmpegError, ValueError) as error:
        raise UsageError(
            f"`codec` {name} with pixel format {encoding.pixel_format}"
            + (f" and preset {preset}" if preset else "")
            + f" cannot be used here ({refusal(encoding) or error_text(error)}); "
            f"available are {', '.join(available())}"
        ) from error
    return encoding


def refusal(encoding: Encoding, size: tuple[int, int] = _TRIAL_SIZE) -> str | None:
    """Why an encoder refuses pictures of `size` (width, height), in FFmpeg's own words; None: it takes them.

    Call it only once something has failed: while FFmpeg's messages are captured, its threads wait for Python's lock.
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
    """The encoders for restored video that work here: those of hardware are tried out."""
    return [name for name in _KNOWN if name in av.codecs_available and (name not in HARDWARE or _works(name))]


def crf_range(codec: str) -> tuple[int, int] | None:
    """The best and the worst quality on an encoder's own scale; None: it has none."""
    if codec.endswith("_qsv"):
        return _QSV_CRF_RANGE
    return (_CRF_RANGES | _HARDWARE_CRF_RANGES).get(codec)


def _check_crf(codec: str, crf: int) -> None:
    scale = crf_range(codec)
    if scale is None:
        raise UsageError(f"`crf` {crf}: {codec} has no such quality; leave `crf` out")
    best, worst = scale
    if not best <= crf <= worst:
        raise UsageError(f"`crf` {crf}: {codec} takes {best} (best) to {worst}")


def _works(hardware_codec: str) -> bool:
    try:
        _try_out(Encoding(hardware_codec, None, None, "nv12"))
    except (av.error.FFmpegError, ValueError):
        return False
    return True


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
    # SVT-AV1 prints its settings at each start; only this variable limits it to errors.
    os.environ.setdefault("SVT_LOG", "1")
    frame = av.VideoFrame(*size, encoding.pixel_format)
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))  # x264 ends the process over samples of more than 10 bits
    frame.pts = 0
    list(context.encode(frame)) + list(context.encode(None))


def configure(stream: VideoStream, encoding: Encoding, size: tuple[int, int], colour: Colour, aspect: Fraction) -> None:
    """Prepare an output stream for pictures of `size` (width, height), with the source's colour tags and aspect."""
    stream.width, stream.height = size
    stream.pix_fmt = encoding.pixel_format
    stream.codec_context.sample_aspect_ratio = aspect
    # Not among the options of an encoding: a job's identity has those, and must not depend on the processor.
    stream.codec_context.options = repeatable(encoding.codec, encoding.options)
    for name, value in colour.tags.items():
        setattr(stream.codec_context, name, value)


def repeatable(codec: str, options: Mapping[str, str]) -> dict[str, str]:
    """The options of an encoder, with what libx264 needs here to give the same bytes as elsewhere, and every time.

    Where the width is no multiple of 256, its code for AVX512 reads memory that nobody wrote to decide which blocks get
    more bits. So each run gives other bytes, up to a tenth more. Without it, encoding takes 4 % longer.
    """
    if codec != "libx264" or not cv2.checkHardwareSupport(_AVX512):
        return dict(options)
    return {**options, "x264-params": ":".join([*filter(None, [options.get("x264-params")]), "asm=AVX2"])}


def even(pixels: Array) -> Array:
    """(H, W) gray or (H, W, 3) → three channels of even sizes, as most encoders need: the last row, column repeats."""
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    if pixels.shape[0] % 2 == 0 and pixels.shape[1] % 2 == 0:
        return pixels  # np.pad would copy every frame
    return np.pad(pixels, ((0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0)), mode="edge")


def to_frame(pixels: Array, encoding: Encoding, colour: Colour) -> av.VideoFrame:
    """(H, W, 3) BGR uint8 or uint16 → a frame in the encoder's format, with the source's matrix and range."""
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
