"""OpenCV's Lanczos resize, fed with rows from top to bottom. Knows nothing of networks or tiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from ..arrays import Array, quantise

LANCZOS_TAPS = 8  # rows a result row is made of, as in OpenCV's INTER_LANCZOS4
LANCZOS_HALF = LANCZOS_TAPS // 2
ROWS_AT_ONCE = 32  # of the result; more would only take more memory


@dataclass(frozen=True)
class AcrossResizer:
    """Resizes rows to some columns of the result.

    `columns` are those columns, [`left`, `right`) the columns of the source that they are made of; `apply` turns those,
    (n, right - left, C), into them.
    """

    left: int
    right: int
    columns: slice
    apply: Callable[[Array], Array]


class RowResizer:
    """OpenCV's Lanczos resize, fed with rows from top to bottom; `target` gets each row as soon as it can be made.

    `across` resizes the rows themselves. Columns are resized by the same eight weights, applied to the rows kept, in
    fp32 and rounded once.
    """

    def __init__(self, target: Array, height: int, across: AcrossResizer) -> None:
        self.target = target
        self.across = across
        self.height = height
        self.indices, self.weights = lanczos_taps(height, target.shape[0])
        self._kept = np.empty((0, target.shape[1], target.shape[2]), np.float32)
        self._top = 0
        self._done = 0

    def add(self, rows: Array) -> None:
        """Take the next n rows: (n, right - left of `across`, C) fp32 with 1.0 for white."""
        resized = self.across.apply(rows).reshape(len(rows), *self._kept.shape[1:])
        self._kept = np.concatenate((self._kept, resized))
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


def resize_columns(width: int, new_width: int, start: int, stop: int) -> AcrossResizer:
    """What resizes rows from `width` to `new_width`, or only to the columns that correspond to [start, stop)."""
    if (start, stop) == (0, width):
        return AcrossResizer(0, width, slice(0, new_width), partial(_resized_by_opencv, width=new_width))
    columns = slice(start * new_width // width, stop * new_width // width)
    indices, weights = (taps[columns] for taps in lanczos_taps(width, new_width))
    left, right = int(indices.min(initial=start)), int(indices.max(initial=stop - 1)) + 1
    matrix = _as_matrix(indices - left, weights, right - left)
    return AcrossResizer(left, right, columns, partial(_resized_by_matrix, matrix=matrix))


def _resized_by_opencv(rows: Array, width: int) -> Array:
    return cv2.resize(rows, (width, len(rows)), interpolation=cv2.INTER_LANCZOS4)


def _resized_by_matrix(rows: Array, matrix: Array) -> Array:
    """Resize by a matrix, (new width, width), because OpenCV resizes whole rows only."""
    return np.moveaxis(np.tensordot(rows, matrix, (1, 1)), 2, 1)


def _as_matrix(indices: Array, weights: Array, width: int) -> Array:
    """What `lanczos_taps` gives, as a matrix; taps that coincide at a border add up."""
    matrix = np.zeros((len(indices), width), np.float32)
    np.add.at(matrix, (np.arange(len(indices))[:, None], indices), weights)
    return matrix


def lanczos_taps(size: int, new_size: int) -> tuple[Array, Array]:
    """For each of `new_size` samples, which of `size` it is made of, (new_size, 8), and their weights, which sum to 1.

    Lanczos' kernel over four samples each way, also when shrinking, and the border sample repeated: OpenCV's rules.
    """
    centres = (np.arange(new_size) + 0.5) * (size / new_size) - 0.5
    first = np.floor(centres).astype(np.intp) - LANCZOS_HALF + 1
    indices = first[:, None] + np.arange(LANCZOS_TAPS)
    distance = centres[:, None] - indices
    weights = np.sinc(distance) * np.sinc(distance / LANCZOS_HALF)
    weights /= weights.sum(1, keepdims=True)
    return indices.clip(0, size - 1), weights.astype(np.float32)
