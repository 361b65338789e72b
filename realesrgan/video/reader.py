"""Frames of a video with their timestamps: upright, in RGB by the source's own matrix, at its depth, in order.

Every frame the source has comes out exactly once; what cannot be decoded is stood in for by the frame before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import av
import av.error
import numpy as np
from av.video.reformatter import ColorRange, Interpolation

from ..arrays import Array
from ..errors import VideoFileError
from ..image import files
from .animation import probe_webp, webp_pictures
from .decoding import Losses, decode
from .probe import VideoSource, error_text

SWSCALE_MATRICES = (1, 4, 5, 6, 7, 9)  # the colour spaces libswscale has coefficients for
CODEC_DELAY_S = 0.1  # what files count in or leave out of their duration at the ends of sound
# libswscale's SWS_ACCURATE_RND, SWS_FULL_CHR_H_INT and SWS_FULL_CHR_H_INP with bicubic chroma: without them luma comes
# back up to 3 levels off after YUV → RGB → YUV, with them within 1 (measured for BT.601, 709 and 2020, both ranges).
EXACT_CONVERSION = int(Interpolation.BICUBIC) | 0x40000 | 0x2000 | 0x4000


@dataclass(frozen=True)
class Frame:
    """One frame: (H, W, 3) BGR uint8 or uint16, shown from `pts` for `duration`, both in the source's time base.

    `repeats` says that its pixels are those of the frame before it, bit for bit.
    """

    index: int
    pts: int
    duration: int
    pixels: Array
    repeats: bool = False


def read_frames(
    source: VideoSource, losses: Losses, *, start_s: float = 0.0, end_s: float | None = None
) -> Iterator[Frame]:
    """Yield the frames shown from `start_s` up to `end_s`, numbered from 0, with timestamps from 0 on."""
    first_pts = round(Fraction(start_s) / source.time_base)
    if source.is_container:
        frames = _container_frames(source, losses, first_pts)
    else:
        frames = _folder_frames(source) if source.pictures else _animation_frames(source, losses)
    end_pts = None if end_s is None else round(Fraction(end_s) / source.time_base)
    index = 0
    previous: Array | None = None
    for frame in frames:
        if end_pts is not None and frame.pts >= end_pts:
            return
        if frame.pts < first_pts:
            continue
        repeats = previous is not None and (frame.pixels is previous or np.array_equal(frame.pixels, previous))
        if previous is None or not repeats:
            previous = frame.pixels  # repeats share this array: however many wait somewhere, they hold one picture
        yield replace(frame, index=index, pts=frame.pts - first_pts, pixels=previous, repeats=repeats)
        index += 1


def retimed(frames: Iterator[Frame], source: VideoSource, rate: Fraction) -> Iterator[Frame]:
    """Show the same course of pictures at a constant `rate`, repeating and dropping frames; pts count in 1/rate."""
    index = 0
    shown: Frame | None = None
    for frame in frames:
        # The picture on show at time index/rate is the last one that began by then.
        while shown is not None and Fraction(index) / rate < frame.pts * source.time_base:
            yield replace(shown, index=index, pts=index, duration=1)
            shown = replace(shown, repeats=True)
            index += 1
        if shown is not None and not shown.repeats:
            frame = replace(frame, repeats=False)  # the one it repeated may have been dropped
        shown = frame
    if shown is not None:
        end = (shown.pts + shown.duration) * source.time_base
        while Fraction(index) / rate < end:
            yield replace(shown, index=index, pts=index, duration=1)
            shown = replace(shown, repeats=True)
            index += 1


def _folder_frames(source: VideoSource) -> Iterator[Frame]:
    wide = source.depth_bits > 8
    for index, path in enumerate(source.pictures):
        yield Frame(index, index, 1, _as_bgr(files.read(path).pixels, wide))


def _animation_frames(source: VideoSource, losses: Losses) -> Iterator[Frame]:
    animation = probe_webp(source.path)
    assert animation is not None
    pts = 0
    try:
        for delay_ms, pixels in zip(animation.delays_ms, webp_pictures(source.path), strict=True):
            yield Frame(0, pts, delay_ms, pixels)
            pts += delay_ms
    except VideoFileError as error:
        if pts == 0:
            raise
        losses.note(str(error))
        losses.missing_s = (sum(animation.delays_ms) - pts) / 1000


def _as_bgr(pixels: Array, wide: bool) -> Array:
    """To three channels of the depth of the whole folder; transparency is dropped, video has none."""
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    pixels = pixels[..., :3]
    if wide and pixels.dtype == np.uint8:
        return pixels.astype(np.uint16) * 257
    return np.ascontiguousarray(pixels)


@dataclass(frozen=True)
class _Shown:
    """What is on show from `pts` on; `duration` is what the file says, and counts only for the last one.

    `stands_in` says that the picture is that of the frame before, because its own cannot be decoded.
    """

    pts: int
    duration: int
    picture: av.VideoFrame
    stands_in: bool = False


def _container_frames(source: VideoSource, losses: Losses, first_pts: int) -> Iterator[Frame]:
    """The frames of a container from `first_pts` on."""
    picture: av.VideoFrame | None = None
    pixels: Array | None = None
    end_s: float | None = None
    for shown in _lasting(_decoded(source, losses, first_pts)):
        end_s = float((shown.pts + shown.duration) * source.time_base)
        if shown.pts < first_pts:
            continue
        if pixels is None or shown.picture is not picture:
            picture, pixels = shown.picture, _upright_bgr(shown.picture, source, losses)
        losses.concealed += shown.stands_in
        yield Frame(0, shown.pts, shown.duration, pixels)
    if end_s is None:
        raise VideoFileError(f"{source.path}: no frame of its video can be decoded")
    losses.missing_s = _missing(source, end_s, losses.reached_s)


def _lasting(course: Iterator[_Shown]) -> Iterator[_Shown]:
    """Let each picture last until the next one begins."""
    last: _Shown | None = None
    for shown in course:
        if last is not None:
            yield replace(last, duration=shown.pts - last.pts)
        last = shown
    if last is not None:
        yield last


def _missing(source: VideoSource, end_s: float, reached_s: float) -> float:
    """By how much the picture ends before the file says.

    Where only the file as a whole says how long it is, sound may rightly go on for longer than the picture; then the
    file is cut off if nothing in it lasts until then.
    """
    if source.duration_s is None:
        return 0.0
    tolerance_s = float(2 / source.rate) + (0.0 if source.duration_is_own else CODEC_DELAY_S)
    reached_s = end_s if source.duration_is_own else max(end_s, reached_s)
    return source.duration_s - end_s if source.duration_s - reached_s > tolerance_s else 0.0


def _decoded(source: VideoSource, losses: Losses, first_pts: int) -> Iterator[_Shown]:
    """Decode in order of time, standing in for frames that are broken or whose packets are."""
    expected: set[int] = set()
    last: _Shown | None = None
    usual_duration = max(1, round(1 / (source.rate * source.time_base)))
    try:
        for frame in decode(source, losses, expected, first_pts):
            ticks = (frame.time_base or source.time_base) / source.time_base
            duration = round(frame.duration * ticks) or usual_duration
            pts = last.pts + last.duration if last else 0
            if frame.pts is not None:
                pts = round(frame.pts * ticks) - source.start_pts
            for stand_in in _stand_ins(last, expected, pts, usual_duration, losses):
                last = stand_in
                yield stand_in
            expected.difference_update([due for due in expected if due <= pts])
            if last is not None and pts <= last.pts:
                pts = last.pts + 1  # a clock that stands or runs backwards could not be written
            broken = bool(frame.is_corrupt)
            last = _Shown(pts, duration, last.picture if broken and last else frame, broken)
            yield last
    except av.error.FFmpegError as error:
        losses.note(error_text(error))
    yield from _stand_ins(last, expected, None, usual_duration, losses)


def _stand_ins(
    last: _Shown | None, expected: set[int], until: int | None, duration: int, losses: Losses
) -> Iterator[_Shown]:
    """The picture before, once for each packet that should have given one by now and did not.

    Only after an error: whole files too may have packets that are not meant to be shown. A broken packet takes others
    with it that the decoder swallows without a word, so that each one counts from then on.
    """
    if last is None or not losses.reasons:
        return
    for due in sorted(due for due in expected if due > last.pts and (until is None or due < until)):
        yield _Shown(due, duration, last.picture, stands_in=True)


def _upright_bgr(frame: av.VideoFrame, source: VideoSource, losses: Losses) -> Array:
    """(H, W, 3) BGR in full range, 16 bits for what has more than 8, turned as the file asks for."""
    colour = source.colour
    sideways = source.rotation in (90, 270)
    width, height = (source.height, source.width) if sideways else (source.width, source.height)
    losses.resized += (frame.width, frame.height) != (width, height)
    matrix = colour.space if colour.space in SWSCALE_MATRICES else None
    rgb = frame.reformat(
        width=width,
        height=height,
        format="bgr24" if source.depth_bits <= 8 else "bgr48le",
        src_colorspace=matrix,
        dst_colorspace=matrix,
        src_color_range=ColorRange.JPEG if colour.full_range or frame.format.is_rgb else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=EXACT_CONVERSION,
    )
    pixels = rgb.to_ndarray()
    # FFmpeg counts the display rotation counter-clockwise, as numpy does.
    return np.ascontiguousarray(np.rot90(pixels, source.rotation // 90))
