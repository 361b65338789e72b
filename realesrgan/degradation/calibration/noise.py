"""How strong a picture's noise is, in levels of 255, also behind JPEG. Knows nothing of files.

Noise is measured in the flattest blocks, in the higher frequencies of their cosine transform. What JPEG did to it is
undone by counting: coefficients rounded to multiples of a known step are 0 the more often, the weaker the noise is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

import numpy as np

from ...arrays import LUMA, Array
from . import blocks
from .jpeg_tables import Tables
from .sample import Patch

FLAT_SHARE = 0.08  # of the blocks, the flattest
FEWEST_BLOCKS = 24  # that are flat; from fewer, a strength is a guess
DARKEST, BRIGHTEST = 10.0, 245.0  # means of blocks; beyond them, noise is clipped
BANDS = (blocks.FREQUENCY >= 7, (blocks.FREQUENCY >= 4) & (blocks.FREQUENCY < 7))
MOST_CUTOFF = 0.8 * math.pi  # above, enough is left of the upper band
FEWEST_FREQUENCIES = 4
# JPEG keeps little but the second of chroma, and flat places have little of their own there.
CHROMA_BANDS = (blocks.FREQUENCY >= 4, (blocks.FREQUENCY >= 2) & (blocks.FREQUENCY < 4))
LEAST_SHARE = 0.15  # of the picture that must not be so dark or bright; the rest of a starry sky, say, is all stars
# Noise that is the same in all colours has none in chroma; independent noise has 0.95 times that of luma.
COLOUR_RATIO = 0.4
SEEN_RATIO = 0.8  # of σ in luma, that must not be hidden in chroma if there is none
LEAST_BEHIND_JPEG = 4.0  # σ in luma; what pictures themselves have in chroma could pass for weaker noise
# Independent noise of 1 level in R, G and B is this much in luma.
LUMA_OF_COLOUR = math.sqrt(sum(weight**2 for weight in LUMA))
# Flat blocks by brightness, to see whether the noise grows with it: so wide, and so far apart at least.
BRIGHTNESS_BINS = (10, 50, 80, 110, 140, 170, 200, 245)
LEAST_CONTRAST = 2.0

_ROUNDING = 1 / 12  # variance of rounding to whole levels
_FEWEST_ABOVE = 0.02  # share of coefficients that must have survived JPEG's rounding
_UPPER_QUARTILE = NormalDist().inv_cdf(0.75)
_FLATNESS = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0))  # low frequencies, which tell flat blocks; noise is seen in others


@dataclass(frozen=True)
class Noise:
    """The noise of a picture.

    Attributes:
        luma: σ in luma, in levels of 255; 0 if none was found.
        hidden: weaker noise than this could not have been seen behind JPEG.
        colour: whether it differs between colours; None if the picture is gray or it cannot be told.
        grows: whether its variance is in proportion to brightness, as that of photons is; None if it cannot be told.
        brightness: mean of the blocks it was measured in, in levels of 255.
    """

    luma: float
    hidden: float
    colour: bool | None
    grows: bool | None
    brightness: float

    @property
    def strength(self) -> float:
        """σ in each of R, G and B; as if it were gray where that cannot be told."""
        return self.strength_if(bool(self.colour))

    def strength_if(self, colour: bool) -> float:
        """σ in each of R, G and B, if it differs between colours or not."""
        return self.luma / (LUMA_OF_COLOUR if colour else 1.0)

    @property
    def poisson_scale(self) -> float:
        """The scale at which the recipe's Poisson noise, of variance brightness / 256 in [0, 1], is as strong."""
        return self.strength / 255 / math.sqrt(self.brightness / 255 / 256)


@dataclass(frozen=True)
class _Blocks:
    """Blocks of a plane: their cosine transform (N, 8, 8), the texture and mean of luma there, and what is visible."""

    coefficients: Array
    texture: Array
    brightness: Array
    visible: Array

    def flattest(self, low: float = DARKEST, high: float = BRIGHTEST) -> Array:
        """The coefficients of the flattest among the visible blocks with a mean luma between `low` and `high`."""
        among = self.visible & (self.brightness >= low) & (self.brightness <= high)
        if not among.any():
            return self.coefficients[:0]
        share = min(1.0, max(FLAT_SHARE, FEWEST_BLOCKS / among.sum()))
        flat: Array = self.coefficients[among & (self.texture <= np.quantile(self.texture[among], share))]
        return flat


def measure(patches: Sequence[Patch], tables: Tables | None, cutoff: float | None = None) -> Noise | None:
    """Measure the noise of a picture; None if it has too few flat places.

    `tables` are those of the JPEG that it comes from, with blocks that begin at its top left corner. Noise lacks
    frequencies as well as the picture if both were filtered: if the picture has none above `cutoff`, in radians a
    pixel, only lower ones are looked at, as far as there are enough.
    """
    bands = _bands_below(math.pi if cutoff is None else cutoff)
    luma = _cut([(patch.luma, patch.luma, patch.opaque) for patch in patches])
    steps = np.zeros((8, 8)) if tables is None else tables.luma
    flat = luma.flattest()
    visible = luma.brightness[luma.visible]
    if len(flat) < FEWEST_BLOCKS or ((visible >= DARKEST) & (visible <= BRIGHTEST)).mean() < LEAST_SHARE:
        return None
    sigma = _sigma(flat, steps, bands)
    away = luma.flattest(DARKEST + 3 * sigma, BRIGHTEST - 3 * sigma)  # from black and white, where noise is clipped
    if len(away) >= FEWEST_BLOCKS:
        flat, sigma = away, _sigma(away, steps, bands)
    colour = _is_coloured(patches, sigma, tables) if sigma > 0 else None
    grows = _grows(luma, steps, bands) if sigma > 0 else None
    return Noise(sigma, _hidden(steps), colour, grows, float(flat[:, 0, 0].mean()) / 8)


def _cut(planes: Iterable[tuple[Array, Array, Array]]) -> _Blocks:
    """Blocks of several planes, each given with its luma and with what of it is visible."""
    parts = []
    for plane, luma, visible in planes:
        coefficients = blocks.transform(blocks.cut(luma))
        texture = sum(coefficients[:, row, column] ** 2 for row, column in _FLATNESS)
        means = coefficients[:, 0, 0] / 8
        if plane is not luma:
            coefficients = blocks.transform(blocks.cut(plane))
            texture = texture + 4 * (coefficients[:, 0, 1] ** 2 + coefficients[:, 1, 0] ** 2)
        parts.append((coefficients, texture, means, blocks.cut(visible).all((1, 2))))
    return _Blocks(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _bands_below(cutoff: float) -> Sequence[Array]:
    squares = np.arange(8) ** 2
    kept = BANDS[1] & (np.sqrt(np.add.outer(squares, squares)) * (math.pi / 8) <= cutoff)
    return BANDS if cutoff > MOST_CUTOFF or kept.sum() < FEWEST_FREQUENCIES else (kept,)


def _sigma(flat: Array, steps: Array, bands: Sequence[Array] = BANDS) -> float:
    """σ of the noise in (N, 8, 8) coefficients that were rounded to multiples of `steps`; 0 if none is found.

    Texture adds to it, more at low frequencies; JPEG hides more of the high ones. So the lower of both bands counts.
    """
    found = [_sigma_of_band(np.abs(flat[:, band]), steps[band]) for band in bands]
    sigma = min((one for one in found if one is not None), default=0.0)
    return math.sqrt(max(0.0, sigma**2 - _ROUNDING))


def _sigma_of_band(sizes: Array, steps: Array) -> float | None:
    """σ from the absolute values (N, F) of F frequencies, or None if too few of these survived the rounding."""
    medians = np.median(sizes, axis=0)
    sigmas = [
        median / _UPPER_QUARTILE if step <= 1 or median > 3 * step else _sigma_of_rounded(size, step)
        for size, median, step in zip(sizes.T, medians, steps, strict=True)
    ]
    seen = [sigma for sigma in sigmas if sigma is not None]
    return float(np.median(seen)) if 3 * len(seen) >= len(sigmas) else None


def _sigma_of_rounded(sizes: Array, step: float) -> float | None:
    """σ of a normal distribution of which so large a share was rounded up to more than a number of steps."""
    limits = [(number + 0.5) * step for number in range(4)]
    shares = [float((sizes > limit).mean()) for limit in limits]
    share, limit = min(zip(shares, limits, strict=True), key=lambda pair: abs(pair[0] - 0.3))
    return limit / NormalDist().inv_cdf(1 - share / 2) if share >= _FEWEST_ABOVE else None


def _hidden(steps: Array, band: Array = BANDS[1]) -> float:
    """The weakest noise of which JPEG leaves enough to be measured, in the band that it spares."""
    third = np.sort(steps[band])[math.ceil(band.sum() / 3) - 1]
    return float(third) / 2 / NormalDist().inv_cdf(1 - _FEWEST_ABOVE / 2)


def _is_coloured(patches: Sequence[Patch], sigma: float, tables: Tables | None) -> bool | None:
    """Whether chroma has the noise that goes with `sigma` in luma."""
    coloured = [patch for patch in patches if patch.chroma is not None]
    if not coloured:
        return None
    halved = tables is not None and tables.halved
    if tables is not None and sigma < LEAST_BEHIND_JPEG:
        return None
    planes = []
    for patch in coloured:
        assert patch.chroma is not None
        stack = np.stack([*patch.chroma, patch.luma, patch.opaque])
        *chroma, luma, opaque = blocks.halve(stack) if halved else stack
        planes += [(plane, luma, opaque == 1) for plane in chroma]
    steps = np.zeros((8, 8)) if tables is None or tables.chroma is None else tables.chroma
    flat = _cut(planes).flattest(DARKEST + 3 * sigma, BRIGHTEST - 3 * sigma)
    if len(flat) < FEWEST_BLOCKS:
        return None
    scale = 2 if halved else 1  # the mean of four pixels has half their noise
    found = _sigma(flat, steps, CHROMA_BANDS) * scale
    if found == 0 and _hidden(steps, CHROMA_BANDS[1]) * scale > SEEN_RATIO * sigma:
        return None
    return found > COLOUR_RATIO * sigma


def _grows(luma: _Blocks, steps: Array, bands: Sequence[Array]) -> bool | None:
    """Whether the variance is in proportion to brightness rather than the same everywhere."""
    found = []
    for low, high in pairwise(BRIGHTNESS_BINS):
        flat = luma.flattest(low, high)
        sigma = _sigma(flat, steps, bands) if len(flat) >= FEWEST_BLOCKS else 0.0
        if sigma > 0:
            found.append((math.log(float(flat[:, 0, 0].mean())), math.log(sigma)))
    if len(found) < 3 or found[-1][0] - found[0][0] < math.log(LEAST_CONTRAST):
        return None
    brightness, sigmas = np.transpose(found)
    slope = float(np.polyfit(brightness, sigmas, 1)[0])
    return slope > 0.25  # halfway between 0, the same everywhere, and 0.5, the square root of brightness
