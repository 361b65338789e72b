"""Chance as a function of (seed, number, step): the same values whenever and wherever they are asked for.

No state is kept or shared: what one step draws never changes what another does, and picture 7 alone gets what
picture 7 of ten gets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")
Key = tuple[int, int, str]  # seed, number, step


def generator(key: Key) -> np.random.Generator:
    """A generator of its own for each key, Philox keyed with a hash of it."""
    digest = hashlib.blake2b(f"{key[0]} {key[1]} {key[2]}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))


class Chance:
    """The draws of one step, in order.

    All are made from uniform numbers, whose sequence NumPy keeps from version to version; it does not promise that of
    its other distributions.
    """

    def __init__(self, *key: int | str) -> None:
        seed, number, step = key
        self._random = generator((int(seed), int(number), str(step))).random

    def uniform(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * self._random()

    def happens(self, probability: float) -> bool:
        return self._random() < probability

    def choose(self, options: Sequence[T], weights: Sequence[float] | None = None) -> T:
        """One of `options`, in proportion to `weights` (by default all alike), which need not sum to 1."""
        shares = np.cumsum([1.0] * len(options) if weights is None else weights)
        return options[int(np.searchsorted(shares, self._random() * shares[-1], side="right"))]
