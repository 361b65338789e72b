"""Measure a network on held-out pictures. Knows nothing of how it is trained."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from ..arrays import LUMA, Array
from ..degradation.pixels import from_pixels, to_pixels
from ..degradation.resize import resize
from ..errors import RealESRGANError
from ..image import files
from ..image.files import Picture
from ..metrics.fidelity import crop, psnr, ssim
from ..outputs import appearing
from .held_out import HeldOut, Sample
from .lines import Validated, Values, mean_of

HIGHEST_PSNR = 99.0  # dB, for a result that equals its target: far above what 8 bits can tell apart otherwise
_ENDING = re.compile(r"\.\w+((, \d+)?( #\d+)?)$")  # of a sample's name, with what may follow: "cat.png, 2"
_EVEN = 0.01  # squared levels, added to both sides of a ratio: two pictures of one colour are equally sharp


@dataclass(frozen=True, eq=False)
class Measurement:
    """What a network makes of the held-out pictures, in their order: (H, W, 3) BGR of uint8, and how near each is."""

    iteration: int
    names: tuple[str, ...]
    results: tuple[Array, ...]
    values: tuple[Values, ...]

    @property
    def line(self) -> Validated:
        """For the journal."""
        each = dict(zip(self.names, self.values, strict=True))
        return Validated(iteration=self.iteration, validation=mean_of(self.values), each=each)


def measure(
    network: nn.Module,
    held_out: HeldOut,
    device: torch.device,
    *,
    iteration: int = 0,
    check: Callable[[], None] = lambda: None,
) -> Measurement:
    """Restore each picture with a network, (1, 3, h, w) RGB in [0, 1] → (1, 3, h·scale, w·scale), and measure it.

    The network is left as it was; no random state is touched. `check` is called before each picture and may raise.
    """

    def restore(sample: Sample) -> Array:
        check()
        result = network(from_pixels(sample.low, device)).float()
        return to_pixels(torch.nan_to_num(result, nan=0.0))  # a network that diverged is to be seen, not to fail here

    with torch.inference_mode(), _evaluating(network):
        return judge([restore(sample) for sample in held_out.samples], held_out, iteration)


def bicubic(held_out: HeldOut) -> Measurement:
    """What simple interpolation makes of the pictures: what a network has to beat."""

    def enlarge(low: Tensor) -> Tensor:
        height, width = low.shape[2] * held_out.scale, low.shape[3] * held_out.scale
        return resize(low, height, width, "bicubic", held_out.scale)

    cpu = torch.device("cpu")
    return judge([to_pixels(enlarge(from_pixels(sample.low, cpu))) for sample in held_out.samples], held_out)


def judge(results: Sequence[Array], held_out: HeldOut, iteration: int = 0) -> Measurement:
    """Compare results, (H, W, 3) BGR of uint8, with their targets.

    Raises:
        ValueError: a result has another size than its target.
    """
    values = [
        _compare(result, sample.target, held_out) for result, sample in zip(results, held_out.samples, strict=True)
    ]
    return Measurement(iteration, tuple(sample.name for sample in held_out.samples), tuple(results), tuple(values))


def _compare(result: Array, target: Array, held_out: HeldOut) -> Values:
    decibels, similar = (
        function(result, target, border=held_out.border(measure), luma=measure.luma)
        for function, measure in ((psnr, held_out.psnr), (ssim, held_out.ssim))
    )
    ours, theirs = (crop(pixels, held_out.scale).astype(np.float32) for pixels in (result, target))
    blue, green, red = (ours - theirs).mean(axis=(0, 1), dtype=np.float64)
    return Values(
        psnr=min(decibels, HIGHEST_PSNR),
        ssim=similar,
        sharpness=_ratio(_roughness(ours), _roughness(theirs)),
        contrast=_ratio(float(ours.var()), float(theirs.var())) ** 0.5,
        colour=(red, green, blue),
    )


def _roughness(pixels: Array) -> float:
    luma = pixels @ np.array(LUMA[::-1], np.float32)
    return float(cv2.Laplacian(luma, cv2.CV_32F).var())


def _ratio(ours: float, theirs: float) -> float:
    return (ours + _EVEN) / (theirs + _EVEN)


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def write_pictures(folder: Path, measurement: Measurement) -> None:
    """Write the results where published trainers do: `folder`/NAME/NAME_ITERATION.png.

    Raises:
        RealESRGANError: the disk refuses.
    """
    stems = [_ENDING.sub(r"\1", name) for name in measurement.names]
    names = stems if len(set(stems)) == len(stems) else measurement.names  # cat.png and cat.jpg
    for name, result in zip(names, measurement.results, strict=True):
        path = folder / name / f"{name}_{measurement.iteration}.png"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RealESRGANError(f"{path}: cannot be written ({error.strerror})") from error
        files.write(path, Picture(result))


def keep(path: Path, start: Measurement, held_out: HeldOut) -> None:
    """Keep results, those before training, in a file; a run that is resumed can no longer make them.

    Raises:
        RealESRGANError: the file cannot be written.
    """
    with appearing(path, RealESRGANError, durable=True) as part:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            np.savez_compressed(file, np.array(held_out.fingerprint), *start.results)  # as arr_0, arr_1, …


def kept(path: Path, held_out: HeldOut) -> Measurement | None:
    """What `keep` kept, or None where there is nothing, it is damaged, or it belongs to other pictures."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if str(arrays["arr_0"]) != held_out.fingerprint:
                return None
            return judge([arrays[f"arr_{number}"] for number in range(1, len(held_out.samples) + 1)], held_out)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
