"""The work on a picture moves its bar evenly, and its records are written when its files are, and not before."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import picture

from realesrgan.degradation.draw import draw
from realesrgan.degradation.recipe import PUBLISHED
from realesrgan.degradation.records import FILE_NAME, Record, Recorder, read
from realesrgan.degradation.work import Bookkeeper, Worker
from realesrgan.image import files, jobs
from realesrgan.image.files import Picture
from realesrgan.image.jobs import Naming, PictureJob
from realesrgan.restorer import Reporter

COUNT = 3


class Listening(Reporter):
    """Notes how many records there are when a picture is said to be finished."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.recorded: list[int] = []

    def finished(self, source: Path, target: Path, facts: str) -> None:
        self.recorded.append(len(list(read(self._folder / FILE_NAME))))


def records(job: PictureJob, sha256: str) -> list[Record]:
    degradations = [draw(0, number, PUBLISHED) for number in range(COUNT)]
    return [Record(output=f"{one.number}.png", source="a.png", sha256=sha256, degradation=one) for one in degradations]


def test_work_is_done_step_by_step_and_recorded_with_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files.write(Path("a.png"), Picture(picture(24, 28)))
    (job,) = jobs.select(["a.png"], Naming(tmp_path / "lq")).jobs
    shares: list[float] = []
    reporter = Listening(tmp_path)
    with Recorder(tmp_path) as recorder:
        bookkeeper = Bookkeeper(recorder, reporter)
        Worker(records, bookkeeper)(torch.device("cpu"), job, files.read(job.source), shares.append)
        assert list(read(tmp_path / FILE_NAME)) == []
        bookkeeper.finished(job.source, job.target, "")
    assert reporter.recorded == [COUNT]
    assert not bookkeeper.pending  # else memory would grow with every picture
    assert len(shares) == sum(len(one.degradation.steps) for one in records(job, ""))
    assert shares == sorted(set(shares))
    assert shares[-1] == 1
