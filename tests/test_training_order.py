"""Every picture comes once an epoch, in an order of its own; processes share out the numbers without gap or overlap."""

from __future__ import annotations

import pytest

from realesrgan.training.order import numbers_of, picture_of

COUNT = 7


def epoch(number: int, seed: int = 0, count: int = COUNT) -> list[int]:
    return [picture_of(seed, place, count) for place in range(number * count, (number + 1) * count)]


@pytest.mark.parametrize("number", [0, 1, 1000])
def test_every_picture_comes_once_an_epoch(number: int) -> None:
    assert sorted(epoch(number)) == list(range(COUNT))


def test_every_epoch_has_an_order_of_its_own() -> None:
    assert len({tuple(epoch(number)) for number in range(20)}) > 15


def test_another_seed_gives_another_order() -> None:
    assert epoch(0, seed=1, count=50) != epoch(0, seed=2, count=50)


def test_the_order_does_not_depend_on_what_was_asked_for_before() -> None:
    forwards = [picture_of(3, number, COUNT) for number in range(40)]
    backwards = [picture_of(3, number, COUNT) for number in reversed(range(40))]
    assert backwards[::-1] == forwards


def test_all_places_are_equally_likely_for_a_picture() -> None:
    epochs = 700
    places = [epoch(number).index(0) for number in range(epochs)]
    expected = epochs / COUNT
    chi_squared = sum((places.count(place) - expected) ** 2 / expected for place in range(COUNT))
    assert chi_squared < 22.5  # 6 degrees of freedom: exceeded once in a thousand seeds


def test_a_single_picture_is_every_sample() -> None:
    assert {picture_of(0, number, 1) for number in range(5)} == {0}


@pytest.mark.parametrize("world", [1, 2, 3, 6])
def test_processes_take_all_numbers_once_and_in_order(world: int) -> None:
    numbers = [n for iteration in range(4) for rank in range(world) for n in numbers_of(iteration, 6, rank, world)]
    assert numbers == list(range(24))


def test_a_batch_that_cannot_be_shared_evenly_is_refused() -> None:
    with pytest.raises(ValueError, match="2 processes"):
        numbers_of(0, 5, 0, 2)
    with pytest.raises(ValueError, match="rank 2"):
        numbers_of(0, 4, 2, 2)
