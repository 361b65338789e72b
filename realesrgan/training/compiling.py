"""torch.compile for the generator, with what it gains measured instead of promised."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

from ..restorer import Reporter
from ..words import duration
from .machine import Machine
from .recipe import TrainingRecipe
from .state import State

ROUNDS = 5  # in turn with and without, so that other work on the machine meets both; the fastest of each counts


def compile_generator(
    recipe: TrainingRecipe, state: State, machine: Machine, reporter: Reporter, *, accumulate: int = 1
) -> None:
    """Compile the generator in place; where that fails or is slower, leave it as it is, and say so.

    Keys of its state dict stay. Batches come in `accumulate` parts, of up to two sizes: both are compiled here, so that
    no iteration has to wait.
    """
    network, began_s = state.generator.network, time.monotonic()
    side, batch = recipe.gt_size // recipe.scale, recipe.datasets.train.batch_size_per_gpu
    sizes = sorted({max(1, batch // accumulate), -(-batch // accumulate)})
    parts = [torch.zeros(size, 3, side, side, device=machine.device) for size in sizes]
    try:
        network.compile(dynamic=False)  # dynamic shapes would be slower, and there are two at most
        for part in parts:
            _seconds(network, part, machine)  # compiling happens here
        share = _share_of_time(network, parts[-1], machine)
    except Exception as error:  # whatever the compiler has to say
        network._compiled_call_impl = None
        said = next(iter(str(error).splitlines()), type(error).__name__)
        reporter.warn(f"`compile` fails and is left out: {said}")
        return
    used = ""
    if share > 1:
        network._compiled_call_impl = None
        used = ", so it is left out"
    took = duration(time.monotonic() - began_s)
    reporter.remark(f"`compile` took {took}: the generator takes {share:.2f} of the time it took before{used}")


def _share_of_time(network: nn.Module, pictures: Tensor, machine: Machine) -> float:
    """How long a compiled pass takes, as a share of one that is not."""
    compiled = network._compiled_call_impl
    fastest = {True: float("inf"), False: float("inf")}
    try:
        for _ in range(ROUNDS):
            for is_compiled in fastest:
                network._compiled_call_impl = compiled if is_compiled else None
                fastest[is_compiled] = min(fastest[is_compiled], _seconds(network, pictures, machine))
    finally:
        network._compiled_call_impl = compiled
    return fastest[True] / fastest[False]


def _seconds(network: nn.Module, pictures: Tensor, machine: Machine) -> float:
    """How long a pass forward and backward takes."""
    began_s = time.perf_counter()
    with machine.autocast():
        total = network(pictures).float().mean()
    total.backward()
    network.zero_grad()
    if machine.device.type == "cuda":
        torch.cuda.synchronize(machine.device)
    return time.perf_counter() - began_s
