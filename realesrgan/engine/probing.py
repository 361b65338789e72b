"""Tell a planner how much context the tiles of another project's network need, measured on a picture within memory."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from ..arrays import Array
from . import seams
from .device import is_out_of_memory
from .planning import Planner
from .tiling import Box

Compute = Callable[[Array], Tensor]  # (h, w, C) → the network's result in fp32, (1, C, h·scale, w·scale)
Read = Callable[[Box], Array]


def tell_context(planner: Planner, compute: Compute, read: Read, height: int, width: int) -> None:
    """Set the `context` of `planner`, by the picture of height × width that `read` gives; None if it is too small.

    Where the declared grid shows seams, tiles on the common one are tried, and the planner's grid is set, too.
    """
    declared = planner.tile_multiple
    for multiple in dict.fromkeys((declared, math.lcm(declared, seams.COMMON_GRID))):
        context = _context_on_grid(planner, compute, read, height, width, multiple)
        best = planner.context
        if context is not None and (best is None or context.levels < best.levels):
            planner.context, planner.tile_multiple = context, multiple
        if context is None or context.hides_seams:
            return


def _context_on_grid(
    planner: Planner, compute: Compute, read: Read, height: int, width: int, multiple: int
) -> seams.Context | None:
    """The context of tiles that begin at multiples of so many pixels; None if it cannot be measured."""
    side = min(max(height, width), planner.affordable_side(seams.side_for(multiple)))
    while side >= seams.SMALLEST_SIDE:
        part = seams.busiest_part(read, height, width, side, multiple)

        def compute_box(box: Box, kept: Box | None, part: Box = part) -> Tensor:
            pixels = read(box.shifted(part.top, part.left))
            return compute(pixels if kept is None else seams.painted_over(pixels, kept))

        try:
            return seams.measure_context(compute_box, part.height, part.width, planner.scale, multiple)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        side = max(seams.SMALLEST_SIDE, side * 3 // 4) if side > seams.SMALLEST_SIDE else 0
    return None
