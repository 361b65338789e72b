"""Whether a picture that is no JPEG file once was one, and of what quality. Knows nothing of files.

After decoding, coefficients of the cosine transform are still near multiples of the steps they were rounded to, as long
as nobody resized the picture; a crop only moves the blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...arrays import Array
from . import blocks, jpeg_tables
from .sample import Patch

QUALITIES = np.arange(5, 94)  # above, steps are hardly larger than the rounding to whole levels
# 1 if all coefficients are multiples of the steps, about 0 if there are no steps.
LEAST_SCORE = 0.4
FEWEST_COEFFICIENTS = 200  # that are not rounded to 0

_FREQUENCIES = tuple((row, column) for row in range(4) for column in range(4) if 1 <= row + column <= 3)
_SHARE_OF_BEST = 0.85
_MOST_BLOCKS = 8192


@dataclass(frozen=True)
class Past:
    """A picture's compression: its quality, where its first whole block begins, and whether it was turned by 90°."""

    quality: float
    top: int
    left: int
    turned: bool


def find(patches: Sequence[Patch]) -> Past | None:
    """The JPEG that a picture comes from, or None if none can be told."""
    lumas = [patch.luma for patch in patches]
    top, left = _seam([luma.T for luma in lumas]), _seam(lumas)
    cut = np.concatenate([blocks.cut(luma[top:, left:]) for luma in lumas])
    if len(cut) == 0:
        return None
    coefficients = blocks.transform(cut[:: -(-len(cut) // _MOST_BLOCKS)])
    upright = jpeg_tables.scaled(jpeg_tables.LUMA, jpeg_tables.scale_of(QUALITIES))
    found = [_nearest(*_scores(coefficients, tables)) for tables in (upright, upright.swapaxes(1, 2))]
    turned = found[1][0] > found[0][0]
    score, quality = found[turned]
    return Past(quality, top, left, turned) if score >= LEAST_SCORE else None


def _nearest(scores: Array, counts: Array) -> tuple[float, float]:
    """The score and the quality of the tables that fit best, given the score of each; 0 if none fits."""
    good = scores >= max(LEAST_SCORE, _SHARE_OF_BEST * scores.max())
    good &= counts >= FEWEST_COEFFICIENTS
    if not good.any():
        return 0.0, 0.0
    # Steps half as large fit as well, so the largest that fit are the steps.
    lowest = int(good.argmax())
    near = np.flatnonzero(good[: lowest + 4])
    same = near[scores[near] >= scores[near].max() - 1e-9]  # these round to the same steps, as 74 and 75
    best = same[len(same) // 2]
    return float(scores[best]), float(QUALITIES[best])


def _seam(lumas: Sequence[Array]) -> int:
    """How many columns come before the first border of blocks, where neighbours differ more than beside it."""
    totals, numbers = np.zeros(8), np.zeros(8)
    for luma in lumas:
        steps = np.abs(np.diff(luma, axis=1)).clip(0, 16).mean(0)  # an edge of the scene counts little
        excess = steps[1:-1] - (steps[:-2] + steps[2:]) / 2
        columns = (np.arange(len(excess)) + 2) % 8  # of the pixel behind the step
        totals += np.bincount(columns, excess, 8)
        numbers += np.bincount(columns, minlength=8)
    return int((totals / numbers.clip(1)).argmax())


def _scores(coefficients: Array, tables: Array) -> tuple[Array, Array]:
    """How well (N, 8, 8) coefficients fit multiples of each of the tables (T, 8, 8), and how many were not 0."""
    sums, counts = np.zeros(len(tables)), np.zeros(len(tables))
    for row, column in _FREQUENCIES:
        sizes = np.abs(coefficients[:, row, column])
        steps = tables[:, row, column]
        for step in np.unique(steps):
            beyond = sizes[sizes > step / 2]
            same = steps == step
            sums[same] += np.cos(2 * np.pi / step * beyond).sum()
            counts[same] += len(beyond)
    return sums / counts.clip(1), counts
