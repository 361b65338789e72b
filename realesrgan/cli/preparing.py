"""What the commands that make pictures ready for training share: messages, a bar, a summary."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..errors import spell
from ..words import count
from . import console

if TYPE_CHECKING:
    from ..image.jobs import Selection
    from ..preparation.lists import Listed
    from ..preparation.work import Outcome
    from ..restorer import Reporter

L = TypeVar("L", bound="Listed")


def make(
    selection: Selection,
    work: Callable[[Reporter], Outcome],
    counted: Callable[[int], str],
    notes: Callable[[Collection[Path]], list[str]],
    *,
    dry_run: bool,
) -> int:
    """Do the `work` that `selection` names, show it, and return the exit code.

    `counted` says how many results there are, `notes` are what else to say of the pictures they were made of.
    """
    from .reporting import PictureReporter

    for line in selection.passed_over:
        console.say(f"passed over: {line}")
    for line in selection.failures:
        console.say(f"failed: {line}")
    if dry_run:
        return _print_plan(selection, counted, notes)
    with PictureReporter({job.source: job.header.area for job in selection.jobs}) as reporter:
        console.started_up()
        try:
            outcome = work(reporter)
        except KeyboardInterrupt:
            reporter.close()
            done = f"{reporter.finished_count} of {count(len(selection.jobs), 'picture')}"
            console.say(f"interrupted after {done}; the same command with `skip_existing` does the rest")
            return console.INTERRUPTED
    parts = [count(len(outcome.pictures), "picture"), counted(len(outcome.written)), *notes(outcome.pictures)]
    parts += [f"{len(outcome.failures)} failed"] if outcome.failures else []
    parts += [f"{outcome.done_before} done before"] if outcome.done_before else []
    if not any((outcome.pictures, outcome.failures, outcome.done_before, selection.without_target)):
        parts = ["no pictures found"]
    console.print_result(spell(", ".join(parts), console.flag))
    return console.SOME_FAILED if outcome.failures else console.DONE


def _print_plan(
    selection: Selection, counted: Callable[[int], str], notes: Callable[[Collection[Path]], list[str]]
) -> int:
    for job in selection.jobs:
        last = f" … {job.targets[-1].name}" if len(job.targets) > 1 else ""
        console.print_result(f"{job.source}  {job.header.width}×{job.header.height} → {job.target}{last}")
    results = sum(len(job.targets) for job in selection.jobs)
    sources = [job.source for job in selection.jobs]
    parts = [count(len(sources), "picture"), counted(results), *notes(sources), "nothing written"]
    console.print_result(spell(", ".join(parts), console.flag))
    return console.SOME_FAILED if selection.failures else console.DONE


def write_list(work: Callable[[Reporter], L], meta_info: Path, describe: Callable[[L], str]) -> L:
    """Write a list, and say how many lines it has (`describe`) and what paths are relative to."""
    from .reporting import CheckingReporter

    with CheckingReporter() as reporter:
        console.started_up()
        listed = work(reporter)
    parts = [describe(listed), f"paths relative to {', '.join(map(str, dict.fromkeys(listed.roots)))}"]
    parts += [f"{len(listed.failures)} failed"] if listed.failures else []
    console.print_result(f"{meta_info}  {', '.join(parts)}")
    return listed
