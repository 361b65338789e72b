"""Blurring and sharpening of pictures, each with a kernel of its own. Knows nothing of how kernels are made or drawn.

Borders are mirrored without repeating the edge, as often as it takes where a picture is smaller than the kernel.

On a CPU, pictures are filtered one by one, so that the result of one does not depend on what else is in the batch:
in two passes if the kernel is a product of a row and a column, by the Fourier transform if not. With 400×400 pixels,
one thread and 21 taps that takes 3 and 8 ms; a convolution takes 35.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..arrays import Array

# Weights that no fp32 result can show, not even all 441 of a kernel together; as fp32 they could be denormal and slow.
NEGLIGIBLE_WEIGHT = 1e-10
# How far, in all weights together, a kernel may be from a product: a tenth of the error that is allowed.
NEGLIGIBLE_DIFFERENCE = 1e-7
FFT_FACTORS = (2, 3, 5, 7)  # a side with larger prime factors takes up to three times as long
FFT_MULTIPLE = 4


def filter_each(pictures: Tensor, kernels: Tensor) -> Tensor:
    """Correlate (B, C, H, W) fp32 or fp64 with (B, k, k), k odd: each picture, in all channels, with its own kernel.

    The result has the pictures' shape and type and is not clamped. For fp32 pictures in [0, 1] and kernels that sum to
    1, it is within 1e-6 of the exact one.
    """
    if pictures.device.type != "cpu":
        return _by_transform(pictures, kernels)
    trimmed = [_trimmed(kernel) for kernel in kernels.double().numpy()]
    return torch.stack([_filtered(picture, kernel) for picture, kernel in zip(pictures, trimmed, strict=True)])


def sharpen(
    pictures: Tensor, *, radius: int = 50, sigma: float = 8.0, weight: float = 0.5, threshold: float = 10.0
) -> Tensor:
    """Sharpen (B, C, H, W) in [0, 1] by unsharp masking; flat areas stay as they are.

    The defaults are the published ones for training targets. Results stay in [0, 1].

    Args:
        radius: of the blur, as published: its number of taps, made odd.
        sigma: of the blur, in pixels.
        weight: how much of what the blur takes away is added.
        threshold: 8-bit levels that a pixel must differ from the blur to be sharpened.
    """
    taps = cv2.getGaussianKernel(radius | 1, sigma)[:, 0]
    detail = pictures - _blurred(pictures, taps)
    mask = (detail.abs() * 255 > threshold).to(pictures.dtype)
    sharp = detail.mul_(weight).add_(pictures).clamp_(0, 1)
    return torch.lerp(pictures, sharp, _blurred(mask, taps))


def _blurred(pictures: Tensor, taps: Array) -> Tensor:
    """(B, C, H, W), each row and then each column correlated with `taps`."""
    if pictures.device.type != "cpu":
        kernel = torch.from_numpy(np.outer(taps, taps))
        return _by_transform(pictures, kernel.expand(len(pictures), -1, -1))
    return _in_two_passes(pictures.flatten(0, 1), taps, taps).view(pictures.shape)


def _filtered(picture: Tensor, kernel: Array) -> Tensor:
    """(C, H, W) on the CPU, correlated with (k, k)."""
    down, right, total = kernel.sum(1), kernel.sum(0), kernel.sum()
    if total != 0 and np.abs(kernel - np.outer(down, right / total)).sum() < NEGLIGIBLE_DIFFERENCE:
        return _in_two_passes(picture, down, right / total)
    return _by_transform(picture[None], torch.from_numpy(kernel)[None])[0]


def _trimmed(kernel: Array) -> Array:
    """The middle of (k, k), without the rings around it that have no weight."""
    middle = len(kernel) // 2
    radius = np.abs(np.argwhere(np.abs(kernel) > NEGLIGIBLE_WEIGHT) - middle).max(initial=0)
    inner = slice(middle - radius, middle + radius + 1)
    return kernel[inner, inner]


def _in_two_passes(planes: Tensor, down: Array, right: Array) -> Tensor:
    """(N, H, W) on the CPU, correlated with a column and a row."""
    result = torch.empty_like(planes, memory_format=torch.contiguous_format)
    source, target = planes.contiguous().numpy(), result.numpy()
    down, right = down.astype(source.dtype), right.astype(source.dtype)
    for plane, filtered in zip(source, target, strict=True):
        cv2.sepFilter2D(plane, -1, right, down, dst=filtered, borderType=cv2.BORDER_REFLECT_101)
    return result


def _by_transform(pictures: Tensor, kernels: Tensor) -> Tensor:
    """(B, C, H, W) correlated with (B, k, k), by multiplying their Fourier transforms."""
    height, width = pictures.shape[-2:]
    mirrored = _mirrored(pictures, kernels.shape[-1] // 2)
    # No room for what wraps around at the border: it only reaches pixels that are cut off.
    sides = [_fft_side(side) for side in mirrored.shape[-2:]]
    if pictures.device.type == "cpu":
        filtered = _multiplied_by_opencv(mirrored, kernels, sides)
    else:
        spectrum = torch.fft.rfft2(mirrored, s=sides)
        spectrum *= torch.fft.rfft2(kernels.to(mirrored), s=sides).conj_physical()[:, None]
        filtered = torch.fft.irfft2(spectrum, s=sides)
    return filtered[..., :height, :width].contiguous()


def _multiplied_by_opencv(pictures: Tensor, kernels: Tensor, sides: list[int]) -> Tensor:
    """(B, C, H, W) correlated with (B, k, k), with room for `sides`; the last k - 1 rows and columns are not valid.

    Not by torch, because the bytes of its transforms depend on the number of threads.
    """
    source = F.pad(pictures, (0, sides[1] - pictures.shape[3], 0, sides[0] - pictures.shape[2])).contiguous().numpy()
    weights = np.zeros((len(kernels), *sides), source.dtype)
    weights[:, : kernels.shape[1], : kernels.shape[2]] = kernels.numpy()
    filtered = np.empty_like(source)
    for planes, kernel, results in zip(source, weights, filtered, strict=True):
        transformed = cv2.dft(kernel, nonzeroRows=kernels.shape[1])
        for plane, result in zip(planes, results, strict=True):
            product = cv2.mulSpectrums(cv2.dft(plane), transformed, 0, conjB=True)
            cv2.dft(product, result, flags=cv2.DFT_INVERSE | cv2.DFT_SCALE)
    return torch.from_numpy(filtered)


def _mirrored(pictures: Tensor, margin: int) -> Tensor:
    """(B, C, H, W) with `margin` more pixels on every side."""
    height, width = pictures.shape[-2:]
    if margin < min(height, width):
        return F.pad(pictures, (margin,) * 4, mode="reflect")
    rows, columns = (
        torch.from_numpy(np.pad(np.arange(side), margin, mode="reflect")).to(pictures.device)
        for side in (height, width)
    )
    return pictures.index_select(-2, rows).index_select(-1, columns)


def _fft_side(side: int) -> int:
    """The next side that a Fourier transform is quick for."""
    side += -side % FFT_MULTIPLE
    while not _has_small_factors(side):
        side += FFT_MULTIPLE
    return side


def _has_small_factors(number: int) -> bool:
    for factor in FFT_FACTORS:
        while number % factor == 0:
            number //= factor
    return number == 1
