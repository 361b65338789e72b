"""Count the multiply-adds a network has done, as it does them: what progress inside one picture is made of."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn


class WorkMeter:
    """Tells `listener` the share of the `expected` multiply-adds that is done, from 0 to 1.

    The listener may raise, which ends the forward pass it interrupts: that is how a picture is cancelled half-way.
    """

    def __init__(self, expected: float, listener: Callable[[float], None] | None = None) -> None:
        self._expected = expected
        self._listener = listener
        self._done = 0

    def add(self, multiply_adds: int) -> None:
        """Count work that is done."""
        self._done += multiply_adds
        if self._listener is not None and self._expected:
            self._listener(min(1.0, self._done / self._expected))


class _Current(threading.local):
    """Which meter this thread's convolutions count for; threads may share a network."""

    meter: WorkMeter | None = None


_current = _Current()


def count_convolutions(network: nn.Module) -> None:
    """From now on, count each convolution of `network` for the meter of the thread that computes it."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(_after_conv)


def _after_conv(conv: nn.Module, _: object, output: Tensor) -> None:
    assert isinstance(conv, nn.Conv2d)
    if _current.meter is not None:
        _current.meter.add(conv.weight.numel() * output.shape[0] * output.shape[2] * output.shape[3])


@contextmanager
def counting(meter: WorkMeter | None) -> Iterator[None]:
    """Have the convolutions that this thread computes within the block counted by `meter`."""
    before, _current.meter = _current.meter, meter
    try:
        yield
    finally:
        _current.meter = before
