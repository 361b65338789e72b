"""Degrade a batch of pictures, from names to files, as the command line does. Prints nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..engine.cgroups import free_memory_bytes
from ..errors import ImageFileError, UsageError
from ..image import formats, jobs
from ..image.batch import check_suffix
from ..image.files import Header
from ..image.jobs import PictureJob, Selection
from ..image.pipeline import Outcome, process
from ..outputs import make_folder
from ..restorer import Reporter
from ..values import check_range, check_whole_number
from ..words import size
from . import memory
from .draw import draw
from .naming import DrawnNames, Folders, RecordedNames
from .recipe import PUBLISHED, Recipe
from .records import Record, Recorder, outputs, read

if TYPE_CHECKING:
    import torch

HELD_SHARE = 0.8  # of the free memory, for a picture and what is computed of it
MOST_WORKERS_ON_CPU = 8  # more would wait for the disk


@dataclass(frozen=True)
class Batch:
    """Which pictures, what happens to them, and where results go; the names are those of the command line.

    Attributes:
        recipe, seed: what may happen, and the chance by which it does.
        first_number: variant v of picture p of the selection has the number first_number + p · count + v.
        count: results for each picture.
        originals: also write the originals, cut to a multiple of the scale, under the names of the results, here.
        sheet: also write a contact sheet of each result's stages here.
        replay: make the results of this file of records again, instead of drawing; `only` picks numbers of it.
    """

    input: Sequence[str]
    output: Path = Path("lq")
    suffix: str = ""
    ext: str = "png"
    quality: int = formats.DEFAULT_QUALITY
    recursive: bool = False
    skip_existing: bool = False
    recipe: Recipe = PUBLISHED
    seed: int = 0
    first_number: int = 0
    count: int = 1
    originals: Path | None = None
    sheet: Path | None = None
    replay: Path | None = None
    only: Sequence[int] = ()


@dataclass(frozen=True)
class Plan:
    """What is to be degraded, and how: a function from a job and its file's hash to a record for each result.

    `held_bytes` is the most memory that one of the pictures takes.
    """

    selection: Selection
    records: Callable[[PictureJob, str], list[Record]]
    held_bytes: int = 0


def check(batch: Batch) -> None:
    """Raise UsageError if an option is invalid, or two do not go together; looks at no file."""
    check_range("quality", batch.quality, 1, 100)
    check_suffix(batch.suffix)
    check_whole_number("count", batch.count, 1)
    check_whole_number("seed", batch.seed, 0)
    check_whole_number("first_number", batch.first_number, 0)
    formats.check_writable(batch.ext)
    if batch.only and batch.replay is None:
        raise UsageError("`only`: goes with `replay`; for pictures by themselves there is `first_number`")
    if batch.replay is not None:
        for option in ("recipe", "seed", "first_number", "count", "suffix", "ext"):
            if getattr(batch, option) != getattr(Batch, option):
                raise not_with_replay(option)


def not_with_replay(option: str) -> UsageError:
    return UsageError(f"`{option}`: does not go with `replay`, which makes what is recorded, under the recorded names")


def select(batch: Batch) -> Plan:
    """Validate all options and read the header of every picture; writes nothing.

    Raises:
        UsageError: an option is invalid, an input does not exist, a file would be overwritten, or the records cannot
            be read.
    """
    check(batch)
    folders = Folders(batch.output, batch.originals, batch.sheet)
    if batch.replay is not None:
        return _replay(batch, batch.replay, folders)
    naming = DrawnNames(folders, batch.suffix, batch.ext, batch.count)
    found = _select(batch, naming, batch.recipe.scale, lambda job: batch.count)
    return _planned(batch, found, partial(_draw, batch))


def _planned(batch: Batch, found: Selection, records: Callable[[PictureJob, str], list[Record]]) -> Plan:
    """The plan for what was found, without the pictures that do not fit into memory."""
    free = HELD_SHARE * free_memory_bytes()
    sheets, most = batch.sheet is not None, 0
    for job in list(found.jobs):
        size_of = (job.header.height, job.header.width)
        needed = memory.most_bytes(*size_of, batch.recipe, batch.count, sheets=sheets)
        if needed > free or batch.replay is not None:  # what is drawn may be less than what may be drawn
            degradations = [record.degradation for record in records(job, "")]
            needed = memory.held_bytes(*size_of, degradations, sheets=sheets)
        if needed > free:
            found.jobs.remove(job)
            found.failures.append(
                f"{job.source}: too large: degrading {size_of[1]}×{size_of[0]} pixels takes {size(needed)}, "
                f"{size(free)} are free"
            )
        else:
            most = max(most, needed)
    return Plan(found, records, most)


def _select(
    batch: Batch,
    naming: jobs.Names,
    scale: int,
    results: Callable[[PictureJob], int],
    wanted: Callable[[Path], bool] = lambda relative: True,
) -> Selection:
    """`results` says how many of a job's targets are results."""
    recorded = outputs(batch.output) if batch.skip_existing else set()

    def is_recorded(job: PictureJob) -> bool:  # if not, a run was killed before it could be
        return all(_name_of(target, batch) in recorded for target in job.targets[: results(job)])

    return jobs.select(
        batch.input,
        naming,
        recursive=batch.recursive,
        skip_existing=batch.skip_existing,
        wanted=wanted,
        refuse=partial(_refusal, scale),
        is_done=is_recorded,
    )


def _refusal(scale: int, header: Header, target: Path) -> str | None:
    """Why a picture cannot be degraded, whatever happens to it, or None."""
    if min(header.height, header.width) < scale:
        return f"{header.width}×{header.height} pixels are too few to become {scale} times smaller"
    return None


def _name_of(result: Path, batch: Batch) -> str:
    """How records name a result."""
    return result.relative_to(batch.output).as_posix()


def _draw(batch: Batch, job: PictureJob, sha256: str) -> list[Record]:
    first = batch.first_number + job.number * batch.count
    return [
        Record(
            output=_name_of(target, batch),
            source=job.relative.as_posix(),
            sha256=sha256,
            degradation=draw(batch.seed, first + variant, batch.recipe),
        )
        for variant, target in enumerate(job.targets[: batch.count])
    ]


def _replay(batch: Batch, path: Path, folders: Folders) -> Plan:
    by_source: dict[str, list[Record]] = {}
    found: set[int] = set()
    for record in read(path):
        number = record.degradation.number
        if not batch.only or number in batch.only:
            by_source.setdefault(record.source, []).append(record)
            found.add(number)
    if missing := sorted(set(batch.only) - found):
        raise UsageError(f"`only` {missing[0]}: {path} has no picture of this number")
    if not by_source:
        raise UsageError(f"`replay` {path}: holds no records")
    scale = max(record.degradation.scale for records in by_source.values() for record in records)
    there: set[str] = set()

    def wanted(relative: Path) -> bool:
        there.add(relative.as_posix())
        return relative.as_posix() in by_source

    def results(job: PictureJob) -> int:
        return len(by_source[job.relative.as_posix()])

    selection = _select(batch, RecordedNames(folders, by_source), scale, results, wanted)
    selection.failures += [f"{name}: not among the inputs" for name in by_source if name not in there]
    return _planned(batch, selection, partial(_recorded, by_source))


def _recorded(by_source: Mapping[str, list[Record]], job: PictureJob, sha256: str) -> list[Record]:
    """The records of a file; without its hash, whatever is in it.

    Raises:
        ImageFileError: the file is not the one that was degraded.
    """
    records = by_source[job.relative.as_posix()]
    if sha256 and any(record.sha256 != sha256 for record in records):
        raise ImageFileError(f"{job.source}: not the file that was degraded: its SHA-256 is another")
    return records


def choose_devices(gpu_id: str | int | None, plan: Plan) -> list[torch.device]:
    """A device for each worker: those named; else the best there is, a CPU as often as it has processors and memory.

    Raises:
        UsageError, DeviceError: `gpu_id` names no device, or one that this machine lacks.
    """
    import cv2
    import torch

    from ..engine.device import parse_devices, prepare_cpu

    devices = parse_devices(gpu_id)
    if gpu_id is None and devices[0].type == "cpu":
        prepare_cpu()
        fitting = int(HELD_SHARE * free_memory_bytes() / max(1, plan.held_bytes))
        devices *= max(1, min(torch.get_num_threads(), MOST_WORKERS_ON_CPU, len(plan.selection.jobs), fitting))
    on_cpu = sum(device.type == "cpu" for device in devices)
    prepare_cpu(on_cpu)
    if on_cpu > 1:
        cv2.setNumThreads(1)
    return devices


def degrade(batch: Batch, plan: Plan, devices: Sequence[torch.device], reporter: Reporter) -> Outcome:
    """Degrade what `select` found, with a worker for each of `devices`; results do not depend on how many there are.

    A picture that fails is reported, and the others go on. `records.FILE_NAME` in the output folder gets a line for
    each result.

    Raises:
        UsageError: a folder for results cannot be written.
        Cancelled: raised by `reporter.check`.
    """
    for folder, option in ((batch.output, "output"), (batch.originals, "originals"), (batch.sheet, "sheet")):
        if folder is not None:
            make_folder(folder, option)
    from .work import Bookkeeper, Worker

    with ExitStack() as stack:
        bookkeeper = Bookkeeper(stack.enter_context(Recorder(batch.output)), reporter)
        worker = Worker(plan.records, bookkeeper, originals=batch.originals is not None, sheets=batch.sheet is not None)
        workers = [partial(worker, device) for device in devices]
        outcome = process(plan.selection.jobs, workers, bookkeeper, quality=batch.quality)
    return outcome.after(plan.selection)
