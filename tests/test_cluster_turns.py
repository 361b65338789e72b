"""Who computes when at a worker that has pictures and a film: pictures first, and neither kind waits for long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np
import pytest
from web import until

from realesrgan.arrays import Array
from realesrgan.cluster.turns import Rank, Ticket, Turn, shared
from realesrgan.restorer import Listener

PICTURES = [Ticket(Rank.PICTURE, number) for number in range(10, 20)]
SEGMENTS = [Ticket(Rank.SEGMENT, number) for number in range(10)]
FRAME = np.zeros((1, 1, 3), np.uint8)


class Played:
    """A device whose units compute one at a time, and time that only the test moves on."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.turn = Turn(2.0, lambda: self.now_s)
        self.computed: list[Ticket] = []
        self._threads = ExitStack()

    def __enter__(self) -> Played:
        return self

    def __exit__(self, *error: object) -> None:
        self._threads.close()

    def queue(self, ticket: Ticket, work: Callable[[], None] = lambda: None) -> None:
        """Have a unit wait for its turn in a thread."""
        before = len(self.turn._waiting)

        def compute() -> None:
            with self.turn.of(ticket):
                self.computed.append(ticket)
                work()

        thread = threading.Thread(target=compute)
        thread.start()
        self._threads.callback(thread.join)
        until(lambda: len(self.turn._waiting) > before)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_of_those_that_wait_a_picture_is_next_and_of_a_kind_the_one_that_came_first(order: tuple[int, ...]) -> None:
    waiting = [PICTURES[0], PICTURES[1], SEGMENTS[0]]
    with Played() as played:
        with played.turn.of(SEGMENTS[1]):
            for place in order:
                played.queue(waiting[place])
        until(lambda: len(played.computed) == 3)
    assert played.computed == waiting


def test_a_film_that_has_waited_for_two_seconds_goes_before_a_picture() -> None:
    with Played() as played:
        with played.turn.of(PICTURES[0]):
            played.queue(SEGMENTS[0])
            played.now_s = 2.0
            played.queue(PICTURES[1])
        until(lambda: len(played.computed) == 2)
    assert played.computed == [SEGMENTS[0], PICTURES[1]]


@pytest.mark.parametrize(("holder", "other"), [(PICTURES[0], SEGMENTS[0]), (SEGMENTS[0], PICTURES[0])])
def test_a_frame_that_takes_longer_than_two_seconds_gives_way_in_its_middle(holder: Ticket, other: Ticket) -> None:
    with Played() as played, played.turn.of(holder):
        played.queue(other)
        played.now_s = 1.9
        played.turn.give_way()
        assert played.computed == []
        played.now_s = 2.0
        played.turn.give_way()
        assert played.computed == [other]


def test_nothing_gives_way_to_its_own_kind() -> None:
    with Played() as played, played.turn.of(PICTURES[0]):
        played.queue(PICTURES[1])
        played.now_s = 100.0
        played.turn.give_way()
        assert played.computed == []


def test_many_units_in_real_time_compute_one_at_a_time_and_all_end() -> None:
    turn = Turn(0.001)
    at_once, most, done = 0, 0, []

    def compute(frame: Array, listener: Listener) -> Array:
        nonlocal at_once, most
        for step in range(20):
            at_once += 1
            most = max(most, at_once)
            at_once -= 1
            listener.progressed(step / 20)
        return frame

    def unit(ticket: Ticket) -> None:
        for _ in range(5):
            shared(compute, turn, ticket)(FRAME, Listener(lambda share: None))
        done.append(ticket)

    threads = [threading.Thread(target=unit, args=(ticket,)) for ticket in (*PICTURES, *SEGMENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(done) == sorted((*PICTURES, *SEGMENTS))
    assert most == 1


def test_a_unit_that_was_dropped_while_it_waited_computes_nothing() -> None:
    class Dropped(Exception):
        pass

    def dropped(share: float) -> None:
        raise Dropped

    turn = Turn()
    with pytest.raises(Dropped):
        shared(lambda frame, listener: pytest.fail("computed"), turn, SEGMENTS[0])(FRAME, Listener(dropped))
    with turn.of(SEGMENTS[1]):
        pass
