"""How a network computes in two precisions at once.

Convolutions compute in the type of their own weights; what flows between them, the residual stream, keeps the type of
the network's input. So a network cast with `cast_except` and fed fp32 sums its residuals in fp32, and one cast
with plain `.half()` and fed fp16 behaves as published.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def conv_in_own_dtype(conv: nn.Module, x: Tensor) -> Tensor:
    """Apply `conv` to (N, C, H, W) `x` in the type of the convolution's weights."""
    result: Tensor = conv(x.to(conv.get_parameter("weight").dtype))
    return result


def cast_except(network: nn.Module, kept: Iterable[nn.Module], dtype: torch.dtype) -> nn.Module:
    """Cast `network` in place to `dtype`, but for the layers `kept` in the precision they have."""
    whole = {part for layer in kept for part in layer.modules()}
    for layer in network.modules():
        # Layer by layer: casting all and then some of them back would leave those rounded.
        if layer not in whole and next(layer.children(), None) is None:
            layer.to(dtype)
    return network
