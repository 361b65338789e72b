"""What the commands that train share: run until done or Ctrl-C, sum up."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar

from ..errors import Cancelled
from ..words import count
from . import console
from .reporting import ConsoleReporter

if TYPE_CHECKING:
    from ..training.plan import Request

POLL_S = 0.2  # how soon Ctrl-C is noticed
T = TypeVar("T")


class TrainingReporter(ConsoleReporter):
    """Prints what it is told, and stops the training once `stop` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.stop = threading.Event()

    def check(self) -> None:
        if self.stop.is_set():
            raise Cancelled


def carry_out(request: Request, *, check: bool, resume_hint: str) -> int:
    """Train, or only check; return the exit code. `resume_hint` is how to go on after an interruption."""
    with TrainingReporter() as reporter:
        console.started_up()
        work = (lambda: _check(request, reporter)) if check else (lambda: _train(request, reporter, resume_hint))
        stopping = "stopping" if check else "stopping after this iteration and saving"
        try:
            return _stoppable(
                work, reporter, f"{stopping}; Ctrl-C again ends at once{', without saving' * (not check)}"
            )
        except Cancelled:
            console.say("interrupted" if check else "interrupted before the first iteration")
            return console.INTERRUPTED


def _stoppable(work: Callable[[], T], reporter: TrainingReporter, stopping: str) -> T:
    """Run `work` in a thread, so that Ctrl-C never lands in the middle of a step, and wait until it has saved."""
    with ThreadPoolExecutor(1, "train") as pool:
        future = pool.submit(work)
        while True:
            try:
                while not future.done():
                    wait([future], POLL_S)
                return future.result()
            except KeyboardInterrupt:
                reporter.stop.set()
                console.say(stopping)


def _train(request: Request, reporter: TrainingReporter, resume_hint: str) -> int:
    from ..engine.device import keep_freed_memory
    from ..training.finish import finish
    from ..training.loop import train
    from ..training.plan import prepared

    with prepared(request, reporter) as training:
        if training.machine.device.type == "cpu":
            keep_freed_memory()  # else a step of realesr-animevideov3 takes 6 % longer
        pictures = count(training.samples.count, "picture")
        console.say(
            f"{training.recipe.name}: {pictures}, {training.global_batch} an iteration, "
            f"on {training.machine.described}; into {training.folder}"
        )
        ended = train(training, reporter)
        if not training.machine.leads:
            return console.DONE
        paths = finish(training, ended)
    best = f", the best of {ended.best.iteration} ({ended.best.psnr:.2f} dB)" if ended.best else ""
    best += f"; {ended.unbeaten_start}" if ended.unbeaten_start else ""
    console.print_result(f"{ended.reason} after iteration {ended.iteration}: {paths[0]} and {paths[1].name}{best}")
    if ended.report is not None:
        console.print_result(f"how it went: {ended.report}")
    console.print_result(f"to use it: realesrgan image -i PICTURES --model_path {shlex.quote(str(paths[0]))}")
    if ended.reason == "stopped":
        console.say(resume_hint)
        return console.INTERRUPTED
    return console.DONE


def _check(request: Request, reporter: TrainingReporter) -> int:
    from ..training.check import check

    faults = check(request, reporter)
    for fault in faults:
        console.say(f"fault: {fault}")
    console.print_result(f"{count(len(faults), 'fault')}" if faults else "ready to train")
    return console.SOME_FAILED if faults else console.DONE
