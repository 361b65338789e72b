"""Gaussian and Poisson noise, in colour or gray. Knows nothing of how strong the noise should be.

Noise is drawn on the CPU by the generators handed in, one for each picture, so that it depends neither on the device
nor on the rest of the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
import torch
from torch import Tensor

from ..arrays import Array

LUMA = (0.2989, 0.587, 0.114)  # of R, G, B: the published degradation's, which torchvision took from MATLAB
_BUCKETS = 1024  # into which [0, 1) is divided to look up Poisson counts
_PIXELS_AT_ONCE = 65536  # so that what is looked up stays in the cache


def gaussian_field(generator: np.random.Generator, height: int, width: int, *, gray: bool) -> Tensor:
    """Draw standard normal noise, (3, H, W) or, if `gray`, (1, H, W) fp32."""
    return torch.from_numpy(generator.standard_normal((1 if gray else 3, height, width), dtype=np.float32))


def add_gaussian(pictures: Tensor, sigma: Tensor, fields: Tensor) -> Tensor:
    """Add Gaussian noise to (B, 3, H, W) in [0, 1]; the result is clipped to [0, 1] and not rounded.

    Args:
        sigma: (B,), the standard deviation in levels of 255.
        fields: (B, 3, H, W) standard normal; gray noise is one plane three times.
    """
    strength = (sigma / 255).to(pictures).view(-1, 1, 1, 1)
    return (fields.to(pictures) * strength).add_(pictures).clamp_(0, 1)


def add_poisson(pictures: Tensor, scale: Tensor, gray: Tensor, generators: Sequence[np.random.Generator]) -> Tensor:
    """Add shot noise to (B, 3, H, W) in [0, 1]; the result is clipped to [0, 1] and not rounded.

    A picture with n different 8-bit levels is taken for one of 2^⌈log2 n⌉ photons at white, so the noise of a pixel x
    has the variance x / 2^⌈log2 n⌉, times `scale` squared.

    Args:
        scale: (B,), by which the noise is multiplied.
        gray: (B,) of bool; gray noise is that of the picture's luma and the same in all channels.
        generators: B of them.
    """
    noisy = []
    for picture, strength, is_gray, generator in zip(pictures, scale.tolist(), gray.tolist(), generators, strict=True):
        levels = (_luma(picture) if is_gray else picture).mul(255).round_().clamp_(0, 255).to(torch.uint8)
        noise = torch.from_numpy(shot_noise(levels.cpu().numpy(), generator)).to(picture)
        noisy.append(noise.mul_(strength).add(picture).clamp_(0, 1))
    return torch.stack(noisy)


def _luma(picture: Tensor) -> Tensor:
    """(3, H, W) → (1, H, W)."""
    return picture[:1] * LUMA[0] + picture[1:2] * LUMA[1] + picture[2:] * LUMA[2]


def shot_noise(levels: Array, generator: np.random.Generator) -> Array:
    """The noise, fp32 with 1.0 for white, of uint8 levels of any shape."""
    # By OpenCV, because NumPy takes ten times as long.
    histogram = cv2.calcHist([levels.reshape(-1, 1)], [0], None, [256], [0, 256])
    photons = 1 << (int(np.count_nonzero(histogram)) - 1).bit_length()
    noise = np.empty(levels.size, np.float32)
    for start in range(0, levels.size, _PIXELS_AT_ONCE):
        some = levels.ravel()[start : start + _PIXELS_AT_ONCE]
        counts = _poisson(some, photons, generator)
        noise[start : start + len(some)] = counts / np.float32(photons) - some / np.float32(255)
    return noise.reshape(levels.shape)


def _poisson(levels: Array, photons: int, generator: np.random.Generator) -> Array:
    """For each of (n,) uint8 levels, a Poisson number whose mean is the level's share of `photons`.

    NumPy's own takes four times as long, because it knows nothing of there being 256 means only.
    """
    below, first = _distributions(photons)
    uniform = generator.random(len(levels))
    level = levels.astype(np.intp)
    # The number is the first whose cumulated probability exceeds `uniform`: mostly the one its bucket begins with.
    count = first.ravel().take(level * _BUCKETS + (uniform * _BUCKETS).astype(np.intp))
    row = level * below.shape[1]
    late = np.flatnonzero(uniform >= below.ravel().take(row + count))
    count[late] = _first_above(below.ravel(), uniform[late], row[late], count[late] + 1, below.shape[1] - 1)
    return count.astype(np.float32)


def _first_above(below: Array, uniform: Array, row: Array, low: Array, most: int) -> Array:
    """For each of (n,), the first number from `low` to `most` whose probability in its row exceeds `uniform`."""
    high = np.full_like(low, most)
    while (low < high).any():
        middle = (low + high) // 2
        exceeds = below.take(row + middle) > uniform
        low, high = np.where(exceeds, low, middle + 1), np.where(exceeds, middle, high)
    return low


@cache
def _distributions(photons: int) -> tuple[Array, Array]:
    """For each of 256 levels, the cumulated probabilities of 0, 1, 2 …, and the first above each bucket's beginning."""
    means = np.arange(256)[:, None] / 255 * photons
    most = photons + 10 * int(photons**0.5) + 20  # more is less likely than 1e-17
    ratios = np.hstack((np.ones_like(means), means / np.arange(1, most + 1)))
    below = np.cumsum(np.exp(-means) * np.cumprod(ratios, 1), 1)
    beginnings = np.arange(_BUCKETS) / _BUCKETS
    return below, np.stack([np.searchsorted(row, beginnings, side="right") for row in below])
