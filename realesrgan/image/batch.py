"""A batch of pictures, from names to files, as the command line, a page and Python restore it. Prints nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..arrays import final_size, held_bytes
from ..engine.cgroups import free_memory_bytes
from ..errors import UsageError
from ..loading import Settings, Setup, check, max_memory_bytes
from ..model_zoo import DEFAULT_IMAGE_MODEL
from ..outputs import make_folder
from ..restorer import FacePair, Relay, Reporter
from ..values import check_range
from ..words import size
from . import files, formats, jobs
from .faces import save_faces
from .pipeline import Outcome
from .restoring import PictureRestorer

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
    if batch.ext != "auto":
        formats.check_writable(batch.ext)
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


def restore(batch: Batch, selection: jobs.Selection, machines: PictureRestorer, reporter: Reporter) -> Outcome:
    """Have `machines` restore what `select` found; a picture that fails is reported, and the others go on.

    Raises:
        UsageError: a folder for results cannot be written.
        Cancelled: raised by `reporter.check`.
    """
    make_folder(batch.output, "output")
    if batch.save_faces is not None:
        make_folder(batch.save_faces, "save_faces")
    if batch.save_faces is not None:
        reporter = _FaceSaver(batch, batch.save_faces, selection.jobs, reporter)
    wants_faces = batch.save_faces is not None
    outcome = machines.restore_pictures(selection.jobs, reporter, quality=batch.quality, wants_faces=wants_faces)
    return outcome.after(selection)


class _FaceSaver(Relay):
    """Writes the faces that it is told of, and passes everything on."""

    def __init__(self, batch: Batch, folder: Path, selected: Sequence[jobs.PictureJob], reporter: Reporter) -> None:
        super().__init__(reporter)
        self._output, self._folder = batch.output, folder
        self._targets = {job.source: job.target for job in selected}

    def restored_faces(self, source: Path, frame: int | None, pairs: Sequence[FacePair]) -> None:
        target = self._targets[source]
        save_faces(self._folder / target.parent.relative_to(self._output), target.stem, pairs)
        super().restored_faces(source, frame, pairs)
