"""Build a network without values: names, shapes and layers, ready for the tensors of a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

# What constructors call to initialise weights: torch.nn.init's functions, and what those and the networks call.
_INITIALISERS = frozenset(
    ("kaiming_normal_", "kaiming_uniform_", "normal_", "uniform_", "constant_", "ones_", "zeros_")
    + ("fill_", "zero_", "mul_", "div_")
)


class _WithoutInitialisation(TorchFunctionMode):
    """Leaves tensors uninitialised.

    Initial values would be overwritten, and drawing them on the meta device imports the machinery of torch.compile,
    which takes as long as importing torch itself. As a mode, it affects this thread only.
    """

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in _INITIALISERS:
            return args[0] if args else kwargs["tensor"]
        return torch.empty(*args, **kwargs) if name == "randn" else func(*args, **kwargs)


def meta_network(build: Callable[[], nn.Module]) -> nn.Module:
    """The network that `build` makes, on the meta device and uninitialised."""
    with torch.device("meta"), _WithoutInitialisation():
        return build()
