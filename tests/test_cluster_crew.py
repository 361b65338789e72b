"""Who takes part in a job, who is left out and why, and what becomes of workers that end; said in one line each."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cluster import (
    QUICK,
    Call,
    Killed,
    PlayedCluster,
    PlayedProcess,
    Ref,
    heard,
    node,
    own_caches,
    own_facts,
    session_of,
)

from realesrgan.cluster.crew import SMALL_CHUNK_BYTES, Crew, Seat
from realesrgan.cluster.nodes import Device, NodeFacts
from realesrgan.cluster.pool import Broken, Event, Joined, Lost, Said
from realesrgan.cluster.remote import ProcessDied
from realesrgan.cluster.scheduler import Client, NoWorkers, Scheduler
from realesrgan.cluster.session import CrewSession
from realesrgan.loading import Settings, Setup, check

pytestmark = pytest.mark.usefixtures("temporary")
MEGABYTE = 1_000_000


@pytest.fixture
def setup(srvgg_file: Path) -> Setup:
    return check(Settings(model_path=srvgg_file, fp32=True), "realesr-animevideov3")


@contextmanager
def begun(cluster: PlayedCluster, setup: Setup, folder: Path, **facts: Any) -> Iterator[CrewSession]:
    limits = replace(QUICK, **{name: facts.pop(name) for name in list(facts) if hasattr(QUICK, name)})
    with Crew(cluster, own_facts(), limits=limits, **facts) as crew, session_of(crew, setup, folder) as session:
        yield session


def joined(events: list[Event]) -> list[str]:
    return [event.info.name for event in events if isinstance(event, Joined)]


def lines(events: list[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Said)]


def all_of(count: int, *words: str) -> Callable[[list[Event]], bool]:
    """So many workers have joined, and there is a line with each of these words."""

    def condition(events: list[Event]) -> bool:
        said = "\n".join(lines(events))
        return len(joined(events)) >= count and all(word in said for word in words)

    return condition


def otherwise(**facts: str) -> NodeFacts:
    return replace(own_facts(), versions=replace(own_facts().versions, **facts))


OTHERS = {
    "it has Python 2.7, this machine 3": {"versions": otherwise(python="2.7").versions},
    "it has Ray 1.0, this machine 2.0": {"versions": otherwise(ray="1.0").versions},
    "it has realesrgan 9, this machine": {"versions": otherwise(project="9").versions},
    "the same version but other code": {"versions": otherwise(code="x").versions},
    "it has torch 1.0, this machine": {"packages": (("torch", "1.0"), *own_facts().packages[1:])},
    "none; install the same": {"packages": own_facts().packages[1:]},
}


@pytest.mark.parametrize(("words", "facts"), OTHERS.items(), ids=list(OTHERS))
def test_a_node_with_other_versions_is_left_out_in_one_sentence(
    setup: Setup, tmp_path: Path, words: str, facts: dict[str, Any]
) -> None:
    if words.startswith("none"):
        words = f"it has torch none, this machine {own_facts().packages[0][1]}; install the same on both"
    with begun(PlayedCluster(node("a"), node("b", **facts)), setup, tmp_path) as session:
        events = heard(session, all_of(1, "b is left out", "all compute alike"))
    assert joined(events) == ["a"]
    (line,) = [line for line in lines(events) if "left out" in line]
    assert words in line


@pytest.mark.parametrize(("name", "count"), [("it has torch 1.0, this machine", 2), ("the same version but other", 1)])
def test_mixed_allows_other_packages_but_no_other_code(setup: Setup, tmp_path: Path, name: str, count: int) -> None:
    (facts,) = [facts for words, facts in OTHERS.items() if words.startswith(name)]
    with begun(PlayedCluster(node("a"), node("b", **facts)), setup, tmp_path, mixed=True) as session:
        events = heard(session, all_of(count, "device"))
    assert len(joined(events)) == count


def test_what_was_found_out_before_a_job_began_is_told_to_it(setup: Setup, tmp_path: Path) -> None:
    cluster = PlayedCluster(node("a"), node("b", versions=otherwise(code="x").versions))
    with Crew(cluster, own_facts(), limits=QUICK) as crew:
        asyncio.run_coroutine_threadsafe(crew.until_known(), crew.loop).result(20)
        for times in (1, 0):
            with session_of(crew, setup, tmp_path) as session:
                events = heard(session, all_of(1, "all compute alike"))
            assert sum("left out" in line for line in lines(events)) == times


def test_a_node_that_joins_late_takes_part(setup: Setup, tmp_path: Path) -> None:
    cluster = PlayedCluster(node("a"))
    with begun(cluster, setup, tmp_path) as session:
        heard(session, all_of(1, "1 node, 1 device: a (cpu, 1 thread)"))
        cluster.played.append(node("b"))
        assert joined(heard(session, all_of(1, "b (cpu, 1 thread) joins"))) == ["b"]


def test_a_node_that_leaves_is_lost_and_may_come_again(setup: Setup, tmp_path: Path) -> None:
    leaving = node("b")
    cluster = PlayedCluster(node("a"), leaving)
    with begun(cluster, setup, tmp_path) as session:
        heard(session, all_of(2))
        cluster.remove(leaving)
        *_, lost = heard(session, lambda events: isinstance(events[-1], Lost))
        assert isinstance(lost, Lost)
        assert (lost.reason, lost.crashed) == ("its node is gone", False)
        cluster.played.append(node("b"))
        assert joined(heard(session, all_of(1, "joins"))) == ["b"]


def dying(call: Call) -> None:
    if call.method == "prepare":
        raise Killed


def test_a_worker_that_ends_three_times_in_a_row_is_left_out(setup: Setup, tmp_path: Path) -> None:
    bad = node("b")
    bad.before = dying
    with begun(PlayedCluster(node("a"), bad), setup, tmp_path) as session:
        events = heard(session, all_of(1, "b is left out: its workers ended 3 times in a row", "1 node, 1 device"))
    assert joined(events) == ["a"]
    assert len(bad.processes) == 3


def test_where_all_workers_end_at_once_the_job_ends_too(setup: Setup, tmp_path: Path) -> None:
    bad = node("b")
    bad.before = dying
    with begun(PlayedCluster(bad), setup, tmp_path) as session:
        heard(session, all_of(0, "b is left out: its workers ended 3 times in a row"))
        heard_nothing = list(session.events(0.1))
        assert heard_nothing == []
        assert not session.is_expecting()


def test_weights_that_a_node_lacks_are_put_into_the_store_once_and_fetched_once_a_node(
    setup: Setup, tmp_path: Path
) -> None:
    nodes = [node(name) for name in "abc"]
    for one in nodes:
        one.cache = tmp_path / ("first" if one.node.name in "ab" else "second")  # as two workers of one node, and one
    cluster = PlayedCluster(*nodes)
    with own_caches(), begun(cluster, setup, tmp_path) as session:
        heard(session, all_of(3))
        nodes[2].processes[0].die("its process ended", crashed=True)
        heard(session, all_of(1, "joins"))
    assert len(cluster.puts) == 1
    fetched = [len(process.fetched) for one in nodes for process in one.processes]
    assert sorted(fetched[:2]) == [0, 1]
    assert fetched[2:] == [1, 0]


def test_weights_that_arrive_damaged_are_refused(setup: Setup, tmp_path: Path) -> None:
    class Damaging(PlayedCluster):
        def put(self, content: bytes) -> Ref:
            return Ref(content[:-1] + bytes([content[-1] ^ 1]))

    one = node("a")
    one.cache = tmp_path / "cache"
    with own_caches(), begun(Damaging(one), setup, tmp_path) as session:
        events = heard(session, all_of(0, "a is left out: tiny_srvgg.pth: did not arrive as it was sent"))
    assert joined(events) == []
    assert not [path for path in one.cache.rglob("*") if path.is_file() and path.suffix != ".lock"]


@pytest.mark.parametrize(
    "facts", [{"store_bytes": 80 * MEGABYTE}, {"store_bytes": 900 * MEGABYTE, "shared_memory_bytes": 64 * MEGABYTE}]
)
def test_of_small_shared_memory_one_line_tells(setup: Setup, tmp_path: Path, facts: dict[str, Any]) -> None:
    with begun(PlayedCluster(node("a"), node("b", **facts)), setup, tmp_path) as session:
        events = heard(session, all_of(2, "all compute alike"))
        small = session._crew.chunk_bytes == SMALL_CHUNK_BYTES
    (line,) = [line for line in lines(events) if "shared memory" in line]
    assert line.startswith("b has only ")
    assert "--shm-size" in line
    assert small


@pytest.mark.parametrize("when", ["from the beginning", "later", "before the job"])
def test_a_head_that_does_not_answer_ends_the_job_with_its_reason(setup: Setup, tmp_path: Path, when: str) -> None:
    cluster = PlayedCluster(node("a"))
    cluster.is_silent = when != "later"
    limits = replace(QUICK, head_s=0.1)
    with Crew(cluster, own_facts(), limits=limits) as crew:
        if when == "before the job":
            while crew.broken is None:
                threading.Event().wait(0.01)
        with session_of(crew, setup, tmp_path) as session:
            if when == "later":
                heard(session, all_of(1))
                cluster.is_silent = True
            with pytest.raises(NoWorkers, match="the head of the cluster does not answer any more"):
                Scheduler(session).run(iter([None] * 1000), Client())


def test_a_cluster_that_fails_otherwise_ends_the_job_too(setup: Setup, tmp_path: Path) -> None:
    class Failing(PlayedCluster):
        async def nodes(self) -> list[Any]:
            raise RuntimeError("out of order")

    with Crew(Failing(), own_facts(), limits=QUICK) as crew:
        for _ in range(2):
            with session_of(crew, setup, tmp_path) as session:
                *_, last = heard(session, lambda events: isinstance(events[-1], Broken))
    assert isinstance(last, Broken)
    assert "out of order" in last.reason


def test_a_node_that_does_not_say_what_it_is_is_left_out(setup: Setup, tmp_path: Path) -> None:
    silent = node("b")
    silent.is_stopped = True
    with begun(PlayedCluster(node("a"), silent), setup, tmp_path, answer_s=0.3) as session:
        events = heard(session, all_of(1, "b is left out: it does not answer", "1 node, 1 device"))
    assert joined(events) == ["a"]


def test_an_idle_worker_that_falls_silent_is_lost(setup: Setup, tmp_path: Path) -> None:
    one = node("a")
    with begun(PlayedCluster(one), setup, tmp_path, answer_s=0.3) as session:
        heard(session, all_of(1))
        one.is_stopped = True
        *_, lost = heard(session, lambda events: isinstance(events[-1], Lost))
    assert isinstance(lost, Lost)
    assert lost.reason.startswith("has not answered for")


def test_a_worker_that_is_given_up_gets_a_successor(setup: Setup, tmp_path: Path) -> None:
    one = node("a")
    with begun(PlayedCluster(one), setup, tmp_path) as session:
        first = next(event for event in heard(session, all_of(1)) if isinstance(event, Joined))
        session.dismiss(first.info.worker, "has not answered")
        second = next(event for event in heard(session, all_of(1)) if isinstance(event, Joined))
    assert second.info.worker != first.info.worker
    assert [process.end is not None for process in one.processes] == [True, True]


def test_leaving_ends_all_processes_and_removes_their_files(setup: Setup, tmp_path: Path, temporary: Path) -> None:
    nodes = [node(name) for name in "ab"]
    with begun(PlayedCluster(*nodes), setup, tmp_path) as session:
        heard(session, all_of(2))
        assert len(list(temporary.iterdir())) == 2
    assert all(process.end is not None for one in nodes for process in one.processes)
    assert list(temporary.iterdir()) == []


def test_leaving_does_not_wait_for_a_worker_that_does_not_answer(setup: Setup, tmp_path: Path) -> None:
    one = node("a")
    with begun(PlayedCluster(one), setup, tmp_path, close_s=0.1) as session:
        heard(session, all_of(1))
        one.is_stopped = True
    assert all(process.end is not None for process in one.processes)


def test_a_late_word_of_a_process_does_not_end_its_successor() -> None:
    one = node()
    old, new = (PlayedProcess(one, Device("cpu", 1.0), 1) for _ in range(2))
    seat = Seat(one.node, one.facts, Device("cpu", 1.0), "a", process=new)
    seat.ended(old, ProcessDied("it was killed", crashed=False))
    assert not seat.has_ended.is_set()
    seat.ended(new, ProcessDied("it was killed", crashed=False))
    assert seat.has_ended.is_set()
    for process in (old, new):
        process.worker.close()
