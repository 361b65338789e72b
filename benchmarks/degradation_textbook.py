"""The degradation model in plain code, for comparison in tests and benchmarks: one picture at a time, as in the paper.

Written from the description of the published training alone, it shares no code with the package but the records of
what was drawn. Noise is handed in, so that both can be given the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

Array = npt.NDArray[Any]
Parameters = dict[str, Any]  # a step or a kernel, as degradations.jsonl has it

LARGEST_KERNEL = 21
USM_TAPS, USM_SIGMA, USM_WEIGHT, USM_THRESHOLD = 51, 8.0, 0.5, 10
LUMA_TABLE = [
    [16, 11, 10, 16, 24, 40, 51, 61],
    [12, 12, 14, 19, 26, 58, 60, 55],
    [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62],
    [18, 22, 37, 56, 68, 109, 103, 77],
    [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101],
    [72, 92, 95, 98, 112, 100, 103, 99],
]
CHROMA_CORNER = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]

DrawGaussian = Callable[[Parameters, int, int], Tensor]  # a step, height and width → standard normal noise
DrawPoisson = Callable[[Parameters, Tensor, int], Tensor]  # a step, levels in [0, 1], photons at white → counts


def draw_gaussian(step: Parameters, height: int, width: int) -> Tensor:
    """Standard normal noise, (1, 3, H, W)."""
    return torch.randn(1, 1 if step["gray"] else 3, height, width).expand(1, 3, -1, -1)


def draw_poisson(step: Parameters, levels: Tensor, photons: int) -> Tensor:
    """Poisson counts of (1, C, H, W)."""
    return torch.poisson(levels * photons)


def degrade(
    picture: Tensor,
    degradation: Parameters,
    gaussian: DrawGaussian = draw_gaussian,
    poisson: DrawPoisson = draw_poisson,
) -> Tensor:
    """Degrade (1, 3, H, W) RGB in [0, 1] as a record says, rounded to levels of 255 at the end."""
    original = picture.shape[2:]
    for step in degradation["steps"]:
        kind = step["step"]
        if kind == "sharpen":
            picture = sharpen(picture)
        elif kind == "blur":
            picture = blur(picture, torch.from_numpy(kernel(step["kernel"])))
        elif kind == "resize":
            picture = resize(picture, step, original, degradation["scale"])
        elif kind == "noise" and step["kind"] == "gaussian":
            noise = gaussian(step, *picture.shape[2:]) * (step["strength"] / 255)
            picture = (picture + noise).clamp(0, 1)
        elif kind == "noise":
            picture = (picture + poisson_noise(picture, step, poisson) * step["strength"]).clamp(0, 1)
        elif kind == "jpeg":
            picture = jpeg(picture.clamp(0, 1), step["quality"], step["tables"])
    return (picture * 255).round().clamp(0, 255) / 255


def sharpen(picture: Tensor) -> Tensor:
    taps = cv2.getGaussianKernel(USM_TAPS, USM_SIGMA)
    full = torch.from_numpy(taps @ taps.T)
    residual = picture - blur(picture, full)
    mask = (residual.abs() * 255 > USM_THRESHOLD).float()
    soft = blur(mask, full)
    sharp = (picture + USM_WEIGHT * residual).clamp(0, 1)
    return soft * sharp + (1 - soft) * picture


def blur(picture: Tensor, weights: Tensor) -> Tensor:
    side = weights.shape[0] // 2
    padded = F.pad(picture, (side,) * 4, mode="reflect")
    return F.conv2d(padded, weights.to(picture).expand(3, 1, -1, -1), groups=3)


def kernel(parameters: Parameters) -> Array:
    if parameters["kind"] == "pulse":
        values = np.zeros((LARGEST_KERNEL, LARGEST_KERNEL))
        values[LARGEST_KERNEL // 2, LARGEST_KERNEL // 2] = 1
        return values
    size = parameters["size"]
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    is_sinc = parameters["kind"] == "sinc"
    values = _sinc(np.hypot(x, y), parameters["cutoff"]) if is_sinc else _bell(x, y, parameters)
    return np.pad(values / values.sum(), (LARGEST_KERNEL - size) // 2)


def _sinc(radius: Array, cutoff: float) -> Array:
    j1 = torch.special.bessel_j1(torch.from_numpy(cutoff * radius)).numpy()
    with np.errstate(invalid="ignore"):
        return np.where(radius == 0, cutoff**2 / (4 * math.pi), cutoff * j1 / (2 * math.pi * radius))


def _bell(x: Array, y: Array, parameters: Parameters) -> Array:
    angle = parameters["rotation"]
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    widths = np.diag([parameters["sigma_x"] ** 2, parameters["sigma_y"] ** 2])
    inverse = np.linalg.inv(turn @ widths @ turn.T)
    points = np.stack([x, y], -1)
    q = np.einsum("hwi,ij,hwj->hw", points, inverse, points)
    if parameters["kind"].startswith("plateau"):
        return np.asarray(1 / (1 + q ** parameters["beta"]))
    return np.asarray(np.exp(-(q ** parameters.get("beta", 1)) / 2))


def resize(picture: Tensor, step: Parameters, original: Any, scale: int) -> Tensor:
    options: dict[str, Any] = {"mode": step["mode"]}
    if step["mode"] != "area":
        options["align_corners"] = False
    if step["of"] == "final":
        return F.interpolate(picture, size=[int(side / scale * step["factor"]) for side in original], **options)
    return F.interpolate(picture, scale_factor=step["factor"], **options)


def poisson_noise(picture: Tensor, step: Parameters, poisson: DrawPoisson) -> Tensor:
    if step["gray"]:
        picture = (picture * torch.tensor([0.2989, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    levels = (picture * 255).round().clamp(0, 255) / 255
    photons = int(2 ** math.ceil(math.log2(len(torch.unique(levels)))))
    return (poisson(step, levels, photons) / photons - levels).expand(1, 3, -1, -1)


def jpeg(picture: Tensor, quality: float, tables: str) -> Tensor:
    factor = (5000 / quality if quality < 50 else 200 - 2 * quality) / 100
    luma = torch.tensor(LUMA_TABLE, dtype=torch.float32)
    chroma = torch.full((8, 8), 99.0)
    chroma[:4, :4] = torch.tensor(CHROMA_CORNER)
    height, width = picture.shape[2:]
    padded = F.pad(picture[0] * 255, (0, -width % 16, 0, -height % 16))
    red, green, blue = padded
    planes = [
        0.299 * red + 0.587 * green + 0.114 * blue,
        *(
            F.avg_pool2d(plane[None], 2)[0] + 128
            for plane in (
                -0.168736 * red - 0.331264 * green + 0.5 * blue,
                0.5 * red - 0.418688 * green - 0.081312 * blue,
            )
        ),
    ]
    first = luma.T if tables == "published" else luma
    y, cb, cr = (_coded(plane, table * factor) for plane, table in zip(planes, (first, chroma, chroma), strict=True))
    cb, cr = (plane.repeat_interleave(2, 0).repeat_interleave(2, 1) - 128 for plane in (cb, cr))
    colours = [y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb]
    return torch.stack(colours)[None, :, :height, :width].clamp(0, 255) / 255


def _coded(plane: Tensor, table: Tensor) -> Tensor:
    """Every 8×8 block to frequencies by the four-dimensional product, rounded to steps of the table, and back."""
    weights = torch.tensor([1 / math.sqrt(2)] + [1.0] * 7)
    scale = torch.outer(weights, weights) / 4
    height, width = plane.shape
    blocks = plane.view(height // 8, 8, width // 8, 8).permute(0, 2, 1, 3).reshape(-1, 8, 8) - 128
    steps = torch.tensordot(blocks, _basis(), dims=2) * scale / table
    values = steps.round() * table
    restored: Tensor = torch.tensordot(values * scale, _basis().permute(2, 3, 0, 1), dims=2) + 128
    return restored.view(height // 8, width // 8, 8, 8).permute(0, 2, 1, 3).reshape(height, width)


@cache
def _basis() -> Tensor:
    basis = torch.zeros(8, 8, 8, 8)
    for x in range(8):
        for y in range(8):
            for u in range(8):
                for v in range(8):
                    basis[x, y, u, v] = math.cos((2 * x + 1) * u * math.pi / 16) * math.cos(
                        (2 * y + 1) * v * math.pi / 16
                    )
    return basis
