"""What the commands that make pictures ready for training share: plans, sums, lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from . import console

if TYPE_CHECKING:
    from ..image.jobs import PictureJob, Selection
    from ..image.pipeline import Outcome
    from ..preparation.lists import Listed
    from ..restorer import Reporter

L = TypeVar("L", bound="Listed")


def done_of(selection: Selection, outcome: Outcome) -> list[PictureJob]:
    """The jobs that were done."""
    by_target = {job.target: job for job in selection.jobs}
    return [by_target[target] for target in outcome.written]


def files_of(jobs: Iterable[PictureJob]) -> int:
    """How many files are made of all `jobs`."""
    return sum(len(job.targets) for job in jobs)


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
