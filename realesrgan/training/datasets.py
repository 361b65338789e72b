"""What training learns from: sample number → tensors, degraded on the fly or read in pairs. Knows no processes.

A sample is a function of the seed, its number and the pictures, and of nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from ..arrays import Array, pad_bottom_right
from ..degradation.chance import Chance
from ..degradation.crops import degrade_crops, draw_corner
from ..degradation.draw import draw_batch
from ..degradation.filters import sharpen
from ..degradation.pixels import from_pixels
from ..degradation.recipe import Recipe
from ..degradation.steps import Degradation
from ..errors import UsageError
from .cache import PictureCache
from .pictures import PicturePairs, Pictures
from .source import Source

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Sample:
    """A degraded picture (3, size / scale, …), what it was, and that sharpened, (3, size, …); RGB fp32 in [0, 1].

    `notes` are lines about what went wrong on the way to it.
    """

    low: Tensor
    target: Tensor
    sharpened: Tensor
    number: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Batch:
    """Samples, stacked: (B, 3, size / scale, …) and twice (B, 3, size, …), RGB fp32 in [0, 1].

    `sharpened` is `target` where the recipe does not sharpen.
    """

    low: Tensor
    target: Tensor
    sharpened: Tensor
    numbers: list[int]

    def to(self, device: torch.device) -> Batch:
        """The batch on `device`; from pinned memory, without waiting for it to arrive."""
        low, target, sharpened = (
            tensor.to(device, non_blocking=True) for tensor in (self.low, self.target, self.sharpened)
        )
        return Batch(low, target, sharpened, self.numbers)

    def pin_memory(self) -> Batch:
        """The batch in memory that a GPU can fetch from by itself. Torch's loader calls this by its name."""
        return Batch(self.low.pin_memory(), self.target.pin_memory(), self.sharpened.pin_memory(), self.numbers)


def stack(samples: Sequence[Sample]) -> Batch:
    """Make a batch of samples."""
    # Not torch.stack: in a process that loads, this one puts the batch straight into memory that others can see. Moved
    # there afterwards, each batch would leave a hole behind; 42 of them, 400 MB for 12 samples of 256 pixels each.
    low, target, sharpened = (
        default_collate(list(tensors))
        for tensors in zip(*((sample.low, sample.target, sample.sharpened) for sample in samples), strict=True)
    )
    return Batch(low, target, sharpened, [sample.number for sample in samples])


@dataclass(frozen=True)
class Turns:
    """How pictures are turned at random: `flip` left to right, `rotate` by quarters and upside down, too."""

    flip: bool = True
    rotate: bool = False

    def draw(self, seed: int, number: int) -> tuple[bool, bool, bool]:
        """Whether to flip left to right, to flip upside down, to exchange rows and columns; in this order."""
        chance = Chance(seed, number, "turn")
        return tuple(wanted and chance.happens(0.5) for wanted in (self.flip, self.rotate, self.rotate))  # type: ignore[return-value]


def _turned(pixels: Array, turn: tuple[bool, bool, bool]) -> Array:
    """A view of (H, W, 3), so that of a mapped picture only what is cut out of it is ever read."""
    right_to_left, upside_down, exchanged = turn
    pixels = pixels[:, ::-1] if right_to_left else pixels
    pixels = pixels[::-1] if upside_down else pixels
    return pixels.transpose(1, 0, 2) if exchanged else pixels


class OnTheFly:
    """Samples whose low-quality side is made of the picture: turned, cut to `crop` px, degraded, cut to `size` px.

    `global_batch` is the number of samples of an iteration, of all processes: it matters for recipes that draw part of
    a degradation once a batch. A `cache` holds the pictures' pixels.

    Raises:
        UsageError: `size` does not suit the recipe's scale or `crop`.
    """

    def __init__(
        self,
        pictures: Pictures,
        recipe: Recipe,
        *,
        seed: int,
        size: int,
        global_batch: int,
        crop: int,
        turns: Turns = Turns(),
        cache: PictureCache | None = None,
    ) -> None:
        check_size(size, recipe.scale)
        if size > crop // recipe.scale * recipe.scale:
            raise UsageError(f"`gt_size` {size}: more than the {crop} pixels that are degraded, `crop_pad_size`")
        self.recipe = recipe
        self.seed = seed
        self._size = size
        self._global_batch = global_batch
        self._turns = turns
        self._crop = crop
        self._source = Source([pictures], seed, cache)

    @property
    def count(self) -> int:
        """How many samples make an epoch."""
        return self._source.count

    def path(self, number: int) -> Path:
        """The picture that a sample is made of, if it can be decoded."""
        return self._source.path(number)

    def __getitem__(self, number: int) -> Sample:
        pixels, notes = self.crop(number)
        pairs = degrade_crops(from_pixels(pixels, _CPU), [self.degradation(number)], [self.corner(number)], self._size)
        return Sample(pairs.low[0], pairs.target[0], pairs.sharpened[0], number, notes)

    def crop(self, number: int) -> tuple[Array, tuple[str, ...]]:
        """What is degraded, (crop, crop, 3) BGR of the picture's depth; smaller pictures are mirrored to that size."""
        (whole,), notes = self._source.pixels(number)
        chance_number = number % self.count if self.recipe.repeated_seeds else number
        pixels = _turned(whole, self._turns.draw(self.seed, chance_number))
        missing = [max(0, self._crop - side) for side in pixels.shape[:2]]
        top, left = _corner(self.seed, chance_number, pixels.shape, self._crop)
        cut = np.ascontiguousarray(pixels[top : top + self._crop, left : left + self._crop])
        return pad_bottom_right(cut, *missing), notes

    def degradation(self, number: int) -> Degradation:
        """What happens to a sample."""
        batch = number // self._global_batch
        return draw_batch(self.seed, [number], batch, self.recipe, epoch_length=self.count)[0]

    def corner(self, number: int) -> tuple[int, int]:
        """Where the sample is cut out of the degraded crop, top and left; as published, once a batch."""
        drawn_for = number // self._global_batch if self.recipe.once_a_batch else number
        side = self._crop // self.recipe.scale
        return draw_corner(self.seed, drawn_for, side, side, self._size // self.recipe.scale)


class Paired:
    """Samples cut out of originals and their copies, then turned.

    `sharpen` also gives the original sharpened. `repeated_seeds` is a published fault: the same cuts and turns every
    epoch. A `cache` holds the pixels of all originals and then those of all copies.

    Raises:
        UsageError: `size` does not suit the pairs' scale.
    """

    def __init__(
        self,
        pairs: PicturePairs,
        *,
        seed: int,
        size: int,
        turns: Turns = Turns(),
        sharpen: bool = True,
        repeated_seeds: bool = False,
        cache: PictureCache | None = None,
    ) -> None:
        check_size(size, pairs.scale)
        self.seed = seed
        self._scale = pairs.scale
        self._side = size // pairs.scale
        self._turns = turns
        self._sharpen = sharpen
        self._repeated_seeds = repeated_seeds
        self._source = Source([pairs.originals, pairs.copies], seed, cache)

    @property
    def count(self) -> int:
        """How many samples make an epoch."""
        return self._source.count

    def path(self, number: int) -> Path:
        """The original that a sample is cut out of, if it can be decoded."""
        return self._source.path(number)

    def __getitem__(self, number: int) -> Sample:
        (original, copy), notes = self._source.pixels(number)
        chance_number = number % self.count if self._repeated_seeds else number
        corner = _corner(self.seed, chance_number, copy.shape, self._side)
        turn = self._turns.draw(self.seed, chance_number)
        low, target = (
            from_pixels(np.ascontiguousarray(_turned(self._cut(pixels, corner, factor), turn)), _CPU)
            for pixels, factor in ((copy, 1), (original, self._scale))
        )
        sharpened = sharpen(target) if self._sharpen else target
        return Sample(low[0], target[0], sharpened[0], number, notes)

    def _cut(self, pixels: Array, corner: tuple[int, int], factor: int) -> Array:
        top, left = (place * factor for place in corner)
        side = self._side * factor
        return pixels[top : top + side, left : left + side]


def check_size(size: int, scale: int) -> None:
    """Raise UsageError unless `size` pixels become a whole number of them at a `scale`-th of the size."""
    if size < scale or size % scale:
        raise UsageError(f"`gt_size` {size}: must be a multiple of the scale, {scale}")


def _corner(seed: int, number: int, shape: tuple[int, ...], side: int) -> tuple[int, int]:
    """Top and left of a cut of `side` pixels out of (height, width, …); 0 where there are no more than that."""
    chance = Chance(seed, number, "crop")
    top, left = (int(chance.uniform(0, max(0, whole - side) + 1)) for whole in shape[:2])
    return top, left
