"""How steady a video is: flicker where the original stands still, and error along its motion. Knows no files.

Both compare a frame with the one before, so two frames are held, however long the video.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from ..arrays import Array
from .fidelity import levels

LEAST_SIDE_PX = 32  # of frames to find motion in; the search works on patches of 8 pixels at several sizes
# Forward and backward motion that lead back to within this are the same motion (Sundaram, Brox and Keutzer, 2010).
_SLACK_SHARE, _SLACK_PX2 = 0.01, 0.5
NAMES = ("flicker", "warping", "warping_original")


@dataclass(frozen=True)
class _Seen:
    """A frame and its original, and the original as gray for the search for motion."""

    result: Array  # levels
    original: Array  # levels
    gray: Array


class Steadiness:
    """Measures a video frame by frame. `add` gives a frame's values; `totals` those of all frames so far."""

    def __init__(self) -> None:
        self._before: _Seen | None = None
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._squares, self._still = 0.0, 0
        self._warping: dict[str, list[float]] = {name: [] for name in NAMES[1:]}

    def add(self, result: Array, original: Array) -> dict[str, float]:
        """The next frame, (H, W, 3) BGR of uint8 or uint16 → its values by name, in levels of 255.

        NaN where there is nothing to measure: the first frame, no pixel that stands still, no motion to follow.
        """
        now = _Seen(levels(result).astype(np.float32), levels(original).astype(np.float32), _gray(original))
        before, self._before = self._before, now
        values = dict.fromkeys(NAMES, math.nan)
        if before is None:
            return values
        values["flicker"] = self._flicker(before, now)
        if min(now.gray.shape) >= LEAST_SIDE_PX:
            values |= self._along_motion(before, now)
        return values

    def totals(self) -> dict[str, float]:
        """Flicker over all pixels that stood still in any frame; the mean over frames of the others."""
        totals = {"flicker": math.sqrt(self._squares / self._still / 2) if self._still else math.nan}
        for name, values in self._warping.items():
            totals[name] = math.fsum(values) / len(values) if values else math.nan
        return totals

    def _flicker(self, before: _Seen, now: _Seen) -> float:
        blue, green, red = cv2.split(cv2.absdiff(before.original, now.original))
        still = (blue + green + red) == 0
        samples = 3 * int(np.count_nonzero(still))
        squares = _mean(cv2.absdiff(before.result, now.result) ** 2, still) * samples
        self._squares += squares
        self._still += samples
        # Half the mean squared difference of neighbours is the variance of values that vary independently.
        return math.sqrt(squares / samples / 2) if samples else math.nan

    def _along_motion(self, before: _Seen, now: _Seen) -> dict[str, float]:
        backward = self._motion(now.gray, before.gray)
        forward = self._motion(before.gray, now.gray)
        rows, columns = np.indices(now.gray.shape, np.float32)
        x, y = columns + backward[..., 0], rows + backward[..., 1]
        seen = _seen_in_both(backward, _at(forward, x, y), x, y)
        if not seen.any():
            return {}
        values = {
            "warping": _error(_at(before.result, x, y), now.result, seen),
            "warping_original": _error(_at(before.original, x, y), now.original, seen),
        }
        for name, value in values.items():
            self._warping[name].append(value)
        return values

    def _motion(self, start: Array, end: Array) -> Array:
        """By how many pixels to the right and down each pixel of `start` has moved in `end`; (H, W, 2)."""
        moved: Array = self._flow.calc(start, end, None)  # type: ignore[call-overload]  # None: nothing to begin with
        return moved


def _gray(pixels: Array) -> Array:
    eight_bit = pixels if pixels.dtype == np.uint8 else np.rint(pixels / np.float32(257)).astype(np.uint8)
    return cv2.cvtColor(eight_bit, cv2.COLOR_BGR2GRAY)


def _at(values: Array, x: Array, y: Array) -> Array:
    """Values of (H, W, C) at fractional places, bilinear."""
    return cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _seen_in_both(backward: Array, forward: Array, x: Array, y: Array) -> Array:
    """Where (H, W) motion leads into the frame before and from there back: neither hidden there nor outside."""
    height, width = x.shape
    inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
    astray = np.square(backward + forward).sum(axis=2)
    lengths = np.square(backward).sum(axis=2) + np.square(forward).sum(axis=2)
    seen: Array = inside & (astray <= _SLACK_SHARE * lengths + _SLACK_PX2)
    return seen


def _error(warped: Array, now: Array, seen: Array) -> float:
    return _mean(cv2.absdiff(now, warped), seen)


def _mean(values: Array, mask: Array) -> float:
    """The mean of (H, W, 3) over the pixels of a mask and all channels; 0 if there are none. Summed in double."""
    return sum(cv2.mean(values, mask.astype(np.uint8))[:3]) / 3
