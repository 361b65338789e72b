"""Restore a batch of pictures on the workers of a cluster: files go there, results come back and appear by rename."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..errors import ImageFileError, RealESRGANError
from ..image.jobs import PictureJob
from ..image.pipeline import Outcome
from ..outputs import appearing, remove_stale_parts
from ..restorer import Reporter
from .ahead import Ahead
from .faces import faces_from
from .scheduler import Client, Scheduler
from .units import Delivery, PictureFacts, PictureOrder, Unit


def restore_pictures(
    scheduler: Scheduler,
    jobs: Iterable[PictureJob | None],
    reporter: Reporter,
    *,
    quality: int,
    wants_faces: bool = False,
) -> Outcome:
    """Restore every job, as `image.pipeline.process` does on one machine; `jobs` may yield None while it waits.

    A picture that fails is reported and the rest goes on.

    Raises:
        Cancelled: raised by `reporter.check`.
        NoWorkers: there is nobody left to do the work.
    """
    pictures = _Pictures(jobs, reporter, quality, wants_faces)
    with Ahead(lambda check: pictures.units()) as units:
        scheduler.run(units, pictures)
    return pictures.outcome


class _Pictures(Client):
    def __init__(self, jobs: Iterable[PictureJob | None], reporter: Reporter, quality: int, wants_faces: bool) -> None:
        self.outcome = Outcome()
        self._jobs = jobs
        self._reporter = reporter
        self._quality = quality
        self._wants_faces = wants_faces
        self._under_way: dict[int, PictureJob] = {}

    def units(self) -> Iterator[Unit | None]:
        tidied: set[Path] = set()
        for number, job in enumerate(self._jobs):
            if job is None:
                yield None
                continue
            folders = {target.parent for target in job.targets} - tidied
            remove_stale_parts(folders)
            tidied |= folders
            order = PictureOrder(
                source=str(job.source),
                name=f"picture{job.source.suffix}",
                targets=tuple(f"{place}{target.suffix}" for place, target in enumerate(job.targets)),
                quality=self._quality,
                wants_faces=self._wants_faces,
            )
            self._under_way[number] = job
            yield Unit(number, str(job.source), job.source, order, float(max(1, job.header.area)))

    def check(self) -> None:
        self._reporter.check()

    def remark(self, message: str) -> None:
        self._reporter.about_machines(message, warning=False)

    def warn(self, message: str) -> None:
        self._reporter.about_machines(message, warning=True)

    def began(self, unit: Unit) -> None:
        self._reporter.started(self._job(unit).source, self._job(unit).header.area)

    def progressed(self, unit: Unit, share: float) -> None:
        self._reporter.progressed(self._job(unit).source, share * self._job(unit).header.area)

    def done(self, unit: Unit, delivery: Delivery) -> None:
        job, facts = self._under_way.pop(unit.number), delivery.facts
        assert isinstance(facts, PictureFacts)
        for line in facts.remarks:
            self._reporter.remark(f"{job.source}: {line}")
        for line in facts.warnings:
            self._reporter.warn(f"{job.source}: {line}")
        try:
            if facts.faces is not None:
                self._reporter.restored_faces(job.source, None, faces_from(facts.faces, delivery.files[facts.files :]))
            for target, file in zip(job.targets, delivery.files, strict=False):
                _move(file, target)
        except (RealESRGANError, OSError) as error:
            self._failed(job, error.message if isinstance(error, RealESRGANError) else str(error))
        else:
            self._reporter.finished(job.source, job.target, ", ".join(facts.facts))
            self.outcome.written.append(job.target)
        finally:
            for file in delivery.files:
                file.unlink(missing_ok=True)

    def failed(self, unit: Unit, reason: str, *, final: bool) -> None:
        self._failed(self._under_way.pop(unit.number), reason)

    def _failed(self, job: PictureJob, reason: str) -> None:
        self.outcome.failures.append(reason if str(job.source) in reason else f"{job.source}: {reason}")
        self._reporter.failed(job.source, reason)

    def _job(self, unit: Unit) -> PictureJob:
        return self._under_way[unit.number]


def _move(file: Path, target: Path) -> None:
    """Rename a file, or copy it where that cannot be, into another file system; it appears whole or not at all.

    Raises:
        ImageFileError: the disk refuses.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        file.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise ImageFileError(f"{target}: cannot be written ({error.strerror or error})") from error
        with appearing(target, ImageFileError) as part:
            shutil.copyfile(file, part)
