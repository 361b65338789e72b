"""How blurred a picture is: σ of the Gaussian that makes its edges as wide as they are. Knows nothing of files.

An ideal edge that was blurred has another height through a wide Gaussian derivative than through a narrow one, and the
ratio says with which σ (Zhuo and Sim, Pattern Recognition 44, 2011). The median over the strongest edges counts:
shadows are wider, thin lines narrower.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from ...arrays import Array
from .sample import Patch

# Widths of the narrower derivative, the wider being twice as wide; each with the least σ that is measured with it and
# the noise up to which it is used. A wide one sees less of noise and JPEG, a narrow one less of neighbouring edges.
SCALES = ((1.4, 1.8, math.inf), (1.0, 1.2, 15.0), (0.7, 0.0, 8.0))
STRONGEST = 0.03  # share of all edge pixels
FEWEST_EDGES = 40  # pixels on strong edges
WEAKEST_EDGE = 2.0  # levels a pixel
NOISE_FACTOR = 4.0  # how far an edge stands out from the noise

_MARGIN = 6  # pixels along the border, where derivatives see its reflection
_SAMPLING = 1 / 3  # variance that taking the difference of two pixels adds to a derivative's


def measure(patches: Sequence[Patch], noise: float) -> float | None:
    """σ in pixels of the equivalent Gaussian; None if there are too few edges. `noise` is that of luma, in levels."""
    sigma = None
    for scale, least, most_noise in SCALES:
        if noise > most_noise:
            break
        heights = np.concatenate([_edges(patch, scale) for patch in patches], axis=1)
        narrow = heights[0]
        if narrow.size < FEWEST_EDGES:
            return sigma
        share = max(STRONGEST, FEWEST_EDGES / narrow.size)
        strong = narrow >= np.quantile(narrow, 1 - share)
        # Noise alone has so strong a derivative.
        strong &= narrow >= max(WEAKEST_EDGE, NOISE_FACTOR * noise / (math.sqrt(8 * math.pi) * scale**2))
        if strong.sum() < FEWEST_EDGES:
            return sigma
        sigma = _sigma(heights[:, strong], scale)
        if sigma >= least:
            break
    return sigma


def _edges(patch: Patch, scale: float) -> Array:
    """The heights (2, N) of both derivatives where the narrow one is highest across an edge."""
    narrow, wide = (_gradient(patch.luma, width) for width in (scale, 2 * scale))
    height = np.hypot(*narrow)
    # Ties on one side only, or a plateau would count twice.
    left, right = height[1:-1, :-2], height[1:-1, 2:]
    above, below = height[:-2, 1:-1], height[2:, 1:-1]
    middle = height[1:-1, 1:-1]
    across = np.abs(narrow[0]) > np.abs(narrow[1])
    highest = np.where(across[1:-1, 1:-1], (middle > left) & (middle >= right), (middle > above) & (middle >= below))
    inner = slice(_MARGIN - 1, 1 - _MARGIN)
    seen = np.zeros_like(highest)
    seen[inner, inner] = highest[inner, inner] & _inside(patch.opaque)[1:-1, 1:-1][inner, inner]
    return np.stack([middle[seen], np.hypot(*wide)[1:-1, 1:-1][seen]])


def _inside(opaque: Array) -> Array:
    """Where all pixels around are opaque, too."""
    inside: Array = cv2.erode(opaque.astype(np.uint8), np.ones((2 * _MARGIN + 1,) * 2, np.uint8)) == 1
    return inside


def _gradient(luma: Array, scale: float) -> tuple[Array, Array]:
    smooth = cv2.GaussianBlur(luma, (0, 0), scale)
    return cv2.Sobel(smooth, -1, 1, 0, ksize=1) / 2, cv2.Sobel(smooth, -1, 0, 1, ksize=1) / 2


def _sigma(heights: Array, scale: float) -> float:
    """The median σ that (2, N) heights stand for: the height of an edge is inverse to its width."""
    ratio = np.square(heights[0] / np.maximum(heights[1], 1e-6)).clip(1.001)
    narrow, wide = scale**2 + _SAMPLING, (2 * scale) ** 2 + _SAMPLING
    variance = float(np.median((wide - ratio * narrow) / (ratio - 1)))
    return math.sqrt(max(0.0, variance))
