"""Put the pieces of a result where they belong, as whole levels of its depth, and resized as their rows come in.

Knows nothing of networks. A result is held once, in its final size and depth; of what has to be resized only the few
rows that the next ones are made of are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from .pixels import Array, quantise
from .tiling import Box

Across = Callable[[Array], Array]  # (n, W, C) → (n, W', C)

LANCZOS_TAPS = 8  # rows a result row is made of, as in OpenCV's INTER_LANCZOS4
LANCZOS_HALF = LANCZOS_TAPS // 2
ROWS_AT_ONCE = 32  # of the result; more would hold more copies of rows for nothing


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
        across: Across = partial(_resized_across, width=final_width)
        if self.resizes and (start, stop) != (0, width):
            indices, weights = (taps[columns] for taps in lanczos_taps(width, final_width))
            self.left, self.right = int(indices.min(initial=start)), int(indices.max(initial=stop - 1)) + 1
            across = partial(_mixed_across, matrix=_as_matrix(indices - self.left, weights, self.right - self.left))
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


class RowResizer:
    """OpenCV's Lanczos resize, fed with rows from top to bottom; `target` gets each row as soon as it can be made.

    `across` resizes rows; down, the same eight weights are applied to the rows kept, in fp32 and rounded once.
    """

    def __init__(self, target: Array, height: int, across: Across) -> None:
        self.target = target
        self.across = across
        self.height = height
        self.indices, self.weights = lanczos_taps(height, target.shape[0])
        self._kept = np.empty((0, target.shape[1], target.shape[2]), np.float32)
        self._top = 0
        self._done = 0

    def add(self, rows: Array) -> None:
        """The next (n, W, C) fp32 rows with 1.0 for white."""
        self._kept = np.concatenate((self._kept, self.across(rows).reshape(len(rows), *self._kept.shape[1:])))
        have = self._top + len(self._kept)
        # Taps beyond the border were clamped to it, so the last one says when a row can be made.
        ready = int(np.searchsorted(self.indices[:, -1], have))
        while self._done < ready:
            end = min(ready, self._done + ROWS_AT_ONCE)
            self.target[self._done : end] = quantise(self._mixed(self._done, end), self.target.dtype)
            self._done = end
        needed = min(have, int(self.indices[self._done, 0])) if self._done < len(self.indices) else have
        self._kept, self._top = self._kept[needed - self._top :].copy(), needed

    def _mixed(self, start: int, end: int) -> Array:
        mixed = np.zeros((end - start, *self._kept.shape[1:]), np.float32)
        for tap in range(LANCZOS_TAPS):
            rows = self._kept[self.indices[start:end, tap] - self._top]
            mixed += rows * self.weights[start:end, tap, None, None]
        return mixed


def _resized_across(rows: Array, width: int) -> Array:
    return cv2.resize(rows, (width, len(rows)), interpolation=cv2.INTER_LANCZOS4)


def _mixed_across(rows: Array, matrix: Array) -> Array:
    """Resize by a matrix, (new width, width): part of a row cannot be had from OpenCV."""
    return np.moveaxis(np.tensordot(rows, matrix, (1, 1)), 2, 1)


def _as_matrix(indices: Array, weights: Array, width: int) -> Array:
    """What `lanczos_taps` gives, as a matrix; taps that fall together at a border add up."""
    matrix = np.zeros((len(indices), width), np.float32)
    np.add.at(matrix, (np.arange(len(indices))[:, None], indices), weights)
    return matrix


def lanczos_taps(size: int, new_size: int) -> tuple[Array, Array]:
    """Which of `size` samples each of `new_size` is made of, (new_size, 8), and their weights, which add up to 1.

    Lanczos' kernel over four samples each way, also when shrinking, and the border sample repeated: OpenCV's rules.
    """
    centres = (np.arange(new_size) + 0.5) * (size / new_size) - 0.5
    first = np.floor(centres).astype(np.intp) - LANCZOS_HALF + 1
    indices = first[:, None] + np.arange(LANCZOS_TAPS)
    distance = centres[:, None] - indices
    weights = np.sinc(distance) * np.sinc(distance / LANCZOS_HALF)
    weights /= weights.sum(1, keepdims=True)
    return indices.clip(0, size - 1), weights.astype(np.float32)
