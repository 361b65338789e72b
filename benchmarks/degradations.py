"""Compare the degradation model with a textbook version, on the same crops with the same parameters, in one run.

    python -m benchmarks.degradations                      random crops of 400 px, on the CPU
    python -m benchmarks.degradations -g 0 --count 200     on a GPU
    python -m benchmarks.degradations --pictures DIR       crops from the pictures of a folder

The two take turns, some crops at a time and each in a process of its own, so that a busy machine slows both and the
threads of neither disturb the other. On a CPU, the textbook computes one crop with all cores, this project a crop on
each, as `realesrgan degrade` does. For the times, the textbook draws its own noise; to compare values, it is given the
same.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from os import cpu_count
from pathlib import Path
from typing import Any

import cv2
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
from realesrgan.engine.device import device_name, parse_devices
from realesrgan.image import files

CROP_PX = 400
PATHS = ("textbook", "this project")
AT_A_TIME = 8  # crops
CLOSE = 1e-4  # of [0, 1]; results are rounded to 1/255, so that a rounding error may still make a level


def main() -> None:
    options = _options()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as mine, ProcessPoolExecutor(1, context) as theirs:
        measured: dict[str, list[float]] = {name: [] for name in PATHS}
        close: list[float] = []
        for first in range(-AT_A_TIME, options.count, AT_A_TIME):
            for path, process in zip(PATHS, (theirs, mine), strict=True):
                seconds = process.submit(_timed, path, options.gpu_id, options.pictures, first).result()
                if first >= 0:  # the first crops are slower
                    measured[path].append(seconds)
            close += theirs.submit(_shares_close, options.pictures, first).result()
        device, peak_bytes = mine.submit(_facts, options.gpu_id).result()
    print(f"{platform.processor() or platform.machine()}, {device}, torch {torch.__version__}")
    for path in PATHS:
        print(f"{path}: {len(measured[path]) * AT_A_TIME / sum(measured[path]):.1f} crops/s")
    ratios = [there / here for there, here in zip(*(measured[path] for path in PATHS), strict=True)]
    print(
        f"ratio {np.median(ratios):.1f}, {min(ratios):.1f} to {max(ratios):.1f}; peak memory {peak_bytes / 1e6:.0f} MB"
    )
    print(f"pixels equal to {CLOSE:g}: {np.mean(close):.4%} on average, {np.min(close):.2%} at least")


def _timed(path: str, gpu_id: str, folder: str, first: int) -> float:
    """Seconds for `AT_A_TIME` crops from number `first` on."""
    device = parse_devices(gpu_id)[0]
    workers = 1
    if path == PATHS[1] and device.type == "cpu":
        workers = cpu_count() or 1
        cv2.setNumThreads(1)
        torch.set_num_threads(1)
    crops = [(number, crop.to(device)) for number, crop in _crops(Path(folder), first)]

    def degrade(number: int, picture: Tensor) -> None:
        degradation = draw(0, number, PUBLISHED)
        if path == PATHS[0]:
            textbook.degrade(picture, degradation.model_dump(exclude_none=True))
        else:
            apply(picture, [degradation])

    began = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(degrade, *zip(*crops, strict=True)))
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def _shares_close(folder: str, first: int) -> list[float]:
    """For each of the same crops, the share of pixels that are equal to `CLOSE`."""
    shares = []
    for number, crop in _crops(Path(folder), first):
        degradation = draw(0, number, PUBLISHED)
        parameters = degradation.model_dump(exclude_none=True)
        expected = textbook.degrade(crop, parameters, given_gaussian, given_poisson)
        shares.append(float(((apply(crop, [degradation]) - expected).abs() < CLOSE).float().mean()))
    return shares


def _facts(gpu_id: str) -> tuple[str, int]:
    return device_name(parse_devices(gpu_id)[0]), peak_memory_bytes()


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


def _crops(folder: Path, first: int) -> Iterator[tuple[int, Tensor]]:
    """`AT_A_TIME` numbers and crops, by turns from the pictures of a folder; small ones are continued mirrored."""
    found = [path for path in sorted(folder.iterdir()) if path.is_file() and files.read_header(path)]
    for number in range(max(first, 0), max(first, 0) + AT_A_TIME):
        pixels = files.read(found[number % len(found)]).pixels
        missing = [(0, max(0, CROP_PX - side)) for side in pixels.shape[:2]]
        pixels = np.pad(pixels, [*missing, *[(0, 0)] * (pixels.ndim - 2)], mode="symmetric")
        chance = np.random.default_rng(number)
        top, left = (chance.integers(side - CROP_PX + 1) for side in pixels.shape[:2])
        crop = pixels[top : top + CROP_PX, left : left + CROP_PX]
        yield number, from_pixels(crop, torch.device("cpu"))


def given_gaussian(step: dict[str, Any], height: int, width: int) -> Tensor:
    """The noise that the package draws for a step, (1, 3, H, W)."""
    field = gaussian_field(generator(tuple(step["field"])), height, width, gray=step["gray"])
    return field.expand(1, 3, -1, -1)


def given_poisson(step: dict[str, Any], levels: Tensor, photons: int) -> Tensor:
    """The counts that the package draws for a step, (1, C, H, W)."""
    as_bytes = (levels * 255).round().to(torch.uint8)
    noise = shot_noise(as_bytes[0].numpy(), generator(tuple(step["field"])))
    return (torch.from_numpy(noise)[None] + levels) * photons


if __name__ == "__main__":
    main()
