"""What the process that restores does with machines that are not its own: these are played here."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from clips import Clip, moving
from web import picture, until

from realesrgan import machines
from realesrgan.cluster.scheduler import NoWorkers
from realesrgan.errors import RealESRGANError, UsageError
from realesrgan.image.jobs import PictureJob
from realesrgan.image.pipeline import Outcome
from realesrgan.loading import Settings, Setup
from realesrgan.machines import Machines, Where
from realesrgan.restorer import Reporter
from realesrgan.video.pipeline import Tally
from realesrgan.video.restoring import FrameWork, Hearing
from realesrgan.video.segments import Workspace
from realesrgan.web import workshop as workshops
from realesrgan.web.lane import MODELS_KEPT, Lane
from realesrgan.web.messages import (
    Dropped,
    Equipped,
    Failed,
    Finished,
    Kind,
    Noticed,
    Progressed,
    Report,
    Said,
    Started,
    Task,
    WarmUp,
)
from realesrgan.web.picture_lane import PictureLane
from realesrgan.web.turns import Turns
from realesrgan.web.video_lane import VideoLane
from realesrgan.web.workshop import Workshop

MODEL = Settings(model_name="realesr-animevideov3", fp32=True)


@dataclass
class PlayedMachines(Machines):
    """Nodes that take pictures as they come, and do with them what the test says."""

    each: Callable[[PictureJob, Reporter], None] = lambda job, reporter: None
    before: Callable[[Reporter], None] = lambda reporter: None
    film: Callable[[Hearing], None] = lambda hearing: None
    devices: str = "3 nodes with 4 devices"
    at_once: int = 4
    speed: float | None = None

    def wait(self, reporter: Reporter) -> None:
        reporter.about_machines("3 nodes are here", warning=False)

    def lines(self) -> list[str]:
        return []

    def restore_pictures(
        self, jobs: Iterable[PictureJob | None], reporter: Reporter, *, quality: int, wants_faces: bool
    ) -> Outcome:
        self.before(reporter)
        for job in jobs:
            reporter.check()
            if job is not None:
                self._restore(job, reporter)
        return Outcome()

    def _restore(self, job: PictureJob, reporter: Reporter) -> None:
        reporter.started(job.source, 100)
        try:
            self.each(job, reporter)
        except NoWorkers:
            raise
        except RealESRGANError as error:
            reporter.failed(job.source, error.message)
        else:
            reporter.finished(job.source, job.target, "")

    def restore_frames(self, work: FrameWork, workspace: Workspace, hearing: Hearing) -> Tally:
        self.film(hearing)
        raise NoWorkers("the film is only played")


@dataclass
class PlayedConnection:
    machines: PlayedMachines
    is_lost: bool = False
    loaded: list[str] = field(default_factory=list)  # models, in the order they were asked for
    closed: list[str] = field(default_factory=list)

    @contextmanager
    def engaged(self, setup: Setup, reporter: Reporter, folder: Path, *, for_video: bool = False) -> Iterator[Machines]:
        name = f"{setup.label} ×{setup.settings.outscale:g}"
        self.loaded.append(name)
        yield self.machines
        self.closed.append(name)


class Playing:
    """A lane over a played cluster, and what it told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.machines = PlayedMachines()
        self.connection = PlayedConnection(self.machines)
        self.refusals: list[str] = []  # of connecting, before it succeeds
        self.connected = 0
        self.ended = threading.Event()
        self.reports: queue.Queue[Report] = queue.Queue()
        self.seen: list[Report] = []
        self.folder = folder
        self._lanes: list[Lane] = []
        self.workshop = Workshop(Where(ray="played"), folder)
        monkeypatch.setattr(workshops, "connected", self._connect)

    @contextmanager
    def _connect(self, where: Where, reporter: Reporter, gpu_id: object) -> Iterator[PlayedConnection]:
        if self.refusals:
            raise UsageError(self.refusals.pop(0))
        self.connected += 1
        reporter.about_machines("joining", warning=False)
        yield self.connection

    def lane(self, kind: type[Lane] = PictureLane) -> Lane:
        self._lanes.append(kind(self.workshop, Turns(), self.reports.put, self.ended.set))
        return self._lanes[-1]

    def stop(self) -> None:
        for lane in self._lanes:
            lane.stop()
        for lane in self._lanes:
            lane.join(20)

    def task(self, job: str, *, outscale: float = 4.0, kind: Kind = "picture", content: bytes | None = None) -> Task:
        place = self.folder / job
        place.mkdir()
        source = place / ("input.png" if kind == "picture" else "input.mkv")
        source.write_bytes(picture() if content is None else content)
        settings = Settings(model_name=MODEL.model_name, fp32=True, outscale=outscale)
        return Task(job, kind, source, f"my {job}.png", place / "result", "auto", settings)

    def until(self, wanted: Callable[[Report], bool]) -> Any:
        while True:
            self.seen.append(self.reports.get(timeout=20))
            if wanted(self.seen[-1]):
                return self.seen[-1]

    def until_over(self, *jobs: str) -> list[Any]:
        """The last report of each job."""

        def last() -> dict[str, Report]:
            return {report.job: report for report in self.seen if isinstance(report, Finished | Failed | Dropped)}

        while not set(jobs) <= set(last()):
            self.seen.append(self.reports.get(timeout=20))
        return [last()[job] for job in jobs]

    def noticed(self) -> list[str]:
        return [report.text for report in self.seen if isinstance(report, Noticed)]


@pytest.fixture
def playing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Playing]:
    playing = Playing(monkeypatch, tmp_path)
    yield playing
    playing.stop()


def test_before_the_first_job_the_nodes_are_told_and_no_speed(playing: Playing) -> None:
    playing.lane().add(WarmUp(MODEL))
    equipped = playing.until(lambda report: isinstance(report, Equipped))
    assert equipped == Equipped("3 nodes with 4 devices", 4, True, None)
    assert playing.noticed() == ["joining", "3 nodes are here"]


def test_nodes_that_come_and_go_are_told_after_each_batch(playing: Playing) -> None:
    def lose_one(job: PictureJob, reporter: Reporter) -> None:
        playing.machines.devices, playing.machines.at_once = "2 nodes with 2 devices", 2

    playing.machines.each = lose_one
    playing.lane().add(playing.task("a"))
    assert playing.until(lambda report: isinstance(report, Equipped)) == Equipped("2 nodes with 2 devices", 2)


def test_what_is_said_of_nodes_goes_to_the_terminal_and_to_no_client(playing: Playing) -> None:
    def talk(job: PictureJob, reporter: Reporter) -> None:
        reporter.about_machines("node 1 is lost", warning=True)
        reporter.about_machines("node 2: 30 kilopixels", warning=False)
        reporter.warn(f"{job.source}: loses its colours")

    playing.machines.each = talk
    playing.lane().add(playing.task("a"))
    playing.until_over("a")
    assert [report.text for report in playing.seen if isinstance(report, Said)] == ["loses its colours"]
    assert playing.noticed() == ["joining", "node 1 is lost"]


def test_both_lanes_share_one_connection(playing: Playing, tmp_path: Path) -> None:
    film = Clip(moving(3)).write(tmp_path / "clip.mkv").read_bytes()
    pictures, videos = playing.lane(), playing.lane(VideoLane)
    pictures.add(playing.task("a"))
    videos.add(playing.task("v", kind="video", content=film))
    finished, failed = playing.until_over("a", "v")
    assert isinstance(finished, Finished)
    assert "only played" in failed.reason
    assert playing.connected == 1


def test_a_cluster_that_cannot_be_reached_fails_the_job_by_its_sentence_and_the_next_job_tries_again(
    playing: Playing,
) -> None:
    playing.refusals = ["`ray` there:1: no cluster answers", "`ray` there:1: still none"]
    lane = playing.lane()
    for job in ("a", "b", "c"):
        lane.add(playing.task(job))
        playing.until_over(job)
    reasons = [report.reason for report in playing.seen if isinstance(report, Failed)]
    assert reasons == ["`ray` there:1: no cluster answers", "`ray` there:1: still none"]
    assert isinstance(playing.until_over("c")[0], Finished)
    assert not playing.ended.is_set()


def test_when_no_node_is_left_all_pictures_under_way_fail_and_the_next_ones_are_tried(playing: Playing) -> None:
    def fail(job: PictureJob, reporter: Reporter) -> None:
        if "last" not in str(job.source):
            raise NoWorkers("no node has been able to work for 5 min")

    lane = playing.lane()
    playing.machines.each = fail
    lane.add(playing.task("a"))
    assert "5 min" in playing.until_over("a")[0].reason
    lane.add(playing.task("last"))
    assert isinstance(playing.until_over("last")[0], Finished)


def test_when_the_cluster_is_lost_the_process_ends_and_its_jobs_are_not_failed(playing: Playing) -> None:
    def lose(job: PictureJob, reporter: Reporter) -> None:
        playing.connection.is_lost = True
        raise NoWorkers("the head of the cluster does not answer any more")

    playing.machines.each = lose
    playing.lane().add(playing.task("a"))
    assert playing.ended.wait(20)
    playing.until(lambda report: isinstance(report, Noticed) and report.warning)
    assert playing.noticed()[-1] == "the head of the cluster does not answer any more"
    assert not any(isinstance(report, Failed) for report in playing.seen)


def test_a_cancelled_picture_is_let_go_of_and_the_others_are_finished(playing: Playing) -> None:
    lane = playing.lane()

    def cancel_first(job: PictureJob, reporter: Reporter) -> None:
        if "a" in job.source.parent.name:
            lane.cancel("a")
        reporter.progressed(job.source, 50)

    playing.machines.each = cancel_first
    for job in ("a", "b"):
        lane.add(playing.task(job))
    over = playing.until_over("a", "b")
    assert [type(report) for report in over] == [Dropped, Finished]
    assert [report.done for report in playing.seen if isinstance(report, Progressed)] == [50]


def test_a_cancelled_film_stops_at_its_next_check(playing: Playing, tmp_path: Path) -> None:
    lane = playing.lane(VideoLane)

    def cancel(hearing: Hearing) -> None:
        lane.cancel("v")
        hearing.check()

    playing.machines.film = cancel
    film = Clip(moving(3)).write(tmp_path / "clip.mkv").read_bytes()
    lane.add(playing.task("v", kind="video", content=film))
    assert isinstance(playing.until_over("v")[0], Dropped)
    assert [report.total for report in playing.seen if isinstance(report, Started)] == [3]


def test_a_model_that_makes_room_for_another_is_closed_and_all_are_in_the_end(playing: Playing) -> None:
    lane = playing.lane()
    names = [f"realesr-animevideov3 ×{scale}" for scale in (1, 2, 3)]
    for job, scale in (("a", 1), ("b", 2), ("c", 1), ("d", 3)):
        lane.add(playing.task(job, outscale=scale))
        playing.until_over(job)
    assert MODELS_KEPT == 2
    assert playing.connection.loaded == names
    until(lambda: playing.connection.closed == [names[1]])
    playing.stop()
    assert sorted(playing.connection.closed) == names


def test_without_a_cluster_nothing_is_lost_and_nobody_waits(tmp_path: Path) -> None:
    workshop = Workshop(Where(), tmp_path)
    assert workshop.is_here
    assert not workshop.is_lost
    with machines.connected(Where(), Reporter(), None) as connection:
        assert not connection.is_lost
