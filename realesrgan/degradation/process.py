"""Carry out what was drawn: the steps of a degradation, one after the other, on one picture or a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..arrays import Array
from . import kernels
from .chance import generator
from .filters import filter_each, sharpen
from .jpeg import compress
from .noise import add_gaussian, add_poisson, gaussian_field
from .real import through_file, through_video
from .resize import resize
from .steps import (
    BellKernel,
    Blur,
    Degradation,
    Jpeg,
    Kernel,
    Noise,
    PulseKernel,
    RealFile,
    RealVideo,
    Resize,
    Sharpen,
    SincKernel,
    Step,
)


def apply(pictures: Tensor, degradations: Sequence[Degradation]) -> Tensor:
    """Degrade pictures, each as its degradation says.

    (B, 3, H, W) fp32 or fp64 RGB in [0, 1] of any size → (B, 3, H // scale, W // scale), rounded to levels of 255, of
    which no gradients are known. Where the degradations differ in nothing that concerns shapes, the pictures are
    computed as one batch, else one by one.

    Raises:
        ValueError: the pictures have another shape or type, or are not as many as the degradations, or none.
    """
    _check(pictures, degradations)
    if len({_shape_of(degradation) for degradation in degradations}) == 1:
        return round_to_levels(run(pictures, degradations))
    alone = (apply(picture[None], [one]) for picture, one in zip(pictures, degradations, strict=True))
    return torch.cat(list(alone))


def _check(pictures: Tensor, degradations: Sequence[Degradation]) -> None:
    shape = tuple(pictures.shape)
    if len(shape) != 4 or shape[1] != 3 or 0 in shape:
        raise ValueError(f"pictures have the shape (B, 3, H, W), at least 1 each, not {shape}")
    if pictures.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"pictures are fp32 or fp64, not {pictures.dtype}")
    if len(degradations) != shape[0]:
        raise ValueError(f"each picture has a degradation: {shape[0]} and {len(degradations)} do not agree")


def round_to_levels(pictures: Tensor) -> Tensor:
    """Clamp to [0, 1] and round to levels of 255."""
    return (pictures * 255).round().clamp(0, 255) / 255


def _shape_of(degradation: Degradation) -> tuple[Any, ...]:
    """What pictures of one batch have to have in common."""
    return (degradation.scale, *map(_shape_of_step, degradation.steps))


def _shape_of_step(step: Step) -> tuple[Any, ...]:
    match step:
        case Resize():
            return (step.step, step.mode, step.factor, step.of)
        case Noise():
            return (step.step, step.kind)
        case Jpeg():
            return (step.step, step.tables)
        case _:
            return (step.step,)


def run(pictures: Tensor, degradations: Sequence[Degradation]) -> Tensor:
    """The last of `stages`."""
    for _, after in stages(pictures, degradations):
        pictures = after
    return pictures


def stages(pictures: Tensor, degradations: Sequence[Degradation]) -> Iterator[tuple[Step, Tensor]]:
    """Yield each step, as the first picture has it, with the pictures after it, not rounded.

    (B, 3, H, W) fp32 or fp64 RGB in [0, 1]. The degradations must be of one shape, as those of `draw_batch` with a pool
    are. No gradients are known of the results.

    Raises:
        ValueError: as `apply`.
    """
    _check(pictures, degradations)
    pictures = pictures.detach()
    original, scale = (pictures.shape[2], pictures.shape[3]), degradations[0].scale
    for steps in zip(*(degradation.steps for degradation in degradations), strict=True):
        pictures = _take(steps, pictures, original, scale)
        yield steps[0], pictures


def _take(steps: Sequence[Step], pictures: Tensor, original: tuple[int, int], scale: int) -> Tensor:
    """Take one step with each picture of a batch; all are of one kind."""
    match steps[0]:
        case Sharpen():
            return sharpen(pictures)
        case Blur():
            return _blur(pictures, [step.kernel for step in steps if isinstance(step, Blur)])
        case Resize() as step:
            return _resize(pictures, step, original, scale)
        case Noise():
            return _add_noise(pictures, [step for step in steps if isinstance(step, Noise)])
        case Jpeg(tables=tables):
            quality = [step.quality for step in steps if isinstance(step, Jpeg)]
            return compress(pictures, torch.tensor(quality, device=pictures.device), tables=tables)
        case RealFile() | RealVideo():
            return torch.cat([_through(step, picture[None]) for step, picture in zip(steps, pictures, strict=True)])


def _through(step: Step, picture: Tensor) -> Tensor:
    if isinstance(step, RealVideo):
        return through_video(picture, step.codec, step.crf)
    assert isinstance(step, RealFile)
    return through_file(picture, step.format, step.quality)


def kernel_of(kernel: Kernel) -> Array:
    """The values of a kernel, (21, 21) or larger, float64; they sum to 1."""
    match kernel:
        case SincKernel():
            values = kernels.sinc(kernel.size, kernel.cutoff)
        case PulseKernel():
            values = kernels.pulse(kernels.LARGEST_SIZE)
        case BellKernel():
            shape = (kernel.size, kernel.sigma_x, kernel.sigma_y, kernel.rotation)
            if kernel.kind.startswith("generalized"):
                values = kernels.generalized(*shape, kernel.beta or 1.0)
            elif kernel.kind.startswith("plateau"):
                values = kernels.plateau(*shape, kernel.beta or 1.0)
            else:
                values = kernels.gaussian(*shape)
    return kernels.pad(values, max(kernels.LARGEST_SIZE, len(values)))


def _blur(pictures: Tensor, wanted: Sequence[Kernel]) -> Tensor:
    values = [kernel_of(kernel) for kernel in wanted]
    largest = max(map(len, values))
    same_size = np.stack([kernels.pad(one, largest) for one in values])
    return filter_each(pictures, torch.from_numpy(same_size).to(pictures))


def _resize(pictures: Tensor, step: Resize, original: tuple[int, int], scale: int) -> Tensor:
    height, width = step.size_after((pictures.shape[2], pictures.shape[3]), original, scale)
    return resize(pictures, height, width, step.mode, step.factor if step.of == "current" else None)


def _add_noise(pictures: Tensor, steps: Sequence[Noise]) -> Tensor:
    strengths = torch.tensor([step.strength for step in steps], dtype=pictures.dtype, device=pictures.device)
    chances = [generator(step.field) for step in steps]
    height, width = pictures.shape[2:]
    if steps[0].kind == "gaussian":
        fields = [
            gaussian_field(chance, height, width, gray=step.gray).expand(3, -1, -1)
            for chance, step in zip(chances, steps, strict=True)
        ]
        return add_gaussian(pictures, strengths, torch.stack(fields).to(pictures))
    return add_poisson(pictures, strengths, torch.tensor([step.gray for step in steps]), chances)
