"""PSNR and SSIM of a picture against its original, by their published definitions. Knows nothing of files."""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np

from ..arrays import Array

PEAK = 255.0
# Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004.
SSIM_WINDOW_PX, SSIM_SIGMA = 11, 1.5
SSIM_C1, SSIM_C2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
# ITU-R BT.601 in studio range, as MATLAB's rgb2ycbcr computes it: 16 for black, 235 for white; B, G, R in [0, 1].
LUMA_BGR, LUMA_BLACK = (24.966, 128.553, 65.481), 16.0
_BAND_ROWS = 128  # rows measured at a time, so that memory does not grow with the picture
_WIDE = 257.0  # 16-bit levels in one of 8 bits: 65535 / 255


def levels(pixels: Array, *, luma: bool = False) -> Array:
    """A picture of any depth as numbers on one scale, (H, W, C) float64 from 0 to 255.

    Takes (H, W), (H, W, 3) BGR or (H, W, 4) BGRA of uint8 or uint16. 16-bit levels become fractions, and nothing is
    rounded. C is 1 for gray and 3, in BGR order, for colour; with `luma` it is 1: Y. What is transparent counts as it
    looks on black, so colours that nobody sees do not.

    Raises:
        ValueError: it is no such array.
    """
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.ndim not in (2, 3):
        raise ValueError(f"a picture is (H, W) or (H, W, C) of uint8 or uint16, not {pixels.shape} of {pixels.dtype}")
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.shape[2] not in (1, 3, 4):
        raise ValueError(f"a picture has 1, 3 or 4 channels, not {pixels.shape[2]}")
    values: Array = pixels / _WIDE if pixels.dtype == np.uint16 else pixels.astype(np.float64)
    if values.shape[2] == 4:
        values = values[..., :3] * (values[..., 3:] / PEAK)
    if luma:
        blue, green, red = (values[..., min(channel, values.shape[2] - 1)] for channel in range(3))
        values = (blue * LUMA_BGR[0] + green * LUMA_BGR[1] + red * LUMA_BGR[2])[..., None] / PEAK + LUMA_BLACK
    return values


def crop(pixels: Array, border: int) -> Array:
    """Leave out `border` pixels on each side; a view.

    Raises:
        ValueError: nothing is left.
    """
    height, width = pixels.shape[:2]
    if min(height, width) <= 2 * border:
        raise ValueError(f"a border of {border} leaves nothing of {width}×{height} pixels")
    return pixels[border : height - border, border : width - border]


def psnr(result: Array, original: Array, *, border: int = 0, luma: bool = False) -> float:
    """Peak signal-to-noise ratio in dB, over all pixels and channels; infinite if the two are the same.

    Takes pictures as `levels` does, of one size and of any depths; gray and colour may be mixed. `border` pixels on
    each side do not count. With `luma`, of Y alone.

    Raises:
        ValueError: the sizes differ, or the border leaves nothing.
    """
    total, count = 0.0, 0
    for ours, theirs in bands(result, original, border, luma):
        total += float(np.square(ours - theirs).sum())
        count += ours.size
    return 10 * math.log10(PEAK**2 * count / total) if total else math.inf


def ssim(result: Array, original: Array, *, border: int = 0, luma: bool = False) -> float:
    """Structural similarity, 1 if the two are the same: the mean over all windows inside the picture, and channels.

    Takes what `psnr` takes. Not a number where the picture has less than 11 pixels a side, the size of a window.

    Raises:
        ValueError: the sizes differ, or the border leaves nothing.
    """
    total, count = 0.0, 0
    for ours, theirs in bands(result, original, border, luma, overlap=SSIM_WINDOW_PX - 1):
        if min(ours.shape[:2]) >= SSIM_WINDOW_PX:
            similar = _similarity(ours, theirs)
            total += float(similar.sum())
            count += similar.size
    return total / count if count else math.nan


def bands(
    result: Array, original: Array, border: int = 0, luma: bool = False, *, overlap: int = 0
) -> Iterator[tuple[Array, Array]]:
    """Yield both pictures as `levels` with the same channels, some rows at a time; bands share `overlap` rows.

    Raises:
        ValueError: the sizes differ, or the border leaves nothing.
    """
    if result.shape[:2] != original.shape[:2]:
        raise ValueError(f"two pictures to compare are of one size, not {result.shape[:2]} and {original.shape[:2]}")
    result, original = crop(result, border), crop(original, border)
    height = result.shape[0]
    for top in range(0, height, _BAND_ROWS):
        rows = slice(top, top + _BAND_ROWS + overlap)
        ours, theirs = levels(result[rows], luma=luma), levels(original[rows], luma=luma)
        channels = max(ours.shape[2], theirs.shape[2])
        # Gray counts as colour whose channels are equal, which is how the published code reads it.
        shape = (*ours.shape[:2], channels)
        yield np.broadcast_to(ours, shape), np.broadcast_to(theirs, shape)


def _similarity(ours: Array, theirs: Array) -> Array:
    """SSIM of each window that lies inside (H, W, C), whose sides lose 10 pixels."""
    mean_a, mean_b = _windowed(ours), _windowed(theirs)
    product, squares = mean_a * mean_b, mean_a**2 + mean_b**2
    covariance = _windowed(ours * theirs) - product
    variances = _windowed(ours**2 + theirs**2) - squares  # of both, summed: neither is needed alone
    similar: Array = (2 * product + SSIM_C1) * (2 * covariance + SSIM_C2)
    similar /= (squares + SSIM_C1) * (variances + SSIM_C2)
    return similar


def _windowed(values: Array) -> Array:
    """Gaussian mean of each window of (H, W, C)."""
    kernel = cv2.getGaussianKernel(SSIM_WINDOW_PX, SSIM_SIGMA)
    edge = SSIM_WINDOW_PX // 2
    filtered = cv2.sepFilter2D(np.ascontiguousarray(values), cv2.CV_64F, kernel, kernel)
    return filtered.reshape(values.shape)[edge:-edge, edge:-edge]
