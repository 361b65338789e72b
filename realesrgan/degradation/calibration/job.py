"""The job: measure a folder's pictures, several at a time, and propose a recipe. Prints nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...arrays import Array
from ...engine.cgroups import processor_count
from ...errors import ImageFileError, UsageError
from ...image import files, formats, jobs
from ...image.jobs import PictureJob, Selection
from ...image.pipeline import Made, process
from ...outputs import make_folder, place_of, write_whole
from ...restorer import Reporter
from ...values import check_whole_number
from . import comparison
from .measuring import LEAST_SIDE, Measurement, measure, read_tables
from .proposal import Proposal, propose
from .summary import Summary

MOST_WORKERS = 4  # reading is what takes longest


@dataclass(frozen=True)
class Request:
    """Which pictures, and what is wanted of them; the names are those of the command line.

    Attributes:
        scale: how many times smaller than the originals the recipe makes its results.
        output: also write the recipe here.
        sheet: draw some of the pictures here, beside sharp ones that went through the recipe.
        sharp: these sharp ones; none: the pictures themselves, made smaller.
    """

    input: Sequence[str]
    recursive: bool = False
    scale: int = 4
    output: Path | None = None
    sheet: Path | None = None
    sharp: Sequence[str] = ()


@dataclass(frozen=True)
class Found:
    """The pictures to measure and the sharp ones; their failures include those of reading headers."""

    selection: Selection
    sharp: tuple[Path, ...]


@dataclass
class Result:
    """What came of it: the recipe, None if no picture could be measured, and a line for each failure."""

    proposal: Proposal | None
    failures: list[str] = field(default_factory=list)


def select(request: Request) -> Found:
    """Validate all options and read the header of every picture; writes nothing.

    Raises:
        UsageError: an option is invalid, an input does not exist, there is no picture, or one would be overwritten.
    """
    check_whole_number("scale", request.scale, 1)
    if request.scale > 16:
        raise UsageError(f"`scale` {request.scale}: must be at most 16")
    if request.sharp and request.sheet is None:
        raise UsageError("`sharp`: goes with `sheet`")
    if request.sheet is not None:
        formats.check_name(request.sheet, "sheet")
    selection, sharp = _pictures(request.input, "input", request.recursive), Selection()
    if request.sharp:
        sharp = _pictures(request.sharp, "sharp", request.recursive)
        if not sharp.jobs:
            raise UsageError(f"`sharp` {' '.join(request.sharp)}: there are no pictures")
    if not (selection.jobs or selection.failures):
        raise UsageError(f"`input` {' '.join(request.input)}: there are no pictures")
    _refuse_overwrites(request, [job.source for job in (*selection.jobs, *sharp.jobs)])
    return Found(selection, tuple(job.source for job in sharp.jobs))


def _pictures(inputs: Sequence[str], option: str, recursive: bool) -> Selection:
    """Every picture as a job without targets: nothing is made of it."""
    found = Selection()
    for path, relative in jobs.find_files(inputs, found, option=option, recursive=recursive):
        header = jobs.header_of(path, found, named_itself=path in map(Path, inputs))
        if header is not None:
            found.jobs.append(PictureJob(path, header, (), relative, len(found.jobs)))
    return found


def _refuse_overwrites(request: Request, sources: Sequence[Path]) -> None:
    places = {place_of(source) for source in sources}
    for option, path in (("output", request.output), ("sheet", request.sheet)):
        if path is None:
            continue
        if path.is_dir():
            raise UsageError(f"`{option}` {path}: a folder; name a file")
        if place_of(path) in places:
            raise UsageError(f"`{option}` {path}: is one of the pictures, and would be overwritten")
        places.add(place_of(path))


def calibrate(request: Request, found: Found, reporter: Reporter) -> Result:
    """Measure what `select` found and propose a recipe; a picture that fails is reported, and the others go on.

    Raises:
        UsageError: a file cannot be written.
        Cancelled: raised by `reporter.check`.
    """
    for option, path in (("output", request.output), ("sheet", request.sheet)):
        if path is not None:
            make_folder(path.parent, option)
    pictures = found.selection.jobs
    pairs = min(comparison.PAIRS, len(pictures)) if request.sheet is not None else 0
    worker = _Worker({at * len(pictures) // pairs for at in range(pairs)})  # evenly spread
    workers = max(1, min(MOST_WORKERS, processor_count(), len(pictures)))
    outcome = process(pictures, [worker] * workers, reporter)
    result = Result(None, [*found.selection.failures, *outcome.failures])
    if worker.measured:
        measured = Summary(tuple(worker.measured[number] for number in sorted(worker.measured)))
        reporter.remark("trying recipes until one's results measure the same")
        result.proposal = propose(measured, request.scale, lambda share: reporter.check())
        _write(request, found, worker, result.proposal, reporter)
    return result


def _write(request: Request, found: Found, worker: _Worker, proposal: Proposal, reporter: Reporter) -> None:
    if request.output is not None:
        write_whole(request.output, proposal.text.encode(), "output")
    if request.sheet is not None:
        sources = [worker.shown[number] for number in sorted(worker.shown)]
        pixels = comparison.draw(sources, found.sharp, proposal.recipe, reporter)
        files.write(request.sheet, files.Picture(pixels))


class _Worker:
    """Measures a picture, and keeps what the sheet shows of those whose numbers are `wanted`."""

    def __init__(self, wanted: set[int]) -> None:
        self._wanted = wanted
        self.measured: dict[int, Measurement] = {}
        self.shown: dict[int, comparison.Real] = {}

    def __call__(self, job: PictureJob, picture: files.Picture, progressed: Callable[[float], None]) -> Made:
        height, width = picture.pixels.shape[:2]
        if min(height, width) < LEAST_SIDE:
            raise ImageFileError(
                f"{job.source}: {width}×{height} pixels are too few to judge, {LEAST_SIDE} a side are needed"
            )
        measured = self._measure(job.source, picture.pixels)
        self.measured[job.number] = measured
        if job.number in self._wanted:
            self.shown[job.number] = comparison.Real.of(job.source.name, picture.pixels, measured)
        return Made((), measured.facts())

    def _measure(self, source: Path, pixels: Array) -> Measurement:
        try:
            return measure(pixels, read_tables(source))
        except OSError as error:
            raise ImageFileError(f"{source}: cannot be read ({error.strerror})") from error
