"""The pool mixes batches: every sample goes in once and comes out at most once, by chance that does not drift."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import Tensor

from realesrgan.degradation.pool import Pool

SIZE, BATCH = 12, 4


def batch(iteration: int) -> tuple[Tensor, Tensor]:
    """A batch of numbered samples, twice."""
    numbers = torch.arange(BATCH * iteration, BATCH * (iteration + 1), dtype=torch.float32)
    return numbers[:, None], -numbers[:, None, None]


def given(pool: Pool, iterations: range) -> list[list[int]]:
    results = []
    for iteration in iterations:
        low, target = pool.exchange(batch(iteration), iteration)
        assert torch.equal(low.flatten(), -target.flatten())  # pairs stay pairs
        results.append([int(number) for number in low.flatten()])
    return results


def test_batches_pass_unchanged_until_the_pool_is_full() -> None:
    assert given(Pool(SIZE, 0), range(3)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_then_each_batch_is_exchanged_for_random_samples_and_nothing_is_lost_or_doubled() -> None:
    pool = Pool(SIZE, 0)
    given(pool, range(3))
    out = [number for numbers in given(pool, range(3, 40)) for number in numbers]
    inside = [int(number) for number in pool.samples[0].flatten()]
    assert Counter(out + inside) == Counter(range(BATCH * 40))
    assert out != sorted(out)
    # With two thirds staying each time, nothing stays for thirty times: places are drawn anew.
    assert min(inside) > BATCH * 10


def test_a_pool_set_up_again_from_its_samples_goes_on_as_if_never_stopped() -> None:
    whole, first = Pool(SIZE, 5), Pool(SIZE, 5)
    expected = given(whole, range(10))
    given(first, range(6))
    second = Pool(SIZE, 5)
    second.samples = tuple(tensor.clone() for tensor in first.samples)
    assert given(second, range(6, 10)) == expected[6:]


def test_another_seed_draws_others() -> None:
    assert given(Pool(SIZE, 0), range(8))[:3] == given(Pool(SIZE, 1), range(8))[:3]
    assert given(Pool(SIZE, 0), range(8))[3:] != given(Pool(SIZE, 1), range(8))[3:]


def test_a_batch_that_does_not_divide_the_pool_is_refused() -> None:
    with pytest.raises(ValueError, match="12"):
        Pool(SIZE, 0).exchange((torch.zeros(5, 1),), 0)
