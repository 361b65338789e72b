"""Measure how many pixels beside a tile a network has to see for the cuts not to show, on a part of a picture.

Of networks of other projects nobody knows how far they look. So a part of the picture is computed whole, and its middle
again as a tile, seen with more and more pixels around it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..arrays import Array
from .tiling import Box

SIDE = 256  # pixels of the part that is computed whole: enough for 96 on every side of the middle
SMALLEST_SIDE = 96  # a smaller part would say little
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


@torch.no_grad()
def measure_context(
    compute: Callable[[Box], Tensor], height: int, width: int, scale: int, multiple: int
) -> Context | None:
    """How much context a tile needs in a picture of height × width; None if the picture is too small to tell.

    Args:
        compute: gives the network's result for a box of the picture, (1, C, h·scale, w·scale).
        multiple: tiles, and what they see, begin at multiples of this.
    """
    middle = _middle(height, width, multiple)
    pads = list(_telling_pads(middle, height, width, multiple))
    if not pads:
        return None
    whole = compute(Box(0, 0, height, width))[(..., *middle.scaled(scale).slices)].clamp(0, 1)
    found: list[Context] = []
    for pad in pads:
        seen = middle.grown(pad, height, width, multiple)
        tile = compute(seen)[(..., *middle.relative_to(seen).scaled(scale).slices)].clamp(0, 1)
        found.append(Context(pad, 255 * float((tile - whole).abs().max())))
        if found[-1].levels <= ALLOWED:
            return found[-1]
    return min(found, key=lambda context: context.levels)


def _middle(height: int, width: int, multiple: int) -> Box:
    """The middle quarter of each side; all of a side that is too short to be cut."""

    def span(length: int) -> tuple[int, int]:
        start = length * 3 // 8 // multiple * multiple
        end = start + max(multiple, length // 4 // multiple * multiple)
        return (start, end) if length >= SMALLEST_SIDE else (0, length)

    (top, bottom), (left, right) = span(height), span(width)
    return Box(top, left, bottom, right)


def _telling_pads(middle: Box, height: int, width: int, multiple: int) -> Iterator[int]:
    """Those of `PADS`, each rounded up to `multiple`, with which a tile does not reach a border that cuts it off."""
    for pad in sorted({-(-pad // multiple) * multiple for pad in PADS}):
        seen = middle.grown(pad, height, width, multiple)
        free_rows = middle.height == height or (seen.top > 0 and seen.bottom < height)
        free_columns = middle.width == width or (seen.left > 0 and seen.right < width)
        if free_rows and free_columns and seen.area < height * width:
            yield pad
