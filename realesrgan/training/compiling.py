"""torch.compile for the generator, with what it gains measured instead of promised."""

from __future__ import annotations

import time

import torch
from torch import nn

from ..restorer import Reporter
from .machine import Machine
from .recipe import TrainingRecipe
from .state import State

ROUNDS = 3  # of which the fastest counts


def compile_generator(recipe: TrainingRecipe, state: State, machine: Machine, reporter: Reporter) -> None:
    """Compile the generator in place; where that fails or is slower, leave it as it is, and say so."""
    network = state.generator.network
    side = recipe.gt_size // recipe.scale
    pictures = torch.zeros(recipe.datasets.train.batch_size_per_gpu, 3, side, side, device=machine.device)
    before_s = _seconds(network, pictures, machine)
    try:
        network.compile()
        _seconds(network, pictures, machine)  # the first call compiles
        after_s = _seconds(network, pictures, machine)
    except Exception as error:  # whatever the compiler has to say
        network._compiled_call_impl = None
        reporter.warn(f"`compile` fails and is left out: {str(error).splitlines()[0]}")
        return
    if after_s > before_s:
        network._compiled_call_impl = None
    used = "" if after_s <= before_s else ", so it is left out"
    reporter.remark(f"`compile`: a forward and backward pass takes {after_s / before_s:.2f} of the time{used}")


def _seconds(network: nn.Module, pictures: torch.Tensor, machine: Machine) -> float:
    fastest = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        with machine.autocast():
            total = network(pictures).float().mean()
        total.backward()
        network.zero_grad()
        if machine.device.type == "cuda":
            torch.cuda.synchronize(machine.device)
        fastest = min(fastest, time.perf_counter() - began)
    return fastest
