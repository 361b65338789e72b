"""The frequency above which a picture holds nothing: it was enlarged, or filtered, before. Knows nothing of files.

Spectra of sharp photographs fall evenly, by 5 to 10 dB an octave. Where one falls off more steeply, something took the
rest away.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np

from ...arrays import Array
from .sample import Patch

SIDE = 64  # pixels, of the squares that are transformed; frequencies are multiples of 2π / SIDE
FEWEST_SQUARES = 3
MISSING_DB = 10.0  # how far below what is expected the spectrum of a picture is that lacks something
# A picture's power goes with frequency ** -slope; the slope is read off low frequencies, within these limits.
LEAST_SLOPE, MOST_SLOPE = 1.8, 3.2

_LOW = slice(2, 7)
_LEAST_CONTRAST = 4.0  # variance; squares with less show their noise
_ROUNDING = 1 / 12


def cutoff(patches: Sequence[Patch], noise: float) -> float | None:
    """The cut-off in radians a pixel; π: there is none. None if there is too little to see.

    `noise` is that of luma, in levels of 255. What lies below it is not missed.
    """
    power = _power([patch.luma for patch in patches if patch.opaque.all()])
    if power is None:
        return None
    floor = noise**2 + _ROUNDING
    frequency = np.arange(len(power))
    signal = np.maximum(power - floor, 1e-3)
    low = frequency[_LOW]
    slope, _ = np.polyfit(np.log(low), np.log(signal[_LOW]), 1)
    slope = min(max(-slope, LEAST_SLOPE), MOST_SLOPE)
    level = np.log(signal[2:4] * low[:2] ** slope).mean()
    expected = np.exp(level - slope * np.log(frequency.clip(1)))
    least = expected * 10 ** (-MISSING_DB / 10)
    missing = (signal < least) & (frequency > low[0])
    if not missing.any():
        return math.pi
    first = int(missing.argmax())
    # Behind more noise than that, it may be there.
    return (first - 1) / (SIDE / 2) * math.pi if least[first] > floor / 4 else math.pi


def _power(lumas: Sequence[Array]) -> Array | None:
    """Mean power at each frequency up to π, of the squares with the most contrast; 1 is noise of 1 level."""
    squares = np.concatenate([_squares(luma) for luma in lumas]) if lumas else np.empty((0, SIDE, SIDE), np.float32)
    variance = squares.var((1, 2))
    busy = (variance >= _LEAST_CONTRAST) & (variance >= np.quantile(variance, 0.5) if len(variance) else False)
    if busy.sum() < FEWEST_SQUARES:
        return None
    window, bins = _window_and_bins()
    squares = squares[busy]
    power = np.abs(np.fft.rfft2((squares - squares.mean((1, 2), keepdims=True)) * window)) ** 2
    mean = power.mean(0).ravel()
    totals = np.bincount(bins.ravel(), mean) / np.bincount(bins.ravel())
    return totals[: SIDE // 2 + 1]


def _squares(luma: Array) -> Array:
    """All squares of (H, W) that lie half a side apart, (N, SIDE, SIDE)."""
    if min(luma.shape) < SIDE:
        return np.empty((0, SIDE, SIDE), luma.dtype)
    views = np.lib.stride_tricks.sliding_window_view(luma, (SIDE, SIDE))
    return views[:: SIDE // 2, :: SIDE // 2].reshape(-1, SIDE, SIDE)


@cache
def _window_and_bins() -> tuple[Array, Array]:
    """Hann's window, with a mean square of 1 / SIDE², and the frequency of each place in the transform, rounded."""
    window = np.outer(np.hanning(SIDE), np.hanning(SIDE)).astype(np.float32)
    across, down = np.fft.rfftfreq(SIDE) * SIDE, np.fft.fftfreq(SIDE) * SIDE
    return window / np.sqrt((window**2).sum()), np.rint(np.hypot(down[:, None], across)).astype(int)
