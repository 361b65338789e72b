"""Pictures of everything the degradation model knows: each kind of kernel, resize, noise and JPEG, side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import torch
from torch import Tensor

from ..arrays import Array
from ..errors import UsageError
from ..image import files, jobs
from ..image.files import Picture
from ..image.formats import DEFAULT_QUALITY
from ..image.jobs import Naming
from ..image.sheet import Cell, draw_sheet
from ..outputs import make_folder, refuse_overwrites
from .draw import RESIZE_MODES
from .pixels import from_pixels, to_pixels
from .process import kernel_of, run
from .sheets import describe, describe_kernel, enlargement, kernel_picture, wrapped
from .steps import BellKernel, Blur, Degradation, Jpeg, Kernel, KernelKind, Noise, Resize, Sharpen, SincKernel, Step

SAMPLE_PX = 320  # a side, of the part of the picture that is shown
_KERNEL_PX = 21 * 10


def draw_gallery(
    inputs: Sequence[str], folder: Path, extension: str = "png", quality: int = DEFAULT_QUALITY, seed: int = 0
) -> list[Path]:
    """Draw the gallery with the middle of the first picture of `inputs`, and return the files written into `folder`.

    Raises:
        UsageError: there is no picture, or the folder cannot be written.
        ImageFileError: the picture cannot be read.
    """
    targets = gallery_files(folder, extension)
    found = jobs.select(inputs, Naming(folder)).jobs
    if not found:
        raise UsageError("`input`: no picture to draw the gallery with")
    make_folder(folder, "gallery")
    refuse_overwrites([(found[0].source, targets)])
    sample = _middle(from_pixels(files.read(found[0].source).pixels, torch.device("cpu")))
    for target, gallery in zip(targets, _GALLERIES.values(), strict=True):
        files.write(target, Picture(gallery(sample, seed)), quality)
    return targets


def gallery_files(folder: Path, extension: str) -> list[Path]:
    """The files of the gallery in `folder`."""
    return [folder / f"{name}.{extension}" for name in _GALLERIES]


def _middle(picture: Tensor) -> Tensor:
    height, width = picture.shape[2:]
    top, left = max(0, height - SAMPLE_PX) // 2, max(0, width - SAMPLE_PX) // 2
    return picture[:, :, top : top + SAMPLE_PX, left : left + SAMPLE_PX].contiguous()


def _after(sample: Tensor, *steps: Step) -> Array:
    """The sample after some steps, enlarged if it is small."""
    pixels = to_pixels(run(sample, [Degradation(seed=0, number=0, scale=1, steps=steps)]))
    factor = enlargement(sample.shape[2:])
    return cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)


def _kernels(sample: Tensor, seed: int) -> Array:
    """Each kind of kernel, and what it does."""
    bell: Callable[..., Kernel] = lambda kind, **shape: BellKernel(kind=kind, size=21, **shape)  # noqa: E731
    round_shape, long_shape = (
        {"sigma_x": 2.0, "sigma_y": 2.0},
        {"sigma_x": 3.0, "sigma_y": 1.0, "rotation": math.pi / 6},
    )
    kinds: tuple[tuple[KernelKind, float | None], ...] = (("iso", None), ("generalized_iso", 0.6), ("plateau_iso", 1.8))
    rows = []
    for shape, ending in ((round_shape, "iso"), (long_shape, "aniso")):
        kernels = [bell(kind.replace("iso", ending), beta=beta, **shape) for kind, beta in kinds]
        rows.append([cell for kernel in kernels for cell in _kernel_cells(kernel, sample)])
    sincs: list[Kernel] = [SincKernel(size=21, cutoff=share * math.pi) for share in (0.34, 0.5, 0.8)]
    rows.append([cell for kernel in sincs for cell in _kernel_cells(kernel, sample)])
    return draw_sheet(rows)


def _kernel_cells(kernel: Kernel, sample: Tensor) -> Iterator[Cell]:
    yield Cell(describe_kernel(kernel).replace(", ", "\n", 1), kernel_picture(kernel_of(kernel), _KERNEL_PX))
    yield Cell("", _after(sample, Blur(kernel=kernel)))


def _labelled(sample: Tensor, rows: Sequence[Sequence[Step]]) -> Array:
    return draw_sheet([[Cell(wrapped(describe(step)), _after(sample, step)) for step in row] for row in rows])


def _noise(sample: Tensor, seed: int) -> Array:
    """Gaussian and Poisson noise of rising strength, in colour and gray."""
    strengths = {"gaussian": (1.0, 10.0, 20.0, 30.0), "poisson": (0.05, 1.0, 2.0, 3.0)}
    rows: list[list[Step]] = [
        [Noise(kind=kind, strength=strength, gray=gray, field=(seed, 0, kind)) for strength in strengths[kind]]  # type: ignore[arg-type]
        for kind in strengths
        for gray in (False, True)
    ]
    return _labelled(sample, rows)


def _jpeg(sample: Tensor, seed: int) -> Array:
    """JPEG of falling quality, with the published and the standard tables."""
    tables = ("published", "standard")
    rows = [
        [Cell(f"{describe(step)}\n{name}", _after(sample, step)) for step in steps]
        for name in tables
        for steps in [[Jpeg(quality=quality, tables=name) for quality in (95, 60, 30, 10)]]  # type: ignore[arg-type]
    ]
    return draw_sheet(rows)


def _resize(sample: Tensor, seed: int) -> Array:
    """The three ways of resizing: down to a quarter and up again."""
    down, up = 0.25, 4.0
    rows = []
    for first in RESIZE_MODES:
        steps = [
            (Resize(mode=first, factor=down, of="current"), Resize(mode=second, factor=up, of="current"))
            for second in RESIZE_MODES
        ]
        rows.append([Cell(f"down {pair[0].mode}\nup {pair[1].mode}", _after(sample, *pair)) for pair in steps])
    return draw_sheet(rows)


def _sharpening(sample: Tensor, seed: int) -> Array:
    """The original and what training learns towards."""
    return draw_sheet([[Cell("original", _after(sample)), Cell("sharpened", _after(sample, Sharpen()))]])


_GALLERIES: dict[str, Callable[[Tensor, int], Array]] = {
    "kernels": _kernels,
    "resize": _resize,
    "noise": _noise,
    "jpeg": _jpeg,
    "sharpening": _sharpening,
}
