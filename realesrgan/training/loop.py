"""Training from the first iteration to the last, in the order in which things happen."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path

from ..degradation.filters import sharpen
from ..engine.device import is_out_of_memory
from ..errors import Cancelled, RealESRGANError
from ..restorer import Reporter
from .checkpoint import Checkpoints
from .chronicle import Best, Chronicle, mean_losses
from .datasets import Batch, OnTheFly, Paired
from .diverged import keep_batch
from .held_out import HeldOut
from .loader import Waiting, batches
from .machine import Machine
from .order import numbers_of
from .recipe import TrainingRecipe
from .state import State
from .step import Losses, Sums, Targets, stage1_step, stage2_step


@dataclass(frozen=True)
class Pace:
    """How long to train, and what to do how often, in iterations.

    `minutes`, over all runs, end a training early.
    """

    total: int
    log_every: int = 100
    save_every: int = 5000
    validate_every: int = 5000
    minutes: float | None = None


@dataclass
class Training:
    """What `train` works with."""

    recipe: TrainingRecipe
    folder: Path
    pace: Pace
    machine: Machine
    state: State
    losses: Losses
    samples: OnTheFly | Paired
    held_out: HeldOut | None = None
    accumulate: int = 1
    workers: int = 0
    keep: int = 3
    tensorboard: Path | None = None

    @property
    def global_batch(self) -> int:
        """Pictures of an iteration, over all processes."""
        return self.recipe.datasets.train.batch_size_per_gpu * self.machine.world


@dataclass(frozen=True)
class Ended:
    """How a training ended: why, after which iteration, and its best measurement.

    `unbeaten_start` says so if that is no better than the start.
    """

    reason: str
    iteration: int
    best: Best | None
    report: Path | None
    unbeaten_start: str | None = None


def train(training: Training, reporter: Reporter) -> Ended:
    """Train until the end, the time limit, or until `reporter.check` raises Cancelled; then save.

    What is drawn depends on the seed and a picture's number alone, and the state is saved whole. So a training that is
    stopped at any moment and resumed ends with the same weights as one that is not.

    Raises:
        RealESRGANError: a loss is no longer a number, a file cannot be written, or memory ran out.
    """
    try:
        return _Loop(training, reporter).run()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise RealESRGANError(
            f"not enough memory on {training.machine.device} for an iteration: `accumulate` 2 or more takes less, and "
            "so does a smaller `batch_size_per_gpu` or `gt_size`"
        ) from error


class _Loop:
    """One call of `train`. Processes that do not lead have no chronicle."""

    def __init__(self, training: Training, reporter: Reporter) -> None:
        self.training, self.recipe, self.machine = training, training.recipe, training.machine
        self.state, self.pace = training.state, training.pace
        self.reporter = reporter
        self.checkpoints = Checkpoints(training.folder, training.keep)
        self.chronicle: Chronicle | None = None
        self.waiting = Waiting()
        self.unread: list[Sums] = []  # of the last iterations: reading would wait for a GPU
        self.read: list[dict[str, float]] = list(training.state.facts.get("since_log", ()))  # of those before

    def run(self) -> Ended:
        report = None
        with ExitStack() as stack:
            self.chronicle = stack.enter_context(self._chronicle()) if self.machine.leads else None
            if self.chronicle is not None:
                self.chronicle.measure_start(self.state.average.network, self.machine.device)
            reason = self._iterate(stack.enter_context(closing(self._batches())))
            if self.state.iteration not in self.checkpoints.iterations():
                if self.state.iteration:  # at the start, all was measured
                    self._validate()
                self._save()
            if self.chronicle is not None:
                condition = "finished" if reason != "stopped" else "stopped"
                report = self.chronicle.write_report(condition, self.state.iteration)  # type: ignore[arg-type]
            best = self.chronicle.best if self.chronicle is not None else None
            unbeaten = self.chronicle.unbeaten_start if self.chronicle is not None else None
        return Ended(reason, self.state.iteration, best, report, unbeaten)

    def _chronicle(self) -> Chronicle:
        pace = self.pace
        chronicle = Chronicle(
            self.recipe.name,
            self.training.folder,
            self.reporter,
            iteration=self.state.iteration,
            total=pace.total,
            seconds_limit=None if pace.minutes is None else 60 * pace.minutes,
            held_out=self.training.held_out,
            pictures=self.recipe.val.save_img,
            tensorboard=self.training.tensorboard,
        )
        if best := self.state.facts.get("best"):
            chronicle.best = Best(**best)
        return chronicle

    def _iterate(self, stream: Iterator[Batch]) -> str:
        """Take steps until there is a reason to stop, and return it."""
        state, pace = self.state, self.pace
        while state.iteration < pace.total:
            if reason := self._reason_to_stop():
                return reason
            try:
                parts = self._next_parts(stream)
            except RealESRGANError:
                self._save_before_failing()
                raise
            self.unread.append(self._step(parts))
            state.iteration += 1
            last = state.iteration == pace.total
            if last or state.iteration % pace.log_every == 0:
                self._log()
            is_validated = last or state.iteration % pace.validate_every == 0
            is_best = is_validated and self._validate()
            if is_best or last or state.iteration % pace.save_every == 0:
                self._save()
            if is_validated and self.chronicle is not None:
                self.chronicle.write_report("running", state.iteration)
        return "finished"

    def _reason_to_stop(self) -> str | None:
        """The leading process decides for all."""
        reason = None
        try:
            self.reporter.check()
        except Cancelled:
            reason = "stopped"
        if (
            self.chronicle is not None
            and self.pace.minutes is not None
            and self.chronicle.seconds > 60 * self.pace.minutes
        ):
            reason = "time is up"
        return self.machine.from_leader(reason)

    def _batches(self) -> Generator[Batch, None, None]:
        machine, batch = self.machine, self.training.global_batch
        mine = (numbers_of(i, batch, machine.rank, machine.world) for i in range(self.state.iteration, self.pace.total))
        return batches(
            self.training.samples,
            (part for numbers in mine for part in _parts(numbers, self.training.accumulate)),
            workers=self.training.workers,
            pin=machine.device.type == "cuda",
            reporter=self.reporter if machine.leads else None,
            waiting=self.waiting,
        )

    def _next_parts(self, stream: Iterator[Batch]) -> list[Batch]:
        count = len(_parts(range(self.recipe.datasets.train.batch_size_per_gpu), self.training.accumulate))
        parts = [next(stream).to(self.machine.device) for _ in range(count)]
        return parts if self.state.pool is None else [self._mixed(part, n) for n, part in enumerate(parts)]

    def _mixed(self, batch: Batch, part: int) -> Batch:
        """Exchange a batch through the published pool. In stage 2 the plain target goes in, and is sharpened after."""
        assert self.state.pool is not None
        plain = self.recipe.stage == 2 and self.recipe.degradation.sharpen
        turn = self.state.iteration * self.training.accumulate + part
        low, target = self.state.pool.exchange((batch.low, batch.target if plain else batch.sharpened), turn)
        return Batch(low, target, sharpen(target) if plain else target, batch.numbers)

    def _step(self, parts: Sequence[Batch]) -> Sums:
        recipe, state, iteration = self.recipe, self.state, self.state.iteration + 1
        state.generator.set_rate(recipe.train.rate(recipe.train.optim_g, iteration))
        if recipe.stage == 1:
            targets = Targets(recipe.gt_usm, recipe.gt_usm)
            return stage1_step(self.machine, state.generator, state.average, self.training.losses, targets, parts)
        assert state.discriminator is not None
        assert recipe.train.optim_d is not None
        state.discriminator.set_rate(recipe.train.rate(recipe.train.optim_d, iteration))
        return stage2_step(
            self.machine,
            state.generator,
            state.discriminator,
            state.average,
            self.training.losses,
            Targets(recipe.l1_gt_usm, recipe.percep_gt_usm, recipe.gan_gt_usm),
            parts,
            generator_learns=iteration % recipe.train.net_d_iters == 0 and iteration > recipe.train.net_d_init_iters,
        )

    def _log(self) -> None:
        """Tell what the iterations since the last log came to."""
        self._check_losses()
        means = self.machine.average(mean_losses(self.read))
        if self.chronicle is not None:
            batch = self.training.global_batch
            self.chronicle.log(
                self.state.iteration,
                means,
                rate=self.state.generator.optimizer.param_groups[0]["lr"],
                pictures=self.state.iteration * batch,
                new_pictures=len(self.read) * batch,
                waited_s=self.waiting.waited_s,
            )
            self.reporter.progressed(self.training.folder, self.state.iteration)
        self.read = []

    def _check_losses(self) -> None:
        """Read what the last iterations came to; stop if a loss is no number, before that is saved."""
        first = self.state.iteration - len(self.unread)
        for iteration, sums in enumerate(self.unread, start=first):
            losses = sums.read()
            if not all(map(math.isfinite, losses.values())):
                raise self._diverged(iteration, losses)
            self.read.append(losses)
        self.unread = []

    def _diverged(self, iteration: int, losses: dict[str, float]) -> RealESRGANError:
        """Keep the batch, so that it can be looked at."""
        numbers = numbers_of(iteration, self.training.global_batch, self.machine.rank, self.machine.world)
        kept = keep_batch(self.training.folder / f"diverged_{iteration + 1}", self.training.samples, numbers)
        wrong = [name for name, value in losses.items() if not math.isfinite(value)]
        are = f"{wrong[0]} is not a number" if len(wrong) == 1 else f"{', '.join(wrong)} are not numbers"
        last = self.checkpoints.iterations()[-1:]
        back = f"the checkpoint of iteration {last[0]} is the last" if last else "there is no checkpoint yet"
        return RealESRGANError(
            f"{are} from iteration {iteration + 1} on: the training has diverged; {back}.{kept} "
            "Try a lower `lr`, or `precision` fp32"
        )

    def _validate(self) -> bool:
        """Measure the averaged network; whether it is the best so far."""
        if self.chronicle is None:
            return False
        is_best = self.chronicle.validate(self.state.average.network, self.machine.device, self.state.iteration)
        if is_best:
            best = self.chronicle.best
            self.state.facts["best"] = best and {"iteration": best.iteration, "psnr": best.psnr}
        return is_best

    def _save_before_failing(self) -> None:
        """Keep what was learned where no more pictures come, as if the training had been stopped."""
        if self.state.iteration and self.state.iteration not in self.checkpoints.iterations():
            with suppress(RealESRGANError):  # the failure that led here is the one to tell
                self._save()

    def _save(self) -> None:
        self._check_losses()
        if self.machine.leads:
            pictures = self.state.iteration * self.training.global_batch
            best = (self.state.facts.get("best") or {}).get("iteration")
            self.state.facts["since_log"] = self.read
            self.checkpoints.save(self.state.checkpoint(self.machine, pictures), best=best)


def _parts(numbers: range, count: int) -> list[range]:
    """`numbers` in `count` parts, as even as can be."""
    ends = [round(part * len(numbers) / count) for part in range(count + 1)]
    return [numbers[a:b] for a, b in zip(ends, ends[1:], strict=False) if b > a]
