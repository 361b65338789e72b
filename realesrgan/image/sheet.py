"""Draw pictures with labels above them, in rows: contact sheets and comparisons. Knows nothing of files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

import cv2
import numpy as np

from ..arrays import Array

LABEL_HEIGHT = 32  # pixels, of a label's first line
LINE_HEIGHT = 20  # pixels, of each further line
GAP = 8  # pixels between pictures
_NARROWEST = 160  # pixels, of a column on a sheet: enough for a few words
_PAPER, _INK = (255, 255, 255), (32, 32, 32)
_FONT, _FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.6
_CHECKER_PX, _CHECKER_LEVELS = 8, (255, 204)


@dataclass(frozen=True)
class Cell:
    """A picture on a sheet, as OpenCV has it (any depth, gray to BGRA), and the lines of its label."""

    label: str
    pixels: Array


def draw_sheet(rows: Sequence[Sequence[Cell]], title: str = "") -> Array:
    """Draw rows of cells in columns as wide as they need; rows may differ in length. Returns (H, W, 3) 8-bit BGR.

    Transparency is shown over a checkerboard.
    """
    widths = [
        max(_NARROWEST, *(cell.pixels.shape[1] for cell in column if cell is not None))
        for column in zip_longest(*rows)
        if any(cell is not None for cell in column)
    ]
    drawn = [_row(row, widths) for row in rows if row]
    width = sum(widths) + GAP * (len(widths) + 1)
    if title:
        drawn.insert(0, labelled(_paper(0, width), title))
    gap = _paper(GAP, width)
    return np.vstack([part for row in drawn for part in (row, gap)])


def _row(cells: Sequence[Cell], widths: Sequence[int]) -> Array:
    lines = max(cell.label.count("\n") for cell in cells)
    tallest = max(cell.pixels.shape[0] for cell in cells)
    height = LABEL_HEIGHT + lines * LINE_HEIGHT + tallest
    parts = [_paper(height, GAP)]
    for number, width in enumerate(widths):
        panel = _paper(height, width)
        if number < len(cells):
            cell = cells[number]
            picture = _paper(tallest, width)
            picture[: cell.pixels.shape[0], : cell.pixels.shape[1]] = on_paper(cell.pixels)
            panel = labelled(picture, cell.label + "\n" * (lines - cell.label.count("\n")))
        parts += [panel, _paper(height, GAP)]
    return np.hstack(parts)


def labelled(picture: Array, text: str) -> Array:
    """(H, W, 3) 8-bit BGR with the lines of `text` above it; if they are too long, smaller, or none at all.

    OpenCV draws ASCII only, so any other letter becomes a question mark.
    """
    lines = text.encode("ascii", "replace").decode("ascii").split("\n")
    bar = _paper(LABEL_HEIGHT + LINE_HEIGHT * (len(lines) - 1), picture.shape[1])
    longest = max(cv2.getTextSize(line, _FONT, _FONT_SCALE, 1)[0][0] for line in lines)
    scale = min(_FONT_SCALE, _FONT_SCALE * (picture.shape[1] - 8) / max(longest, 1))
    if scale > 0.1:
        for number, line in enumerate(lines):
            cv2.putText(bar, line, (4, 22 + number * LINE_HEIGHT), _FONT, scale, _INK, 1, cv2.LINE_AA)
    return np.vstack((bar, picture))


def on_paper(picture: Array) -> Array:
    """To 8-bit BGR, transparency over a checkerboard."""
    if picture.dtype == np.uint16:
        picture = np.rint(picture / np.float32(257)).astype(np.uint8)
    if picture.ndim == 2:
        return cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
    if picture.shape[2] == 3:
        return picture
    rows, columns = np.indices(picture.shape[:2]) // _CHECKER_PX
    board = np.where((rows + columns) % 2, *_CHECKER_LEVELS)[..., None]
    share = picture[..., 3:] / np.float32(255)
    return np.rint(picture[..., :3] * share + board * (1 - share)).astype(np.uint8)


def _paper(height: int, width: int) -> Array:
    return np.full((height, width, 3), _PAPER, np.uint8)
