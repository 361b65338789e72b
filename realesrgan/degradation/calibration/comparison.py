"""A sheet of pictures beside sharp ones that went through the proposed recipe: do they look alike?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from ...arrays import Array
from ...image import files, sheet
from ...image.sheet import Cell
from ...restorer import Reporter
from .. import pixels
from ..draw import draw as draw_degradation
from ..process import apply
from ..recipe import Recipe
from .measuring import Measurement, measure

PAIRS = 6
COLUMNS = 4
CROP = 160  # pixels a side, of what is shown
ENLARGED = 2  # times, without smoothing
MARGIN = 32  # pixels around what is shown, which are degraded with it and measured
REDUCED = 2  # times, for a picture to lose its own noise and blur where there is no sharp one
LEAST_SIDE = 48  # pixels; a smaller result shows nothing


@dataclass(frozen=True)
class Real:
    """What the sheet shows of a picture: the middle, in BGR, and of the picture made smaller what is degraded again."""

    name: str
    middle: Array
    reduced: Array
    measured: Measurement

    @classmethod
    def of(cls, name: str, picture: Array, measured: Measurement) -> Real:
        """Keep what is needed of a picture in any form that files have."""
        colour = sheet.on_paper(picture)
        height, width = (max(1, side // REDUCED) for side in colour.shape[:2])
        reduced = cv2.resize(colour, (width, height), interpolation=cv2.INTER_AREA)
        # No recipe makes more of it smaller than this.
        return cls(name, _middle(colour, CROP).copy(), _middle(reduced, 16 * (CROP + 2 * MARGIN)).copy(), measured)


def draw(reals: Sequence[Real], sharp: Sequence[Path], recipe: Recipe, reporter: Reporter) -> Array:
    """Draw a pair for each picture: itself, and one of `sharp` after the recipe, each with what is measured of it.

    Without `sharp`, the picture itself made smaller takes its place. Returns 8-bit BGR.

    Raises:
        ImageFileError: a sharp picture cannot be read.
    """
    cells: list[Cell] = []
    for number, real in enumerate(reals):
        reporter.check()
        if sharp:
            path = sharp[number % len(sharp)]
            name, source = path.name, sheet.on_paper(files.read(path).pixels)
        else:
            name, source = f"{real.name} / {REDUCED}", real.reduced
        cells += [_cell(real.name, real.middle, real.measured), _synthesised(name, source, recipe, number)]
    rows = [cells[first : first + COLUMNS] for first in range(0, len(cells), COLUMNS)]
    return sheet.draw_sheet(rows, "pairs: a picture as it is, and a sharp one after the recipe")


def _synthesised(name: str, source: Array, recipe: Recipe, number: int) -> Cell:
    source = pixels.cut_to_multiple(_middle(source, (CROP + 2 * MARGIN) * recipe.scale), recipe.scale)
    if min(source.shape[:2]) < LEAST_SIDE * recipe.scale:
        blank = np.full((CROP * ENLARGED, CROP * ENLARGED, 3), 224, np.uint8)
        return Cell(_label(name, ("too small to degrade", "name sharp pictures")), blank)
    original = pixels.from_pixels(np.ascontiguousarray(source), torch.device("cpu"))
    result = pixels.to_pixels(apply(original, [draw_degradation(0, number, recipe)]))
    return _cell(name, _middle(result, CROP), measure(result))


def _cell(name: str, picture: Array, measured: Measurement) -> Cell:
    height, width = (side * ENLARGED for side in picture.shape[:2])
    large = cv2.resize(picture, (width, height), interpolation=cv2.INTER_NEAREST)
    return Cell(_label(name, measured.facts()), large)


def _label(name: str, facts: Sequence[str]) -> str:
    """Lines: the name, and two facts a line."""
    pairs = [", ".join(facts[at : at + 2]) for at in range(0, len(facts), 2)]
    return "\n".join([name, *pairs])


def _middle(picture: Array, side: int) -> Array:
    """The middle of (H, W, …), `side` pixels a side or as many as there are."""
    top, left = (max(0, (length - side) // 2) for length in picture.shape[:2])
    return picture[top : top + side, left : left + side]
