"""What making several files of each picture takes, whatever they are: threads and memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..engine.cgroups import free_memory_bytes, processor_count
from ..errors import ImageFileError
from ..image.files import Header, Picture
from ..image.formats import DEFAULT_COMPRESSION
from ..image.jobs import PictureJob, Selection
from ..image.pipeline import Outcome, Worker, process
from ..outputs import make_folder
from ..restorer import Reporter
from ..words import size

DEFAULT_THREADS = 20  # as published; more than there are processors are not started
HELD_SHARE = 0.8  # of the free memory, for a picture and what is made of it


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
    make_folder(output, "output")
    # All work is done as files are written, so one worker hands pictures on to many writers.
    writers = min(thread_count(n_thread), _pictures_held(selection.jobs))
    return process(selection.jobs, [worker], reporter, compression=compression, writers=writers).after(selection)


def thread_count(n_thread: int) -> int:
    """So many threads, but no more than there are processors for this process."""
    return max(1, min(n_thread, processor_count()))


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
