"""A decoded frame to pixels: RGB by the video's own matrix, at its depth, and turned or mirrored as its file asks.

Also what to tell libswscale, which the way back to YUV needs too.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation

from ...arrays import Array
from .source import Colour

SWSCALE_MATRICES = (1, 4, 5, 6, 7, 9)  # the colour spaces libswscale has coefficients for
# libswscale's SWS_ACCURATE_RND, SWS_FULL_CHR_H_INT and SWS_FULL_CHR_H_INP with bicubic chroma: without them luma comes
# back up to 3 levels off after YUV → RGB → YUV, with them within 1 (measured for BT.601, 709 and 2020, both ranges).
EXACT_CONVERSION = int(Interpolation.BICUBIC) | 0x40000 | 0x2000 | 0x4000

_MATRIX = struct.Struct("=9i")  # AVFrameSideData of a display matrix: rows of x, y and a third that does not matter


@dataclass(frozen=True)
class Orientation:
    """How to turn a decoded picture upright: swap rows and columns first, then mirror it."""

    transposed: bool = False
    left_right: bool = False
    upside_down: bool = False

    def upright(self, pixels: Array) -> Array:
        """(H, W, C) as decoded → (H, W, C) or (W, H, C) as it should be seen, contiguous."""
        if self.transposed:
            pixels = pixels.swapaxes(0, 1)
        if self.left_right:
            pixels = pixels[:, ::-1]
        return np.ascontiguousarray(pixels[::-1] if self.upside_down else pixels)


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """What the display matrix of a frame asks for, to the nearest quarter turn."""
    matrix = _display_matrix(frame)
    if matrix is None:
        return Orientation()
    a, b, c, d = matrix  # a pixel at (x, y) is shown at (a·x + c·y, b·x + d·y)
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(left_right=a < 0, upside_down=d < 0)
    return Orientation(transposed=True, left_right=c < 0, upside_down=b < 0)


def _display_matrix(frame: av.VideoFrame) -> tuple[int, int, int, int] | None:
    try:
        entries: Any = frame.side_data  # typed as if it held only motion vectors
        data = next((bytes(entry) for entry in entries if entry.type.name == "DISPLAYMATRIX"), b"")
    except ValueError:  # a kind of side data that FFmpeg knows and this PyAV does not; the angle can still be asked for
        turns = frame.rotation % 360 // 90  # counter-clockwise
        return ((1, 0, 0, 1), (0, -1, 1, 0), (-1, 0, 0, -1), (0, 1, -1, 0))[turns]
    if len(data) < _MATRIX.size:
        return None
    a, b, _, c, d, *_ = _MATRIX.unpack_from(data)
    return a, b, c, d


def to_bgr(frame: av.VideoFrame, size: tuple[int, int], colour: Colour, *, wide: bool) -> Array:
    """A frame → (H, W, 3) BGR in full range, uint8, or uint16 if `wide`; resized to `size`, (width, height)."""
    matrix = colour.space if colour.space in SWSCALE_MATRICES else None
    bgr = frame.reformat(
        width=size[0],
        height=size[1],
        format="bgr48le" if wide else "bgr24",
        src_colorspace=matrix,
        dst_colorspace=matrix,
        src_color_range=ColorRange.JPEG if colour.full_range or frame.format.is_rgb else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=EXACT_CONVERSION,
    )
    return bgr.to_ndarray()


def has_own_planes(frame: av.VideoFrame) -> bool:
    """Whether each component of a frame has a plane of its own, as in most videos."""
    return frame.format.is_planar and len(frame.planes) == len(frame.format.components)


def checksum_of(frame: av.VideoFrame) -> int:
    """A CRC-32 of the samples of a frame that `has_own_planes`, in its own format."""
    checksum = zlib.crc32(f"{frame.format.name} {frame.width} {frame.height}".encode())
    for plane, component in zip(frame.planes, frame.format.components, strict=True):
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        row_bytes = component.width * ((component.bits + 7) // 8)  # what follows in a line means nothing
        checksum = zlib.crc32(np.ascontiguousarray(rows[: component.height, :row_bytes]).data, checksum)
    return checksum
