"""Restore a batch of pictures: a worker of the pipeline for each frame → frame function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from ..arrays import Array
from ..loading import Loaded
from ..restorer import FacePair, Listener, Reporter, Restorer
from ..words import count
from .compare import side_by_side
from .files import Picture
from .formats import DEFAULT_QUALITY
from .jobs import PictureJob
from .pipeline import Made, Outcome, process


class PictureRestorer(Protocol):
    """Restores batches of pictures: on this machine, or on others."""

    def restore_pictures(
        self, jobs: Iterable[PictureJob | None], reporter: Reporter, *, quality: int, wants_faces: bool
    ) -> Outcome:
        """Read, restore and write every job, as `pipeline.process` does.

        A job with a second target also gets a before/after picture there. `wants_faces`: the reporter looks at the
        faces that it is told of, and does not only count them.
        """


@dataclass(frozen=True)
class PicturesHere(PictureRestorer):
    """On the devices of this machine."""

    loaded: Loaded

    def restore_pictures(
        self, jobs: Iterable[PictureJob | None], reporter: Reporter, *, quality: int, wants_faces: bool = False
    ) -> Outcome:
        loaded = self.loaded
        return restore_all(jobs, loaded.restorers, reporter, quality=quality, compare_label=loaded.label)


def restore_all(
    jobs: Iterable[PictureJob | None],
    restorers: Sequence[Restorer],
    reporter: Reporter,
    *,
    quality: int = DEFAULT_QUALITY,
    compare_label: str | None = None,
) -> Outcome:
    """Read, restore and write every job, as `pipeline.process` does.

    A job with a second target also gets a before/after picture there, with `compare_label` as the label of the after.
    """
    workers = [partial(restore, restorer, reporter, compare_label) for restorer in restorers]
    return process(jobs, workers, reporter, quality=quality)


def restore(
    restorer: Restorer,
    reporter: Reporter,
    compare_label: str | None,
    job: PictureJob,
    picture: Picture,
    progressed: Callable[[float], None],
) -> Made:
    """Restore one picture that was read; a worker of `pipeline.process`, once the first three are given."""
    faces: list[int] = []

    def restored_faces(pairs: Sequence[FacePair]) -> None:
        faces.append(len(pairs))
        reporter.restored_faces(job.source, None, pairs)

    pixels = restorer(picture.pixels, Listener(progressed, restored_faces))
    height, width = pixels.shape[:2]
    facts = (f"{width}×{height}", *(count(number, "face") for number in faces[-1:]))
    return Made(_files(job, picture, pixels, compare_label or "restored"), facts)


def _files(job: PictureJob, picture: Picture, pixels: Array, label: str) -> Iterator[tuple[Path, Picture]]:
    yield job.target, replace(picture, pixels=pixels)
    for comparison in job.targets[1:]:
        yield comparison, Picture(side_by_side(picture.pixels, pixels, label))
