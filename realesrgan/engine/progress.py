"""Progress within one picture: the multiply-adds a network has done, counted as it does them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn


class WorkMeter:
    """Tells `listener` which share of the `expected` multiply-adds is done, from 0 to 1.

    The listener may raise. That ends the forward pass it interrupts, and is how a picture is cancelled half-way.
    """

    def __init__(self, expected: float, listener: Callable[[float], None] | None = None) -> None:
        self._expected = expected
        self._listener = listener
        self._done = 0.0

    def add(self, multiply_adds: float) -> None:
        """Add work that was done."""
        self._done += multiply_adds
        if self._listener is not None and self._expected:
            self._listener(min(1.0, self._done / self._expected))


class _Current(threading.local):
    """The meter of this thread's convolutions; threads may share a network."""

    meter: WorkMeter | None = None


_current = _Current()


def count_convolutions(network: nn.Module) -> None:
    """Have each convolution of `network` counted from now on, by the meter of the thread that computes it."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(_after_conv)


def _after_conv(conv: nn.Module, _: object, output: Tensor) -> None:
    assert isinstance(conv, nn.Conv2d)
    if _current.meter is not None:
        _current.meter.add(conv.weight.numel() * output.shape[0] * output.shape[2] * output.shape[3])


@contextmanager
def counting(meter: WorkMeter | None) -> Iterator[None]:
    """Have `meter` count the convolutions that this thread computes within the block."""
    before, _current.meter = _current.meter, meter
    try:
        yield
    finally:
        _current.meter = before
