"""The part of a picture that is looked at, as planes of luma and chroma. Knows nothing of files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...arrays import Array, peak_of
from ..jpeg import TO_YCC

MOST_PIXELS = 2**21  # of a picture, that are looked at: a second's work
SIDE = 256  # pixels, of the squares taken from a larger one; a multiple of 16, so that JPEG's blocks stay whole


@dataclass(frozen=True)
class Patch:
    """A rectangle of a picture in levels of 255, whose sides are multiples of 8.

    `luma` is (H, W), `chroma` (2, H, W) around 0, None if the picture is gray; `opaque` (H, W) says what is visible.
    """

    luma: Array
    chroma: Array | None
    opaque: Array

    def without(self, top: int, left: int) -> Patch:
        """The patch without some pixels above and on the left."""
        chroma = None if self.chroma is None else self.chroma[:, top:, left:]
        return Patch(self.luma[top:, left:], chroma, self.opaque[top:, left:])


def patches(pixels: Array) -> list[Patch]:
    """Patches of (H, W), (H, W, 3) BGR or (H, W, 4) BGRA pixels of 8 or 16 bits: always the same, evenly spread.

    A picture of up to MOST_PIXELS is one patch. There is none of a picture with less than 8 pixels a side.
    """
    pixels = pixels[: pixels.shape[0] // 8 * 8, : pixels.shape[1] // 8 * 8]
    height, width = pixels.shape[:2]
    if height * width == 0:
        return []
    if height * width <= MOST_PIXELS:
        return [_patch(pixels)]
    rows, columns = _spread(height, width)
    return [_patch(pixels[top : top + SIDE, left : left + SIDE]) for top in rows for left in columns]


def _spread(height: int, width: int) -> tuple[list[int], list[int]]:
    """Where squares begin, downwards and rightwards: as many each way as the picture is long that way."""
    number = MOST_PIXELS / SIDE**2
    most_down, most_right = max(1, height // SIDE), max(1, width // SIDE)
    down = min(most_down, max(1, round((number * height / width) ** 0.5)))
    right = min(most_right, max(1, int(number / down)))
    down = min(most_down, max(1, int(number / right)))
    return _starts(height, down), _starts(width, right)


def _starts(length: int, number: int) -> list[int]:
    gap = (length - min(SIDE, length)) / number
    return [int((index + 0.5) * gap) // 16 * 16 for index in range(number)] if number > 1 else [int(gap / 2) // 16 * 16]


def _patch(pixels: Array) -> Patch:
    levels = pixels.astype(np.float32) * np.float32(255 / peak_of(pixels.dtype))
    opaque = np.ones(levels.shape[:2], bool)
    if levels.ndim == 2:
        return Patch(levels, None, opaque)
    if levels.shape[2] == 4:
        opaque = pixels[..., 3] == peak_of(pixels.dtype)
    rgb = levels[..., 2::-1]
    if np.array_equal(rgb[..., 0], rgb[..., 1]) and np.array_equal(rgb[..., 1], rgb[..., 2]):
        return Patch(rgb[..., 0].copy(), None, opaque)
    luma, *chroma = np.moveaxis(rgb @ np.array(TO_YCC, np.float32).T, 2, 0)
    return Patch(np.ascontiguousarray(luma), np.stack(chroma), opaque)
