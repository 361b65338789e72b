"""How much memory degrading a picture takes. Knows nothing of what is free, and does not load torch."""

from __future__ import annotations

from collections.abc import Sequence

from .recipe import Recipe
from .steps import Degradation, Resize

# Copies of the largest picture of all steps, as fp32 RGB, that are held at once. Measured with 12 megapixels: 8.5 while
# it is sharpened or compressed with standard tables, 5 to 7 elsewhere; what is read ahead adds the rest.
COPIES_HELD = 11
BYTES_PER_PIXEL = 3 * 4
SHEET_BYTES = 12_000_000  # its cells and what is drawn of them


def held_bytes(height: int, width: int, degradations: Sequence[Degradation], *, sheets: bool = False) -> int:
    """About what degrading a picture takes: its largest step, and all results, which are written together."""
    largest = max(largest_area(height, width, degradation) for degradation in degradations)
    return _held(largest, height * width, degradations[0].scale, len(degradations), sheets)


def most_bytes(height: int, width: int, recipe: Recipe, count: int, *, sheets: bool = False) -> int:
    """The most that `held_bytes` can be for what may be drawn."""
    growth = 1.0
    if recipe.orders == 2:
        growth = max(growth, recipe.resize_range[1] ** 2, (recipe.resize_range2[1] / recipe.scale) ** 2)
    return _held(height * width * growth, height * width, recipe.scale, count, sheets)


def _held(largest: float, area: int, scale: int, count: int, sheets: bool) -> int:
    kept = 3 * area // scale**2 + SHEET_BYTES * sheets
    return round(largest * BYTES_PER_PIXEL * COPIES_HELD) + count * kept


def largest_area(height: int, width: int, degradation: Degradation) -> int:
    """The pixels of the largest picture on the way through all steps."""
    original = current = (height, width)
    largest = height * width
    for step in degradation.steps:
        if isinstance(step, Resize):
            current = step.size_after(current, original, degradation.scale)
            largest = max(largest, current[0] * current[1])
    return largest
