"""The published pool: it mixes the pictures of many batches, since each batch shares part of its degradation."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .chance import generator


class Pool:
    """Keeps `size` samples, each a tuple of tensors, and gives back as many random ones as it is handed.

    `samples` is all there is to save and set again: chance depends on the seed and the iteration alone.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self.samples: tuple[Tensor, ...] = ()
        self._seed = seed

    def exchange(self, batch: tuple[Tensor, ...], iteration: int) -> tuple[Tensor, ...]:
        """Hand in a batch, tensors of (B, …), and get one of equal shape.

        While the pool fills, batches come back as they are. Then B samples drawn from it come back, and the new ones
        take their places.

        Raises:
            ValueError: `size` is not a multiple of B.
        """
        count = batch[0].shape[0]
        if self.size % count:
            raise ValueError(f"a pool of {self.size} takes batches whose size divides it, not {count}")
        held = self.samples[0].shape[0] if self.samples else 0
        if held < self.size:
            kept = self.samples or tuple(tensor[:0] for tensor in batch)
            self.samples = tuple(torch.cat(pair) for pair in zip(kept, batch, strict=True))
            return batch
        # The order of uniform numbers: NumPy does not promise to keep its permutations from version to version.
        drawn = np.argsort(generator((self._seed, iteration, "pool")).random(self.size))[:count]
        places = torch.from_numpy(drawn).to(batch[0].device)
        given = tuple(tensor[places] for tensor in self.samples)
        for mine, new in zip(self.samples, batch, strict=True):
            mine[places] = new
        return given
