"""Compare this project's default path with the textbook path, on the same pictures, in one run.

    python -m benchmarks.pictures                              x4plus and animevideov3 on the pictures in inputs/
    python -m benchmarks.pictures --pictures DIR --crop 256    on the middle of your own

Both paths get the same arrays and weights, in turn, so that a busy machine slows both; of several rounds the fastest
counts. Each path has its own process, so that its memory can be measured.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import psutil
import torch

from benchmarks import textbook
from realesrgan import load_upsampler
from realesrgan.arrays import Array, peak_of
from realesrgan.engine.device import prepare_cpu
from realesrgan.image import files
from realesrgan.model_zoo import find_model
from realesrgan.weights.load import load_network
from realesrgan.weights.store import obtain

MODELS = ("RealESRGAN_x4plus", "realesr-animevideov3")
PEAK_MATRIX_SIDE = 4096
PATHS = ("textbook", "this project")

Enhance = Callable[[Array], Array]


@dataclass(frozen=True)
class Measurement:
    """One picture through both paths: the fastest seconds of each, and how far the results differ."""

    name: str
    area: int
    textbook_s: float
    default_s: float
    psnr_db: float
    largest_difference: int

    @property
    def ratio(self) -> float:
        return self.textbook_s / self.default_s


def main() -> None:
    options = _options()
    pictures = _pictures(Path(options.pictures), options.crop)
    lines = _machine_lines()
    for model in options.models:
        lines += _table(model, pictures, options.rounds, options.tile)
    text = "\n".join(lines) + "\n"
    print(text)
    if options.write:
        Path(options.write).write_text(text, encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pictures",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--models", nargs="+", default=MODELS, metavar="NAME")
    parser.add_argument("--pictures", default="inputs", metavar="DIR", help="default: inputs")
    parser.add_argument(
        "--crop", type=int, default=256, metavar="PX", help="use at most the middle PX×PX (default: 256)"
    )
    parser.add_argument("--rounds", type=int, default=2, help="of which the fastest counts (default: 2)")
    parser.add_argument("--tile", type=int, default=0, help="for the textbook path (default: 0, the whole picture)")
    parser.add_argument("--write", metavar="FILE", help="also write the tables here")
    return parser.parse_args()


def _pictures(folder: Path, crop: int) -> dict[str, Array]:
    """Every picture in a folder, without alpha, which would only repeat the work."""
    pictures = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and files.read_header(path) is not None:
            pixels = files.read(path).pixels
            top, left = (max(0, (side - crop) // 2) for side in pixels.shape[:2])
            middle = pixels[top : top + crop, left : left + crop]
            pictures[path.name] = np.ascontiguousarray(middle[..., :3] if middle.ndim == 3 else middle)
    return pictures


def _textbook_path(model: str, tile: int) -> Enhance:
    zoo_entry = find_model(model)
    network, _ = load_network([obtain([zoo_entry.weights])[0].path])
    return lambda picture: textbook.enhance(network, zoo_entry.scale, picture, tile=tile)[0]


def _default_path(model: str) -> Enhance:
    prepare_cpu()  # as the command line does
    upsampler = load_upsampler(model)
    return lambda picture: upsampler.enhance(picture)[0]


def _serve(path_name: str, model: str, tile: int, connection: Connection) -> None:
    """Enhance each picture received; send back the result and the seconds it took, and finally the peak memory."""
    path = _textbook_path(model, tile) if path_name == PATHS[0] else _default_path(model)
    while (picture := connection.recv()) is not None:
        started = time.perf_counter()
        result = path(picture)
        connection.send((result, time.perf_counter() - started))
    connection.send(peak_memory_bytes())


def peak_memory_bytes() -> int:
    """The most memory this process has held."""
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    if sys.platform == "linux":  # where getrusage also counts what the parent held when this process started
        return 1024 * int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _measure(model: str, pictures: dict[str, Array], rounds: int, tile: int) -> tuple[list[Measurement], list[int]]:
    """Both paths, in a process each and in turn; also the peak memory of each process, in bytes."""
    context = multiprocessing.get_context("spawn")
    connections = []
    for path_name in PATHS:
        ours, theirs = context.Pipe()
        context.Process(target=_serve, args=(path_name, model, tile, theirs), daemon=True).start()
        connections.append(ours)

    def run(which: int, picture: Array) -> tuple[Array, float]:
        connections[which].send(picture)
        answer: tuple[Array, float] = connections[which].recv()
        return answer

    smallest = min(pictures.values(), key=lambda picture: picture.size)
    for which in range(len(PATHS)):
        run(which, smallest)  # the first run is slower
    measurements = []
    for name, picture in pictures.items():
        answers = [[run(which, picture) for which in range(len(PATHS))] for _ in range(rounds)]
        best = [min(answer[which][1] for answer in answers) for which in range(len(PATHS))]
        measurements.append(_compared(name, picture, answers[0][0][0], answers[0][1][0], best))
    for connection in connections:
        connection.send(None)
    return measurements, [connection.recv() for connection in connections]


def _compared(name: str, picture: Array, expected: Array, result: Array, seconds: list[float]) -> Measurement:
    difference = np.abs(expected.astype(np.float64) - result)
    peak = peak_of(picture.dtype)
    psnr = 10 * np.log10(peak**2 / max(float(np.mean(difference**2)), 1e-9))
    area = picture.shape[0] * picture.shape[1]
    return Measurement(name, area, seconds[0], seconds[1], psnr, round(difference.max() * 255 / peak))


def _table(model: str, pictures: dict[str, Array], rounds: int, tile: int) -> list[str]:
    measurements, peaks = _measure(model, pictures, rounds, tile)
    largest = max(pictures.values(), key=lambda picture: picture.size)
    rows = [
        f"| {one.name} | {one.area / 1000:.1f} | {one.area / one.textbook_s / 1000:.2f} | "
        f"{one.area / one.default_s / 1000:.2f} | {one.ratio:.2f} | {one.psnr_db:.1f} | {one.largest_difference} |"
        for one in measurements
    ]
    area = sum(one.area for one in measurements)
    seconds = [sum(one.textbook_s for one in measurements), sum(one.default_s for one in measurements)]
    worst = min(one.psnr_db for one in measurements)
    multiply_adds = find_model(model).network.multiply_adds
    return [
        f"## {model}",
        "",
        "| picture | kilopixels | textbook, kilopixels/s | this project, kilopixels/s | ratio | PSNR to textbook, dB "
        "| largest difference, 8-bit levels |",
        "|---|---|---|---|---|---|---|",
        *rows,
        f"| **all** | {area / 1000:.1f} | {area / seconds[0] / 1000:.2f} | {area / seconds[1] / 1000:.2f} | "
        f"**{seconds[0] / seconds[1]:.2f}** | **worst {worst:.1f}** | |",
        "",
        f"Peak memory for {largest.shape[1]}×{largest.shape[0]}, the whole process: textbook "
        f"{peaks[0] / 1e6:.0f} MB, this project {peaks[1] / 1e6:.0f} MB. "
        f"Arithmetic: textbook {2e-12 * area * multiply_adds / seconds[0]:.2f}, "
        f"this project {2e-12 * area * multiply_adds / seconds[1]:.2f} TFLOP/s.",
        "",
    ]


def _machine_lines() -> list[str]:
    return [
        "# Speed, accuracy and memory beside the textbook path",
        "",
        "Made by `python -m benchmarks.pictures`, both paths in one run, in turn. The textbook path is the",
        "published one in plain code: fp32, NCHW, eager (`benchmarks/textbook.py`). Only the ratios carry over to",
        "other machines.",
        "",
        machine_line("cpu"),
        "",
    ]


def machine_line(device: str, matrix_side: int = PEAK_MATRIX_SIDE) -> str:
    """The machine, and how fast it multiplies at best."""
    reduced = torch.float16 if device.startswith("cuda") else torch.bfloat16
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else processor()
    rates = [peak_tflops(dtype, device, matrix_side) for dtype in (torch.float32, reduced)]
    return (
        f"{name}, {torch.get_num_threads()} threads, Python {platform.python_version()}, torch {torch.__version__}. "
        f"Largest arithmetic rate measured in this run, by {matrix_side}² matrix products: "
        f"{rates[0]:.2f} TFLOP/s in fp32, {rates[1]:.2f} in "
        f"{'fp16' if reduced is torch.float16 else 'bf16'}."
    )


def peak_tflops(dtype: torch.dtype, device: str, matrix_side: int = PEAK_MATRIX_SIDE) -> float:
    """The best rate of a few large matrix products; reading an element waits for the device to finish."""
    matrix = torch.ones(matrix_side, matrix_side, dtype=dtype, device=device)
    best = float("inf")
    for _ in range(4):
        started = time.perf_counter()
        (matrix @ matrix)[0, 0].item()
        best = min(best, time.perf_counter() - started)
    return 2e-12 * matrix_side**3 / best


def processor() -> str:
    """The model of this machine's processor."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
