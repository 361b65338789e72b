"""Arrays ↔ tensors: a picture goes onto the device, and the network's result comes back in levels of its depth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from ..arrays import LUMA, Array, peak_of
from .transfer import to_device, to_host

# How much of an fp32 tensor is converted at a time; on a CPU, so little that all steps find it in the cache.
BAND_BYTES_ON_CPU = 1_000_000
BAND_BYTES_ON_GPU = 64_000_000


def to_tensor(colour: Array, device: torch.device) -> Tensor:
    """(H, W, 1 or 3) of any depth → (1, 3, H, W) fp32 in [0, 1] on `device`, in channels-last memory order.

    Bytes travel to the device as bytes; floating-point arrays are taken to lie in [0, 1] already.
    """
    if colour.dtype == np.uint8:
        levels = np.array(colour, order="C")  # a copy: torch wants to write
    else:
        levels = colour.astype(np.int32 if colour.dtype == np.uint16 else np.float32, order="C")
    tensor = to_device(torch.from_numpy(levels), device)
    if colour.dtype in (np.uint8, np.uint16):
        tensor = tensor.float() / peak_of(colour.dtype)
    return tensor.permute(2, 0, 1)[None].expand(1, 3, -1, -1)


def to_gray(tensor: Tensor) -> Tensor:
    """(N, 3, H, W) RGB → (N, 1, H, W), each colour clamped to [0, 1] first, as published."""
    weights = torch.tensor(LUMA, dtype=tensor.dtype, device=tensor.device).view(1, 3, 1, 1)
    return (tensor.clamp(0, 1) * weights).sum(1, keepdim=True)


def to_arrays(tensor: Tensor, depth: np.dtype[Any]) -> Iterator[Array]:
    """(1, 1 or 3, H, W) RGB on any device → its rows from top to bottom, as (h, W, C) BGR arrays of `depth`.

    Values are clamped to [0, 1]; integers are scaled to their range and rounded once. From a GPU, the next rows are
    copied while the caller deals with these.
    """
    band_bytes = BAND_BYTES_ON_CPU if tensor.device.type == "cpu" else BAND_BYTES_ON_GPU
    rows = max(1, band_bytes // (4 * tensor.shape[1] * tensor.shape[3]))
    bands = (_levels(tensor[:, :, top : top + rows], depth) for top in range(0, tensor.shape[2], rows))
    for band in to_host(bands):
        array = band.numpy()
        if depth == np.uint16:
            array = array.astype(np.uint16)
        # NumPy takes twenty times as long to swap channels.
        yield cv2.cvtColor(array, cv2.COLOR_RGB2BGR) if array.shape[2] == 3 else array


def _levels(tensor: Tensor, depth: np.dtype[Any]) -> Tensor:
    """(1, C, H, W) → (H, W, C) in the type that is copied to the host for `depth`."""
    image = tensor[0].permute(1, 2, 0)
    if depth == np.float32:
        return image.clamp(0, 1).contiguous()
    levels = (image * peak_of(depth)).round_().clamp_(0, peak_of(depth))
    return levels.to(torch.uint8 if depth == np.uint8 else torch.int32).contiguous()
