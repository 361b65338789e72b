"""Compare the degradation model with a textbook version, on the same crops with the same parameters, in one run.

    python -m benchmarks.degradations                      random crops of 400 px, on the CPU
    python -m benchmarks.degradations -g 0 --count 200     on a GPU
    python -m benchmarks.degradations --pictures DIR       crops from the pictures of a folder

The two take turns, crop by crop, so that a busy machine slows both. Values are compared with the noise of one given to
the other; for the times, the textbook draws its own.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import degradation_textbook as textbook
from benchmarks.pictures import peak_memory_bytes
from realesrgan.degradation.chance import generator
from realesrgan.degradation.draw import draw
from realesrgan.degradation.noise import gaussian_field, shot_noise
from realesrgan.degradation.pixels import from_pixels
from realesrgan.degradation.process import apply
from realesrgan.degradation.recipe import PUBLISHED
from realesrgan.degradation.steps import Degradation
from realesrgan.engine.device import device_name, parse_devices, prepare_cpu
from realesrgan.image import files

CROP_PX = 400
CLOSE = 1e-4  # of [0, 1]; results are rounded to 1/255, so that a rounding error may still make a level


def main() -> None:
    options = _options()
    device = parse_devices(options.gpu_id)[0]
    prepare_cpu()
    crops = _crops(Path(options.pictures), options.count)
    times = {"textbook": 0.0, "this project": 0.0}
    close, largest = [], []
    for number, crop in enumerate(crops):
        degradation = draw(0, number, PUBLISHED)
        picture = crop.to(device)
        if number == 0:
            apply(picture, [degradation])  # the first run is slower
            _textbook(picture, degradation)
        times["this project"] += _seconds(lambda: apply(picture, [degradation]), device)  # noqa: B023
        times["textbook"] += _seconds(lambda: _textbook(picture, degradation), device)  # noqa: B023
        difference = (apply(picture, [degradation]).cpu() - _textbook(crop, degradation, same_noise=True)).abs()
        close.append(float((difference < CLOSE).float().mean()))
        largest.append(float(difference.max()))
    print(f"{platform.processor() or platform.machine()}, {device_name(device)}, torch {torch.__version__}")
    for name, seconds in times.items():
        print(f"{name}: {options.count / seconds:.1f} crops/s")
    print(f"ratio {times['textbook'] / times['this project']:.2f}, peak memory {peak_memory_bytes() / 1e6:.0f} MB")
    print(f"pixels equal to {CLOSE:g}: {np.mean(close):.4%} on average, {np.min(close):.2%} at least")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.degradations",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pictures", default="inputs", metavar="DIR", help="default: inputs")
    parser.add_argument("--count", type=int, default=60, metavar="N", help="crops (default: 60)")
    parser.add_argument("-g", "--gpu-id", default="cpu", metavar="DEVICE", help="default: cpu")
    return parser.parse_args()


def _crops(folder: Path, count: int) -> Iterator[Tensor]:
    """`count` crops, by turns from the pictures of a folder; small ones are mirrored at their borders."""
    found = [path for path in sorted(folder.iterdir()) if path.is_file() and files.read_header(path)]
    pictures = [files.read(path).pixels for path in found]
    chance = np.random.default_rng(0)
    for number in range(count):
        pixels = pictures[number % len(pictures)]
        missing = [(0, max(0, CROP_PX - side)) for side in pixels.shape[:2]]
        pixels = np.pad(pixels, [*missing, *[(0, 0)] * (pixels.ndim - 2)], mode="symmetric")
        top, left = (chance.integers(side - CROP_PX + 1) for side in pixels.shape[:2])
        yield from_pixels(pixels[top : top + CROP_PX, left : left + CROP_PX], torch.device("cpu"))


def _textbook(picture: Tensor, degradation: Degradation, *, same_noise: bool = False) -> Tensor:
    parameters = degradation.model_dump(exclude_none=True)
    if same_noise:
        return textbook.degrade(picture, parameters, given_gaussian, given_poisson)
    return textbook.degrade(picture, parameters)


def given_gaussian(step: dict[str, Any], height: int, width: int) -> Tensor:
    """The noise that the package draws for a step, (1, 3, H, W)."""
    field = gaussian_field(generator(tuple(step["field"])), height, width, gray=step["gray"])
    return field.expand(1, 3, -1, -1)


def given_poisson(step: dict[str, Any], levels: Tensor, photons: int) -> Tensor:
    """The counts that the package draws for a step, (1, C, H, W)."""
    as_bytes = (levels * 255).round().to(torch.uint8)
    noise = shot_noise(as_bytes[0].numpy(), generator(tuple(step["field"])))
    return (torch.from_numpy(noise)[None] + levels) * photons


def _seconds(work: Any, device: torch.device) -> float:
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
