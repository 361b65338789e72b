"""Everything that can go wrong before the first iteration, tried before it: one sentence for each fault."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from ..engine.device import free_memory_bytes
from ..errors import Cancelled, RealESRGANError
from ..model_zoo import WeightFile
from ..restorer import Relay, Reporter
from ..weights.check import defect_of
from ..words import count, duration, size
from . import data
from .checkpoint import Checkpoints
from .folder import why_not_writable
from .loop import Pace, Training, train
from .pictures import decode
from .plan import Request, find_starts, prepared
from .start_files import published

PICTURES_READ = 64
STEPS = 3  # the first is slower
STATE_COPIES = 4  # of a network in a checkpoint: weights, average, and Adam's two moments


def check(request: Request, reporter: Reporter) -> list[str]:
    """Look at files, hashes, pictures, disk and memory, take a few steps, and throw them away.

    Returns the faults, a sentence each; what is well is remarked.

    Raises:
        Cancelled: `reporter.check` did.
    """
    faults: list[str] = []
    for look in (_place, _start_files, _pictures, _steps):
        try:
            faults += look(request, reporter)
        except RealESRGANError as error:
            faults.append(error.message)
        except MemoryError:
            faults.append("not enough memory for a batch: try a smaller batch_size_per_gpu, or `accumulate`")
    return list(dict.fromkeys(faults))


def _place(request: Request, reporter: Reporter) -> list[str]:
    """Whether the folder can be written."""
    defect = why_not_writable(request.place)
    return [] if defect is None else [defect]


def _start_files(request: Request, reporter: Reporter) -> list[str]:
    """Whether the files a recipe starts from are there, and are what is published under their names."""
    faults = []
    if request.recipe.path.resume_state is not None:
        Checkpoints.of_state(request.recipe.path.resume_state)
    starts = find_starts(request.recipe, reporter)
    for path in (starts.generator, starts.discriminator):
        file = published(str(path)) if path is not None else None
        if path is None:
            continue
        if file is not None and file.sha256 is not None and (defect := defect_of(path, file)):
            faults.append(f"{path} is not the published file: it {defect}")
        else:
            reporter.remark(f"starts from {path}{_hash_said(file)}")
    return faults


def _hash_said(file: WeightFile | None) -> str:
    if file is None:
        return ""
    return ", as published" if file.sha256 is not None else "; no hash of it is published, so it cannot be compared"


def _pictures(request: Request, reporter: Reporter) -> list[str]:
    """Read some of the pictures to the end."""
    files = data.files_of(data.find(request.recipe, reporter))
    some = files[:: max(1, len(files) // PICTURES_READ)][:PICTURES_READ]
    faults = []
    for file in some:
        reporter.check()
        try:
            decode(file)
        except RealESRGANError as error:
            faults.append(error.message)
    reporter.remark(f"{count(len(files), 'picture')}, {len(some)} of them read")
    return faults


def _steps(request: Request, reporter: Reporter) -> Iterator[str]:
    """Take a few steps in a folder that is thrown away, and estimate time, disk and memory."""
    with _trial(request, reporter) as trial:
        seconds: list[float] = []
        began = [time.monotonic()]

        class Timing(Relay):
            def progressed(self, source: Path, done: float) -> None:  # once an iteration; `check` also while measuring
                super().progressed(source, done)
                now = time.monotonic()
                seconds.append(now - began[0])
                began[0] = now

            def remark(self, message: str) -> None:
                pass

        if train(trial, Timing(reporter)).reason == "stopped":
            raise Cancelled
        yield from _disk(request, trial, reporter)
        step_s = min(seconds[1:], default=0.0)
        reporter.remark(f"about {duration(step_s)} an iteration, {_estimate(request, step_s)}")
        device = trial.machine.device
        if device.type == "cuda":
            reporter.remark(f"{size(torch.cuda.max_memory_allocated(device))} of the GPU's memory is taken")
        elif (free := free_memory_bytes(device)) is not None:
            reporter.remark(f"{size(free)} of memory are free")


def _estimate(request: Request, step_s: float) -> str:
    """How long it takes, or how far it comes if time ends it."""
    total, minutes = request.recipe.train.total_iter, request.minutes
    if minutes is None or step_s * total <= 60 * minutes:
        return f"{duration(step_s * total)} for {count(total, 'iteration')}"
    return f"{count(int(60 * minutes / step_s), 'iteration')} in {duration(60 * minutes)}"


@contextmanager
def _trial(request: Request, reporter: Reporter) -> Iterator[Training]:
    recipe = request.recipe
    quiet = recipe.logger.model_copy(update={"use_tb_logger": False})
    fresh = recipe.path.model_copy(update={"resume_state": None})
    with tempfile.TemporaryDirectory() as folder:
        short = replace(
            request,
            recipe=recipe.model_copy(update={"logger": quiet, "path": fresh}),
            folder=Path(folder),
            auto_resume=False,
        )
        with prepared(short, reporter) as training:
            training.pace = Pace(total=STEPS, log_every=1, save_every=10**9, validate_every=10**9)
            yield training


def _disk(request: Request, trial: Training, reporter: Reporter) -> Iterator[str]:
    students = [trial.state.generator] + ([trial.state.discriminator] if trial.state.discriminator else [])
    numbers = sum(parameter.numel() for student in students for parameter in student.network.parameters())
    needed = numbers * 4 * STATE_COPIES * (request.keep + 2)
    place = request.place
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if needed > free:
        yield f"{place}: checkpoints take {size(needed)}, and {size(free)} are free"
    else:
        reporter.remark(f"checkpoints take up to {size(needed)}, {size(free)} are free")
