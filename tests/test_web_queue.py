"""Who is served when: the fair queue, and turns between pictures and a video."""

from __future__ import annotations

import threading
import time

import pytest

from realesrgan.errors import Cancelled
from realesrgan.web.fair import FairQueue
from realesrgan.web.turns import Turns


def queue(*jobs: tuple[str, str]) -> FairQueue:
    made = FairQueue()
    for client, job in jobs:
        made.add(client, job)
    return made


def taken(fair: FairQueue) -> list[str]:
    return [fair.take() for _ in range(len(fair))]


def test_clients_are_served_in_turn_and_each_in_order() -> None:
    assert taken(queue(("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1"))) == [
        "a1",
        "b1",
        "c1",
        "a2",
        "a3",
    ]


def test_who_comes_later_waits_for_one_job_of_the_others() -> None:
    fair = queue(*(("a", f"a{number}") for number in range(100)))
    fair.take()
    fair.add("b", "b1")
    assert [fair.take(), fair.take()] in (["a1", "b1"], ["b1", "a1"])


def test_the_order_foretold_is_the_order_taken() -> None:
    fair = queue(("a", "a1"), ("b", "b1"), ("a", "a2"), ("c", "c1"), ("b", "b2"), ("a", "a3"))
    fair.take()
    foretold = list(fair)
    assert len(foretold) == 5
    assert taken(fair) == foretold


def test_a_job_put_back_is_next() -> None:
    fair = queue(("a", "a1"), ("b", "b1"), ("a", "a2"))
    job = fair.take()
    fair.put_back("a", job)
    assert fair.first() == job == fair.take()


def test_a_removed_job_is_never_taken() -> None:
    fair = queue(("a", "a1"), ("b", "b1"))
    fair.remove("a1")
    fair.remove("unknown")
    assert taken(fair) == ["b1"]
    assert fair.first() is None
    with pytest.raises(IndexError):
        fair.take()


def test_who_is_alone_never_waits() -> None:
    turns = Turns(turn_s=1000)
    with turns.working("video"):
        turns.wait("video", lambda: pytest.fail("waited"))


def test_pictures_and_video_compute_in_turn_and_never_together() -> None:
    turns = Turns(turn_s=0.02)
    order: list[str] = []
    both = threading.Barrier(2)

    def work(kind: str) -> None:
        with turns.working(kind):  # type: ignore[arg-type]
            both.wait()
            for _ in range(20):
                turns.wait(kind, lambda: None)  # type: ignore[arg-type]
                order.append(kind)
                time.sleep(0.005)

    threads = [threading.Thread(target=work, args=(kind,)) for kind in ("picture", "video")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(order) == ["picture"] * 20 + ["video"] * 20
    changes = sum(first != second for first, second in zip(order, order[1:], strict=False))
    assert 2 <= changes <= 30, "slices, neither one block each nor every step"


def test_waiting_for_a_turn_can_be_given_up() -> None:
    turns = Turns(turn_s=1000)

    def give_up() -> None:
        raise Cancelled

    with turns.working("video"), turns.working("picture"):
        losers = 0
        for kind in ("picture", "video"):
            try:
                turns.wait(kind, give_up)  # type: ignore[arg-type]
            except Cancelled:
                losers += 1
    assert losers == 1
