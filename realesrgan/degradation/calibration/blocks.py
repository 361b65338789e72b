"""Pictures in blocks of 8×8 pixels and their cosine transform, as JPEG has them."""

from __future__ import annotations

import numpy as np

from ...arrays import Array

# DCT[frequency, position]
DCT = np.float32(
    np.sqrt(np.where(np.arange(8) == 0, 1, 2)[:, None] / 8)
    * np.cos((2 * np.arange(8) + 1) * np.arange(8)[:, None] * np.pi / 16)
)
FREQUENCY = np.add.outer(np.arange(8), np.arange(8))  # of each coefficient, both directions together


def cut(plane: Array) -> Array:
    """(H, W) → (N, 8, 8), row by row; what does not fill a block at the right and bottom is left out."""
    rows, columns = plane.shape[0] // 8, plane.shape[1] // 8
    inner = plane[: rows * 8, : columns * 8]
    return inner.reshape(rows, 8, columns, 8).swapaxes(1, 2).reshape(-1, 8, 8)


def transform(blocks: Array) -> Array:
    """The orthonormal cosine transform of (N, 8, 8)."""
    coefficients: Array = DCT @ blocks @ DCT.T
    return coefficients


def halve(plane: Array) -> Array:
    """(…, H, W) → half as high and wide, each pixel the mean of four."""
    height, width = plane.shape[-2] // 2 * 2, plane.shape[-1] // 2 * 2
    plane = plane[..., :height, :width]
    return (plane[..., ::2, ::2] + plane[..., 1::2, ::2] + plane[..., ::2, 1::2] + plane[..., 1::2, 1::2]) / 4
