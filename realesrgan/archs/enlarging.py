"""Enlarging by pixel-shuffle on top of repeated pixels."""

import torch.nn.functional as F
from torch import Tensor


def enlarged(x: Tensor, differences: Tensor, scale: int) -> Tensor:
    """Repeat the pixels of (N, C, H, W) `x` and add (N, C·scale², H, W) `differences` → (N, C, H·scale, W·scale).

    Before the shuffle, the scale² copies of a pixel are channels of it, so broadcasting adds without repeating.
    """
    batch, channels, height, width = differences.shape
    each = differences.view(batch, channels // scale**2, scale**2, height, width)
    return F.pixel_shuffle((each + x.unsqueeze(2)).flatten(1, 2), scale)
