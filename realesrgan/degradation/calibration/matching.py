"""Find the recipe whose results measure like a folder of pictures: try one, measure what comes out, correct it.

What a recipe does to noise and blur cannot be read off it: they are resized, filtered and compressed later on. So drawn
pictures, which have neither, go through it, and the same instruments are held to the results.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from .. import pixels
from ..draw import draw
from ..process import apply
from ..recipe import PUBLISHED, Recipe
from . import leaves
from .measuring import measure
from .summary import Spread, Summary, spread

ROUNDS = 3
PICTURES = 24  # a round takes a few seconds
SIDE = 512  # pixels; a quarter of it has just enough flat places and edges
# A correction never goes further than this at once: what is measured is not quite in proportion.
MOST_AT_ONCE = 3.0
MOST_NOISE = 60.0  # σ of the second order, in levels
LEAST_BLUR, MOST_BLUR = 0.2, 5.0  # σ of the second order, in pixels; more would not fit into 21 pixels
# Readings below these are those of clean, sharp pictures; they are added to both sides of a comparison.
NOISE_OFFSET, BLUR_OFFSET, SHARE_OFFSET = 0.5, 0.3, 0.05


@dataclass(frozen=True)
class Strengths:
    """The second order's ranges; what the first order has is as much larger as it is in the published recipe.

    `sinc` is the probability of the filter at the end.
    """

    noise: tuple[float, float]
    blur: tuple[float, float]
    sinc: float

    def put_into(self, recipe: Recipe) -> Recipe:
        """`recipe` with these strengths in all ranges of noise and blur."""
        keys: dict[str, Any] = {"final_sinc_prob": self.sinc}
        for key in ("noise_range", "noise_range2", "poisson_scale_range", "poisson_scale_range2"):
            keys[key] = _times(self.noise, getattr(PUBLISHED, key)[1] / PUBLISHED.noise_range2[1])
        for key in ("blur_sigma", "blur_sigma2"):
            low, high = _times(self.blur, getattr(PUBLISHED, key)[1] / PUBLISHED.blur_sigma2[1])
            keys[key] = (LEAST_BLUR if self.blur[0] <= LEAST_BLUR else low, high)
        return Recipe.model_validate(recipe.model_dump() | keys)


def match(wanted: Summary, recipe: Recipe, progressed: Callable[[float], None], *, rounds: int = ROUNDS) -> Recipe:
    """Set the ranges of noise and blur, and the last filter, so that the results of `recipe` measure as `wanted`.

    The ends of a range stand to each other as those that were measured; the mean is what is made to agree.
    `progressed` is called with the share that is done, and may raise, to cancel.
    """
    noise, blur = spread(wanted.strengths), spread(wanted.blurs)
    tried = _Tried(noise.mean if noise else 0.0, PUBLISHED.blur_sigma2[1] / 2, PUBLISHED.final_sinc_prob)
    for number in range(rounds):
        done = number / rounds
        found = synthesise(
            _strengths(tried, noise, blur).put_into(recipe),
            lambda share, done=done: progressed(done + share / rounds),  # type: ignore[misc]
        )
        tried = _Tried(
            _corrected(tried.noise, noise, spread(found.strengths), NOISE_OFFSET, MOST_NOISE),
            _corrected(tried.blur, blur, spread(found.blurs), BLUR_OFFSET, MOST_BLUR),
            _corrected_share(tried.sinc, wanted.filtered, found.filtered),
        )
    return _strengths(tried, noise, blur).put_into(recipe)


@dataclass(frozen=True)
class _Tried:
    """What the second order's ranges of noise and blur lie around, and the probability of the filter at the end."""

    noise: float
    blur: float
    sinc: float


def _strengths(tried: _Tried, noise: Spread | None, blur: Spread | None) -> Strengths:
    """Ranges around these, that lie as the readings do around their mean, or as published where there are none."""
    return Strengths(
        PUBLISHED.noise_range2 if noise is None else _around(tried.noise, noise, NOISE_OFFSET, (0.0, MOST_NOISE)),
        PUBLISHED.blur_sigma2 if blur is None else _around(tried.blur, blur, BLUR_OFFSET, (LEAST_BLUR, MOST_BLUR)),
        tried.sinc,
    )


def _around(mean: float, read: Spread, offset: float, limits: tuple[float, float]) -> tuple[float, float]:
    scale = (mean + offset) / (read.mean + offset)
    low, high = (min(max((end + offset) * scale - offset, limits[0]), limits[1]) for end in (read.low, read.high))
    return low, high


def synthesise(recipe: Recipe, progressed: Callable[[float], None], *, pictures: int = PICTURES) -> Summary:
    """Measure what `recipe` makes of drawn pictures: always the same pictures and the same chance."""
    found = []
    for number in range(pictures):
        progressed(number / pictures)
        original = pixels.from_pixels(leaves.draw(number, SIDE // recipe.scale * recipe.scale), torch.device("cpu"))
        found.append(measure(pixels.to_pixels(apply(original, [draw(0, number, recipe)]))))
    return Summary(tuple(found))


def _times(pair: tuple[float, float], factor: float) -> tuple[float, float]:
    return pair[0] * factor, pair[1] * factor


def _corrected(tried: float, wanted: Spread | None, found: Spread | None, offset: float, most: float) -> float:
    """The next mean to try."""
    if wanted is None or found is None:
        return tried
    return min(max(_moved(tried, wanted.mean, found.mean, offset), 0.0), most)


def _corrected_share(tried: float, wanted: float | None, found: float | None) -> float:
    """The next probability to try."""
    if wanted is None or found is None:
        return tried
    return min(max(_moved(tried, wanted, found, SHARE_OFFSET), 0.0), 1.0)


def _moved(tried: float, wanted: float, found: float, offset: float) -> float:
    factor = min(max((wanted + offset) / (found + offset), 1 / MOST_AT_ONCE), MOST_AT_ONCE)
    return (tried + offset) * factor - offset
