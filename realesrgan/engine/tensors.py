"""Arrays ↔ tensors: a picture goes onto the device, and the network's result comes back in levels of its depth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from ..arrays import LUMA, Array, peak_of
from ..families.family import RGB_CHANNELS
from .transfer import to_device, to_host

# How much of an fp32 tensor is converted at a time; on a CPU, so little that all steps find it in the cache.
BAND_BYTES_ON_CPU = 1_000_000
BAND_BYTES_ON_GPU = 64_000_000
_SWAPPED = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}


@dataclass(frozen=True)
class Levels:
    """The form in which rows of a result are wanted.

    Attributes:
        depth: uint8, uint16, or float32 with 1.0 for white.
        gray: one channel, the luma, instead of three in BGR order.
        alpha: keep the transparency that a network for RGBA pictures gives, as a fourth channel.
        clamped: to [0, 1]; integers always are.
    """

    depth: np.dtype[Any]
    gray: bool = False
    alpha: bool = False
    clamped: bool = True

    def channels_of(self, given: int) -> int:
        """How many channels the rows have, of a network that gives so many."""
        return 1 if self.gray or given == 1 else given if self.alpha else RGB_CHANNELS


def to_tensor(picture: Array, device: torch.device, channels: int = RGB_CHANNELS) -> Tensor:
    """(H, W, 1 or `channels`) of any depth → (1, channels, H, W) fp32 in [0, 1] on `device`, in channels-last order.

    Bytes travel to the device as bytes; floating-point arrays are taken to lie in [0, 1] already.
    """
    if picture.dtype == np.uint8:
        levels = np.array(picture, order="C")  # a copy: torch wants to write
    else:
        levels = picture.astype(np.int32 if picture.dtype == np.uint16 else np.float32, order="C")
    tensor = to_device(torch.from_numpy(levels), device)
    if picture.dtype in (np.uint8, np.uint16):
        tensor = tensor.float() / peak_of(picture.dtype)
    return tensor.permute(2, 0, 1)[None].expand(1, channels, -1, -1)


def to_gray(tensor: Tensor) -> Tensor:
    """(N, 3, H, W) RGB → (N, 1, H, W), each colour clamped to [0, 1] first, as published."""
    weights = torch.tensor(LUMA, dtype=tensor.dtype, device=tensor.device).view(1, 3, 1, 1)
    return (tensor.clamp(0, 1) * weights).sum(1, keepdim=True)


def to_arrays(tensor: Tensor, levels: Levels) -> Iterator[Array]:
    """(1, C, H, W), gray, RGB or RGBA, on any device → its rows from top to bottom, as (h, W, C') arrays.

    They are gray, BGR or BGRA. Integers are scaled to their range and rounded once. From a GPU, the next rows are
    copied while the caller deals with these.
    """
    depth, wanted = levels.depth, levels.channels_of(tensor.shape[1])
    if wanted < tensor.shape[1]:
        tensor = tensor[:, :RGB_CHANNELS]
        tensor = to_gray(tensor) if wanted == 1 else tensor
    band_bytes = BAND_BYTES_ON_CPU if tensor.device.type == "cpu" else BAND_BYTES_ON_GPU
    rows = max(1, band_bytes // (4 * tensor.shape[1] * tensor.shape[3]))
    bands = (_band(tensor[:, :, top : top + rows], levels) for top in range(0, tensor.shape[2], rows))
    for band in to_host(bands):
        array = band.numpy()
        if depth == np.uint16:
            array = array.astype(np.uint16)
        # NumPy takes twenty times as long to swap channels.
        yield array if wanted == 1 else cv2.cvtColor(array, _SWAPPED[wanted])


def _band(tensor: Tensor, wanted: Levels) -> Tensor:
    """(1, C, H, W) → (H, W, C) in the type that is copied to the host."""
    image, depth = tensor[0].permute(1, 2, 0), wanted.depth
    if depth == np.float32:
        return (image.clamp(0, 1) if wanted.clamped else image).contiguous()
    levels = (image * peak_of(depth)).round_().clamp_(0, peak_of(depth))
    return levels.to(torch.uint8 if depth == np.uint8 else torch.int32).contiguous()
