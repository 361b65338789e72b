"""OpenCV's Lanczos resize, fed with rows from top to bottom. Knows nothing of networks or tiles."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from ..arrays import Array, quantise

Across = Callable[[Array], Array]  # (n, W, C) → (n, W', C)

LANCZOS_TAPS = 8  # rows a result row is made of, as in OpenCV's INTER_LANCZOS4
LANCZOS_HALF = LANCZOS_TAPS // 2
ROWS_AT_ONCE = 32  # of the result; more would hold more copies of rows for nothing


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


def resized_across(rows: Array, width: int) -> Array:
    return cv2.resize(rows, (width, len(rows)), interpolation=cv2.INTER_LANCZOS4)


def mixed_across(rows: Array, matrix: Array) -> Array:
    """Resize by a matrix, (new width, width): part of a row cannot be had from OpenCV."""
    return np.moveaxis(np.tensordot(rows, matrix, (1, 1)), 2, 1)


def as_matrix(indices: Array, weights: Array, width: int) -> Array:
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
