"""`compile` changes neither results nor files, and where it fails or is slower, a training goes on without it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from realesrgan.restorer import Reporter
from realesrgan.training import compiling
from realesrgan.training.compiling import compile_generator
from realesrgan.training.ema import MovingAverage
from realesrgan.training.machine import Machine
from realesrgan.training.recipe import TrainingRecipe
from realesrgan.training.state import Starts, State, begin

RECIPE = TrainingRecipe.model_validate(
    {
        "name": "tiny",
        "model_type": "RealESRNetModel",
        "scale": 2,
        "gt_size": 32,
        "datasets": {"train": {"type": "RealESRGANDataset", "dataroot_gt": Path(), "batch_size_per_gpu": 5}},
        "network_g": {"type": "SRVGGNetCompact", "num_feat": 4, "num_conv": 1, "upscale": 2},
        "train": {"optim_g": {"lr": 1e-3}, "total_iter": 6, "pixel_opt": {"type": "L1Loss"}},
    }
)


class Heard(Reporter):
    def __init__(self) -> None:
        self.remarks: list[str] = []
        self.warnings: list[str] = []

    def remark(self, message: str) -> None:
        self.remarks.append(message)

    def warn(self, message: str) -> None:
        self.warnings.append(message)


class Compiler:
    """Stands in for torch's: notes the shapes it is given, and how often what it made is called."""

    def __init__(self) -> None:
        self.shapes: list[int] = []
        self.calls = 0

    def __call__(self, graph: Any, inputs: list[Tensor]) -> Callable[..., Any]:
        self.shapes.append(next(len(given) for given in inputs if given.dim() == 4 and given.shape[-1] == 16))

        def run(*given: Tensor) -> Any:
            self.calls += 1
            return graph.forward(*given)

        return run


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Compiler:
    """In place of the compiler that takes a minute."""
    torch._dynamo.reset()
    made, compile_module = Compiler(), nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self, **options: compile_module(self, backend=made, **options))
    return made


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> dict[bool, list[float]]:
    """How long passes take with and without: they are made in full, and then said to have taken this long."""
    told: dict[bool, list[float]] = {True: [], False: []}
    measured = compiling._seconds

    def seconds(network: nn.Module, pictures: Tensor, machine: Machine) -> float:
        measured(network, pictures, machine)
        left = told[network._compiled_call_impl is not None]
        return left.pop(0) if left else 1.0

    monkeypatch.setattr(compiling, "_seconds", seconds)
    return told


def compiled(accumulate: int = 1) -> tuple[State, Heard]:
    machine, heard = Machine("cpu"), Heard()
    state = begin(RECIPE, Starts(), machine, Reporter())
    compile_generator(RECIPE, state, machine, heard, accumulate=accumulate)
    return state, heard


def test_what_is_compiled_is_used_and_gives_the_same_under_the_same_keys(compiler: Compiler, times: object) -> None:
    plain = begin(RECIPE, Starts(), Machine("cpu"), Reporter()).generator.network
    state, heard = compiled()
    network, before = state.generator.network, compiler.calls
    low = torch.rand(5, 3, 16, 16)
    assert torch.allclose(network(low), plain(low), atol=1e-6)
    assert compiler.calls == before + 1
    assert heard.warnings == []
    assert "`compile` took" in heard.remarks[0]
    for one in (network, state.average.network, MovingAverage(network, 0).network):
        assert one.state_dict().keys() == plain.state_dict().keys()
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize(("accumulate", "sizes"), [(1, [5]), (2, [2, 3]), (5, [1]), (9, [1])])
def test_every_size_that_comes_is_compiled_before_the_first_iteration(
    compiler: Compiler, times: object, accumulate: int, sizes: list[int]
) -> None:
    state, _ = compiled(accumulate)
    assert compiler.shapes == sizes
    for size in sizes:
        state.generator.network(torch.rand(size, 3, 16, 16))
    assert compiler.shapes == sizes


def test_the_fastest_pass_of_each_counts_and_the_one_that_compiles_does_not(
    compiler: Compiler, times: dict[bool, list[float]]
) -> None:
    times[True] = [60.0, 9.0, 3.0, 9.0, 9.0, 9.0]
    times[False] = [9.0, 9.0, 4.0, 9.0, 9.0]
    state, heard = compiled()
    assert "takes 0.75 of the time it took before" in heard.remarks[0]
    assert state.generator.network._compiled_call_impl is not None


def test_what_is_slower_is_left_out(compiler: Compiler, times: dict[bool, list[float]]) -> None:
    times[True], times[False] = [60.0, *[1.5] * 5], [1.0] * 5
    state, heard = compiled()
    assert heard.remarks[0].endswith("takes 1.50 of the time it took before, so it is left out")
    before = compiler.calls
    state.generator.network(torch.rand(5, 3, 16, 16))
    assert compiler.calls == before


@pytest.mark.parametrize(("said", "line"), [("no compiler\n  at line 7", "no compiler"), ("", "RuntimeError")])
def test_a_compiler_that_fails_is_told_in_a_line_and_left_out(
    monkeypatch: pytest.MonkeyPatch, said: str, line: str
) -> None:
    def fails(self: nn.Module, **options: object) -> None:
        self._compiled_call_impl = fails_when_called

    def fails_when_called(*given: object) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr(nn.Module, "compile", fails)
    state, heard = compiled()
    assert heard.warnings == [f"`compile` fails and is left out: {line}"]
    assert heard.remarks == []
    assert state.generator.network(torch.rand(5, 3, 16, 16)).shape == (5, 3, 32, 32)
