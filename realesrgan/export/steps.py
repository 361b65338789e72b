"""The row graph of a network as a list of steps with names, from which other programs' formats are written.

So there is one description of a network; what computes it, here or elsewhere, is made of that. Knows no format.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..families.family import Family
from ..families.row_graph import Layer
from ..families.signal import Signal

PICTURE = "picture"  # what the first step reads: the picture, folded
_PLAIN = ((1, 1), (1, 1), 1)  # stride, dilation and groups of the only convolutions in row graphs


@dataclass(frozen=True)
class Step:
    """A convolution, what comes before it and what comes after it.

    Attributes:
        name: the convolution's in the state dict; also the name of the result.
        sources: the steps whose results it reads, channel after channel; PICTURE is one.
        enlarge: the sources are enlarged so many times first, by repeating pixels.
        slopes: what the activation multiplies values below zero by, a number or one a channel; None: no activation.
        residuals: the result times the number is added to that of this step, that sum times the number to the next.
        shuffle: of the last step: channels become squares of pixels of this side. The residual is then the picture,
            enlarged so many times by repeating pixels.
    """

    name: str
    conv: nn.Conv2d
    sources: tuple[str, ...]
    enlarge: int
    slopes: float | Tensor | None
    residuals: tuple[tuple[str, float], ...]
    shuffle: int | None


def steps_of(network: nn.Module, family: Family) -> list[Step]:
    """The steps of `network`, in the order in which they read from each other; the last one makes the result.

    Row graphs compute a convolution twice where that saves keeping its rows; here it is one step.
    """
    graph = family.row_graph(network, 1, 1, torch.float32, lambda top, rows: None)
    names = {conv: name for name, conv in network.named_modules()}
    made: dict[Signal, str] = {graph.picture: PICTURE}
    steps: list[Step] = []
    known: dict[tuple[object, ...], str] = {}
    for layer in graph.layers:
        step = _step(layer, names[layer.conv], made)
        work = (step.conv, step.sources, step.enlarge, step.residuals)
        made[layer.out] = known.setdefault(work, step.name)
        if made[layer.out] == step.name and step.name not in {other.name for other in steps}:
            steps.append(step)
    return steps


def _step(layer: Layer, name: str, made: dict[Signal, str]) -> Step:
    conv = layer.conv
    assert (conv.stride, conv.dilation, conv.groups) == _PLAIN, "row graphs have no other convolutions"
    return Step(
        name=name,
        conv=conv,
        sources=tuple(made[signal] for signal in layer.sources),
        enlarge=layer.enlarge,
        slopes=None if layer.activation is None else layer.activation.slopes,
        residuals=tuple((made[signal], scale) for signal, scale in layer.residuals),
        shuffle=None if layer.result is None else layer.result.shuffle,
    )


def readers(steps: Sequence[Step], name: str) -> int:
    """How many times the result of a step is read."""
    return sum([*step.sources, *(residual for residual, _ in step.residuals)].count(name) for step in steps)
