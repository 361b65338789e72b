"""Progress within one picture: the multiply-adds a network has done, counted as it does them."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd as _Conv


class WorkMeter:
    """Tells `listener` which share of the `expected` multiply-adds is done, from 0 to 1.

    The listener may raise. That ends the forward pass it interrupts, and is how a picture is cancelled half-way.
    """

    def __init__(self, expected: float, listener: Callable[[float], None] | None = None) -> None:
        self._expected = expected
        self._listener = listener
        self._limit = math.inf
        self.done = 0.0

    def add(self, multiply_adds: float) -> None:
        """Add work that was done."""
        self.done = min(self._limit, self.done + multiply_adds)
        if self._listener is not None and self._expected:
            self._listener(min(1.0, self.done / self._expected))

    @contextmanager
    def piece(self, work: float) -> Iterator[None]:
        """Count exactly `work` for the block, whatever is added within it, where that is an estimate."""
        end = self.done + work
        self._limit = end - work / 100  # so that not all is told to be done before it is
        try:
            yield
        finally:
            self._limit = math.inf
        if self.done < end:
            self.add(end - self.done)

    def at_rest(self) -> WorkMeter:
        """A meter for work beside what is expected: its listener is asked whether to go on, and told of no progress."""
        share = min(1.0, self.done / self._expected) if self._expected else 0.0
        listener = self._listener
        return WorkMeter(1.0, None if listener is None else lambda _: listener(share))


class _Current(threading.local):
    """The meter of this thread's layers; threads may share a network."""

    meter: WorkMeter | None = None


_current = _Current()


def count_layers(network: nn.Module) -> None:
    """Have each layer of `network` with weights counted from now on, by the meter of the thread that computes it."""
    for module in network.modules():
        if isinstance(module, _Conv | nn.Linear):
            module.register_forward_hook(_after_layer)


def _after_layer(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    assert isinstance(layer, _Conv | nn.Linear)
    if _current.meter is None:
        return
    if isinstance(layer, nn.Linear):
        positions = output.numel() // layer.out_features
    elif layer.transposed and inputs:  # its weights are applied to each pixel of its input
        positions = inputs[0].numel() // layer.in_channels
    else:
        positions = output.numel() // layer.out_channels
    _current.meter.add(layer.weight.numel() * positions)


@contextmanager
def counting(meter: WorkMeter | None) -> Iterator[None]:
    """Have `meter` count the layers that this thread computes within the block."""
    before, _current.meter = _current.meter, meter
    try:
        yield
    finally:
        _current.meter = before
