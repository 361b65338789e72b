"""Smaller copies of pictures, to train on objects of every size: NAMET0, T1, T2, T3 beside each other, always PNG."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..image import jobs
from ..image.files import Header, Picture
from ..image.pipeline import Made, Outcome
from ..restorer import Reporter
from ..values import check_whole_number
from .lanczos import resize
from .work import DEFAULT_THREADS, carry_out, check_unchanged, too_large

FACTORS = (0.75, 0.5, 1 / 3)  # of T0, T1 and T2, as published
SHORTEST_SIDE = 400  # pixels, of T3: the crop that training begins with


@dataclass(frozen=True)
class Multiscale:
    """Which pictures, and where their copies go; the names are those of the command line."""

    input: Sequence[str]
    output: Path
    recursive: bool = False
    skip_existing: bool = False
    no_enlarge: bool = False
    n_thread: int = DEFAULT_THREADS


@dataclass(frozen=True)
class _Names:
    """Says where the copies of a picture go."""

    folder: Path
    no_enlarge: bool

    def targets(self, relative: Path, header: Header) -> tuple[Path, ...]:
        folder = self.folder / relative.parent
        sizes = copy_sizes(header.height, header.width, no_enlarge=self.no_enlarge)
        return tuple(folder / f"{relative.stem}T{number}.png" for number in range(len(sizes)))


def copy_sizes(height: int, width: int, *, no_enlarge: bool = False) -> tuple[tuple[int, int], ...]:
    """Height and width of T0 to T3, rounded down as published but never to nothing.

    T3 has a shortest side of 400 pixels, so it is larger than a small picture; with `no_enlarge` it is then left out.
    """
    sizes = [(max(1, int(height * factor)), max(1, int(width * factor))) for factor in FACTORS]
    if not (no_enlarge and is_small(height, width)):
        # In this order of operations, which settles what is rounded down to which integer.
        if width < height:
            sizes.append((int(SHORTEST_SIDE * (height / width)), SHORTEST_SIDE))
        else:
            sizes.append((SHORTEST_SIDE, int(SHORTEST_SIDE * (width / height))))
    return tuple(sizes)


def is_small(height: int, width: int) -> bool:
    """Whether T3 would be larger than the picture itself."""
    return min(height, width) < SHORTEST_SIDE


def select(request: Multiscale) -> jobs.Selection:
    """Validate the request and read the header of every picture; writes nothing.

    Raises:
        UsageError: an option is invalid, an input does not exist, or a file would be overwritten.
    """
    check_whole_number("n_thread", request.n_thread, 1)

    def refuse(header: Header, target: Path) -> str | None:
        sizes = copy_sizes(header.height, header.width, no_enlarge=request.no_enlarge)
        return too_large(header, max(height * width for height, width in sizes))

    names = _Names(request.output, request.no_enlarge)
    return jobs.select(
        request.input, names, recursive=request.recursive, skip_existing=request.skip_existing, refuse=refuse
    )


def make_copies(request: Multiscale, selection: jobs.Selection, reporter: Reporter) -> Outcome:
    """Write the copies of what `select` found.

    Depth, transparency and colour profile are kept; other metadata is left out.

    Raises:
        UsageError: the folder for results cannot be written.
        Cancelled: raised by `reporter.check`.
    """
    return carry_out(selection, _copy, reporter, output=request.output, n_thread=request.n_thread)


def _copy(job: jobs.PictureJob, picture: Picture, progressed: Callable[[float], None]) -> Made:
    check_unchanged(job, picture)
    facts = [f"{len(job.targets)} copies"]
    if is_small(job.header.height, job.header.width):
        facts.append(f"T3 {'enlarged' if len(job.targets) > len(FACTORS) else 'left out'}")
    return Made(_copies(job, picture), tuple(facts), timed=False)


def _copies(job: jobs.PictureJob, picture: Picture) -> Iterator[tuple[Path, Picture]]:
    said = picture.metadata.colours_only()
    sizes = copy_sizes(job.header.height, job.header.width)
    for target, (height, width) in zip(job.targets, sizes, strict=False):
        yield target, Picture(resize(picture.pixels, height, width), said)
