"""What JPEG does to pictures, with any quality for each of a batch, also differentiable. Knows nothing of files.

Luma and 4:2:0 chroma are cut into blocks of 8 × 8, transformed, rounded to multiples of a table, and put together
again; coding the numbers loses nothing and is left out. All blocks of a plane are transformed by one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..arrays import Array
from .steps import JpegTables

BLOCK = 8  # pixels a side
UNIT = 2 * BLOCK  # pixels a side that share a block of chroma
# ITU-T T.81, Annex K.1: steps for luma and chroma at quality 50, rows are vertical frequencies.
LUMA_STEPS = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA_CORNER = ((17, 18, 24, 47), (18, 21, 26, 66), (24, 26, 56, 99), (47, 66, 99, 99))
CHROMA_REST = 99
# JFIF: R, G, B to Y, Cb, Cr without the offset of 128, and what Cb, Cr add to Y to make R, G, B.
TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
FROM_CHROMA = ((0.0, 1.402), (-0.344136, -0.714136), (1.772, 0.0))
# Quality 100 makes published steps 0; this one changes nothing and can be divided by.
SMALLEST_STEP = 1e-6


def compress(
    pictures: Tensor, quality: Tensor, *, tables: JpegTables = "published", differentiable: bool = False
) -> Tensor:
    """Give (B, 3, H, W) RGB what JPEG of a `quality` does to them; the result lies in [0, 1] and is not rounded.

    Values beyond [0, 1] are clamped first.

    Args:
        quality: (B,) above 0, up to 100; fractions count in the published kind.
        tables: "published" is what Real-ESRGAN was trained with: the luma table is transposed, steps are not rounded,
            and a picture whose sides are no multiples of 16 is continued in black. "standard" is what real files have:
            the table as it is, quality and steps rounded, and the border continued.
        differentiable: round by x ↦ [x] + (x - [x])³, through which gradients pass.

    Raises:
        ValueError: a quality is out of range.
    """
    steps = torch.stack([torch.from_numpy(_steps(value, tables)) for value in quality.tolist()]).to(pictures)
    rounding = _soft_round if differentiable else torch.round
    border = "replicate" if tables == "standard" else "constant"
    # One by one on a CPU, so that the bytes of a picture do not depend on the rest of the batch.
    count = len(pictures) if pictures.device.type == "cpu" else 1
    parts = zip(pictures.chunk(count), steps.chunk(count), strict=True)
    return torch.cat([_compressed(part, step, rounding, border) for part, step in parts])


def _compressed(pictures: Tensor, steps: Tensor, rounding: Callable[[Tensor], Tensor], border: str) -> Tensor:
    """(B, 3, H, W) with steps (B, 2, 64) for luma and chroma."""
    height, width = pictures.shape[-2:]
    # Ready for the transform: chroma without its offset of 128, and luma without the 128 that is taken from it.
    rgb = F.pad(pictures.clamp(0, 1) * 255, (0, -width % UNIT, 0, -height % UNIT), mode=border)
    luma = _quantised(_mixed(rgb, TO_YCC[:1]) - 128, steps[:, :1], rounding) + 128
    blue, red = _quantised(_mixed(_halved(rgb), TO_YCC[1:]), steps[:, 1:], rounding).unbind(1)
    added = torch.stack([blue * b + red * r for b, r in FROM_CHROMA], 1)
    result = F.interpolate(added, scale_factor=2.0, mode="nearest") + luma
    return result[..., :height, :width].clamp(0, 255) / 255


def _quantised(planes: Tensor, steps: Tensor, rounding: Callable[[Tensor], Tensor]) -> Tensor:
    """(B, C, H, W), with the frequencies of their blocks rounded to multiples of (B, 1, 64) steps."""
    batch, channels, height, width = planes.shape
    rows, columns = height // BLOCK, width // BLOCK
    transform = torch.from_numpy(_transform()).to(planes)
    blocks = planes.view(batch, channels * rows, BLOCK, columns, BLOCK).transpose(2, 3).reshape(batch, -1, BLOCK**2)
    blocks = (rounding(blocks @ transform.T / steps) * steps) @ transform
    blocks = blocks.view(batch, channels * rows, columns, BLOCK, BLOCK).transpose(2, 3)
    return blocks.reshape(batch, channels, height, width)


def _mixed(planes: Tensor, weights: tuple[tuple[float, float, float], ...]) -> Tensor:
    """(B, 3, H, W) → (B, len(weights), H, W), each plane a weighted sum."""
    first, second, third = planes.unbind(1)
    return torch.stack([first * a + second * b + third * c for a, b, c in weights], 1)


def _halved(planes: Tensor) -> Tensor:
    """(B, C, H, W) → (B, C, H/2, W/2), by averaging 2 × 2 pixels; torch's own pooling takes five times as long."""
    rows = planes[..., ::2, :] + planes[..., 1::2, :]
    return (rows[..., ::2] + rows[..., 1::2]) / 4


def _steps(quality: float, tables: JpegTables) -> Array:
    """The steps of luma and chroma frequencies, (2, 64), row by row; fp64."""
    if not 0 < quality <= 100:
        raise ValueError(f"a JPEG quality lies above 0 and up to 100, not at {quality:g}")
    luma, chroma = np.array(LUMA_STEPS, float), np.full((BLOCK, BLOCK), float(CHROMA_REST))
    chroma[:4, :4] = CHROMA_CORNER
    if tables == "published":
        percent = 5000 / quality if quality < 50 else 200 - 2 * quality
        steps = np.stack((luma.T, chroma)) * (percent / 100)
        return steps.reshape(2, -1).clip(SMALLEST_STEP)
    whole = max(1, round(quality))
    percent = 5000 // whole if whole < 50 else 200 - 2 * whole
    steps = (np.stack((luma, chroma)) * percent + 50) // 100
    return steps.reshape(2, -1).clip(1, 255)


@cache
def _transform() -> Array:
    """The orthonormal cosine transform of a block, (64, 64), from pixels to frequencies, both row by row."""
    frequency, pixel = np.ogrid[:BLOCK, :BLOCK]
    basis = np.cos((2 * pixel + 1) * frequency * np.pi / (2 * BLOCK)) * np.sqrt(2 / BLOCK)
    basis[0] /= np.sqrt(2)
    return np.kron(basis, basis)


def _soft_round(values: Tensor) -> Tensor:
    whole = values.round()
    return whole + (values - whole) ** 3
