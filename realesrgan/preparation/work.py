"""What making several files of each picture takes, whatever they are: threads, memory, bookkeeping."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..engine.cgroups import free_memory_bytes, processors
from ..errors import ImageFileError
from ..image.files import Header, Picture
from ..image.formats import DEFAULT_COMPRESSION
from ..image.jobs import PictureJob, Selection
from ..image.pipeline import Worker, process
from ..outputs import make_folder
from ..restorer import Relay, Reporter
from ..words import size

DEFAULT_THREADS = 20  # as published; more than there are processors are not started
HELD_SHARE = 0.8  # of the free memory, for a picture and what is made of it


@dataclass(frozen=True)
class Outcome:
    """What became of a batch: pictures taken, files written, a line for each failure, pictures done by earlier runs."""

    pictures: list[Path] = field(default_factory=list)
    written: list[Path] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    done_before: int = 0


def carry_out(
    selection: Selection,
    worker: Worker,
    reporter: Reporter,
    *,
    output: Path,
    n_thread: int = DEFAULT_THREADS,
    compression: int = DEFAULT_COMPRESSION,
) -> Outcome:
    """Let `worker` make the files of each job; a picture that fails is reported, and the others go on.

    Raises:
        UsageError: the folder for results cannot be written.
        Cancelled: raised by `reporter.check`.
    """
    outcome = Outcome(failures=list(selection.failures), done_before=selection.done_before)
    if not selection.jobs:
        return outcome
    make_folder(output, "output")
    bookkeeper = _Bookkeeper(reporter, selection.jobs, outcome)
    # All work is done as files are written, so one worker hands pictures on to many writers.
    writers = min(thread_count(n_thread), _pictures_held(selection.jobs))
    process(selection.jobs, [worker], bookkeeper, compression=compression, writers=writers)
    return outcome


def thread_count(n_thread: int) -> int:
    """So many threads, but no more than there are processors for this process."""
    return max(1, min(n_thread, math.ceil(processors() or os.cpu_count() or 1)))


def _pictures_held(selected: Sequence[PictureJob]) -> int:
    """How many of the largest picture may be worked on at once, each with as much again made of it."""
    largest = max((job.header.area * job.header.bytes_per_pixel for job in selected), default=1)
    return max(1, int(HELD_SHARE * free_memory_bytes() / (2 * max(1, largest))))


def too_large(header: Header, result_pixels: int) -> str | None:
    """Why a picture and `result_pixels` made of it, held at once, do not fit into memory; None if they do."""
    needed = (header.area + result_pixels) * header.bytes_per_pixel
    free = HELD_SHARE * free_memory_bytes()
    return f"too large: it would take {size(needed)}, and {size(free)} are free" if needed > free else None


def check_unchanged(job: PictureJob, picture: Picture) -> None:
    """Raise ImageFileError if the picture is not as large as its header said when the results were planned."""
    if picture.pixels.shape[:2] != (job.header.height, job.header.width):
        raise ImageFileError(f"{job.source}: changed while it was worked on; run the command again")


class _Bookkeeper(Relay):
    """Records the outcome, and passes everything on."""

    def __init__(self, reporter: Reporter, selected: Sequence[PictureJob], outcome: Outcome) -> None:
        super().__init__(reporter)
        self._targets = {job.source: job.targets for job in selected}
        self._outcome = outcome

    def finished(self, source: Path, target: Path, facts: str) -> None:
        self._outcome.pictures.append(source)
        self._outcome.written.extend(self._targets[source])
        super().finished(source, target, facts)

    def failed(self, source: Path, reason: str) -> None:
        reason = reason if str(source) in reason else f"{source}: {reason}"
        self._outcome.failures.append(reason)
        super().failed(source, reason)
