"""Compare training with a textbook loop, and show what ten minutes of it bring. Pictures are those of scikit-image.

    python -m benchmarks.training                     pictures a second beside the textbook loop, stage 1
    python -m benchmarks.training --learn tiny        a tiny network from nothing: is it better than bicubic?
    python -m benchmarks.training --learn finetune    realesr-animevideov3 on heavy JPEG: is it better than its start?

The textbook loop is fp32 and NCHW, and degrades each crop in the process that trains, with the textbook version of the
degradation model. The two take turns, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from benchmarks import degradation_textbook as textbook
from realesrgan.archs.srvgg_arch import SRVGGNetCompact
from realesrgan.cli.finetune import main as finetune
from realesrgan.cli.train import main as train
from realesrgan.degradation.draw import draw
from realesrgan.degradation.pixels import from_pixels
from realesrgan.degradation.recipe import PUBLISHED
from realesrgan.loading import GOMP_SPINCOUNT

LEARNED, HELD_OUT = ("astronaut", "chelsea", "motorcycle_left", "ihc"), "coffee"  # lossless, in colour
PIECE = 200  # pixels a side of what is held out, each piece with a degradation of its own
BATCH = 4
SIZE, CROP = 128, 400  # of the comparison: what is learned from, and what is degraded, as published
TINY_SIZE, TINY_CROP = 192, 256  # for the tiny network: more to learn from, of less to degrade
NETWORK: dict[str, Any] = {"num_feat": 24, "num_conv": 8}
ITERATIONS = 30  # in a turn


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(options.folder or name)
        _write_pictures(folder)
        if options.learn:
            _learn(options.learn, folder, options.minutes)
        else:
            _compare(folder, options.rounds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--learn", choices=("tiny", "finetune"), help="train and report instead")
    parser.add_argument("--minutes", type=float, default=10.0, metavar="M", help="of --learn (default: 10)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="of the comparison (default: 3)")
    parser.add_argument("--folder", metavar="DIR", help="keep everything here (default: thrown away)")
    return parser.parse_args()


def _write_pictures(folder: Path) -> None:
    from skimage import data

    shipped = Path(data.__file__).parent
    for kind in ("learned", "held_out"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for name in LEARNED:
        shutil.copy(shipped / f"{name}.png", folder / "learned")
    whole = cv2.imread(str(shipped / f"{HELD_OUT}.png"))
    assert whole is not None
    for top in range(0, whole.shape[0], PIECE):
        for left in range(0, whole.shape[1], PIECE):
            piece = whole[top : top + PIECE, left : left + PIECE]
            cv2.imwrite(str(folder / "held_out" / f"{HELD_OUT}_{top}_{left}.png"), piece)


def _compare(folder: Path, rounds: int) -> None:
    os.environ.setdefault("GOMP_SPINCOUNT", GOMP_SPINCOUNT)  # as commands; else the textbook crawls under load
    context = multiprocessing.get_context("spawn")
    textbook: list[float] = []
    ours: dict[tuple[int, int], list[tuple[float, float]]] = {(SIZE, CROP): [], (TINY_SIZE, TINY_CROP): []}
    for _ in range(rounds):
        with ProcessPoolExecutor(1, context) as process:
            textbook.append(process.submit(_textbook_pace, folder).result())
        for sides, found in ours.items():
            with ProcessPoolExecutor(1, context) as process:
                found.append(process.submit(_own_pace, folder, *sides).result())
    print(f"textbook: {statistics.median(textbook):.2f} pictures/s")
    for (size, crop), found in ours.items():
        pace, waiting = (statistics.median(values) for values in zip(*found, strict=True))
        said = f"{pace:.2f} pictures/s, waiting for pictures {waiting:.1%} of the time"
        print(f"this project, {size} of {crop} pixels: {said}")
    ratios = [pace / plain for plain, (pace, _) in zip(textbook, ours[SIZE, CROP], strict=True)]
    print(f"ratio with the published crop: {statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}")


def _textbook_pace(folder: Path) -> float:
    """Pictures a second of the plain loop."""
    pictures = [cv2.imread(str(path)) for path in sorted((folder / "learned").iterdir())]
    network = SRVGGNetCompact(**NETWORK)
    average = [parameter.detach().clone() for parameter in network.parameters()]
    optimizer = torch.optim.Adam(network.parameters(), 2e-4, betas=(0.9, 0.99))
    chance = np.random.default_rng(0)
    began = time.perf_counter()
    for iteration in range(ITERATIONS + 1):
        if iteration == 1:  # the first is slower
            began = time.perf_counter()
        pairs = [
            _textbook_pair(pictures, chance, number) for number in range(BATCH * iteration, BATCH * iteration + BATCH)
        ]
        low, target = (torch.cat(side) for side in zip(*pairs, strict=True))
        optimizer.zero_grad()
        F.l1_loss(network(low), target).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        with torch.no_grad():
            for averaged, parameter in zip(average, network.parameters(), strict=True):
                averaged.mul_(0.999).add_(parameter, alpha=0.001)
    return BATCH * ITERATIONS / (time.perf_counter() - began)


def _textbook_pair(pictures: list[Any], chance: np.random.Generator, number: int) -> tuple[torch.Tensor, torch.Tensor]:
    pixels = pictures[chance.integers(len(pictures))]
    top, left = (chance.integers(max(1, side - CROP + 1)) for side in pixels.shape[:2])
    pixels = pixels[top : top + CROP, left : left + CROP]
    missing = [(0, CROP - side) for side in pixels.shape[:2]]
    pixels = np.pad(pixels, [*missing, (0, 0)], mode="symmetric")
    target = from_pixels(np.ascontiguousarray(pixels), torch.device("cpu"))
    low = textbook.degrade(target, draw(0, number, PUBLISHED).model_dump(exclude_none=True))
    y, x = (int(value) for value in chance.integers((CROP - SIZE) // 4 + 1, size=2))
    sharp = textbook.sharpen(target)[:, :, 4 * y : 4 * y + SIZE, 4 * x : 4 * x + SIZE]
    return low[:, :, y : y + SIZE // 4, x : x + SIZE // 4], sharp


def _recipe(folder: Path, size: int, crop: int, **train_options: Any) -> Path:
    content = {
        "name": "benchmark",
        "model_type": "RealESRNetModel",
        "scale": 4,
        "gt_size": size,
        "datasets": {
            "train": {
                "type": "RealESRGANDataset",
                "dataroot_gt": str(folder / "learned"),
                "crop_pad_size": crop,
                "batch_size_per_gpu": BATCH,
                "num_worker_per_gpu": 2,
            },
            "val": {"dataroot_gt": str(folder / "held_out")},
        },
        "network_g": {"type": "SRVGGNetCompact", **NETWORK},
        "path": {"experiments_root": str(folder / "out")},
        "train": {"optim_g": {"lr": 1e-3}, "pixel_opt": {"type": "L1Loss"}, **train_options},
        "val": {"val_freq": 500},
        "logger": {"print_freq": 10, "save_checkpoint_freq": 500, "use_tb_logger": False},
    }
    path = folder / "recipe.yml"
    path.write_text(json.dumps(content), encoding="utf-8")  # JSON is YAML
    return path


def _own_pace(folder: Path, size: int, crop: int) -> tuple[float, float]:
    """Pictures a second, and the share of time spent waiting for them, as the journal has them."""
    recipe = _recipe(folder, size, crop, total_iter=ITERATIONS + 10, ema_decay=0.999)
    assert train(["-opt", str(recipe), "-g", "cpu"]) == 0
    text = (folder / "out" / "metrics.jsonl").read_text(encoding="utf-8")
    lines = [line for line in map(json.loads, text.splitlines()) if "losses" in line][1:]
    seconds = sum(10 * BATCH / line["pictures_per_second"] for line in lines)
    return 10 * BATCH * len(lines) / seconds, statistics.mean(line["waiting_share"] for line in lines)


def _learn(what: str, folder: Path, minutes: float) -> None:
    if what == "tiny":
        recipe = _recipe(folder, TINY_SIZE, TINY_CROP, total_iter=10**6, ema_decay=0.99)
        train(["-opt", str(recipe), "--minutes", str(minutes)])
        return
    arguments = ["-i", str(folder / "learned"), "-n", "realesr-animevideov3", "-o", str(folder / "out")]
    heavy = ["--set", "jpeg_range=[5,15]", "jpeg_range2=[5,15]"]
    finetune([*arguments, *heavy, "--minutes", str(minutes)])


if __name__ == "__main__":
    main()
