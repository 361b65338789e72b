"""Measure how many pixels beside a tile a network has to see for the cuts not to show, on a part of a picture.

Of networks of other projects nobody knows how far they look. So a part of the picture is computed whole, and its middle
and a corner again as tiles, seen with more and more pixels around them. The corner, because some networks have opposite
borders see each other. Once that is as good, what tiles would not see is painted over, and must not change the middle:
some networks take means over all they see, and those of a tile may happen to be the picture's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..arrays import Array, peak_of
from .tiling import Box

SIDE = 256  # pixels of the part that is computed whole: enough for 64 on every side of the middle, and often for 96
WINDOWS = 6  # at least so many in a row: two for the middle, one beside it on either side, and one to the borders
SMALLEST_SIDE = 96  # a smaller part would say little
# Networks that make pictures smaller inside, or cut them into windows, do so on a grid that only some of them declare.
# This one holds all that are known: three halvings of a picture in windows of 8.
COMMON_GRID = 64
PADS = (4, 8, 16, 24, 32, 48, 64, 96)
VISIBLE = 0.5  # levels of 8 bits: less cannot change a result by more than one level, the rounding's
# What the middle may differ by: half of that, for other places of the picture may need more.
ALLOWED = VISIBLE / 2
PLACES = 5  # in each direction, where the part with the most detail is looked for


@dataclass(frozen=True)
class Context:
    """How many pixels beside a tile a network sees, and by how many 8-bit levels results then differ at most."""

    pad: int
    levels: float

    @property
    def hides_seams(self) -> bool:
        return self.levels <= VISIBLE


def side_for(multiple: int) -> int:
    """The side of the part to compute, for a network whose tiles begin at multiples of so many pixels."""
    return max(SIDE, WINDOWS * multiple)


def busiest_part(read: Callable[[Box], Array], height: int, width: int, side: int, multiple: int) -> Box:
    """The part of a picture, of at most `side` × `side`, with the most detail in its middle."""
    tall, wide = min(height, side), min(width, side)

    def places(length: int, part: int) -> list[int]:
        return sorted({int(place) // multiple * multiple for place in np.linspace(0, length - part, PLACES)})

    def detail(box: Box) -> float:
        middle = _middle(box.height, box.width, 1).shifted(box.top, box.left)
        pixels = read(middle).astype(np.float32)
        return float(np.abs(np.diff(pixels, axis=0)).sum() + np.abs(np.diff(pixels, axis=1)).sum())

    parts = [Box(top, left, top + tall, left + wide) for top in places(height, tall) for left in places(width, wide)]
    return max(parts, key=detail)


def painted_over(pixels: Array, kept: Box) -> Array:
    """`pixels`, (H, W, C) of any depth, all black or white outside `kept`: whichever they are farther from."""
    peak = peak_of(pixels.dtype) if pixels.dtype.kind == "u" else 1.0
    painted = np.full_like(pixels, 0 if pixels.mean() > peak / 2 else peak)
    painted[kept.slices] = pixels[kept.slices]
    return painted


@torch.no_grad()
def measure_context(
    compute: Callable[[Box, Box | None], Tensor], height: int, width: int, scale: int, multiple: int
) -> Context | None:
    """How much context a tile needs in a picture of height × width; None if the picture is too small to tell.

    Args:
        compute: gives the network's result for a box of the picture, (1, C, h·scale, w·scale), with all outside a
            second one, if that is given, painted over.
        multiple: tiles, and what they see, begin at multiples of this.
    """
    middle = _middle(height, width, multiple)
    pads = list(_telling_pads(middle, height, width, multiple))
    if not pads:
        return None
    everything = Box(0, 0, height, width)
    whole = compute(everything, None).clamp(0, 1)

    def changed(result: Tensor, seen: Box, core: Box) -> float:
        """By how many levels the `core` of a result for what was `seen` differs from that of the whole."""
        own = result[(..., *core.relative_to(seen).scaled(scale).slices)].clamp(0, 1)
        return 255 * float((own - whole[(..., *core.scaled(scale).slices)]).abs().max())

    def as_tiles(pad: int) -> float:
        cores = (middle, Box(0, 0, middle.height, middle.width))
        seen = [core.grown(pad, height, width, multiple) for core in cores]
        return max(changed(compute(box, None), box, core) for core, box in zip(cores, seen, strict=True))

    def by_what_is_beyond(pad: int) -> float:
        kept = middle.grown(pad, height, width, multiple)
        return changed(compute(everything, kept), everything, middle)

    found: list[Context] = []
    for pad in pads:
        levels = as_tiles(pad)
        if levels <= ALLOWED:
            levels = max(levels, by_what_is_beyond(pad))
            if levels <= VISIBLE:
                return Context(pad, levels)
        found.append(Context(pad, levels))
    best = min(found, key=lambda context: context.levels)
    return Context(best.pad, max(best.levels, by_what_is_beyond(best.pad)))


def _middle(height: int, width: int, multiple: int) -> Box:
    """The middle quarter of each side; all of a side that is too short to be cut.

    It begins at an odd multiple from the top and at an even one from the left. So whatever is added on all sides, tiles
    do not happen to begin at multiples of more than `multiple` in both directions.
    """

    def span(length: int, parity: int) -> tuple[int, int]:
        start = length * 3 // 8 // multiple
        start = (start + (start + parity) % 2) * multiple
        end = start + max(multiple, length // 4 // multiple * multiple)
        return (start, end) if length >= SMALLEST_SIDE else (0, length)

    (top, bottom), (left, right) = span(height, 1), span(width, 0)
    return Box(top, left, bottom, right)


def _telling_pads(middle: Box, height: int, width: int, multiple: int) -> Iterator[int]:
    """Those of `PADS`, each rounded up to `multiple`, with which a tile does not reach a border that cuts it off."""
    for pad in sorted({-(-pad // multiple) * multiple for pad in PADS}):
        seen = middle.grown(pad, height, width, multiple)
        free_rows = middle.height == height or (seen.top > 0 and seen.bottom < height)
        free_columns = middle.width == width or (seen.left > 0 and seen.right < width)
        if free_rows and free_columns and seen.area < height * width:
            yield pad
