"""Mixed precision: how a network computes in two types.

Convolutions compute in the type of their weights; the residual stream between them keeps the type of the network's
input. So a network cast with `cast_except` and fed fp32 sums its residuals in fp32, and one cast with plain `.half()`
and fed fp16 behaves as published.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def conv_in_own_dtype(conv: nn.Module, x: Tensor) -> Tensor:
    """Apply `conv` to (N, C, H, W) `x` in the type of the convolution's weights."""
    result: Tensor = conv(x.to(conv.get_parameter("weight").dtype))
    return result


def cast_except(network: nn.Module, kept: Iterable[nn.Module], dtype: torch.dtype) -> nn.Module:
    """Cast `network` to `dtype` in place, except for the layers in `kept`."""
    whole = {part for layer in kept for part in layer.modules()}
    for layer in network.modules():
        # Layer by layer: if all were cast and some cast back, those would stay rounded.
        if layer not in whole and next(layer.children(), None) is None:
            layer.to(dtype)
    return network
