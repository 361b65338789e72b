"""Pictures cut into overlapping pieces, which training reads faster: NAME_s001, NAME_s002, … row by row."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ..errors import UsageError
from ..image import formats, jobs
from ..image.files import Header, Picture
from ..image.formats import DEFAULT_COMPRESSION
from ..image.pipeline import Made, Outcome
from ..restorer import Reporter
from ..values import check_range, check_whole_number
from ..words import count
from . import settings
from .work import DEFAULT_THREADS, carry_out, check_unchanged, too_large

_SCALE_MARKS = re.compile("x[2348]")  # of low-resolution pictures, which are then named as their originals
_KEPT_FORMATS = ("png", "tiff", "bmp")  # others lose something each time they are written


@dataclass(frozen=True)
class Grid:
    """Where pictures are cut, in pixels: `crop_size` × `crop_size` every `step`.

    What the last piece leaves of a row or column gets a piece of its own at the edge if it is more than `thresh_size`.
    A picture that is smaller than a piece gives none or, with `keep_small`, pieces as large as it allows.
    """

    crop_size: int = 480
    step: int = 240
    thresh_size: int = 0
    keep_small: bool = False

    def starts(self, length: int) -> list[int]:
        """Where pieces begin along a side of `length` pixels."""
        if length < self.crop_size:
            return [0] if self.keep_small else []
        starts = list(range(0, length - self.crop_size + 1, self.step))
        if length - (starts[-1] + self.crop_size) > self.thresh_size:
            starts.append(length - self.crop_size)
        return starts

    def pieces(self, height: int, width: int) -> list[tuple[slice, slice]]:
        """The rows and columns of each piece, row by row."""
        return [
            (slice(top, top + min(self.crop_size, height)), slice(left, left + min(self.crop_size, width)))
            for top in self.starts(height)
            for left in self.starts(width)
        ]


@dataclass(frozen=True)
class Subimages:
    """Which pictures, how they are cut, and where the pieces go; the names are those of the command line."""

    input: Sequence[str]
    output: Path
    recursive: bool = False
    skip_existing: bool = False
    crop_size: int = Grid.crop_size
    step: int = Grid.step
    thresh_size: int = Grid.thresh_size
    keep_small: bool = False
    keep_names: bool = False
    compression_level: int = DEFAULT_COMPRESSION
    n_thread: int = DEFAULT_THREADS

    @property
    def grid(self) -> Grid:
        return Grid(self.crop_size, self.step, self.thresh_size, self.keep_small)

    @property
    def settings(self) -> dict[str, object]:
        """What a folder of pieces must have in common. With `keep_small` there are more of them, but no others."""
        names = ("crop_size", "step", "thresh_size", "keep_names")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class _Names:
    """Says where the pieces of a picture go. Lossy formats become PNG, so that no piece is compressed twice."""

    folder: Path
    grid: Grid
    keep_names: bool

    def targets(self, relative: Path, header: Header) -> tuple[Path, ...]:
        stem = relative.stem if self.keep_names else _SCALE_MARKS.sub("", relative.stem)
        extension = relative.suffix if formats.format_of(relative) in _KEPT_FORMATS else ".png"
        folder = self.folder / relative.parent
        pieces = self.grid.pieces(header.height, header.width)
        return tuple(folder / f"{stem}_s{number:03d}{extension}" for number in range(1, len(pieces) + 1))


def select(request: Subimages) -> jobs.Selection:
    """Validate the request and read the header of every picture; writes nothing.

    `without_target` of the selection are the pictures that are too small.

    Raises:
        UsageError: an option is invalid, an input does not exist, a file would be overwritten, or the folder for
            results holds pieces that were cut differently.
    """
    for name, least in (("crop_size", 1), ("step", 1), ("thresh_size", 0), ("n_thread", 1)):
        check_whole_number(name, getattr(request, name), least)
    check_range("compression_level", request.compression_level, 0, 9)
    settings.compare(request.output, request.settings)
    names = _Names(request.output, request.grid, request.keep_names)
    try:
        return jobs.select(
            request.input,
            names,
            recursive=request.recursive,
            skip_existing=request.skip_existing,
            refuse=lambda header, target: too_large(header, 0),
        )
    except UsageError as error:
        if request.keep_names or "would both be written to" not in error.message:
            raise
        raise UsageError(
            f"{error.message}; x2, x3, x4 and x8 in names are left out, `keep_names` keeps them"
        ) from error


def cut(request: Subimages, selection: jobs.Selection, reporter: Reporter) -> Outcome:
    """Write the pieces of what `select` found.

    Depth, transparency and colour profile are kept; other metadata is left out.

    Raises:
        UsageError: the folder for results cannot be written.
        Cancelled: raised by `reporter.check`.
    """
    settings.record(request.output, request.settings)
    return carry_out(
        selection,
        partial(_cut, request.grid),
        reporter,
        output=request.output,
        n_thread=request.n_thread,
        compression=request.compression_level,
    )


def _cut(grid: Grid, job: jobs.PictureJob, picture: Picture, progressed: Callable[[float], None]) -> Made:
    check_unchanged(job, picture)
    whole = replace(picture, metadata=picture.metadata.colours_only(), warnings=(), remarks=())
    pieces = grid.pieces(job.header.height, job.header.width)
    files = (
        (target, replace(whole, pixels=picture.pixels[piece]))
        for target, piece in zip(job.targets, pieces, strict=True)
    )
    return Made(files, (count(len(pieces), "sub-image"),), timed=False)
