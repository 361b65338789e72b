"""What commands over batches of pictures share: say what was found, do the work, sum up."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ..errors import spell
from ..words import count, duration
from . import console

if TYPE_CHECKING:
    from ..image.jobs import Selection
    from ..image.pipeline import Outcome
    from .reporting import PictureReporter

MOST_NAMED = 3  # results of a picture; of more, the first and the last are named

# Loads what the work needs and returns the work.
Prepare: TypeAlias = "Callable[[PictureReporter], Callable[[], Outcome]]"


def say_what_was_found(selection: Selection) -> None:
    """Say which files are passed over, and which fail before any work."""
    for line in selection.passed_over:
        console.say(f"passed over: {line}")
    for line in selection.failures:
        console.say(f"failed: {line}")


def print_plan(selection: Selection, said: str) -> int:
    """Print what would be made of each picture, and `said` of all; return the exit code."""
    for job in selection.jobs:
        targets = [str(target) for target in job.targets]
        if len(targets) > MOST_NAMED:
            targets = [f"{targets[0]} … {job.targets[-1].name}"]
        console.print_result(f"{job.source}  {job.header.width}×{job.header.height} → {', '.join(targets)}")
    console.print_result(spell(f"{said}, nothing written", console.flag))
    return console.SOME_FAILED if selection.failures else console.DONE


def carry_out(
    selection: Selection,
    output: Path,
    done: str | Callable[[Outcome], str],
    prepare: Prepare,
    *,
    in_long_steps: bool = False,
) -> int:
    """Do the work on a selection, report it, and return the exit code.

    `done` says in a word what a picture now is, or all that was done. `in_long_steps`: when interrupted, the work may
    not notice for long, and the process ends without waiting for it.
    """
    from ..image.pipeline import Outcome
    from ..outputs import make_folder
    from .reporting import PictureReporter

    seconds = 0.0
    with PictureReporter({job.source: job.header.area for job in selection.jobs}) as reporter:
        outcome = Outcome([], selection.failures, selection.done_before)
        if selection.jobs:
            make_folder(output, "output")
            work = prepare(reporter)

            def interrupted() -> str:
                return (
                    f"interrupted after {reporter.finished_count} of {count(len(selection.jobs), 'picture')}; "
                    "the same command with `skip_existing` does the rest"
                )

            console.started_up(interrupted if in_long_steps else None)
            began = time.monotonic()
            try:
                outcome = work()
            except KeyboardInterrupt:
                reporter.close()
                console.say(interrupted())
                return console.INTERRUPTED
            seconds = time.monotonic() - began
    if not (outcome.written or outcome.failures or outcome.done_before or selection.without_target):
        console.print_result("no pictures found")
        return console.DONE
    said = f"{len(outcome.written)} {done}" if isinstance(done, str) else spell(done(outcome), console.flag)
    console.print_result(_summary(outcome, reporter, output, said, seconds))
    return console.SOME_FAILED if outcome.failures else console.DONE


def _summary(outcome: Outcome, reporter: PictureReporter, output: Path, said: str, seconds: float) -> str:
    written, failed = len(outcome.written), len(outcome.failures)
    parts = [said]
    parts += [count(reporter.faces, "face")] if reporter.faces is not None else []
    parts += [f"{failed} failed"] if failed else []
    parts += [f"{outcome.done_before} done before"] if outcome.done_before else []
    how = ""
    if written and seconds > 0:
        speed = reporter.pixels_done / seconds / 1000
        how = f" in {duration(seconds)} ({speed:.1f} kilopixels/s); they are in {output}"
    return f"{', '.join(parts)}{how}"
