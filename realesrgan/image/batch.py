"""A batch of pictures, from names to files, as the command line, a page and Python restore it. Prints nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..arrays import final_size, held_bytes
from ..engine.cgroups import free_memory_bytes
from ..errors import UsageError
from ..loading import Loaded, Settings, Setup, check, max_memory_bytes
from ..model_zoo import DEFAULT_IMAGE_MODEL
from ..outputs import make_folder
from ..restorer import FacePair, Relay, Reporter
from ..values import check_range
from ..words import size
from . import files, formats, jobs
from .faces import save_faces
from .restoring import restore_all

HELD_SHARE = 0.8  # of the free memory, for a picture and its result; computing it takes the rest


@dataclass(frozen=True)
class Batch:
    """Which pictures, and where and how results are written; the names are those of the command line."""

    input: Sequence[str]
    output: Path = Path("results")
    suffix: str = "out"
    ext: str = "auto"
    recursive: bool = False
    skip_existing: bool = False
    quality: int = formats.DEFAULT_QUALITY
    compare: bool = False
    save_faces: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a batch: files written, a line for each failure, and how many results existed before."""

    written: list[Path] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    done_before: int = 0


def select(batch: Batch, settings: Settings) -> tuple[jobs.Selection, Setup]:
    """Validate all options and read the header of every picture; writes nothing, and does not load torch.

    Raises:
        UsageError: an option is invalid, an input does not exist, or a file would be overwritten.
    """
    setup = check(settings, DEFAULT_IMAGE_MODEL)
    check_range("quality", batch.quality, 1, 100)
    check_suffix(batch.suffix)
    if batch.save_faces is not None and not settings.face_enhance:
        raise UsageError(f"`save_faces` {batch.save_faces}: goes with `face_enhance`")
    if batch.ext != "auto" and batch.ext not in formats.writable_formats():
        raise UsageError(f"`ext` {batch.ext}: not in this installation; it has {', '.join(formats.writable_formats())}")
    selection = jobs.select(
        batch.input,
        jobs.Naming(batch.output, batch.suffix, batch.ext, batch.compare),
        recursive=batch.recursive,
        skip_existing=batch.skip_existing,
        refuse=_refusal(settings, setup.scale),
    )
    return selection, setup


def check_suffix(suffix: str) -> None:
    """Raise UsageError if the suffix would lead into another folder."""
    if any(separator in suffix for separator in "/\\"):
        raise UsageError(f"`suffix` {suffix}: is part of a file name and cannot hold a path")


def _refusal(settings: Settings, scale: int) -> Callable[[files.Header, Path], str | None]:
    """Make the function that says why a picture cannot be restored: its result fits into no file, or not into memory.

    Whatever else computing needs, the engine fits into the memory there is.
    """
    allowed = max_memory_bytes(settings.max_memory)
    free = HELD_SHARE * free_memory_bytes() if allowed is None else allowed
    are_there = "are free" if allowed is None else "are allowed (`max_memory`)"

    def refuse(header: files.Header, target: Path) -> str | None:
        height, width = final_size(header.height, header.width, settings.outscale)
        final = (header.height * scale, header.width * scale) if settings.outscale == scale else (height, width)
        padded = (header.height + settings.pre_pad, header.width + settings.pre_pad)
        needed = held_bytes(*padded, header.channels, header.depth_bits, final)
        if needed > free:
            return (
                f"too large: {header.width}×{header.height} pixels and the result of {width}×{height} take "
                f"{size(needed)}, and {size(free)} {are_there}; cut the picture, or try a smaller `outscale`"
            )
        return formats.too_large_for(target, width, height)

    return refuse


def restore(batch: Batch, selection: jobs.Selection, loaded: Loaded, reporter: Reporter) -> Outcome:
    """Restore what `select` found; a picture that fails is reported, and the others go on.

    Raises:
        UsageError: a folder for results cannot be written.
        Cancelled: raised by `reporter.check`.
    """
    make_folder(batch.output, "output")
    if batch.save_faces is not None:
        make_folder(batch.save_faces, "save_faces")
    outcome = Outcome(failures=list(selection.failures), done_before=selection.done_before)
    restore_all(
        selection.jobs,
        loaded.restorers,
        _Bookkeeper(batch, selection.jobs, reporter, outcome),
        quality=batch.quality,
        compare_label=loaded.label,
    )
    return outcome


class _Bookkeeper(Relay):
    """Records the outcome and writes faces, and passes everything on."""

    def __init__(self, batch: Batch, selected: Sequence[jobs.PictureJob], reporter: Reporter, outcome: Outcome) -> None:
        super().__init__(reporter)
        self._batch = batch
        self._targets = {job.source: job.target for job in selected}
        self._outcome = outcome

    def restored_faces(self, source: Path, frame: int | None, pairs: Sequence[FacePair]) -> None:
        if self._batch.save_faces is not None:
            target = self._targets[source]
            save_faces(self._batch.save_faces / target.parent.relative_to(self._batch.output), target.stem, pairs)
        super().restored_faces(source, frame, pairs)

    def finished(self, source: Path, target: Path, facts: str) -> None:
        self._outcome.written.append(target)
        super().finished(source, target, facts)

    def failed(self, source: Path, reason: str) -> None:
        reason = reason if str(source) in reason else f"{source}: {reason}"
        self._outcome.failures.append(reason)
        super().failed(source, reason)
