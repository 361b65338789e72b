"""What the measurements of a folder come to: ranges, and shares of what could be told."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from .measuring import Measurement
from .noise import Noise

LOW_PERCENT, HIGH_PERCENT = 10, 90  # ends of ranges: one odd picture in ten at either end does not count
MOST_HIDDEN = 1.0  # levels; where stronger noise could hide behind JPEG, none found does not mean that there is none
LEAST_NOISE = 1.0  # σ in levels; the kind of weaker noise is that of the picture's texture
# A sharp cut-off lies so much lower than a Gaussian blur of the same edge width would have it, at 1.52 / σ.
FILTERED_BELOW = 0.8
GAUSSIAN_CUTOFF = 1.52  # radians: where exp(-(ωσ)²) is 10 dB


Question: TypeAlias = Callable[[Noise], "bool | None"]


@dataclass(frozen=True)
class Spread:
    """A range of values, without the outermost, and the mean of all; `count` is of how many pictures."""

    low: float
    middle: float
    high: float
    mean: float
    count: int


def spread(values: Sequence[float]) -> Spread | None:
    """The range of `values`, or None if there are none."""
    if not values:
        return None
    low, middle, high = (float(value) for value in np.percentile(values, (LOW_PERCENT, 50, HIGH_PERCENT)))
    return Spread(low, middle, high, float(np.mean(values)), len(values))


@dataclass(frozen=True)
class Summary:
    """The measurements of several pictures, in the order of the pictures."""

    measurements: tuple[Measurement, ...]

    @property
    def qualities(self) -> list[float]:
        return [one.quality for one in self.measurements if one.quality is not None]

    @property
    def noises(self) -> list[Noise]:
        found = [one.noise for one in self.measurements if one.noise is not None]
        return [noise for noise in found if noise.luma > 0 or noise.hidden <= MOST_HIDDEN]

    @property
    def blurs(self) -> list[float]:
        return [one.blur for one in self.measurements if one.blur is not None]

    @property
    def cutoffs(self) -> list[float]:
        return [one.cutoff for one in self.measurements if one.cutoff is not None]

    @property
    def strengths(self) -> list[float]:
        """σ of noise in each colour. Where it cannot be told whether it is coloured, it counts as most others do."""
        coloured = self.share(lambda noise: noise.colour)
        mostly = coloured is not None and coloured > 0.5
        return [noise.strength_if(mostly if noise.colour is None else noise.colour) for noise in self.noises]

    def share(self, question: Question) -> float | None:
        """The share of yes among the answers; None if there are none."""
        told = self._told(question)
        return sum(told) / len(told) if told else None

    def answers(self, question: Question) -> int:
        """How many pictures with noise the question can be answered for."""
        return len(self._told(question))

    def _told(self, question: Question) -> list[bool]:
        answers = [question(noise) for noise in self.noises if noise.luma >= LEAST_NOISE]
        return [answer for answer in answers if answer is not None]

    @property
    def filtered(self) -> float | None:
        """The share of pictures that end at a frequency more sharply than blur would make them."""
        told = [
            one.cutoff < FILTERED_BELOW * min(math.pi, GAUSSIAN_CUTOFF / max(one.blur, 1e-6))
            for one in self.measurements
            if one.cutoff is not None and one.blur is not None
        ]
        return sum(told) / len(told) if told else None
