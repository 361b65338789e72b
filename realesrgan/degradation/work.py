"""The work on one picture of a batch: degrade it as its records say, and hand over the files to write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from ..arrays import Array
from ..image.files import Picture
from ..image.jobs import PictureJob
from ..image.pipeline import Made
from ..restorer import Relay, Reporter
from ..weights.check import sha256_of
from ..words import count
from .pixels import cut_to_multiple, from_pixels, to_colour, to_pixels
from .process import stages
from .records import Record, Recorder
from .sheets import StageSheet


class Bookkeeper(Relay):
    """Adds the records of what is finished to a file, and passes everything on."""

    def __init__(self, recorder: Recorder, reporter: Reporter) -> None:
        super().__init__(reporter)
        self._recorder = recorder
        self.pending: dict[Path, list[Record]] = {}

    def finished(self, source: Path, target: Path, facts: str) -> None:
        self._recorder.add(self.pending.pop(source))
        super().finished(source, target, facts)


class Worker:
    """Degrades pictures on a device given with each; `records` says how, from a job and its file's hash.

    With `originals` or `sheets`, jobs have targets for these after those of the results.
    """

    def __init__(
        self,
        records: Callable[[PictureJob, str], list[Record]],
        bookkeeper: Bookkeeper,
        *,
        originals: bool = False,
        sheets: bool = False,
    ) -> None:
        self._records = records
        self._bookkeeper = bookkeeper
        self._originals = originals
        self._sheets = sheets

    def __call__(
        self, device: torch.device, job: PictureJob, picture: Picture, progressed: Callable[[float], None]
    ) -> Made:
        records = self._records(job, sha256_of(job.source))
        self._bookkeeper.pending[job.source] = records
        self._remark(job, picture.pixels, records[0].degradation.scale)
        made = [
            self._degrade(picture.pixels, record, device, lambda share, n=n: progressed((n + share) / len(records)))  # type: ignore[misc]
            for n, record in enumerate(records)
        ]
        files = [Picture(pixels) for kind in zip(*made, strict=True) for pixels in kind]
        height, width = made[0][0].shape[:2]
        facts = (f"{width}×{height}", *([count(len(records), "variant")] if len(records) > 1 else []))
        return Made(zip(job.targets, files, strict=True), facts)

    def _remark(self, job: PictureJob, pixels: Array, scale: int) -> None:
        if pixels.ndim == 3 and pixels.shape[2] == 4:
            self._bookkeeper.remark(f"{job.source}: its transparency is left out")
        height, width = pixels.shape[:2]
        if (height % scale or width % scale) and not self._originals:
            cut = f"{width - width % scale}×{height - height % scale}"
            self._bookkeeper.remark(
                f"{job.source}: cut to {cut}, a multiple of {scale}; `originals` writes what belongs to the result"
            )

    def _degrade(
        self, pixels: Array, record: Record, device: torch.device, progressed: Callable[[float], None]
    ) -> list[Array]:
        """The result and, if wanted, the original and the sheet."""
        degradation = record.degradation
        original = to_colour(cut_to_multiple(pixels, degradation.scale))
        picture = from_pixels(original, device)
        sheet = StageSheet(picture) if self._sheets else None
        for done, (step, after) in enumerate(stages(picture, [degradation]), start=1):
            progressed(done / len(degradation.steps))
            if sheet is not None:
                sheet.add(step, after)
            picture = after
        made = [to_pixels(picture)]
        made += [original] if self._originals else []
        made += [sheet.draw(_title(record))] if sheet is not None else []
        return made


def _title(record: Record) -> str:
    return f"{record.source}, seed {record.degradation.seed}, number {record.degradation.number}"
