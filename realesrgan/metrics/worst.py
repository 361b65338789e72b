"""A sheet of the worst results: the original, the result and how they differ. Knows no file formats."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from ..arrays import Array
from ..errors import RealESRGANError
from ..image import files
from ..image.sheet import Cell, draw_sheet
from .evaluation import Evaluation
from .fidelity import bands, crop, levels
from .measuring import Row
from .metric import Metric

COUNT = 5  # rows of a sheet
SIDE_PX = 400  # of a cell; of what is larger, it shows the part that differs most
_STRENGTHS = (16, 8, 4, 2, 1)  # by how much differences may be multiplied


def sheet(found: Evaluation, *, border: int = 0, count: int = COUNT) -> Array:
    """Draw the `count` results that are worst by the first metric; of a video its worst frame. 8-bit BGR.

    Raises:
        RealESRGANError: nothing was measured, or a file can no longer be read.
    """
    metric = found.metrics[0]
    rows = worst_rows(found.rows, metric, count)
    if not rows:
        raise RealESRGANError(f"no sheet: {metric.name} was measured of nothing")
    return draw_sheet([_cells(row, metric, border) for row in rows], f"worst by {metric.name}")


def worst_rows(rows: Sequence[Row], metric: Metric, count: int = COUNT) -> list[Row]:
    """The `count` rows with the worst values, or worst frames, the worst first; in order where they are equal."""
    measured = [row for row in rows if not math.isnan(_value(row, metric))]
    return sorted(measured, key=lambda row: _value(row, metric) * (-1 if metric.lower_is_better else 1))[:count]


def _value(row: Row, metric: Metric) -> float:
    return (row.worst or row.values)[metric.name]


def _cells(row: Row, metric: Metric, border: int) -> list[Cell]:
    result, original, frame = _pixels(row, metric)
    result, original = crop(result, border), crop(original, border)
    top, left = _most_different(result, original)
    part = np.s_[top : top + SIDE_PX, left : left + SIDE_PX]
    shown = np.abs(levels(result[part]) - levels(original[part]))  # gray and colour may be mixed
    strength = next((one for one in _STRENGTHS if np.quantile(shown, 0.99) * one <= 255), 1)
    height, width = result.shape[:2]
    at = f" from {left},{top} of {width}x{height}" if max(height, width) > SIDE_PX else ""
    value = f"{metric.name} {_value(row, metric):.4f}"
    frame_label = "" if frame is None else f" frame {frame}"
    strong = np.rint(np.minimum(shown * strength, 255)).astype(np.uint8)
    return [
        Cell(f"{row.pair.original.name}{frame_label}\noriginal{at}", original[part]),
        Cell(f"{row.pair.result.name}{frame_label}\n{value}", result[part]),
        Cell(f"difference x{strength}", strong if strong.shape[2] == 3 else strong[..., 0]),
    ]


def _pixels(row: Row, metric: Metric) -> tuple[Array, Array, int | None]:
    """Result and original, and of a video the number of the worst frame, which is decoded once more."""
    if row.pair.videos is None:
        return files.read(row.pair.result).pixels, files.read(row.pair.original).pixels, None
    number = [values[metric.name] for values in row.frames].index(row.worst[metric.name])
    with row.pair.videos[0].frames() as ours, row.pair.videos[1].frames() as theirs:
        for one, other in zip(ours, theirs, strict=False):
            if one.index == number:
                return one.pixels, other.pixels, number
    raise RealESRGANError(f"{row.pair.result}: its frame {number} can no longer be read")


def _most_different(result: Array, original: Array) -> tuple[int, int]:
    """The top and left of the part of at most SIDE_PX a side whose squared differences sum to most."""
    if max(result.shape[:2]) <= SIDE_PX:
        return 0, 0
    squares = np.vstack([np.square(ours - theirs).sum(axis=2) for ours, theirs in bands(result, original)])
    height, width = min(SIDE_PX, squares.shape[0]), min(SIDE_PX, squares.shape[1])
    sums = cv2.integral(squares)
    windows = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    top, left = np.unravel_index(int(windows.argmax()), windows.shape)
    return int(top), int(left)
