"""The pictures a training is measured on and never learns from, with what they look like degraded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ..arrays import Array
from ..degradation.draw import draw
from ..degradation.filters import sharpen
from ..degradation.pixels import from_pixels, to_colour, to_pixels
from ..degradation.process import apply
from ..degradation.recipe import Recipe
from ..errors import ImageFileError, UsageError
from ..image import files
from ..metrics.fidelity import SSIM_WINDOW_PX
from ..restorer import Reporter

MOST_SAMPLES = 12
FEWEST_SAMPLES = 4  # one degradation may be mild or hopeless, and a mean over fewer tells little
LARGEST_SIDE_PX = 512  # of a target; its middle is taken, so that memory and time stay bounded
SMALLEST_LOW_PX = 16  # a side: what 21-pixel kernels and their mirrored borders need
_FOLD = 4  # networks fold up to 4 × 4 pixels into channels, so degraded sides are multiples of it
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Sample:
    """A degraded picture, (h, w, 3) BGR of uint8, and what it should become, (h·scale, w·scale, 3)."""

    name: str
    low: Array
    target: Array


@dataclass(frozen=True)
class Measure:
    """How a measure is taken: without `border` pixels on each side (None: `scale` of them), of `luma` or of RGB."""

    border: int | None = None
    luma: bool = False


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Samples with names of their own; all are enlarged `scale` times. `fingerprint` tells them apart."""

    samples: tuple[Sample, ...]
    scale: int
    psnr: Measure = Measure()
    ssim: Measure = Measure()

    def border(self, measure: Measure) -> int:
        """Pixels of a result that do not count on each side."""
        return self.scale if measure.border is None else measure.border

    def measured_by(self, psnr: Measure, ssim: Measure) -> HeldOut:
        """The same samples, measured in another way.

        Raises:
            UsageError: a border leaves too little of a sample.
        """
        measured = replace(self, psnr=psnr, ssim=ssim)
        border = max(map(measured.border, (psnr, ssim)))
        for sample in self.samples:
            if min(sample.target.shape[:2]) < 2 * border + SSIM_WINDOW_PX:
                raise UsageError(
                    f"crop_border {border} leaves too little of {sample.name}, {_size(sample.target)} pixels"
                )
        return measured

    @property
    def fingerprint(self) -> str:
        """A hash of all that results depend on besides the network."""
        digest = hashlib.blake2b(str(self.scale).encode(), digest_size=16)
        for sample in self.samples:
            for pixels in (sample.low, sample.target):
                digest.update(repr(pixels.shape).encode() + pixels.tobytes())
        return digest.hexdigest()


def read(paths: Iterable[Path], reporter: Reporter) -> Iterator[tuple[str, Array]]:
    """Yield the name and pixels of each picture file; what cannot be read is told and left out."""
    for path in paths:
        reporter.check()
        try:
            yield path.name, files.read(path).pixels
        except ImageFileError as error:
            reporter.failed(path, str(error))


def degraded(
    pictures: Iterable[tuple[str, Array]],
    recipe: Recipe,
    *,
    seed: int = 0,
    fewest: int = 1,
    side: int = LARGEST_SIDE_PX,
    most: int = MOST_SAMPLES,
    sharpened: bool = False,
    reporter: Reporter | None = None,
) -> HeldOut:
    """Degrade the middle of each picture, always in the same way for the same arguments.

    Args:
        pictures: names and pixels, as files have them; no more are taken than are needed.
        fewest: samples, at least: each picture is degraded in as many ways as that takes.
        side: pixels of a target, at most.
        most: samples, at most.
        sharpened: measure against sharpened pictures, for a training that learns towards them.

    Raises:
        UsageError: none of the pictures is large enough.
    """
    targets: list[tuple[str, Array]] = []
    for name, pixels in pictures:
        target = _middle(name, to_colour(pixels), recipe.scale, side, reporter)
        if target is not None:
            targets.append((name, target))
        if len(targets) >= most:
            break
    samples: list[Sample] = []
    variants = -(-fewest // max(1, len(targets)))
    for variant in range(1, variants + 1):
        for name, target in targets[: most - len(samples)]:
            picture = from_pixels(target, _CPU)
            low = _degrade(picture, recipe, seed, len(samples))
            goal = to_pixels(sharpen(picture) if sharpened else picture)
            samples.append(Sample(name if variants == 1 else f"{name}, {variant}", low, goal))
    return _held_out(samples, recipe.scale)


def _degrade(picture: Tensor, recipe: Recipe, seed: int, index: int) -> Array:
    # Training counts its pictures from 0 upwards: below 0 no sample shares the chance of a held-out one.
    return to_pixels(apply(picture, [draw(seed, -1 - index, recipe)]))


def paired(
    pairs: Iterable[tuple[str, Array, Array]],
    scale: int,
    *,
    side: int = LARGEST_SIDE_PX,
    most: int = MOST_SAMPLES,
    reporter: Reporter | None = None,
) -> HeldOut:
    """Take the middle of given pairs: name, degraded pixels and target pixels, as files have them.

    Raises:
        UsageError: none of the pairs can be used: they are too small, or not of sizes that belong together.
    """
    samples: list[Sample] = []
    for name, low, target in pairs:
        if tuple(scale * length for length in low.shape[:2]) != target.shape[:2]:
            _warn(reporter, f"{name}: {_size(target)} is not {scale} times {_size(low)}: it is not measured")
            continue
        cut = _middle(name, to_colour(low), 1, side // scale, reporter)
        if cut is None:
            continue
        top, left = _corner(low, cut)
        height, width = (scale * length for length in cut.shape[:2])
        whole = to_colour(target)[top * scale : top * scale + height, left * scale : left * scale + width]
        samples.append(Sample(name, _eight_bits(cut), _eight_bits(whole)))
        if len(samples) >= most:
            break
    return _held_out(samples, scale)


def _middle(name: str, pixels: Array, scale: int, side: int, reporter: Reporter | None) -> Array | None:
    """Cut (H, W, 3) to at most `side` pixels, or warn and return None if it is too small."""
    multiple = scale * _FOLD
    height, width = (min(length, side) // multiple * multiple for length in pixels.shape[:2])
    least = least_side(scale)
    if min(height, width) < least:
        _warn(reporter, f"{name}: {_size(pixels)} is less than {least} pixels a side: it is not measured")
        return None
    top, left = _corner(pixels, pixels[:height, :width])
    return pixels[top : top + height, left : left + width]


def least_side(scale: int) -> int:
    """The pixels a side that a picture must have to be measured on."""
    return scale * SMALLEST_LOW_PX


def _corner(whole: Array, part: Array) -> tuple[int, int]:
    """The top and left of a part in the middle."""
    return (whole.shape[0] - part.shape[0]) // 2, (whole.shape[1] - part.shape[1]) // 2


def _eight_bits(pixels: Array) -> Array:
    return to_pixels(from_pixels(pixels, _CPU))


def _held_out(samples: Sequence[Sample], scale: int) -> HeldOut:
    if not samples:
        least = least_side(scale)
        raise UsageError(f"no picture can be measured on: one must be readable and have {least} pixels a side or more")
    seen: dict[str, int] = {}
    unique: list[Sample] = []
    for sample in samples:
        seen[sample.name] = seen.get(sample.name, 0) + 1
        number = seen[sample.name]
        name = sample.name if number == 1 else f"{sample.name} #{number}"  # files of one name in several folders
        unique.append(Sample(name, sample.low, sample.target))
    return HeldOut(tuple(unique), scale)


def _size(pixels: Array) -> str:
    return f"{pixels.shape[1]}×{pixels.shape[0]}"


def _warn(reporter: Reporter | None, message: str) -> None:
    if reporter is not None:
        reporter.warn(message)
