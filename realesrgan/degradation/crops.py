"""Degrade the crops that training learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .chance import Chance
from .filters import sharpen
from .process import apply
from .steps import Degradation, Sharpen


@dataclass(frozen=True)
class Pairs:
    """What training learns from: (B, 3, size / scale, …) and what they were, plain and sharpened, (B, 3, size, …).

    What a degradation does not sharpen is plain in `sharpened`, too.
    """

    low: Tensor
    target: Tensor
    sharpened: Tensor


def degrade_crops(
    targets: Tensor, degradations: Sequence[Degradation], corners: Sequence[tuple[int, int]], size: int
) -> Pairs:
    """Degrade training crops, published as 400 px, and cut `size` px, published as 256, out of the result.

    (B, 3, H, W) RGB in [0, 1]. Borders of a degraded picture are not like its inside, so they are cut off. `corners`
    has the top and left of each cut, in pixels of the degraded picture (see `draw_corner`).
    """
    scale = degradations[0].scale
    rest = [_without_sharpening(degradation) for degradation in degradations]
    where = [n for n, (a, b) in enumerate(zip(degradations, rest, strict=True)) if len(a.steps) > len(b.steps)]
    sharpened = targets
    if where:  # it takes a third as long as all the rest
        sharpened = targets.index_copy(0, torch.tensor(where, device=targets.device), sharpen(targets[where]))
    low = apply(sharpened, rest)

    def cut(pictures: Tensor, factor: int) -> Tensor:
        side = size // scale * factor
        places = [(top * factor, left * factor) for top, left in corners]
        parts = [
            picture[:, top : top + side, left : left + side]
            for picture, (top, left) in zip(pictures, places, strict=True)
        ]
        return torch.stack(parts)

    return Pairs(cut(low, 1), cut(targets, scale), cut(sharpened, scale))


def _without_sharpening(degradation: Degradation) -> Degradation:
    steps = tuple(step for step in degradation.steps if not isinstance(step, Sharpen))
    return degradation.model_copy(update={"steps": steps})


def draw_corner(seed: int, number: int, height: int, width: int, side: int) -> tuple[int, int]:
    """Where to cut `side` × `side` pixels out of height × width: the top left pixel, all equally likely."""
    chance = Chance(seed, number, "corner")
    return tuple(int(chance.uniform(0, whole - side + 1)) for whole in (height, width))  # type: ignore[return-value]
