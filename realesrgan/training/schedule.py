"""Learning rates as a function of the iteration, so that there is no state to save."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import torch


def multi_step(start: float, milestones: Sequence[float], gamma: float, iteration: int, warmup: int = -1) -> float:
    """The learning rate of an iteration, from 1: `start`, times `gamma` for each milestone behind it.

    In the first `warmup` iterations it rises from 0 in proportion.
    """
    rate = start * gamma ** bisect_right(list(milestones), iteration - 1)
    return rate * iteration / warmup if iteration < warmup else rate


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
