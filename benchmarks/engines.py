"""Compare what computes the same network on a CPU: this project by its compiled kernels and by torch, and others.

    python -m benchmarks.engines                             x4plus at 320x240, animevideov3 at 640x480
    python -m benchmarks.engines --size 160x120 --rounds 5   another size, more rounds
    python -m benchmarks.engines --engines native torch      only these

Install what to compare with: pip install -e ".[benchmark]". What is missing is left out, with a line that says so. All
compute in turn, so that a busy machine slows all. Each has its own process, so that its memory can be measured.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.contenders import ENGINES, READ_ONNX, Task, Unsuited, write_onnx
from benchmarks.pictures import machine_line, peak_memory_bytes, peak_tflops
from realesrgan.arrays import Array
from realesrgan.errors import UsageError
from realesrgan.image import files
from realesrgan.metrics.fidelity import psnr
from realesrgan.model_zoo import find_model
from realesrgan.weights.load import load_network
from realesrgan.weights.store import obtain

SIZES = {"RealESRGAN_x4plus": (320, 240), "realesr-animevideov3": (640, 480)}
BESIDE = "torch"  # the engine that the ratios are to
PEAK_MATRIX_SIDE = 2048
REST_S = 0.5  # after each run: threads that wait awake for more work have gone to sleep by then
PACKAGES = ("openvino", "onnxruntime", "ncnn")
INTRODUCTION = (
    "# What computes a network on a CPU, side by side",
    "",
    "```sh",
    'pip install -e ".[benchmark]"',
    "python -m benchmarks.engines --write docs/benchmarks_engines.md",
    "```",
    "",
    "All engines compute the same picture in turn, in one run, on the same number of threads.",
    "",
    "- This project takes and gives pictures as bytes, the others fp32 tensors.",
    "- Processor seconds are those of all threads together, the fewest of a round.",
    "- The arithmetic peak is what torch reaches at matrix products. An engine that multiplies faster than torch, or",
    "  fewer times, as Winograd's method does, can exceed it.",
    "- The PSNR is to torch in fp32, both rounded to bytes.",
    "- The peak memory is that of the whole process; each process has torch loaded.",
    "- OpenVINO and onnxruntime read the same ONNX file, written by this project. ncnn reads the weights that come",
    "  with the installation; with weights of another form in `weights/` it is left out.",
    "",
    "Only the ratios carry over to other machines.",
    "",
)


class Answer(NamedTuple):
    result: Array
    seconds: float
    processor_s: float


@dataclass
class Run:
    """What was measured of an engine, a value each round; `left_out` says why there is nothing."""

    engine: str
    precision: str = ""
    takes_bytes: bool = False
    left_out: str | None = None
    seconds: list[float] = field(default_factory=list)
    processor_s: list[float] = field(default_factory=list)
    psnr_db: float = 0
    peak_bytes: int = 0

    @property
    def name(self) -> str:
        return ENGINES[self.engine][0]


def main(argv: Sequence[str] | None = None) -> None:
    options = _options(argv)
    torch.set_num_threads(options.threads)
    lines = [*INTRODUCTION, f"{machine_line('cpu', PEAK_MATRIX_SIDE)} {_versions()}", ""]
    print("\n".join(lines), flush=True)
    peaks = {"fp32": peak_tflops(torch.float32, "cpu", PEAK_MATRIX_SIDE)}
    peaks["bf16"] = peaks["mixed bf16"] = peak_tflops(torch.bfloat16, "cpu", PEAK_MATRIX_SIDE)
    for model in options.models:
        width, height = options.size or SIZES.get(model, (320, 240))
        picture = enlarged(files.read(Path(options.picture)).pixels, width, height)
        runs = measure(model, picture, options.engines, options.rounds, options.threads)
        rows = table(model, picture, runs, peaks)
        print("\n".join(rows), flush=True)  # the next network may take long
        lines += rows
    if options.write:
        Path(options.write).write_text("\n".join(lines), encoding="utf-8")


def _versions() -> str:
    installed = []
    for package in PACKAGES:
        try:
            installed.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return f"{', '.join(installed)}." if installed else ""


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.engines", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=list(SIZES), metavar="NAME")
    parser.add_argument("--size", type=_size, metavar="WxH", help="of the picture (default: see above)")
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=ENGINES, metavar="NAME")
    parser.add_argument("--rounds", type=int, default=3, help="after one that does not count (default: 3)")
    parser.add_argument("--threads", type=int, default=2, help="of each engine (default: 2)")
    parser.add_argument("--picture", default="inputs/cat.jpg", metavar="FILE", help="default: inputs/cat.jpg")
    parser.add_argument("--write", metavar="FILE", help="also write the tables here")
    return parser.parse_args(argv)


def _size(words: str) -> tuple[int, int]:
    width, height = words.split("x")
    return int(width), int(height)


def enlarged(pixels: Array, width: int, height: int) -> Array:
    """(height, width, 3) BGR, 8 bits: a picture mirrored until it is large enough, and cut."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3:
        raise SystemExit("--picture: give a colour picture of 8 bits")
    more = [max(0, wanted - side) for wanted, side in zip((height, width), pixels.shape[:2], strict=True)]
    larger = np.pad(pixels[..., :3], ((0, more[0]), (0, more[1]), (0, 0)), mode="symmetric")
    return np.ascontiguousarray(larger[:height, :width])


def measure(model: str, picture: Array, engines: Sequence[str], rounds: int, threads: int) -> list[Run]:
    """Run all engines in turn, each in a process of its own."""
    weights = obtain([find_model(model).weights])[0].path
    network, spec = load_network([weights])
    assert spec is not None
    with torch.inference_mode():
        expected = _as_levels(network(torch.from_numpy(_as_tensor(picture))[None])[0].numpy())
    with tempfile.TemporaryDirectory() as folder:
        height, width = picture.shape[:2]
        task = Task(model, weights, Path(folder, "network.onnx"), width, height, threads)
        if READ_ONNX & set(engines):
            write_onnx(network, spec, task)
        runs = [Run(engine) for engine in engines]
        connections = [_start(run, task) for run in runs]
        for number in range(1 + rounds):
            for run, connection in zip(runs, connections, strict=True):
                if run.left_out is None:
                    _add(run, connection, picture, expected, counts=number > 0)
        for run, connection in zip(runs, connections, strict=True):
            if run.left_out is None:
                connection.send(None)
                run.peak_bytes = connection.recv()
    return runs


def _start(run: Run, task: Task) -> Connection:
    """Start the process of an engine; wait until it is ready, so that starting disturbs nobody."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    context.Process(target=_serve, args=(run.engine, task, theirs), daemon=True).start()
    theirs.close()  # so that the end of the process ends the connection
    run.precision, run.takes_bytes, run.left_out = ours.recv()
    return ours


def _serve(engine: str, task: Task, connection: Connection) -> None:
    """Say what is computed in, or why nothing is; answer each picture; finally send the peak memory in bytes."""
    torch.set_num_threads(task.threads)
    try:
        precision, compute, takes_bytes = ENGINES[engine][1](task)
    except (ImportError, UsageError, Unsuited) as error:
        connection.send(("", False, str(error)))
        return
    connection.send((precision, takes_bytes, None))
    while (picture := connection.recv()) is not None:
        given = picture if takes_bytes else _as_tensor(picture)
        started, processor_started = time.perf_counter(), time.process_time()
        result = compute(given)
        seconds, processor_s = time.perf_counter() - started, time.process_time() - processor_started
        connection.send(Answer(result if takes_bytes else _as_levels(result), seconds, processor_s))
    connection.send(peak_memory_bytes())


def _add(run: Run, connection: Connection, picture: Array, expected: Array, *, counts: bool) -> None:
    connection.send(picture)
    answer: Answer = connection.recv()
    if counts:
        run.seconds.append(answer.seconds)
        run.processor_s.append(answer.processor_s)
    run.psnr_db = psnr(answer.result, expected)
    time.sleep(REST_S)


def _as_tensor(picture: Array) -> Array:
    """(H, W, 3) BGR bytes → (3, H, W) RGB fp32 in [0, 1]."""
    return np.ascontiguousarray(picture[..., ::-1].transpose(2, 0, 1), np.float32) / 255


def _as_levels(rgb: Array) -> Array:
    """(3, H, W) RGB floats, 1 the brightest → (H, W, 3) BGR bytes."""
    levels = np.empty((*rgb.shape[1:], 3), np.uint8)
    for channel in range(3):  # one by one: less memory, of which the peak counts
        levels[..., 2 - channel] = np.rint(np.clip(rgb[channel], 0, 1) * 255)
    return levels


def table(model: str, picture: Array, runs: Sequence[Run], peaks: dict[str, float]) -> list[str]:
    """A row for each engine that ran, a line for each that did not; `peaks` are TFLOP/s by precision."""
    area = picture.shape[0] * picture.shape[1]
    operations = 2e-12 * area * find_model(model).network.multiply_adds
    beside = next((min(run.seconds) for run in runs if run.engine == BESIDE and run.left_out is None), None)
    lines = [
        f"## {model}, {picture.shape[1]}×{picture.shape[0]}",
        "",
        "| engine | precision | in and out | kilopixels/s, best | median | processor seconds "
        "| times this project by torch | of the arithmetic peak | PSNR to fp32, dB | peak memory, MB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for run in (run for run in runs if run.left_out is None):
        best = min(run.seconds)
        lines.append(
            f"| {run.name} | {run.precision} | {'bytes' if run.takes_bytes else 'fp32'} | "
            f"{area / best / 1000:.2f} | {area / median(run.seconds) / 1000:.2f} | {min(run.processor_s):.2f} | "
            f"{f'{beside / best:.2f}' if beside else ''} | {operations / best / peaks[run.precision]:.2f} | "
            f"{run.psnr_db:.1f} | {run.peak_bytes / 1e6:.0f} |"
        )
    missing = [f"- {run.name} ({run.engine}): {run.left_out}" for run in runs if run.left_out]
    return [*lines, "", *(["Left out:", "", *missing, ""] if missing else [])]


if __name__ == "__main__":
    main()
