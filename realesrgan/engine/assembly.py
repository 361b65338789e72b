"""Put the pieces of a result where they belong, as whole levels of its depth, and resized as their rows come in.

Knows nothing of networks. A result is held once, in its final size and depth; of what has to be resized only the few
rows that the next ones are made of are kept.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from ..arrays import Array
from .resize import Across, RowResizer, as_matrix, lanczos_taps, mixed_across, resized_across
from .tiling import Box


class Assembly:
    """Takes the pieces of a (height, width) result, from top to bottom, and fills `target`, resizing to its size.

    Args:
        target: (H', W', C), uint8 or uint16; may be a view of something larger.
        height, width: of what the pieces of all blocks make up together.
        start, stop: fill only what corresponds to these columns, of a picture that is put together in blocks. Pieces
            then have to hold at least the columns [`left`, `right`), a few more.

    Pieces may come in any order as long as no row is left behind for good; together they cover each pixel once.
    """

    def __init__(self, target: Array, height: int, width: int, start: int = 0, stop: int | None = None) -> None:
        self.resizes = target.shape[:2] != (height, width)
        final_width = target.shape[1]
        stop = width if stop is None else stop
        columns = slice(start * final_width // width, stop * final_width // width)
        self.target = target[:, columns]
        self.left, self.right = start, stop
        across: Across = partial(resized_across, width=final_width)
        if self.resizes and (start, stop) != (0, width):
            indices, weights = (taps[columns] for taps in lanczos_taps(width, final_width))
            self.left, self.right = int(indices.min(initial=start)), int(indices.max(initial=stop - 1)) + 1
            across = partial(mixed_across, matrix=as_matrix(indices - self.left, weights, self.right - self.left))
        self.width = self.right - self.left
        self._resizer = RowResizer(self.target, height, across)
        self._band = np.empty((0, self.width, target.shape[2]), np.float32)  # rows not complete, or not the next
        self._missing = np.empty(0, np.intp)  # how many pixels each of them lacks
        self._top = 0

    def write(self, box: Box, piece: Array) -> None:
        """(h, w, C) for `box`: levels of the target's type, or where it `resizes` fp32 with 1.0 for white."""
        inside = Box(box.top, max(box.left, self.left), box.bottom, min(box.right, self.right))
        if inside.left >= inside.right:
            return
        piece = piece[:, inside.left - box.left : inside.right - box.left]
        box = inside.shifted(0, -self.left)
        if not self.resizes:
            self.target[box.slices] = piece
        elif box.left == 0 and box.width == self.width and box.top == self._top and not len(self._band):
            self._top = box.bottom
            self._resizer.add(piece)
        else:
            self._gather(box, piece)

    def _gather(self, box: Box, piece: Array) -> None:
        """Keep a piece that is not as wide as the picture until its rows are whole."""
        more = box.bottom - self._top - len(self._band)
        if more > 0:
            more = max(more, len(self._band))  # doubled, for pieces may be many and have few rows
            self._band = np.concatenate((self._band, np.empty((more, *self._band.shape[1:]), np.float32)))
            self._missing = np.concatenate((self._missing, np.full(more, self.width)))
        rows = slice(box.top - self._top, box.bottom - self._top)
        self._band[rows, box.left : box.right] = piece
        self._missing[rows] -= box.width
        whole = int(np.argmax(self._missing > 0)) if (self._missing > 0).any() else len(self._missing)
        if whole:
            self._resizer.add(self._band[:whole])
            self._band, self._missing, self._top = self._band[whole:].copy(), self._missing[whole:], self._top + whole
