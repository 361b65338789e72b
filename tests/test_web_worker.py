"""The process that restores: real pictures and videos through a real pipe, cancelled, killed, started again."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from clips import Clip, moving
from test_video_segments import lose_segments
from web import picture

from realesrgan.loading import Settings
from realesrgan.machines import Where
from realesrgan.video.segments import folder_for
from realesrgan.web.lane import shown
from realesrgan.web.messages import (
    Cancel,
    Dropped,
    Equipped,
    Failed,
    Finished,
    Kind,
    Progressed,
    Report,
    Said,
    Started,
    Task,
    WarmUp,
)
from realesrgan.web.worker_process import WorkerProcess

MODEL = Settings(model_name="realesr-animevideov3", fp32=True)
PATIENCE_S = 60.0
SOON_S = 2.0  # how soon a cancelled job must be let go of, also within a large picture


class Listening:
    """A worker process, and what it told."""

    def __init__(self) -> None:
        self.reports: queue.Queue[Report] = queue.Queue()
        self.seen: list[Report] = []
        self.died = threading.Event()
        self.process = WorkerProcess(self.reports.put, self.died.set, where=Where(), folder=Path())

    def until(self, wanted: Callable[[Report], bool]) -> Any:
        """Everything up to the first report that is `wanted`, which is returned."""
        while True:
            report = self.reports.get(timeout=PATIENCE_S)
            self.seen.append(report)
            if wanted(report):
                return report

    def until_over(self, job: str) -> Any:
        """The last report about a job."""

        def is_last(report: Report) -> bool:
            return isinstance(report, Finished | Failed | Dropped) and report.job == job

        return next(filter(is_last, self.seen), None) or self.until(is_last)


@pytest.fixture(scope="module")
def shared() -> Iterator[Listening]:
    listening = Listening()
    yield listening
    listening.process.stop()


@pytest.fixture
def worker(shared: Listening) -> Listening:
    shared.seen.clear()
    return shared


def task(
    folder: Path,
    job: str,
    content: bytes,
    *,
    extension: str = "png",
    kind: Kind = "picture",
    settings: Settings = MODEL,
) -> Task:
    place = folder / job
    place.mkdir()
    source = place / f"input.{extension}"
    source.write_bytes(content)
    return Task(job, kind, source, f"my {job}.{extension}", place / "result", "auto", settings)


def clip(tmp_path: Path, count: int = 30) -> bytes:
    return Clip(moving(count)).write(tmp_path / "clip.mkv").read_bytes()


def test_a_picture_is_restored_with_progress(worker: Listening, tmp_path: Path) -> None:
    worker.process.give(task(tmp_path, "a", picture(20, 10)))
    finished = worker.until_over("a")
    assert isinstance(finished, Finished)
    assert cv2.imread(str(finished.target)).shape == (40, 80, 3)
    assert [report.total for report in worker.seen if isinstance(report, Started)] == [200]
    assert [report.done for report in worker.seen if isinstance(report, Progressed)][-1] == 200


def test_a_damaged_picture_fails_alone_and_by_the_name_its_owner_knows(worker: Listening, tmp_path: Path) -> None:
    tasks = [task(tmp_path, f"p{number}", picture(24, 16)) for number in range(5)]
    tasks[2].source.write_bytes(picture(24, 16)[:-200])
    for one in tasks:
        worker.process.give(one)
    over = {report.job: report for report in (worker.until_over(one.job) for one in tasks)}
    failed = over.pop("p2")
    assert isinstance(failed, Failed)
    assert str(tmp_path) not in failed.reason
    assert all(isinstance(report, Finished) for report in over.values())


def test_pictures_with_other_options_follow_each_other(worker: Listening, tmp_path: Path) -> None:
    for number in range(6):
        settings = Settings(model_name="realesr-animevideov3", fp32=True, outscale=1 + number % 2)
        worker.process.give(task(tmp_path, f"p{number}", picture(20, 10), settings=settings))
    shapes = [cv2.imread(str(worker.until_over(f"p{number}").target)).shape[1] for number in range(6)]
    assert shapes == [20, 40] * 3


def test_an_unknown_model_fails_the_job_and_not_the_process(worker: Listening, tmp_path: Path) -> None:
    worker.process.give(task(tmp_path, "bad", picture(), settings=Settings(model_name="nothing")))
    assert "nothing" in worker.until_over("bad").reason
    worker.process.give(task(tmp_path, "good", picture()))
    assert isinstance(worker.until_over("good"), Finished)


def test_a_large_picture_is_let_go_of_soon_after_it_is_cancelled(worker: Listening, tmp_path: Path) -> None:
    large = cv2.imencode(".png", np.zeros((3000, 4000, 3), np.uint8))[1].tobytes()
    worker.process.give(task(tmp_path, "large", large))
    worker.until(lambda report: isinstance(report, Progressed) and report.job == "large")
    began = time.monotonic()
    worker.process.give(Cancel("large", "picture"))
    assert isinstance(worker.until_over("large"), Dropped)
    assert time.monotonic() - began < SOON_S
    worker.process.give(task(tmp_path, "next", picture()))
    assert isinstance(worker.until_over("next"), Finished)


def test_a_cancelled_video_goes_on_where_it_was(worker: Listening, tmp_path: Path) -> None:
    video = task(tmp_path, "v", clip(tmp_path, 300), extension="mkv", kind="video")
    worker.process.give(video)
    worker.until(lambda report: isinstance(report, Progressed) and report.done > 245)
    worker.process.give(Cancel("v", "video"))
    assert isinstance(worker.until_over("v"), Dropped)
    worker.seen.clear()
    worker.process.give(video)
    started = worker.until(lambda report: isinstance(report, Started))
    assert (started.total, started.done) == (300, 240)
    finished = worker.until_over("v")
    assert isinstance(finished, Finished)
    assert folder_for(finished.target).is_dir(), "its segments can still be shown"


def test_a_picture_does_not_wait_for_a_film(worker: Listening, tmp_path: Path) -> None:
    worker.process.give(task(tmp_path, "film", clip(tmp_path, 1500), extension="mkv", kind="video"))
    worker.until(lambda report: isinstance(report, Progressed) and report.job == "film")
    worker.process.give(task(tmp_path, "picture", picture(64, 48)))
    assert isinstance(worker.until_over("picture"), Finished)
    worker.process.give(Cancel("film", "video"))
    assert isinstance(worker.until_over("film"), Dropped)


def test_options_without_effect_are_told_to_every_job(worker: Listening, tmp_path: Path) -> None:
    settings = Settings(model_name="realesr-animevideov3", fp32=True, face_enhance=True)
    for job in ("a", "b"):
        worker.process.give(task(tmp_path, job, picture(), settings=settings))
        worker.until_over(job)
        said = [report.text for report in worker.seen if isinstance(report, Said) and report.job == job]
        assert len(said) == 1
        assert "turned off" in said[0]


def test_the_finished_segments_of_a_video_are_counted_up_to_the_first_gap(worker: Listening, tmp_path: Path) -> None:
    video = task(tmp_path, "v", clip(tmp_path, 250), extension="mkv", kind="video")

    def counted() -> list[int]:
        worker.process.give(video)
        worker.until_over("v")
        return [report.clips for report in worker.seen if isinstance(report, Progressed)]

    assert counted()[-1] == 2
    lose_segments(folder_for(worker.until_over("v").target), [0])
    worker.seen.clear()
    again = counted()
    assert [report.done for report in worker.seen if isinstance(report, Started)] == [10]
    assert (again[0], again[-1]) == (0, 2)


def test_the_speed_is_measured_ahead(worker: Listening) -> None:
    worker.process.give(WarmUp(MODEL))
    measured = worker.until(lambda report: isinstance(report, Equipped) and report.speed is not None)
    assert measured.speed > 1e6
    assert measured.devices


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
def test_a_killed_process_is_noticed_and_another_one_works(tmp_path: Path) -> None:
    listening = Listening()
    listening.process.give(task(tmp_path, "a", picture()))
    listening.until_over("a")
    pid = listening.process.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert listening.died.wait(PATIENCE_S)
    assert listening.process.pid is None
    listening.process.give(task(tmp_path, "b", picture()))
    assert isinstance(listening.until_over("b"), Finished)
    second = listening.process.pid
    assert second not in (None, pid)
    listening.died.clear()
    listening.process.stop()
    assert not listening.died.is_set(), "stopped on purpose"
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)  # type: ignore[arg-type]


def test_a_device_that_is_not_there_fails_the_jobs_and_hangs_nothing(tmp_path: Path) -> None:
    listening = Listening()
    missing = Settings(model_name="realesr-animevideov3", gpu_id="nonsense")
    listening.process.give(WarmUp(missing))
    listening.process.give(task(tmp_path, "a", picture(), settings=missing))
    assert "nonsense" in listening.until_over("a").reason
    listening.process.stop()
    assert not listening.died.is_set()


def test_weights_that_are_missing_are_told_in_one_line_without_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REALESRGAN_OFFLINE", "1")
    monkeypatch.setenv("REALESRGAN_CACHE", str(tmp_path / "cache"))
    listening = Listening()
    missing = Settings(model_name="RealESRGAN_x2plus", fp32=True)
    listening.process.give(task(tmp_path, "a", picture(), settings=missing))
    reason = listening.until_over("a").reason
    listening.process.stop()
    assert "could not be downloaded" in reason
    assert "\n" not in reason
    assert str(tmp_path) not in reason


def test_a_failure_names_files_as_their_owner_does(tmp_path: Path) -> None:
    failed = task(tmp_path, "a", picture())
    target = failed.output / "input_out.png"
    assert shown(failed, f"{target}: cannot be written") == "my a_out.png: cannot be written"
    assert shown(failed, f"{failed.source}: damaged") == "damaged"
    assert (
        shown(failed, f"libx264 into {failed.output / 'input_out.work'} failed") == "libx264 into my a_out.work failed"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
def test_a_process_that_cannot_go_on_ends(tmp_path: Path) -> None:
    listening = Listening()
    listening.process.give(WarmUp(None))  # type: ignore[arg-type]  # a bug
    assert listening.died.wait(PATIENCE_S)
