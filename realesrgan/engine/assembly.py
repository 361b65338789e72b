"""Put the pieces of a result together: where they belong or, if the size is another, resized row by row.

Knows nothing of networks. A result is held once, in its final size and depth. Of what has to be resized, only the few
rows are kept that the next rows of the result are made of.
"""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from .resize import RowResizer, resize_columns
from .tiling import Box


class PlacedAssembly:
    """Writes pieces into a `target` that has the size of their result."""

    resizes = False

    def __init__(self, target: Array) -> None:
        self.target = target

    def write(self, box: Box, piece: Array) -> None:
        """(h, w, C) for `box`, of the target's type."""
        self.target[box.slices] = piece


class ResizedAssembly:
    """Resizes a (height, width) result into `target` while its pieces come in.

    Pieces may come in any order that completes rows from top to bottom; together they cover each pixel once.

    Args:
        target: (H', W', C), uint8 or uint16; may be a view of something larger.
        height, width: of the result before it is resized.
        start, stop: fill only the columns of `target` that correspond to these. Pieces then have to cover the columns
            [`left`, `right`), a few more, which are what the resized ones are made of.
    """

    resizes = True

    def __init__(self, target: Array, height: int, width: int, start: int = 0, stop: int | None = None) -> None:
        across = resize_columns(width, target.shape[1], start, width if stop is None else stop)
        self.left, self.right = across.left, across.right
        self._rows = RowCollector(self.right - self.left, target.shape[2])
        self._resizer = RowResizer(target[:, across.columns], height, across)

    def write(self, box: Box, piece: Array) -> None:
        """(h, w, C) for `box`, fp32 with 1.0 for white; what lies outside [`left`, `right`) is ignored."""
        left, right = max(box.left, self.left), min(box.right, self.right)
        if left >= right:
            return
        piece = piece[:, left - box.left : right - box.left]
        rows = self._rows.add(Box(box.top, left, box.bottom, right).shifted(0, -self.left), piece)
        if len(rows):
            self._resizer.add(rows)


Assembly = PlacedAssembly | ResizedAssembly


def assemble_into(target: Array, height: int, width: int) -> Assembly:
    """What puts the pieces of a (height, width) result into `target`, (H', W', C), and resizes them if it must."""
    if target.shape[:2] == (height, width):
        return PlacedAssembly(target)
    return ResizedAssembly(target, height, width)


class RowCollector:
    """Collects the pieces of rows `width` pixels wide until the rows are complete."""

    def __init__(self, width: int, channels: int) -> None:
        self.width = width
        self._top = 0  # of the first row that has not been returned
        self._kept = np.empty((0, width, channels), np.float32)  # the rows from there on, not all complete
        self._missing = np.empty(0, np.intp)  # how many pixels each of them lacks

    def add(self, box: Box, piece: Array) -> Array:
        """Take (h, w, C) for `box`; return the rows that are complete now, in order and each once, perhaps none."""
        if box.width == self.width and box.top == self._top and not len(self._kept):
            self._top = box.bottom
            return piece
        self._keep(box, piece)
        return self._take_complete()

    def _keep(self, box: Box, piece: Array) -> None:
        lacking = box.bottom - self._top - len(self._kept)
        if lacking > 0:
            more = max(lacking, len(self._kept))  # doubled, for pieces may be many and have few rows
            self._kept = np.concatenate((self._kept, np.empty((more, *self._kept.shape[1:]), np.float32)))
            self._missing = np.concatenate((self._missing, np.full(more, self.width)))
        rows = slice(box.top - self._top, box.bottom - self._top)
        self._kept[rows, box.left : box.right] = piece
        self._missing[rows] -= box.width

    def _take_complete(self) -> Array:
        incomplete = np.flatnonzero(self._missing)
        count = int(incomplete[0]) if len(incomplete) else len(self._missing)
        rows = self._kept[:count]
        if count:
            self._kept, self._missing, self._top = self._kept[count:].copy(), self._missing[count:], self._top + count
        return rows
