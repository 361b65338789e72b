"""Every unit is done once and counted once, whatever becomes of the workers; nobody waits for one that is gone.

Workers are played, and so is time: no test waits.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from realesrgan.cluster.patience import Limits
from realesrgan.cluster.pool import Broken, Done, Event, Failed, Heard, Joined, Lost, Progressed, Said
from realesrgan.cluster.scheduler import Client, NoWorkers, Scheduler
from realesrgan.cluster.units import Delivery, Unit, WorkerInfo
from realesrgan.errors import ImageFileError

LIMITS = Limits(silence_s=60, first_s=600, alone_s=300)


def units(count: int, work: float = 1.0) -> list[Unit]:
    return [Unit(number, f"unit {number}", Path(str(number)), None, work) for number in range(count)]


@dataclass
class PlayedWorker:
    """Takes `seconds` for each unit, one after the other, and tells of every tenth of it.

    Attributes:
        stops_at: when it falls silent, as if its cable were pulled.
        hangs_on: units that it never gets ahead with, though it answers.
        breaks_on: units that it fails, with whether that is final.
        dies_of: units that end it.
    """

    info: WorkerInfo
    seconds: float = 10.0
    stops_at: float = float("inf")
    hangs_on: set[int] = field(default_factory=set)
    breaks_on: dict[int, bool] = field(default_factory=dict)
    dies_of: set[int] = field(default_factory=set)
    queue: list[Unit] = field(default_factory=list)
    spent: float = 0.0
    most_at_once: int = 0
    was_given: list[int] = field(default_factory=list)


class PlayedSession:
    """Moves time on by `step` with every look for events."""

    def __init__(self, workers: Sequence[PlayedWorker], step: float = 1.0) -> None:
        self.now = 0.0
        self.step = step
        self.workers = {worker.info.worker: worker for worker in workers}
        self.joining: list[tuple[float, PlayedWorker]] = []
        self.killing: list[tuple[float, str]] = []
        self.dismissed: dict[str, str] = {}
        self.expecting = False
        self._ready: list[Event] = [Joined(worker.info) for worker in workers]

    def clock(self) -> float:
        return self.now

    def give(self, worker: str, unit: Unit) -> None:
        player = self.workers[worker]
        player.queue.append(unit)
        player.was_given.append(unit.number)
        player.most_at_once = max(player.most_at_once, len(player.queue))

    def drop(self, worker: str, number: int) -> None:
        player = self.workers[worker]
        if player.queue and player.queue[0].number == number:
            player.spent = 0.0
        player.queue = [unit for unit in player.queue if unit.number != number]

    def dismiss(self, worker: str, reason: str) -> None:
        self.dismissed[worker] = reason
        del self.workers[worker]

    def is_expecting(self) -> bool:
        return self.expecting

    def events(self, timeout_s: float) -> list[Event]:
        self.now += self.step
        for when, player in [entry for entry in self.joining if entry[0] <= self.now]:
            self.joining.remove((when, player))
            self.workers[player.info.worker] = player
            self._ready.append(Joined(player.info))
        for when, name in [entry for entry in self.killing if entry[0] <= self.now]:
            self.killing.remove((when, name))
            if self.workers.pop(name, None):
                self._ready.append(Lost(name, "its node was removed"))
        for player in list(self.workers.values()):
            if self.now < player.stops_at:
                self._ready += self._played(player)
        ready, self._ready = self._ready, []
        return ready

    def _played(self, player: PlayedWorker) -> Iterator[Event]:
        name = player.info.worker
        yield Heard(name)
        left = self.step
        while player.queue and left > 0:
            unit = player.queue[0]
            if unit.number in player.dies_of:
                yield Progressed(name, unit.number, 0.0)
                yield Lost(name, "its process ended", crashed=True)
                del self.workers[name]
                return
            if unit.number in player.breaks_on:
                player.queue.pop(0)
                yield Failed(name, unit.number, "out of memory", player.breaks_on[unit.number])
                continue
            if unit.number in player.hangs_on:
                yield Progressed(name, unit.number, 0.5)
                return
            used = min(left, player.seconds * unit.work - player.spent)
            player.spent, left = player.spent + used, left - used
            yield Progressed(name, unit.number, min(1.0, player.spent / (player.seconds * unit.work)))
            if player.spent >= player.seconds * unit.work - 1e-9:
                player.queue.pop(0)
                player.spent = 0.0
                yield Done(name, unit.number, Delivery(f"{unit.number} by {name}"))


class Listening(Client):
    def __init__(self) -> None:
        self.results: dict[int, object] = {}
        self.failures: dict[int, str] = {}
        self.lines: list[str] = []
        self.shares: dict[int, list[float]] = {}
        self.begun: list[int] = []

    def warn(self, message: str) -> None:
        self.lines.append(message)

    def began(self, unit: Unit) -> None:
        self.begun.append(unit.number)

    def progressed(self, unit: Unit, share: float) -> None:
        self.shares.setdefault(unit.number, []).append(share)

    def done(self, unit: Unit, delivery: Delivery) -> None:
        assert unit.number not in self.results, "counted twice"
        self.results[unit.number] = delivery.facts

    def failed(self, unit: Unit, reason: str, *, final: bool) -> None:
        assert unit.number not in self.failures
        self.failures[unit.number] = reason


def crew(count: int, **facts: object) -> list[PlayedWorker]:
    infos = [WorkerInfo(f"w{number}", f"n{number}", f"node {number}", "cpu") for number in range(count)]
    return [PlayedWorker(info, **facts) for info in infos]  # type: ignore[arg-type]


def run(session: PlayedSession, work: Sequence[Unit | None], client: Listening | None = None) -> Listening:
    client = client or Listening()
    Scheduler(session, LIMITS, session.clock).run(iter(work), client)
    return client


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_all_units_are_done_in_the_time_that_sharing_them_out_evenly_takes(count: int) -> None:
    session = PlayedSession(crew(count), step=0.5)
    heard = run(session, units(60))
    assert sorted(heard.results) == heard.begun == list(range(60))
    assert session.now <= -(-60 // count) * 10 + 1
    assert heard.lines == []


def test_no_worker_has_more_than_two_units_and_units_are_asked_for_only_then() -> None:
    asked: list[int] = []

    def noted() -> Iterator[Unit]:
        for unit in units(30):
            asked.append(unit.number)
            yield unit

    workers = crew(3)
    session = PlayedSession(workers)
    client = Listening()

    class Counting(PlayedSession):
        def events(self, timeout_s: float) -> list[Event]:
            assert len(asked) <= len(client.results) + 6
            return super().events(timeout_s)

    session = Counting(workers)
    Scheduler(session, LIMITS, session.clock).run(noted(), client)
    assert {worker.most_at_once for worker in workers} == {2}
    assert len(client.results) == 30


def test_a_slow_worker_holds_up_nobody_at_the_end() -> None:
    fast, slow = crew(2)
    slow.seconds = 200.0
    session = PlayedSession([fast, slow])
    run(session, units(10))
    assert session.now <= 10 * 10 + 12  # the fast one did all, also what the slow one had begun


def test_units_that_are_not_there_yet_are_waited_for() -> None:
    session = PlayedSession(crew(2))
    heard = run(session, [None, *units(3)[:1], None, None, *units(3)[1:]])
    assert sorted(heard.results) == [0, 1, 2]


def test_a_node_that_is_lost_costs_one_line_and_its_units_are_done_by_others() -> None:
    session = PlayedSession(crew(3))
    session.killing = [(15.0, "w1")]
    heard = run(session, units(12))
    assert sorted(heard.results) == list(range(12))
    assert heard.lines == ["node 1 (cpu): its node was removed; its work goes to others"]


@pytest.mark.parametrize(("work", "seconds", "patience"), [(1.0, 2.0, 60), (1.0, 30.0, 150), (4.0, 30.0, 600)])
def test_a_silent_node_is_given_up_after_five_times_what_its_unit_should_take_but_a_minute_at_least(
    work: float, seconds: float, patience: float
) -> None:
    workers = crew(2, seconds=seconds)
    workers[1].stops_at = 3 * seconds * work + 1
    given_up: list[float] = []

    class Noting(PlayedSession):
        def dismiss(self, worker: str, reason: str) -> None:
            given_up.append(self.now)
            super().dismiss(worker, reason)

    session = Noting(workers)
    heard = run(session, units(100, work))
    assert sorted(heard.results) == list(range(100))
    assert given_up == [pytest.approx(workers[1].stops_at + patience, abs=3)]
    assert [line for line in heard.lines if "has not answered for" in line] == heard.lines
    assert len(heard.lines) == 1


def test_an_idle_worker_does_not_wait_for_a_silent_one() -> None:
    workers = crew(2)
    workers[1].stops_at = 31.0
    session = PlayedSession(workers)
    heard = run(session, units(8))
    assert sorted(heard.results) == list(range(8))
    assert session.now < 65  # its deadline is at 91


def test_before_anything_is_known_patience_is_longer() -> None:
    workers = crew(1, seconds=400.0)
    workers[0].stops_at = 30.0
    session = PlayedSession(workers, step=1.0)
    session.joining = [(700.0, crew(2)[1])]
    heard = run(session, units(1))
    assert heard.lines == ["node 0 (cpu): has not answered for 10 min 0 s; its work goes to others"]
    assert heard.results == {0: "0 by w1"}


def test_a_worker_that_answers_but_gets_nowhere_is_given_up_too() -> None:
    workers = crew(3)
    workers[0].hangs_on = {6}
    workers[1].hangs_on = {6}
    session = PlayedSession(workers)
    heard = run(session, units(12))
    assert sorted(heard.results) == list(range(12))
    assert all("no progress with unit 6" in reason for reason in session.dismissed.values())


def test_a_unit_that_fails_on_three_nodes_fails_by_name_and_the_rest_is_done() -> None:
    workers = crew(4, breaks_on={5: False})
    heard = run(PlayedSession(workers), units(10))
    assert sorted(heard.results) == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert heard.failures == {5: heard.failures[5]}
    assert heard.failures[5].startswith("failed 3 times, the last on node ")
    assert sum(5 in worker.was_given for worker in workers) == 3


def test_a_unit_that_ends_its_worker_takes_at_most_three_with_it_by_itself_and_one_with_another_unit() -> None:
    workers = crew(5, dies_of={2})
    session = PlayedSession(workers)
    heard = run(session, units(20))
    assert set(heard.failures) == {2}
    assert sorted(heard.results) == [number for number in range(20) if number != 2]
    assert len(session.workers) == 1


def test_a_unit_at_workers_that_were_killed_by_chance_is_tried_for_the_last_time_after_all_others() -> None:
    class Killing(PlayedSession):
        left = 3  # the first time beside another unit, which does not count

        def _played(self, player: PlayedWorker) -> Iterator[Event]:
            if self.left and player.queue and player.queue[0].number == 4:
                self.left -= 1
                del self.workers[player.info.worker]
                yield Lost(player.info.worker, "its process ended", crashed=True)
            else:
                yield from super()._played(player)

    session = Killing(crew(4))
    heard = run(session, units(20))
    assert session.left == 0
    assert heard.failures == {}
    assert sorted(heard.results) == list(range(20))
    assert list(heard.results)[-1] == 4


@pytest.mark.parametrize("place", [0, 1])
def test_a_unit_that_ends_workers_while_it_is_only_read_fails_alone_and_is_found_by_the_fourth(place: int) -> None:
    """It waits behind another there, which is not at fault."""

    class Reading(PlayedSession):
        def _played(self, player: PlayedWorker) -> Iterator[Event]:
            if any(unit.number == 4 for unit in player.queue[place:]):
                name = player.info.worker
                del self.workers[name]
                return iter([Lost(name, "its process ended", crashed=True)])
            return super()._played(player)

    session = Reading(crew(6))
    heard = run(session, units(30))
    assert set(heard.failures) <= {4}
    assert set(heard.results) | set(heard.failures) == set(range(30))
    assert len(session.workers) >= 2


def test_what_was_at_a_worker_that_ended_is_given_alone() -> None:
    workers = crew(4)
    workers[0].dies_of = {0}
    together: dict[int, set[int]] = {}

    class Noting(PlayedSession):
        def give(self, worker: str, unit: Unit) -> None:
            super().give(worker, unit)
            numbers = {one.number for one in self.workers[worker].queue}
            for number in numbers:
                together.setdefault(number, set()).update(numbers)
            if not self.workers.get("w0"):
                suspects = numbers & set(workers[0].was_given)
                assert not suspects or len(numbers) == 1

    heard = run(Noting(workers), units(20))
    assert sorted(heard.results) == list(range(20))
    assert len(workers[0].was_given) == 2
    assert any(len(numbers) > 1 for numbers in together.values())


def test_a_unit_that_must_be_alone_does_not_wait_for_the_end() -> None:
    workers = crew(3)
    workers[0].dies_of = {0}
    ends: list[int] = []

    class Noting(Listening):
        def done(self, unit: Unit, delivery: Delivery) -> None:
            ends.append(unit.number)
            super().done(unit, delivery)

    run(PlayedSession(workers), units(60), Noting())
    assert ends.index(0) < 10


def test_what_waited_behind_a_unit_that_ended_its_worker_is_not_suspected() -> None:
    workers = crew(6)
    for worker in workers:
        worker.dies_of = {0, 3}
    session = PlayedSession(workers[:5])
    session.joining = [(20.0, crew(7)[6])]
    heard = run(session, units(12))
    assert set(heard.failures) <= {0, 3}
    assert set(heard.results) | set(heard.failures) == set(range(12))


def test_with_one_node_a_unit_is_tried_three_times_there() -> None:
    (worker,) = workers = crew(1, breaks_on={1: False})
    heard = run(PlayedSession(workers), units(3))
    assert worker.was_given.count(1) == 3
    assert set(heard.failures) == {1}


def test_a_unit_that_is_itself_at_fault_is_tried_once() -> None:
    workers = crew(3, breaks_on={1: True})
    heard = run(PlayedSession(workers), units(3))
    assert heard.failures == {1: "out of memory"}
    assert sum(worker.was_given.count(1) for worker in workers) == 1


def test_a_node_that_joins_in_the_middle_is_given_work_at_once() -> None:
    session = PlayedSession(crew(1))
    late = crew(2)[1]
    session.joining = [(45.0, late)]
    heard = run(session, units(12))
    assert sorted(heard.results) == list(range(12))
    assert len(late.was_given) >= 4


def test_where_nobody_can_take_part_it_says_so_soon_but_not_while_somebody_is_expected() -> None:
    session = PlayedSession([])
    with pytest.raises(NoWorkers, match="can take part"):
        run(session, units(1))
    assert 10 < session.now < 13
    session = PlayedSession([])
    session.expecting = True
    session.joining = [(2000.0, crew(1)[0])]
    assert list(run(session, units(1)).results) == [0]


def test_when_all_are_gone_it_waits_five_minutes_for_another() -> None:
    for late_s in (300.0, 330.0):
        session = PlayedSession(crew(1))
        session.killing = [(15.0, "w0")]
        session.joining = [(late_s, crew(2)[1])]
        if late_s < 315:
            assert sorted(run(session, units(3)).results) == [0, 1, 2]
        else:
            with pytest.raises(NoWorkers, match="5 min"):
                run(session, units(3))


def test_a_node_that_is_left_out_is_said_once() -> None:
    session = PlayedSession(crew(1))
    session._ready.append(Said("node 7 has another version", warning=True))
    assert run(session, units(2)).lines == ["node 7 has another version"]


def test_a_cluster_that_is_gone_ends_the_job_with_its_reason() -> None:
    session = PlayedSession(crew(1))
    session._ready.append(Broken("the head of the cluster is gone"))
    with pytest.raises(NoWorkers, match="head of the cluster"):
        run(session, units(2))


def test_one_job_after_the_other_goes_to_the_same_workers() -> None:
    session = PlayedSession(crew(2))
    scheduler = Scheduler(session, LIMITS, session.clock)
    for count in (5, 7):
        client = Listening()
        scheduler.run(iter(units(count)), client)
        assert sorted(client.results) == list(range(count))
        assert sum(worker.done for worker in scheduler.workers.values()) == count


def test_whoever_stops_the_work_stops_it() -> None:
    class Stopping(Listening):
        def check(self) -> None:
            if len(self.results) == 2:
                raise KeyboardInterrupt

    client = Stopping()
    with pytest.raises(KeyboardInterrupt):
        run(PlayedSession(crew(1)), units(5), client)
    assert len(client.results) == 2


@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_each_unit_is_done_or_has_failed_once(seed: int) -> None:
    """Workers of unlike speeds that die, fall silent, hang and join at random, with two units that cannot be done."""
    chance = random.Random(seed)
    workers = crew(6)
    poisoned = {3: False, 17: True}
    for worker in workers:
        worker.seconds = chance.choice([1.0, 5.0, 20.0])
        worker.breaks_on = dict(poisoned)
        if chance.random() < 0.3:
            worker.stops_at = chance.uniform(0, 100)
        if chance.random() < 0.3:
            worker.hangs_on = {chance.randrange(40)}
    session = PlayedSession(workers[:3])
    session.joining = [(chance.uniform(0, 200), worker) for worker in workers[3:]]
    session.joining += [(900.0, replace(crew(8)[7], breaks_on=dict(poisoned)))]
    session.killing = [(chance.uniform(0, 100), f"w{number}") for number in range(2)]
    session.expecting = True
    heard = run(session, units(40))
    assert set(heard.results) | set(heard.failures) == set(range(40))
    assert not set(heard.results) & set(heard.failures)
    assert {3, 17} <= set(heard.failures)
    assert set(heard.failures) - {3, 17} <= set.union(*(worker.hangs_on for worker in workers))


@pytest.mark.parametrize("number", [0, 3, 9])
def test_a_unit_that_its_client_no_longer_wants_fails_alone(number: int) -> None:
    class Withdrawing(Listening):
        def progressed(self, unit: Unit, share: float) -> None:
            if unit.number == number and share > 0.3:
                raise ImageFileError("withdrawn")
            super().progressed(unit, share)

    session = PlayedSession(crew(2))
    client = run(session, units(10), Withdrawing())
    assert client.failures == {number: "withdrawn"}
    assert sorted(client.results) == [other for other in range(10) if other != number]
    assert client.lines == []


def test_a_unit_that_is_unwanted_before_it_begins_is_not_counted_when_it_is_done() -> None:
    class Withdrawing(Listening):
        def began(self, unit: Unit) -> None:
            raise ImageFileError("withdrawn")

    client = run(PlayedSession(crew(1, seconds=0.5)), units(3), Withdrawing())
    assert client.results == {}
    assert sorted(client.failures) == [0, 1, 2]


def test_a_job_without_units_ends_when_there_is_a_worker() -> None:
    session = PlayedSession([])
    session.joining = [(5.0, crew(1)[0])]
    run(session, [])
    assert 4 < session.now < 8
