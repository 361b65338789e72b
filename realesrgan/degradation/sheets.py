"""Contact sheets: what each step of a degradation does to a picture, step by step."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

import cv2
import numpy as np
from torch import Tensor

from ..arrays import Array
from ..image.sheet import Cell, draw_sheet
from .pixels import to_pixels
from .steps import BellKernel, Blur, Jpeg, Kernel, Noise, PulseKernel, RealFile, RealVideo, Resize, Sharpen, Step

CELL_PX = 320  # the longer side: larger pictures show their middle, smaller ones are enlarged
LABEL_CHARACTERS = 30  # a line, as many as stand above a picture of this size
COLUMNS = 4


class StageSheet:
    """Collects a picture after each step, and draws the sheet."""

    def __init__(self, original: Tensor) -> None:
        self._sides = (original.shape[2], original.shape[3])
        self._cells: list[Cell] = []
        self._add("original", original)

    def add(self, step: Step, picture: Tensor) -> None:
        """Add the (1, 3, H, W) RGB picture as it is after `step`."""
        self._add(describe(step), picture)

    def _add(self, label: str, picture: Tensor) -> None:
        height, width = picture.shape[2:]
        self._cells.append(Cell(f"{wrapped(label)}\n{width}x{height}", self._middle(picture)))

    def _middle(self, picture: Tensor) -> Array:
        """The middle of the picture, the same part of it in every size, enlarged without smoothing."""
        parts = [min(side, CELL_PX) for side in self._sides]
        places = []
        for side, whole, part in zip(picture.shape[2:], self._sides, parts, strict=True):
            first = (whole - part) // 2 * side / whole
            places.append(slice(int(first), max(int(first) + 1, math.ceil(first + part * side / whole))))
        height, width = (part * enlargement(parts) for part in parts)
        pixels = to_pixels(picture[:, :, places[0], places[1]])
        return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_NEAREST)

    def draw(self, title: str) -> Array:
        """All stages in reading order, 8-bit BGR."""
        rows = [self._cells[first : first + COLUMNS] for first in range(0, len(self._cells), COLUMNS)]
        return draw_sheet(rows, title)


def enlargement(sides: Sequence[int]) -> int:
    """How many times to enlarge a picture so that it fills a cell."""
    return max(1, CELL_PX // max(sides))


def wrapped(label: str) -> str:
    return "\n".join(textwrap.wrap(label, LABEL_CHARACTERS))


def describe(step: Step) -> str:
    """A step in a few words of ASCII."""
    match step:
        case Sharpen():
            return "sharpened"
        case Blur():
            return "no blur" if isinstance(step.kernel, PulseKernel) else f"blur: {describe_kernel(step.kernel)}"
        case Resize(factor=1.0, of="final"):
            return f"final size, {step.mode}"
        case Resize():
            return f"resize x{step.factor:.2f}{' of the final size' * (step.of == 'final')}, {step.mode}"
        case Noise():
            strength = f"sigma {step.strength:.1f}" if step.kind == "gaussian" else f"scale {step.strength:.2f}"
            return f"{step.kind} noise, {strength}, {'gray' if step.gray else 'colour'}"
        case Jpeg():
            return f"JPEG, quality {step.quality:.0f}"
        case RealFile():
            return f"{step.format} file, quality {step.quality}"
        case RealVideo():
            return f"{step.codec} video, CRF {step.crf}"


def describe_kernel(kernel: Kernel) -> str:
    """A kernel in a few words of ASCII."""
    match kernel:
        case PulseKernel():
            return "pulse"
        case BellKernel():
            sigma = f"{kernel.sigma_x:.1f}"
            if kernel.kind.endswith("aniso"):
                sigma += f"/{kernel.sigma_y:.1f} at {math.degrees(kernel.rotation):.0f} deg"
            beta = "" if kernel.beta is None else f", beta {kernel.beta:.1f}"
            return f"{kernel.kind}, sigma {sigma}{beta}"
        case _:
            return f"sinc, cut-off {kernel.cutoff / math.pi:.2f} pi"


def kernel_picture(values: Array, side: int) -> Array:
    """A kernel as a gray picture, (side, side): zero is mid-gray if it has negative values, else black."""
    peak = np.abs(values).max()
    levels: Array = values / peak if values.min() >= 0 else 0.5 + values / peak / 2
    picture: Array = np.rint(levels * 255).astype(np.uint8)
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_NEAREST)
