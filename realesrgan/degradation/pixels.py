"""Pictures as files have them ↔ tensors as degradations take them."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from ..arrays import Array
from ..engine.tensors import Levels, to_arrays, to_tensor


def to_pixels(picture: Tensor) -> Array:
    """(1, 3, H, W) RGB in [0, 1] → (H, W, 3) BGR, rounded to 8 bits."""
    return np.concatenate(list(to_arrays(picture.float(), Levels(np.dtype(np.uint8)))))


def from_pixels(pixels: Array, device: torch.device) -> Tensor:
    """(H, W), (H, W, 3) BGR or (H, W, 4) BGRA of 8 or 16 bits → (1, 3, H, W) RGB in [0, 1], without transparency."""
    return to_tensor(cv2.cvtColor(to_colour(pixels), cv2.COLOR_BGR2RGB), device).contiguous()


def to_colour(pixels: Array) -> Array:
    """(H, W), (H, W, 3) BGR or (H, W, 4) BGRA → (H, W, 3) BGR of the same depth, without transparency."""
    return cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR) if pixels.ndim == 2 else pixels[..., :3]


def cut_to_multiple(pixels: Array, scale: int) -> Array:
    """Cut (H, W, …) at the bottom and the right, so that both sides can be divided by `scale`."""
    height, width = pixels.shape[:2]
    return pixels[: height - height % scale, : width - width % scale]
