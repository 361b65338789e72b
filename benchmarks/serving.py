"""The server under load, beside the command: eight clients and a hundred small pictures.

    python -m benchmarks.serving                        RealESRGAN_x4plus, pictures of 64×48
    python -m benchmarks.serving --write docs/benchmarks_serving.md

Both restore the same pictures with the same model. The command's time is that of a folder of all of them, the server's
from the first call to the last answer; both have loaded the model before. Nothing may be lost.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import psutil
import requests

from benchmarks.pictures import machine_line
from realesrgan.engine.device import default_device

POLL_S = 0.05
PATIENCE_S = 60


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = make_pictures(folder / "pictures", options.pictures, *options.size)
        began_s, command_s = _time_command(folder, options.model)
        rows = []
        with serving(folder / "server") as (address, process):
            upscale(address, pictures[0], options.model)  # loads the model
            for _ in range(options.rounds):
                began = time.monotonic()
                with ThreadPoolExecutor(options.clients) as pool:
                    results = list(pool.map(lambda path: upscale(address, path, options.model), pictures))
                seconds = time.monotonic() - began
                assert len(results) == len(pictures)
                rows.append((seconds, _memory_mb(process)))
        lines = [
            "# The server under load",
            "",
            f"Made by `python -m benchmarks.serving`: {options.clients} clients and {len(pictures)} pictures of "
            f"{options.size[0]}×{options.size[1]} with {options.model},",
            "each by a call of /v1/upscale, one round after the other; the command restores the same folder.",
            "",
            machine_line(str(default_device())),
            "",
            "| | seconds | pictures/s | of the command's rate | memory afterwards, MB |",
            "|---|---|---|---|---|",
            f"| the command, without its start | {command_s:.1f} | {len(pictures) / command_s:.2f} | 1.00 | |",
        ]
        for number, (seconds, memory_mb) in enumerate(rows, 1):
            figures = f"{seconds:.1f} | {len(pictures) / seconds:.2f} | {command_s / seconds:.2f} | {memory_mb:.0f}"
            lines.append(f"| the server, round {number} | {figures} |")
        lines += ["", f"The command's start, up to its first picture, took {began_s:.1f} s.", ""]
        print("\n".join(lines))
        if options.write:
            Path(options.write).write_text("\n".join(lines), encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="RealESRGAN_x4plus", metavar="NAME")
    parser.add_argument("--pictures", type=int, default=100, metavar="N")
    parser.add_argument("--clients", type=int, default=8, metavar="N")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--size", type=_size, default=(64, 48), metavar="WxH")
    parser.add_argument("--write", metavar="FILE", help="also write the table here")
    return parser.parse_args()


def _size(text: str) -> tuple[int, int]:
    width, height = text.lower().split("x")
    return int(width), int(height)


def make_pictures(folder: Path, count: int, width: int, height: int) -> list[Path]:
    """Noise that was blurred: no two alike, and as large as photographs when compressed."""
    folder.mkdir()
    chance = np.random.default_rng(0)
    paths = []
    for number in range(count):
        noise = chance.integers(0, 256, (height, width, 3)).astype(np.uint8)
        paths.append(folder / f"{number:03}.png")
        cv2.imwrite(str(paths[-1]), cv2.GaussianBlur(noise, (0, 0), 1.5))
    return paths


def _time_command(folder: Path, model: str) -> tuple[float, float]:
    """Seconds of the command's start, which restoring a single picture shows, and of the rest."""

    def run(source: Path) -> float:
        command = [
            sys.executable,
            "-m",
            "realesrgan",
            "image",
            "-n",
            model,
            "-i",
            str(source),
            "-o",
            str(folder / "out"),
        ]
        began = time.monotonic()
        subprocess.run(command, check=True, capture_output=True)
        return time.monotonic() - began

    pictures = folder / "pictures"
    count = len(list(pictures.iterdir()))
    one = run(next(pictures.iterdir()))
    everything = run(pictures)
    each = (everything - one) / (count - 1)
    return one - each, each * count


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """A server on a free port; its address and its process."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    command = [sys.executable, "-m", "realesrgan", "serve", "--port", str(port), "--folder", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        end_s = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(requests.ConnectionError):
                if requests.get(f"{address}/health-check", timeout=PATIENCE_S).ok:
                    break
            assert time.monotonic() < end_s, "the server does not answer"
            time.sleep(POLL_S)
        yield address, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def upscale(address: str, path: Path, model: str) -> bytes:
    """Have one picture restored, as a client of the interface does."""
    with path.open("rb") as file:
        fields = {"model_name": model}
        answer = requests.post(f"{address}/v1/upscale", files={"file": file}, data=fields, timeout=PATIENCE_S)
    answer.raise_for_status()
    return answer.content


def _memory_mb(process: psutil.Process) -> float:
    """Of the server and the process that restores."""
    return sum(one.memory_info().rss for one in (process, *process.children(recursive=True))) / 1e6


if __name__ == "__main__":
    main()
