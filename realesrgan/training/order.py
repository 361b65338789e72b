"""Which picture belongs to which sample number, and which numbers to which iteration. Knows nothing of files.

Sample numbers count pictures from the start of training. So nothing here depends on how many processes take part, on
how often training was resumed, or on how many samples are computed at a time.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..arrays import Array
from ..degradation.chance import generator

EPOCHS_HELD = 2  # the current one, and the next while samples of both are being prepared


def picture_of(seed: int, number: int, count: int) -> int:
    """Which of `count` pictures sample `number` is made of: each once an epoch, in an order drawn for every epoch."""
    epoch, place = divmod(number, count)
    return int(_order(seed, epoch, count)[place])


@lru_cache(EPOCHS_HELD)
def _order(seed: int, epoch: int, count: int) -> Array:
    # The order of uniform numbers: NumPy does not promise to keep its permutations from version to version.
    return np.argsort(generator((seed, epoch, "order")).random(count), kind="stable")


def numbers_of(iteration: int, global_batch: int, rank: int = 0, world: int = 1) -> range:
    """The sample numbers of an iteration, from 0, that process `rank` of `world` computes.

    Raises:
        ValueError: `world` processes cannot share `global_batch` samples evenly, or there is no such rank.
    """
    if global_batch % world or not 0 <= rank < world:
        raise ValueError(f"rank {rank} of {world} processes cannot take an even share of {global_batch} samples")
    share = global_batch // world
    first = iteration * global_batch + rank * share
    return range(first, first + share)
