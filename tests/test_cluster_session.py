"""Units on their way: each event is of the unit that was given, whoever was given what before, and nothing is left."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from cluster import QUICK, PlayedCluster, PlayedNode, heard, node, own_facts, session_of
from test_cluster_crew import all_of, begun
from tiny import picture, save_weights, tiny_srvgg

from realesrgan.cluster.crew import Crew
from realesrgan.cluster.patience import Limits
from realesrgan.cluster.pool import Done, Event, Failed, Joined, Lost, Progressed
from realesrgan.cluster.scheduler import Client, Scheduler
from realesrgan.cluster.session import CrewSession
from realesrgan.cluster.units import Delivery, PictureOrder, Unit
from realesrgan.loading import Settings, Setup, check
from realesrgan.restorer import Listener, Restorer

pytestmark = pytest.mark.usefixtures("temporary")


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    folder = tmp_path / "spool"
    folder.mkdir()
    return folder


@pytest.fixture
def setup(srvgg_file: Path) -> Setup:
    return check(Settings(model_path=srvgg_file, fp32=True), "realesr-animevideov3")


def unit(folder: Path, number: int, width: int = 12) -> Unit:
    """A picture as a unit; its result is known by its width."""
    path = folder / f"{number}-{width}.png"
    cv2.imwrite(str(path), picture(8, width, seed=number))
    order = PictureOrder(str(path), "picture.png", ("0.png",), quality=95, wants_faces=False)
    return Unit(number, path.name, path, order, 8.0 * width)


def width_of(event: Event) -> int:
    assert isinstance(event, Done)
    return int(cv2.imread(str(event.delivery.files[0])).shape[1]) // 4


def first_worker(session: CrewSession) -> str:
    return next(event.info.worker for event in heard(session, all_of(1)) if isinstance(event, Joined))


def done(events: list[Event]) -> bool:
    return isinstance(events[-1], (Done, Failed))


class Gate:
    """Keeps a worker computing until it is opened, as for a large picture."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Event()

    def computing(self, restorer: Restorer) -> Restorer:
        def restore(frame: Any, listener: Listener) -> Any:
            self.entered.set()
            while not self.open.wait(0.002):
                listener.progressed(0.5)
            return restorer(frame, listener)

        return restore


def test_what_is_done_of_a_dropped_unit_is_not_taken_for_a_later_one_of_its_number(
    setup: Setup, tmp_path: Path, spool: Path
) -> None:
    with begun(PlayedCluster(node()), setup, spool) as session:
        worker = first_worker(session)
        session.give(worker, unit(tmp_path, 0, width=12))
        while not list(spool.iterdir()) or session._carried:  # it is done, and nobody has heard
            threading.Event().wait(0.005)
        session.drop(worker, 0)
        session.give(worker, unit(tmp_path, 0, width=20))
        assert width_of(heard(session, done)[-1]) == 20
        assert len(list(spool.iterdir())) == 1


def test_progress_of_a_dropped_unit_is_not_that_of_a_later_one_of_its_number(
    setup: Setup, tmp_path: Path, spool: Path
) -> None:
    gate = Gate()
    one = node()
    one.computing = gate.computing
    with begun(PlayedCluster(one), setup, spool) as session:
        worker = first_worker(session)
        session.give(worker, unit(tmp_path, 0))
        heard(session, lambda events: isinstance(events[-1], Progressed) and events[-1].share == 0.5)
        session.drop(worker, 0)
        gate.open.set()
        session.give(worker, unit(tmp_path, 0, width=20))
        events = heard(session, done)
    assert 0.5 not in [event.share for event in events if isinstance(event, Progressed)]


def test_events_that_are_not_taken_come_again(setup: Setup, spool: Path) -> None:
    with begun(PlayedCluster(node("a"), node("b")), setup, spool) as session:
        found: list[str] = []
        while len(found) < 2:
            for event in session.events(0.05):
                if isinstance(event, Joined):
                    found.append(event.info.name)
                    break  # as a job that stops
        assert sorted(found) == ["a", "b"]


class Collecting(Client):
    def __init__(self, stop_at: int | None = None) -> None:
        self.widths: dict[int, int] = {}
        self.stop_at = stop_at

    def done(self, unit: Unit, delivery: Delivery) -> None:
        self.widths[unit.number] = width_of(Done("", 0, delivery))
        if len(self.widths) == self.stop_at:
            raise KeyboardInterrupt


def test_a_job_that_is_stopped_leaves_nothing_to_the_next_one_of_its_session(
    setup: Setup, tmp_path: Path, spool: Path
) -> None:
    with begun(PlayedCluster(node("a"), node("b")), setup, spool) as session:
        scheduler = Scheduler(session)
        for round_ in range(6):
            stopped = Collecting(stop_at=1 + round_ % 3)
            with pytest.raises(KeyboardInterrupt):
                scheduler.run(iter([unit(tmp_path, number, 12) for number in range(8)]), stopped)
            whole = Collecting()
            scheduler.run(iter([unit(tmp_path, number, 13 + number) for number in range(5)]), whole)
            assert whole.widths == {number: 13 + number for number in range(5)}


def test_dropped_units_leave_no_files_at_the_worker(setup: Setup, tmp_path: Path, spool: Path, temporary: Path) -> None:
    gate = Gate()
    one = node()
    one.computing = gate.computing
    with begun(PlayedCluster(one), setup, spool) as session:
        worker = first_worker(session)
        for number in range(2):
            session.give(worker, unit(tmp_path, number))
        assert gate.entered.wait(20)
        for number in range(2):
            session.drop(worker, number)
        (folder,) = temporary.iterdir()
        until(lambda: not list(folder.iterdir()))
        gate.open.set()
        session.give(worker, unit(tmp_path, 2, width=20))
        assert width_of(heard(session, done)[-1]) == 20


def until(condition: Any) -> None:
    for _ in range(4000):
        if condition():
            return
        threading.Event().wait(0.005)
    raise AssertionError("waited in vain")


def test_leaving_while_units_run_ends_everything_and_leaves_no_files(
    setup: Setup, tmp_path: Path, spool: Path, temporary: Path
) -> None:
    gate = Gate()
    nodes = [node("a"), node("b")]
    for one in nodes:
        one.computing = gate.computing
    with begun(PlayedCluster(*nodes), setup, spool) as session:
        workers = [event.info.worker for event in heard(session, all_of(2)) if isinstance(event, Joined)]
        for number in range(4):
            session.give(workers[number % 2], unit(tmp_path, number))
        assert gate.entered.wait(20)
        crew = session._crew
    assert all(process.end is not None for one in nodes for process in one.processes)
    assert not crew._tasks
    assert not crew.keys
    until(lambda: not list(temporary.iterdir()))
    assert not list(spool.iterdir())


def test_a_worker_that_stops_answering_is_given_up_and_its_unit_done_elsewhere(
    setup: Setup, tmp_path: Path, spool: Path
) -> None:
    silent = node("b")
    limits = Limits(silence_s=0.3, first_s=0.3)
    warnings: list[str] = []

    class Warned(Collecting):
        def warn(self, message: str) -> None:
            warnings.append(message)

    def stop(call: Any) -> None:
        silent.is_stopped |= call.method == "restore"

    silent.before = stop
    with begun(PlayedCluster(node("a"), silent), setup, spool) as session:
        heard_by = Warned()
        Scheduler(session, limits).run(iter([unit(tmp_path, number, 12 + number) for number in range(12)]), heard_by)
        assert heard_by.widths == {number: 12 + number for number in range(12)}
        silent.is_stopped = False


def models(folder: Path, count: int) -> Iterator[Setup]:
    for seed in range(count):
        path = save_weights(tiny_srvgg(seed=seed), folder / f"{seed}.pth")
        yield check(Settings(model_path=path, fp32=True), "realesr-animevideov3")


def test_several_jobs_on_one_crew_get_their_own_results(tmp_path: Path, spool: Path) -> None:
    """More models than a worker keeps, in turns."""
    results: dict[int, list[Any]] = {}

    class Reading(Client):
        def __init__(self, place: int) -> None:
            self.place = place

        def done(self, unit: Unit, delivery: Delivery) -> None:
            results.setdefault(self.place, []).append((unit.number, cv2.imread(str(delivery.files[0]))))

        def failed(self, unit: Unit, reason: str, *, final: bool) -> None:
            raise AssertionError(reason)

    setups = list(models(tmp_path, 3))
    errors: list[BaseException] = []

    def work(place: int, crew: Crew) -> None:
        own = spool / str(place)
        own.mkdir()
        try:
            with session_of(crew, setups[place], own) as session:
                Scheduler(session).run(iter([unit(tmp_path, number) for number in range(6)]), Reading(place))
        except BaseException as error:
            errors.append(error)

    with Crew(PlayedCluster(node("a"), node("b")), own_facts(), limits=QUICK) as crew:
        work(0, crew)
        expected = results.pop(0)
        shutil.rmtree(spool / "0")
        threads = [threading.Thread(target=work, args=(place, crew)) for place in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []
    pictures = {place: dict(found) for place, found in results.items()}
    assert all(sorted(found) == list(range(6)) for found in pictures.values())
    for number, pixels in expected:
        assert np.array_equal(pictures[0][number], pixels)
        assert not np.array_equal(pictures[1][number], pictures[2][number])


def test_a_worker_that_ends_loses_its_units_and_a_new_one_does_them(setup: Setup, tmp_path: Path, spool: Path) -> None:
    gate = Gate()
    one: PlayedNode = node()
    one.computing = gate.computing
    with begun(PlayedCluster(one), setup, spool, retry_s=0.05) as session:
        worker = first_worker(session)
        session.give(worker, unit(tmp_path, 0))
        assert gate.entered.wait(20)
        one.processes[0].die("its process ended", crashed=True)
        gate.open.set()
        events = heard(session, all_of(1))
        assert [event.reason for event in events if isinstance(event, Lost)] == ["its process ended"]
        assert session._given == {}
        assert session._carried == {}
        again = next(event.info.worker for event in events if isinstance(event, Joined))
        session.give(again, replace(unit(tmp_path, 0, width=20)))
        assert width_of(heard(session, done)[-1]) == 20
