"""Decide what is to happen to a picture: from a recipe and chance to a list of steps. No picture is needed for it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

from .chance import Chance
from .recipe import Order, Recipe
from .steps import (
    BellKernel,
    Blur,
    Degradation,
    Jpeg,
    Kernel,
    Noise,
    PulseKernel,
    RealFile,
    RealVideo,
    Resize,
    ResizeMode,
    Sharpen,
    SincKernel,
    Step,
)

KERNEL_SIZES = tuple(range(7, 22, 2))  # pixels a side, all equally likely
RESIZE_MODES: tuple[ResizeMode, ...] = ("area", "bilinear", "bicubic")
# Lowest cut-offs of sinc kernels, in radians a pixel. A small kernel with a lower one would be no low-pass filter.
LOWEST_CUTOFF, LOWEST_CUTOFF_OF_LARGE, LARGE_SIZE = math.pi / 3, math.pi / 5, 13


def draw(seed: int, number: int, recipe: Recipe) -> Degradation:
    """Draw what is to happen to picture `number`: a function of its arguments, and of nothing else."""
    return _Draw(seed, number, recipe).degradation()


def draw_batch(
    seed: int, numbers: Sequence[int], batch: int, recipe: Recipe, *, epoch_length: int | None = None
) -> list[Degradation]:
    """Draw for the pictures of training batch `batch`; `numbers` count on from epoch to epoch.

    Each gets a degradation of its own, unless the recipe asks for what is published, `once_a_batch`: then all share
    the ways and factors of resizing, the kinds of noise, whether there is a second blur, and the order at the end, so
    that they can be computed as one batch. `epoch_length` is for its `repeated_seeds`: picture n of each epoch gets the
    same kernels.
    """
    shared = batch if recipe.once_a_batch else None
    epoch = epoch_length if recipe.repeated_seeds else None
    return [_Draw(seed, number, recipe, shared, epoch).degradation() for number in numbers]


class _Draw:
    """Draws the steps for one picture. Each step has chance of its own, named after it."""

    def __init__(
        self, seed: int, number: int, recipe: Recipe, batch: int | None = None, epoch_length: int | None = None
    ) -> None:
        self._seed, self._number, self._recipe, self._batch = seed, number, recipe, batch
        self._kernel_number = number if epoch_length is None else number % epoch_length

    def degradation(self) -> Degradation:
        steps = tuple(self._steps())
        return Degradation(seed=self._seed, number=self._number, scale=self._recipe.scale, steps=steps)

    def _steps(self) -> Iterator[Step]:
        recipe = self._recipe
        if recipe.sharpen:
            yield Sharpen()
        first = recipe.order(1)
        yield Blur(kernel=self._kernel(first, "blur"))
        if recipe.orders == 1:
            yield self._to_final_size("resize")
        else:
            yield self._resize(first, "resize", of="current")
        yield self._noise(first, "noise")
        yield self._jpeg(first, "jpeg")
        if recipe.orders == 2:
            yield from self._second_order()
        yield from self._real()

    def _second_order(self) -> Iterator[Step]:
        second = self._recipe.order(2)
        if self._common("blur2").happens(self._recipe.second_blur_prob):
            yield Blur(kernel=self._kernel(second, "blur2"))
        yield self._resize(second, "resize2", of="final")
        yield self._noise(second, "noise2")
        resized, filtered = self._to_final_size("last resize"), Blur(kernel=self._final_sinc())
        compressed = self._jpeg(second, "jpeg2")
        if self._common("last order").happens(0.5):
            yield from (resized, filtered, compressed)
        else:
            yield from (compressed, resized, filtered)

    def _own(self, step: str) -> Chance:
        """Chance of what is drawn for each picture."""
        return Chance(self._seed, self._number, step)

    def _common(self, step: str) -> Chance:
        """Chance of what the published training draws once a batch."""
        if self._batch is None:
            return Chance(self._seed, self._number, f"{step}, common")
        return Chance(self._seed, self._batch, f"{step}, batch")

    def _kernel(self, order: Order, step: str) -> Kernel:
        chance = Chance(self._seed, self._kernel_number, step)
        size = chance.choose(KERNEL_SIZES)
        if chance.happens(order.sinc_prob):
            lowest = LOWEST_CUTOFF if size < LARGE_SIZE else LOWEST_CUTOFF_OF_LARGE
            return SincKernel(size=size, cutoff=chance.uniform(lowest, math.pi))
        kind = chance.choose(order.kernel_list, order.kernel_prob)
        sigma = chance.uniform(*order.blur_sigma)
        sigma_y, rotation = sigma, 0.0
        if kind.endswith("aniso"):
            sigma_y, rotation = chance.uniform(*order.blur_sigma), chance.uniform(-math.pi, math.pi)
        beta = None
        if not kind.startswith(("iso", "aniso")):
            low, high = order.betag_range if kind.startswith("generalized") else order.betap_range
            beta = chance.uniform(low, 1) if chance.happens(0.5) else chance.uniform(1, high)
        return BellKernel(kind=kind, size=size, sigma_x=sigma, sigma_y=sigma_y, rotation=rotation, beta=beta)

    def _final_sinc(self) -> Kernel:
        chance = Chance(self._seed, self._kernel_number, "last sinc")
        if not chance.happens(self._recipe.final_sinc_prob):
            return PulseKernel()
        size = chance.choose(KERNEL_SIZES)
        return SincKernel(size=size, cutoff=chance.uniform(LOWEST_CUTOFF, math.pi))

    def _resize(self, order: Order, step: str, of: Literal["current", "final"]) -> Resize:
        chance = self._common(step)
        low, high = order.resize_range
        way = chance.choose(("up", "down", "keep"), order.resize_prob)
        factor = {"up": chance.uniform(1, high), "down": chance.uniform(low, 1), "keep": 1.0}[way]
        return Resize(mode=chance.choose(RESIZE_MODES), factor=factor, of=of)

    def _to_final_size(self, step: str) -> Resize:
        return Resize(mode=self._common(step).choose(RESIZE_MODES), factor=1.0, of="final")

    def _noise(self, order: Order, step: str) -> Noise:
        gaussian = self._common(step).happens(order.gaussian_noise_prob)
        chance = self._own(step)
        strength = chance.uniform(*(order.noise_range if gaussian else order.poisson_scale_range))
        gray = chance.happens(order.gray_noise_prob)
        field = (self._seed, self._number, f"{step}, field")
        if gray and gaussian and self._batch is not None and self._recipe.shared_gray_noise:
            field = (self._seed, self._batch, f"{step}, field of the batch")
        return Noise(kind="gaussian" if gaussian else "poisson", strength=strength, gray=gray, field=field)

    def _jpeg(self, order: Order, step: str) -> Jpeg:
        quality = self._own(step).uniform(*order.jpeg_range)
        return Jpeg(quality=quality, tables=self._recipe.jpeg_tables)

    def _real(self) -> Iterator[Step]:
        recipe, chance = self._recipe, self._own("real")
        if not chance.happens(recipe.real_prob):
            return
        name = chance.choose(recipe.real_formats, recipe.real_format_prob)
        low, high = recipe.real_crf_range if name in ("h264", "hevc") else recipe.real_quality_range
        strength = min(high, math.floor(chance.uniform(low, high + 1)))
        if name == "h264" or name == "hevc":
            yield RealVideo(codec=name, crf=strength)
        else:
            yield RealFile(format=name, quality=strength)
