"""Frames of a video with their timestamps: upright, in RGB by the source's own matrix, at its depth, in order.

Every frame the source has comes out exactly once; what cannot be decoded is stood in for by the frame before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction

import av
import av.error
import av.filter
import numpy as np
from av.video.reformatter import ColorRange, Interpolation
from av.video.stream import VideoStream

from ..errors import VideoFileError
from ..image import files
from ..pixels import Array
from .probe import VideoSource, error_text

# libswscale's SWS_ACCURATE_RND, SWS_FULL_CHR_H_INT and SWS_FULL_CHR_H_INP with bicubic chroma: without them luma comes
# back up to 3 levels off after YUV → RGB → YUV, with them within 1 (measured for BT.601, 709 and 2020, both ranges).
SWSCALE_MATRICES = (1, 4, 5, 6, 7, 9)  # the colour spaces libswscale has coefficients for
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


@dataclass
class Losses:
    """What could not be decoded: `concealed` frames were replaced by the one before, `missing_s` is cut off the end."""

    concealed: int = 0
    missing_s: float = 0.0
    reasons: list[str] = field(default_factory=list)

    def note(self, reason: str) -> None:
        if reason not in self.reasons:
            self.reasons.append(reason)


def read_frames(
    source: VideoSource, losses: Losses, *, start_s: float = 0.0, end_s: float | None = None
) -> Iterator[Frame]:
    """Yield the frames shown from `start_s` up to `end_s`, numbered from 0, with timestamps from 0 on."""
    frames = _folder_frames(source) if source.pictures else _container_frames(source, losses)
    first_pts = round(Fraction(start_s) / source.time_base)
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
    """What is on show from `pts` on; `duration` is what the file says, and counts only for the last one."""

    pts: int
    duration: int
    pixels: Array


def _container_frames(source: VideoSource, losses: Losses) -> Iterator[Frame]:
    """The frames of a container; each lasts until the next one begins."""
    last: _Shown | None = None
    for shown in _decoded(source, losses):
        if last is not None:
            yield Frame(0, last.pts, shown.pts - last.pts, last.pixels)
        last = shown
    if last is None:
        raise VideoFileError(f"{source.path}: no frame of its video can be decoded")
    yield Frame(0, last.pts, last.duration, last.pixels)
    if source.duration_s is not None:
        losses.missing_s = max(0.0, source.duration_s - float((last.pts + last.duration) * source.time_base))


def _decoded(source: VideoSource, losses: Losses) -> Iterator[_Shown]:
    """Decode in order of time, standing in for frames that are broken or whose packets are."""
    lost: list[int] = []
    last: _Shown | None = None
    usual_duration = max(1, round(1 / (source.rate * source.time_base)))
    try:
        with av.open(str(source.path)) as container:
            for frame in _decode(container, source, losses, lost):
                ticks = (frame.time_base or source.time_base) / source.time_base
                duration = round(frame.duration * ticks) or usual_duration
                pts = last.pts + last.duration if last else 0
                if frame.pts is not None:
                    pts = round(frame.pts * ticks) - source.start_pts
                for gap in sorted(gap for gap in set(lost) if last is not None and last.pts < gap < pts):
                    assert last is not None
                    last = _Shown(gap, usual_duration, last.pixels)
                    losses.concealed += 1
                    yield last
                lost[:] = [gap for gap in lost if gap > pts]
                if last is not None and pts <= last.pts:
                    pts = last.pts + 1  # a clock that stands or runs backwards could not be written
                pixels = last.pixels if frame.is_corrupt and last else _upright_bgr(frame, source)
                losses.concealed += bool(frame.is_corrupt)
                last = _Shown(pts, duration, pixels)
                yield last
    except av.error.FFmpegError as error:
        losses.note(error_text(error))
    for gap in sorted(gap for gap in set(lost) if last is not None and gap > last.pts):
        assert last is not None
        last = _Shown(gap, usual_duration, last.pixels)
        losses.concealed += 1
        yield last


def _decode(
    container: av.container.InputContainer, source: VideoSource, losses: Losses, lost: list[int]
) -> Iterator[av.VideoFrame]:
    """Yield what decodes; into `lost` go the timestamps of packets that do not."""
    stream = container.streams[source.stream_index]
    assert isinstance(stream, VideoStream)
    # Threads that decode several frames at once would report a broken packet late, and so blame another.
    stream.thread_type = "SLICE"
    filters = _deinterlacer(stream) if source.interlaced else None
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.FFmpegError as error:
            losses.note(error_text(error))
            if packet.pts is not None:
                lost.append(packet.pts - source.start_pts)
            continue
        if filters is None:
            yield from frames
        else:
            yield from _filtered(filters, [*frames, *([None] if packet.size == 0 else [])])


def _deinterlacer(stream: VideoStream) -> av.filter.Graph:
    graph = av.filter.Graph()
    graph.link_nodes(
        graph.add_buffer(template=stream), graph.add("bwdif", "mode=send_frame"), graph.add("buffersink")
    ).configure()
    return graph


def _filtered(graph: av.filter.Graph, frames: Iterable[av.VideoFrame | None]) -> Iterator[av.VideoFrame]:
    for frame in frames:
        graph.vpush(frame)
        while True:
            try:
                yield graph.vpull()
            except (BlockingIOError, EOFError):
                break


def _upright_bgr(frame: av.VideoFrame, source: VideoSource) -> Array:
    """(H, W, 3) BGR in full range, 16 bits for what has more than 8, turned as the file asks for."""
    colour = source.colour
    matrix = colour.space if colour.space in SWSCALE_MATRICES else None
    rgb = frame.reformat(
        format="bgr24" if source.depth_bits <= 8 else "bgr48le",
        src_colorspace=matrix,
        dst_colorspace=matrix,
        src_color_range=ColorRange.JPEG if colour.full_range else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=EXACT_CONVERSION,
    )
    pixels = rgb.to_ndarray()
    # FFmpeg counts the display rotation counter-clockwise, as numpy does.
    return np.ascontiguousarray(np.rot90(pixels, source.rotation // 90))
