"""Resizing of pictures by area, bilinear or bicubic, as the published degradation does it: without antialiasing.

A row of the result is a weighted sum of a few rows of the picture, and so are columns. The sums are written out because
torch's own bilinear gives other bytes with one thread than with two; coordinates are as precise as torch's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..arrays import Array
from .steps import ResizeMode

CUBIC = -0.75  # the steepness of Keys' kernel in torch and OpenCV


def resize(pictures: Tensor, height: int, width: int, mode: ResizeMode, factor: float | None = None) -> Tensor:
    """Resize (B, C, H, W) to (B, C, height, width); corners are not aligned.

    Args:
        height, width: of the result, at least 1.
        mode: "area" averages the pixels that a new pixel touches, all with equal weight (torch's adaptive average);
            "bilinear" and "bicubic" interpolate between the nearest 2 × 2 and 4 × 4.
        factor: by which the picture is enlarged. If given, coordinates come from it and not from the sizes; they differ
            where a size was rounded. The area mode knows sizes only.
    """
    if pictures.shape[-2:] == (height, width) and factor in (None, 1):
        return pictures.clone()
    precision = np.float64 if pictures.dtype == torch.float64 else np.float32
    down = _taps(pictures.shape[-2], height, mode, factor, precision)
    across = _taps(pictures.shape[-1], width, mode, factor, precision)
    # Turned in between, because rows are gathered several times as fast as columns.
    turned = _mixed(pictures.flatten(0, 1), *down).transpose(1, 2).contiguous()
    result = _mixed(turned, *across).transpose(1, 2).contiguous()
    return result.view(*pictures.shape[:2], height, width)


def _mixed(planes: Tensor, indices: Array, weights: Array) -> Tensor:
    """(N, H, W), its rows mixed to (N, H', W), each from those of `indices` (H', taps) with `weights` (H', taps)."""
    mixed: Tensor | None = None
    for index, weight in zip(indices.T, weights.T, strict=True):
        rows = planes.index_select(1, torch.from_numpy(np.array(index)).to(planes.device))
        rows *= torch.from_numpy(np.array(weight)).to(planes.device)[:, None]
        mixed = rows if mixed is None else mixed.add_(rows)
    assert mixed is not None
    return mixed


def _taps(
    side: int, new_side: int, mode: ResizeMode, factor: float | None, precision: type[Any]
) -> tuple[Array, Array]:
    """For each of `new_side` pixels, which of `side` it is made of, (new_side, taps), and with which weights."""
    if mode == "area":
        return _area_taps(side, new_side, precision)
    step = precision(1 / factor) if factor is not None else precision(side) / precision(new_side)
    position = (np.float64(step) * (np.arange(new_side) + 0.5) - 0.5).astype(precision)  # rounded once, as torch does
    first = np.floor(position)
    between = position - first
    indices = first.astype(np.int64)[:, None] + ([0, 1] if mode == "bilinear" else [-1, 0, 1, 2])
    if mode == "bilinear":
        weights = [1 - between, between]
    else:
        weights = [_outer(1 + between), _inner(between), _inner(1 - between), _outer(2 - between)]
    return indices.clip(0, side - 1), np.stack(weights, 1)


def _area_taps(side: int, new_side: int, precision: type[Any]) -> tuple[Array, Array]:
    numbers = np.arange(new_side)
    start, stop = numbers * side // new_side, -(-(numbers + 1) * side // new_side)
    indices = start[:, None] + np.arange((stop - start).max())
    weights = (indices < stop[:, None]) / (stop - start)[:, None]
    return indices.clip(0, side - 1), weights.astype(precision)


def _inner(distance: Array) -> Array:
    """Keys' cubic kernel for distances up to 1."""
    weight: Array = ((CUBIC + 2) * distance - (CUBIC + 3)) * distance * distance + 1
    return weight


def _outer(distance: Array) -> Array:
    """Keys' cubic kernel for distances from 1 to 2."""
    weight: Array = ((CUBIC * distance - 5 * CUBIC) * distance + 8 * CUBIC) * distance - 4 * CUBIC
    return weight
