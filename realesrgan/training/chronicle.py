"""What is told of a training while it runs: the journal, measurements, warnings, and the page. Changes no weights."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from ..errors import RealESRGANError
from ..restorer import Reporter
from ..words import duration
from . import report, validation
from .held_out import HeldOut, Measure
from .journal import Journal
from .lines import Logged
from .validation import Measurement
from .watch import Watch

START_NAME = "start.npz"  # what the network made of the held-out pictures before training
PICTURES_NAME = "visualization"  # as published


@dataclass(frozen=True)
class Best:
    """The best measurement so far of what was learned; the start is none."""

    iteration: int
    psnr: float


class Chronicle:
    """Use in `with`, in the leading process only.

    Args:
        total: iterations; None where only time ends the training.
        pictures: also write the result of every measurement, into `folder`/visualization.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        reporter: Reporter,
        *,
        iteration: int = 0,
        total: int | None = None,
        seconds_limit: float | None = None,
        held_out: HeldOut | None = None,
        pictures: bool = False,
        tensorboard: Path | None = None,
    ) -> None:
        self._name, self._folder, self._reporter = name, folder, reporter
        self._first, self._total, self._limit_s = iteration, total, seconds_limit
        self._held_out, self._pictures = held_out, pictures
        self._stack = ExitStack()
        journal = Journal(folder, iteration=iteration, tensorboard=tensorboard, reporter=reporter)
        self._journal = self._stack.enter_context(journal)
        self._watch = Watch(reporter)
        self._pageless = False
        self._bicubic = None if held_out is None else validation.bicubic(held_out)
        self._start: Measurement | None = None
        self.now: Measurement | None = None
        self.best: Best | None = None
        self._before_s, self._began_s = self._journal.seconds, time.monotonic()
        self._logged_s, self._logged_waiting_s = self._began_s, 0.0

    def __enter__(self) -> Chronicle:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def seconds(self) -> float:
        """Spent on this training, over all its runs."""
        return self._before_s + time.monotonic() - self._began_s

    def seconds_left(self, iteration: int) -> float | None:
        """By the pace of this run, or by the time limit if that comes first."""
        left = []
        if self._total is not None and iteration > self._first:
            pace_s = (time.monotonic() - self._began_s) / (iteration - self._first)
            left.append(pace_s * (self._total - iteration))
        if self._limit_s is not None:
            left.append(max(0.0, self._limit_s - self.seconds))
        return min(left, default=None)

    def measure_start(self, network: nn.Module, device: torch.device) -> None:
        """Measure the network before training, or, resumed, take what was measured then."""
        if self._held_out is None:
            return
        path = self._folder / START_NAME
        if self._first:
            self._start = validation.kept(path, self._held_out)
            return
        self._start = validation.measure(network, self._held_out, device, check=self._reporter.check)
        validation.keep(path, self._start, self._held_out)
        self._journal.add(self._start.line)
        psnr, before = (one.line.validation.psnr for one in (self._start, self._bicubic) if one is not None)
        self._reporter.remark(f"held-out pictures: {psnr:.2f} dB at the start, {before:.2f} dB by interpolation")

    @property
    def unbeaten_start(self) -> str | None:
        """That nothing learned is better than the start, in words, if it is so."""
        if self.best is None or self._start is None:
            return None
        start = self._start.line.validation.psnr
        if not self.best.psnr <= start:
            return None
        return f"by PSNR the start is still {'better' if self.best.psnr < start else 'as good'} ({start:.2f} dB)"

    @property
    def time_is_up(self) -> bool:
        return self._limit_s is not None and self.seconds >= self._limit_s

    def log(
        self,
        iteration: int,
        losses: dict[str, float],
        *,
        rate: float,
        pictures: int,
        new_pictures: int,
        waited_s: float,
    ) -> None:
        """Write down what came since the last log; `waited_s` counts from the start of this run."""
        now_s = time.monotonic()
        seconds = max(now_s - self._logged_s, 1e-9)
        line = Logged(
            iteration=iteration,
            pictures=pictures,
            seconds=self.seconds,
            losses=losses,
            lr=rate,
            pictures_per_second=new_pictures / seconds,
            waiting_share=min(1.0, (waited_s - self._logged_waiting_s) / seconds),
        )
        self._logged_s, self._logged_waiting_s = now_s, waited_s
        self._journal.add(line)
        self._reporter.remark(_described(line, self.seconds_left(iteration)))

    def validate(self, network: nn.Module, device: torch.device, iteration: int) -> bool:
        """Measure the network on the held-out pictures; whether it is the best so far."""
        if self._held_out is None:
            return False
        self.now = validation.measure(network, self._held_out, device, iteration=iteration)
        psnr = self.now.line.validation.psnr
        self._journal.add(self.now.line)
        self._write_pictures()
        is_best = self.best is None or not psnr <= self.best.psnr
        if is_best and math.isfinite(psnr):
            self.best = Best(iteration, psnr)
        words = f", the best so far{' but for the start' * (self.unbeaten_start is not None)}" * is_best
        self._reporter.remark(f"iteration {iteration}: {psnr:.2f} dB on held-out pictures{words}")
        return is_best

    def _write_pictures(self) -> None:
        """A disk that refuses is warned of once and does not stop the training."""
        if self._pictures and self.now is not None:
            try:
                validation.write_pictures(self._folder / PICTURES_NAME, self.now)
            except RealESRGANError as error:
                self._pictures = False
                self._reporter.warn(f"{error.message}; no more results are written")

    def _best_in_words(self) -> str | None:
        if self.best is None:
            return None
        unbeaten = f"; {self.unbeaten_start}" if self.unbeaten_start else ""
        return f"net_g_{self.best.iteration}.pth, {self.best.psnr:.2f} dB{unbeaten}"

    def _facts(self) -> Iterator[tuple[str, str]]:
        """How PSNR and SSIM are measured, where a recipe says so."""
        for name, measure in (("PSNR", self._held_out.psnr), ("SSIM", self._held_out.ssim)) if self._held_out else ():
            if measure != Measure():
                of = "luma" if measure.luma else "RGB"
                yield f"{name} measured", f"of {of}, without {measure.border} pixels on each side"

    def write_report(self, condition: Literal["running", "stopped", "finished"], iteration: int) -> Path | None:
        """Write the page, with all warnings there are now. Where it cannot be written, that is told once."""
        try:
            return self._write_report(condition, iteration)
        except RealESRGANError as error:
            if not self._pageless:
                self._reporter.warn(f"{error.message}; training goes on without the page")
            self._pageless = True
            return None

    def _write_report(self, condition: Literal["running", "stopped", "finished"], iteration: int) -> Path:
        state = report.State(
            name=self._name,
            condition=condition,
            iteration=iteration,
            total=self._total if self._limit_s is None else None,  # else time is what ends it
            seconds_left=self.seconds_left(iteration) if condition == "running" else None,
            best=self._best_in_words(),
            facts=tuple(self._facts()),
        )
        return report.write(
            self._folder,
            state,
            self._journal,
            held_out=self._held_out,
            bicubic=self._bicubic,
            start=self._start,
            now=self.now,
            findings=self._watch.look(self._journal.logged, self._journal.validated),
        )


def mean_losses(read: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each loss over the iterations that have it."""
    names = dict.fromkeys(name for losses in read for name in losses)
    having = {name: [losses[name] for losses in read if name in losses] for name in names}
    return {name: sum(values) / len(values) for name, values in having.items()}


def _described(line: Logged, seconds_left: float | None) -> str:
    losses = ", ".join(f"{name} {value:.4g}" for name, value in line.losses.items())
    left = "" if seconds_left is None else f", {duration(seconds_left)} left"
    pace = f"{line.pictures_per_second:.1f} pictures/s, {line.waiting_share:.0%} of the time waiting for them"
    return f"iteration {line.iteration}: {losses}; {pace}{left}"
