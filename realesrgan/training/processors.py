"""How the processors of a CPU are shared between learning and preparing pictures. Starts nothing, sets nothing."""

from __future__ import annotations

from dataclasses import dataclass

from .recipe import TrainingRecipe

# Multiply-adds of a network that take as long as degrading a pixel: 0.3 µs beside 23 a nanosecond, on one core of a
# Xeon of 2023. Where a processor is slower, both are.
DEGRADING_A_PIXEL = 7000
PASSES = 3  # as much work as so many forward passes: backward, a layer computes two gradients


@dataclass(frozen=True)
class Shares:
    """Of one process that learns: torch's `threads`, and the `workers`, processes that prepare pictures for it."""

    threads: int
    workers: int


def share(recipe: TrainingRecipe, weights: int, processors: int) -> Shares:
    """Share out `processors` so that learning does not wait for pictures, nor its threads for a processor.

    What a layer is computed by in several threads takes as long as the slowest of them, so one that has to share its
    processor holds all of them up. Hence threads get what degrading leaves over. There is a worker more than degrading
    keeps busy, since the estimate is rough and workers that are ahead sleep.

    Args:
        weights: of the generator; each is used at least once for a pixel of its input.
        processors: of this process, at least one.
    """
    busy = round(processors * _share_of_pictures(recipe, weights))
    workers = min(processors, busy + 1, recipe.datasets.train.num_worker_per_gpu)
    return Shares(max(1, processors - min(busy, workers)), workers)


def _share_of_pictures(recipe: TrainingRecipe, weights: int) -> float:
    """The share of all work that pictures are, 0 to 1."""
    if recipe.stage == 2:
        return 0.0  # the discriminator alone takes a hundred times as long
    side = recipe.gt_size if recipe.paired else recipe.datasets.train.crop_pad_size
    degrading = DEGRADING_A_PIXEL * side**2
    learning = PASSES * weights * (recipe.gt_size // recipe.scale) ** 2
    return degrading / (degrading + learning)
