"""Count the multiply-adds a network has done, as it does them: what progress inside one picture is made of."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


class WorkMeter:
    """Watches the convolutions of `network` and tells `listener` the share of the announced work that is done.

    The listener may raise, which ends the forward pass it interrupts: that is how a picture is cancelled half-way.
    """

    def __init__(self, network: nn.Module) -> None:
        self.listener: Callable[[float], None] | None = None
        self._done = 0
        self._expected = 0.0
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(self._after_conv)

    def expect(self, multiply_adds: float) -> None:
        """Announce how much work the next picture is, all of its passes together."""
        self._done, self._expected = 0, multiply_adds

    def _after_conv(self, conv: nn.Module, _: object, output: Tensor) -> None:
        assert isinstance(conv, nn.Conv2d)
        self.add(conv.weight.numel() * output.shape[0] * output.shape[2] * output.shape[3])

    def add(self, multiply_adds: int) -> None:
        """Count work that went past the convolutions' hooks."""
        self._done += multiply_adds
        if self.listener is not None and self._expected:
            self.listener(min(1.0, self._done / self._expected))
