"""TensorBoard's files, where its package is installed. Nothing else needs it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..restorer import Reporter
from .lines import Line, Logged

INSTALL = 'pip install "realesrgan[train]"'


def open_board(folder: Path, *, iteration: int, reporter: Reporter) -> Any:
    """A writer of TensorBoard's files in `folder` that hides what was written after `iteration`, or None.

    Tells `reporter` in one line where the package is missing or the folder cannot be written.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        reporter.warn(f"no files for TensorBoard are written: it is not installed ({INSTALL})")
        return None
    try:
        return SummaryWriter(str(folder), purge_step=iteration + 1)
    except OSError as error:
        reporter.warn(f"no files for TensorBoard are written: {folder}: cannot be written ({error.strerror})")
        return None


def add(writer: Any, line: Line) -> None:
    """Write the numbers of a line."""
    for name, value in _scalars(line):
        if math.isfinite(value):
            writer.add_scalar(name, value, line.iteration)


def _scalars(line: Line) -> Iterator[tuple[str, float]]:
    if isinstance(line, Logged):
        # What is a loss stands under losses/, as in the published training; out_d_real and out_d_fake are none.
        yield from ((f"losses/{name}" if name.startswith("l_") else name, line.losses[name]) for name in line.losses)
        yield "lr", line.lr
        yield "pictures_per_second", line.pictures_per_second
        yield "waiting_share", line.waiting_share
        return
    values = line.validation
    yield "metrics/psnr", values.psnr
    yield "metrics/ssim", values.ssim
    yield "metrics/sharpness", values.sharpness
    yield from zip(("metrics/red", "metrics/green", "metrics/blue"), values.colour, strict=True)
