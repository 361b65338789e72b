"""Lanczos resizing that averages when it shrinks, as Pillow does it. Knows nothing of files.

The kernel, over three samples each way, is widened by the factor a picture is shrunk by; OpenCV's is not, and libvips
places it on a grid of 1/64 of a pixel.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from ..arrays import Array, peak_of

LOBES = 3  # of the kernel, each way
_ROWS_AT_ONCE = 64  # of a result: a matrix over few source rows, instead of one over all


def resize(pixels: Array, height: int, width: int) -> Array:
    """Resize (H, W), (H, W, 3) BGR or (H, W, 4) BGRA of uint8 or uint16 to `height` × `width`, of the same type.

    Both directions round to whole levels, as Pillow's do: 8-bit results are within one level of its LANCZOS. With
    transparency, colours are weighted by alpha, so that none bleeds out of what is hidden, and rounding comes last.
    """
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        return _resize_with_alpha(pixels, height, width)
    return _resize(pixels, height, width)


def _resize_with_alpha(pixels: Array, height: int, width: int) -> Array:
    peak = np.float32(peak_of(pixels.dtype))
    if (pixels[..., 3] == peak).all():
        return np.dstack((_resize(pixels[..., :3], height, width), np.full((height, width), peak, pixels.dtype)))
    alpha = pixels[..., 3:] / peak
    weighted = _resize(np.dstack((pixels[..., :3] * alpha, alpha)), height, width)
    alpha = weighted[..., 3:]
    colour = weighted[..., :3] / np.maximum(alpha, 0.5 / peak)  # what has less is invisible
    return _round(np.dstack((colour, alpha * peak)), pixels.dtype)


def _resize(pixels: Array, height: int, width: int) -> Array:
    """Columns first, then rows; integers are rounded after each, floating point is not."""
    columns = _resize_rows(cv2.transpose(pixels), width)
    return _resize_rows(cv2.transpose(columns), height)


def _resize_rows(pixels: Array, new_size: int) -> Array:
    size, row = pixels.shape[0], pixels.shape[1:]
    if size == new_size:
        return pixels
    flat = pixels.reshape(size, -1)
    result = np.empty((new_size, flat.shape[1]), pixels.dtype)
    for start in range(0, new_size, _ROWS_AT_ONCE):
        stop = min(start + _ROWS_AT_ONCE, new_size)
        first, weights = lanczos_weights(size, new_size, start, stop)
        source = flat[first : first + weights.shape[1]].astype(np.float32, copy=False)
        result[start:stop] = _round(weights @ source, pixels.dtype)
    return result.reshape(new_size, *row)


def _round(values: Array, dtype: np.dtype[Any]) -> Array:
    if dtype.kind == "f":
        return values
    levels: Array = np.rint(values.clip(0, peak_of(dtype))).astype(dtype)
    return levels


def lanczos_weights(size: int, new_size: int, start: int, stop: int) -> tuple[int, Array]:
    """For samples [start, stop) of `new_size`, the first of `size` they are made of and a (stop - start, n) matrix.

    Each row sums to 1; at a border, what would lie beyond it is left out.
    """
    step = size / new_size
    stretch = max(step, 1.0)
    centres = (np.arange(start, stop) + 0.5) * step
    first = max(0, int(centres[0] - LOBES * stretch))
    last = min(size, int(centres[-1] + LOBES * stretch) + 1)
    distance = (np.arange(first, last) + 0.5 - centres[:, None]) / stretch
    weights = np.where(abs(distance) < LOBES, np.sinc(distance) * np.sinc(distance / LOBES), 0.0)
    return first, (weights / weights.sum(1, keepdims=True)).astype(np.float32)
