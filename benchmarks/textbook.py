"""The published path in plain code, for comparison in tests and benchmarks: fp32, eager, NCHW, one picture at a time.

Written from the description of RealESRGANer alone, it shares no code with the package. It differs from the published
program on purpose in four places: depth is decided by dtype, mirroring works on pictures smaller than the padding,
a float picture counts as 0 to 255, and 'bicubic' alpha is cubic (the published one was linear).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Array = npt.NDArray[Any]

MULTIPLES = {1: 4, 2: 2}  # a scale-1 network folds 4×4 pixels into channels, a scale-2 network 2×2


def enhance(
    network: nn.Module,
    scale: int,
    image: Array,
    outscale: float | None = None,
    tile: int = 0,
    tile_pad: int = 10,
    pre_pad: int = 0,
    alpha_upsampler: str = "realesrgan",
) -> tuple[Array, str]:
    """Upscale a picture as OpenCV reads it: (H, W) gray, (H, W, 3) BGR or (H, W, 4) BGRA, 8 or 16 bits.

    `scale` is the network's; for another `outscale`, the finished integers are resized. `tile`, `tile_pad` and
    `pre_pad` count input pixels; tile 0 means the whole picture at once. Returns the picture at its original depth,
    and 'L', 'RGB' or 'RGBA'.
    """

    def upscale(rgb: Array) -> Array:
        return upscale_rgb(network, scale, rgb, tile, tile_pad, pre_pad)

    max_range = 65535 if image.dtype == np.uint16 else 255
    unit = image.astype(np.float32) / max_range
    if unit.ndim == 2:
        mode = "L"
        result = cv2.cvtColor(upscale(cv2.cvtColor(unit, cv2.COLOR_GRAY2RGB)), cv2.COLOR_RGB2GRAY)
    elif unit.shape[2] == 4:
        mode = "RGBA"
        colour = upscale(np.ascontiguousarray(unit[..., 2::-1]))
        alpha: Array = np.ascontiguousarray(unit[..., 3])
        if alpha_upsampler == "realesrgan":
            alpha = cv2.cvtColor(upscale(cv2.cvtColor(alpha, cv2.COLOR_GRAY2RGB)), cv2.COLOR_RGB2GRAY)
        else:
            size = (alpha.shape[1] * scale, alpha.shape[0] * scale)
            alpha = cv2.resize(alpha, size, interpolation=cv2.INTER_CUBIC).clip(0, 1)  # a cubic overshoots
        result = np.dstack([colour[..., ::-1], alpha])
    else:
        mode = "RGB"
        result = upscale(np.ascontiguousarray(unit[..., ::-1]))[..., ::-1]

    dtype = np.uint16 if max_range == 65535 else np.uint8
    levels = np.ascontiguousarray((result * max_range).round().astype(dtype))
    if outscale is not None and outscale != float(scale):
        height, width = image.shape[:2]
        size = (int(width * outscale), int(height * outscale))
        levels = np.asarray(cv2.resize(levels, size, interpolation=cv2.INTER_LANCZOS4))
    return levels, mode


def upscale_rgb(network: nn.Module, scale: int, rgb: Array, tile: int, tile_pad: int, pre_pad: int) -> Array:
    """(H, W, 3) RGB in [0, 1] → (H·scale, W·scale, 3) RGB, clamped to [0, 1]."""
    height, width = rgb.shape[:2]
    multiple = MULTIPLES.get(scale, 1)
    padded = mirror(rgb, pre_pad, pre_pad)
    padded = mirror(padded, -padded.shape[0] % multiple, -padded.shape[1] % multiple)
    pixels = torch.from_numpy(padded.transpose(2, 0, 1).copy())[None].float()
    with torch.no_grad():
        result = tile_by_tile(network, scale, pixels, tile, tile_pad) if tile > 0 else network(pixels)
    cropped = result[0, :, : height * scale, : width * scale].clamp(0, 1)
    return np.ascontiguousarray(cropped.numpy().transpose(1, 2, 0))


def tile_by_tile(network: nn.Module, scale: int, pixels: Tensor, tile: int, tile_pad: int) -> Tensor:
    """(1, 3, H, W) → (1, 3, H·scale, W·scale): each tile sees `tile_pad` pixels around itself, up to the border."""
    height, width = pixels.shape[2:]
    output = pixels.new_zeros((1, 3, height * scale, width * scale))
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            bottom, right = min(top + tile, height), min(left + tile, width)
            above, before = max(top - tile_pad, 0), max(left - tile_pad, 0)
            below, after = min(bottom + tile_pad, height), min(right + tile_pad, width)
            result = network(pixels[:, :, above:below, before:after])
            core = result[
                :,
                :,
                (top - above) * scale : (bottom - above) * scale,
                (left - before) * scale : (right - before) * scale,
            ]
            output[:, :, top * scale : bottom * scale, left * scale : right * scale] = core
    return output


def mirror(rgb: Array, below: int, right: int) -> Array:
    """Reflect a picture at its bottom and right edge, which is not repeated itself."""
    return np.pad(rgb, ((0, below), (0, right), (0, 0)), mode="reflect")
