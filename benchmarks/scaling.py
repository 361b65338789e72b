"""How time and memory grow with the picture: the textbook path whole and in tiles, and this project, side by side.

    python -m benchmarks.scaling                             x4plus and animevideov3, from 64² up to 60 s a run
    python -m benchmarks.scaling --limit 200 --write docs    the tables and plots of docs/
    python -m benchmarks.scaling --sizes 640x480 1280x960    these sizes instead of squares
    python -m benchmarks.scaling -g 0                        on a GPU: the textbook path in fp16 there

Each run has its own process, so that its peak memory can be measured. A path goes on to the next size if that is
expected to take at most --limit seconds and to fit into memory. Plots need matplotlib.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import torch

from benchmarks import textbook
from benchmarks.pictures import machine_line, peak_memory_bytes, peak_tflops
from realesrgan import load_upsampler
from realesrgan.arrays import Array
from realesrgan.engine.device import default_device, parse_devices, prepare_cpu
from realesrgan.model_zoo import find_model
from realesrgan.weights.load import load_network
from realesrgan.weights.store import obtain

MODELS = ("RealESRGAN_x4plus", "realesr-animevideov3")
PATHS = ("textbook", "textbook, tile 256", "this project", "this project, fp32")
SMALLEST, LARGEST = 64, 4096
TILE = 256


class Size(NamedTuple):
    """Of a picture, in pixels."""

    width: int
    height: int

    @property
    def area(self) -> int:
        return self.width * self.height

    def __str__(self) -> str:
        return f"{self.width}×{self.height}"


@dataclass(frozen=True)
class Run:
    """One picture through one path: seconds, peak memory of the process or the GPU, and the result's difference from
    the textbook's in decibels and 8-bit levels, if that was computed."""

    path: str
    size: Size
    seconds: float
    peak_bytes: int
    psnr_db: float | None
    largest_difference: int | None

    @property
    def kilopixels_per_second(self) -> float:
        return self.size.area / self.seconds / 1000


def main() -> None:
    options = _options()
    device = str(parse_devices(options.gpu_id)[0] if options.gpu_id else default_device())
    dtype = torch.float16 if device.startswith("cuda") else torch.bfloat16
    peak = peak_tflops(dtype, device)
    ends = f"A path ends where the next size would take it over {options.limit:g} s, or more\nmemory than there is."
    lines = ["# How time and memory grow with the picture", ""]
    lines += [f"Made by `python -m benchmarks.scaling`. {ends}", "", machine_line(device), ""]
    for model in options.models:
        runs = measure(model, options.sizes or squares(options.largest), options.limit, device)
        lines += table(model, runs, peak)
        if options.write:
            plot(model, runs, Path(options.write) / f"scaling_{model}.png")
            lines += [f"![time and memory against size](scaling_{model}.png)", ""]
    text = "\n".join(lines)
    print(text)
    if options.write:
        (Path(options.write) / "benchmarks_scaling.md").write_text(text, encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=MODELS, metavar="NAME")
    parser.add_argument("--limit", type=float, default=60, metavar="S", help="seconds for one run (default: 60)")
    parser.add_argument("--largest", type=int, default=LARGEST, metavar="PX", help="side (default: %(default)s)")
    parser.add_argument("--sizes", nargs="+", type=_size, metavar="WxH", help="measure these")
    parser.add_argument("-g", "--gpu-id", metavar="DEVICE", help="0, cuda:1, cpu (default: the best there is)")
    parser.add_argument("--write", metavar="DIR", help="write the tables and plots into this folder")
    return parser.parse_args()


def _size(words: str) -> Size:
    width, height = words.split("x")
    return Size(int(width), int(height))


def squares(largest: int) -> list[Size]:
    """Squares, each with four times the area of the one before."""
    return [Size(side, side) for side in (SMALLEST << doubled for doubled in range(16)) if side <= largest]


def photograph(size: Size) -> Array:
    """(height, width, 3) BGR with structure at all scales, as photographs have."""
    random = np.random.default_rng(0)
    total = np.zeros((size.height, size.width, 3))
    step = min(size)
    while step >= 1:
        coarse = random.normal(0, step**0.5, (-(-size.height // step), -(-size.width // step), 3))
        total += np.kron(coarse, np.ones((step, step, 1)))[: size.height, : size.width]
        step //= 2
    low, high = np.percentile(total, (1, 99))
    levels: Array = np.clip((total - low) / (high - low) * 255, 0, 255)
    return levels.astype(np.uint8)


def measure(model: str, sizes: Sequence[Size], limit_s: float, device: str) -> list[Run]:
    """All paths in turn, at all sizes from the smallest up that time and memory allow."""
    runs: list[Run] = []
    last: dict[str, Run] = {}
    for size in sizes:
        expected = None
        for path in PATHS:
            if path in last and not _worth_trying(last[path], size, limit_s):
                continue
            result, seconds, peak_bytes = _in_a_process(path, model, size, device)
            expected = result if path == PATHS[0] else expected
            last[path] = Run(path, size, seconds, peak_bytes, *_distance(expected, result))
            runs.append(last[path])
    return runs


def _worth_trying(before: Run, size: Size, limit_s: float) -> bool:
    growth = size.area / before.size.area
    fits = before.path != PATHS[0] or before.peak_bytes * growth < psutil.virtual_memory().total * 0.9
    return fits and before.seconds * growth <= limit_s


def _in_a_process(path: str, model: str, size: Size, device: str) -> tuple[Array, float, int]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(path, model, size, device, theirs))
    process.start()
    answer: tuple[Array, float, int] = ours.recv()
    process.join()
    return answer


def _serve(path: str, model: str, size: Size, device: str, connection: Connection) -> None:
    picture, small = photograph(size), photograph(Size(SMALLEST, SMALLEST))
    if path in PATHS[2:]:
        prepare_cpu()  # as the command line does
        upsampler = load_upsampler(model, device=device, fp32=path == PATHS[3])

        def enhance(image: Array) -> Array:
            return upsampler.enhance(image)[0]

    else:
        entry = find_model(model)
        network = load_network([obtain([entry.weights])[0].path])[0].to(device)
        network = network.half() if device.startswith("cuda") else network

        def enhance(image: Array) -> Array:
            return textbook.enhance(network, entry.scale, image, tile=TILE if path == PATHS[1] else 0)[0]

    enhance(small)  # the first run is slower
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    result = enhance(picture)
    seconds = time.perf_counter() - started
    on_gpu = device.startswith("cuda")
    connection.send((result, seconds, torch.cuda.max_memory_allocated() if on_gpu else peak_memory_bytes()))


def _distance(expected: Array | None, result: Array) -> tuple[float | None, int | None]:
    if expected is None:
        return None, None
    difference = np.abs(expected.astype(np.int16) - result)
    mean = float(np.mean(np.square(difference, dtype=np.float64)))
    return (10 * np.log10(255**2 / mean) if mean else float("inf")), int(difference.max())


def table(model: str, runs: list[Run], peak: float) -> list[str]:
    """Rows in the order of sizes; `peak` is the largest arithmetic rate measured, in TFLOP/s."""
    multiply_adds = find_model(model).network.multiply_adds
    lines = [
        f"## {model}",
        "",
        "| pixels | path | kilopixels/s | times the textbook's | of the arithmetic peak | PSNR to textbook, dB "
        "| largest difference, levels | peak memory, MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    plain = {run.size: run for run in runs if run.path == PATHS[0]}
    for run in runs:
        beside = plain.get(run.size)
        rate = 2e-9 * run.kilopixels_per_second * multiply_adds
        far = "" if run.psnr_db is None or run is beside else f"{run.psnr_db:.1f}"
        lines.append(
            f"| {run.size} | {run.path} | {run.kilopixels_per_second:.2f} | "
            f"{beside.seconds / run.seconds if beside else float('nan'):.2f} | {rate / peak:.2f} | {far} | "
            f"{run.largest_difference if far else ''} | {run.peak_bytes / 1e6:.0f} |".replace("nan", "")
        )
    return [*lines, ""]


def plot(model: str, runs: list[Run], file: Path) -> None:
    """Seconds and peak memory against the square root of the area. Needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    for path in PATHS:
        mine = [run for run in runs if run.path == path]
        sides = [run.size.area**0.5 for run in mine]
        axes[0].plot(sides, [run.seconds for run in mine], "o-", label=path)
        axes[1].plot(sides, [run.peak_bytes / 1e9 for run in mine], "o-", label=path)
    for axis, label in zip(axes, ("seconds", "peak memory of the process, GB"), strict=True):
        axis.set(xscale="log", xlabel="square root of the number of pixels", ylabel=label)
        ticks = sorted({run.size.area**0.5 for run in runs})
        axis.set_xticks(ticks, [f"{tick:.0f}" for tick in ticks], minor=False)
        axis.minorticks_off()
        axis.grid(True, alpha=0.3)
    axes[0].set_yscale("log")
    axes[1].set_ylim(bottom=0)
    axes[0].legend()
    figure.suptitle(model)
    figure.savefig(file, dpi=100)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
