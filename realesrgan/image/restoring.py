"""Restore a batch of pictures: a worker of the pipeline for each frame → frame function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..arrays import Array
from ..restorer import FacePair, Listener, Reporter, Restorer
from ..words import count
from .compare import side_by_side
from .files import Picture
from .formats import DEFAULT_QUALITY
from .jobs import PictureJob
from .pipeline import Made, Outcome, process


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
    workers = [partial(_restore, restorer, reporter, compare_label or "restored") for restorer in restorers]
    return process(jobs, workers, reporter, quality=quality)


def _restore(
    restorer: Restorer,
    reporter: Reporter,
    label: str,
    job: PictureJob,
    picture: Picture,
    progressed: Callable[[float], None],
) -> Made:
    faces: list[int] = []

    def restored_faces(pairs: Sequence[FacePair]) -> None:
        faces.append(len(pairs))
        reporter.restored_faces(job.source, None, pairs)

    pixels = restorer(picture.pixels, Listener(progressed, restored_faces))
    height, width = pixels.shape[:2]
    facts = (f"{width}×{height}", *(count(number, "face") for number in faces[-1:]))
    return Made(_files(job, picture, pixels, label), facts)


def _files(job: PictureJob, picture: Picture, pixels: Array, label: str) -> Iterator[tuple[Path, Picture]]:
    yield job.target, replace(picture, pixels=pixels)
    for comparison in job.targets[1:]:
        yield comparison, Picture(side_by_side(picture.pixels, pixels, label))
