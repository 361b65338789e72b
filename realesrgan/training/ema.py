"""The moving average of a network's parameters, which is what is released and validated."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class MovingAverage:
    """A copy of a network whose parameters follow it slowly: after each step, decay · average + (1 − decay) · new.

    Buffers are not averaged, as published; the generators have none.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Follow `network`, which has taken a step."""
        averages: list[Tensor] = list(self.network.parameters())
        current: list[Tensor] = list(network.parameters())
        torch._foreach_mul_(averages, self.decay)
        torch._foreach_add_(averages, current, alpha=1 - self.decay)
