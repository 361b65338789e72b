"""Networks that several workers share, when one of them overflows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from realesrgan.errors import WeightsError
from realesrgan.face.networks import ReducedNetwork

BRIGHT, DARK = torch.full((1, 3, 4, 4), 1.0), torch.full((1, 3, 4, 4), 1e-3)
WEIGHT = 50_000 + 1 / 64  # of three channels: within fp16 on dark pictures, beyond it on bright ones; not exact in it


def conv() -> nn.Module:
    network = nn.Conv2d(3, 1, 1, bias=False).requires_grad_(False)
    network.weight.fill_(WEIGHT)
    return network


def run(network: nn.Module, x: Tensor) -> Tensor:
    return network(x)


def test_after_an_overflow_the_weights_are_the_exact_ones():
    network = ReducedNetwork(conv, torch.float16, run)
    assert not torch.equal(network(DARK), conv()(DARK))
    for x in (BRIGHT, DARK):
        assert torch.equal(network(x), conv()(x))


def test_without_the_file_it_goes_on_with_the_rounded_weights():
    loads: list[Callable[[], nn.Module]] = [conv]

    def load() -> nn.Module:
        if not loads:
            raise WeightsError("there is no such weights file")
        return loads.pop()()

    network = ReducedNetwork(load, torch.float16, run)
    assert torch.equal(network(BRIGHT), conv().half().float()(BRIGHT))


def test_in_fp32_a_result_that_is_not_finite_is_returned():
    assert ReducedNetwork(conv, torch.float32, run)(BRIGHT * float("inf")).isinf().all()


@pytest.mark.parametrize("workers", [2, 4])
def test_an_overflow_of_one_worker_does_not_disturb_another(workers):
    inside, replaced = threading.Barrier(workers), threading.Event()

    def slow(network: nn.Module, x: Tensor) -> Tensor:
        """Each worker is in the network when one of them overflows, and goes on when that one is done."""
        if threading.current_thread() is not overflowing and not replaced.is_set():
            inside.wait(timeout=30)
            assert replaced.wait(timeout=30)
        return network(x)

    network = ReducedNetwork(conv, torch.float16, slow)

    def overflow() -> None:
        inside.wait(timeout=30)
        network(BRIGHT)
        replaced.set()

    overflowing = threading.Thread(target=overflow)
    with ThreadPoolExecutor(workers - 1) as pool:
        results = [pool.submit(network, DARK) for _ in range(workers - 1)]
        overflowing.start()
        for result in results:
            torch.testing.assert_close(result.result(timeout=30), conv()(DARK), rtol=1e-3, atol=0)
    overflowing.join()


def test_several_workers_that_overflow_at_once_load_the_exact_network_once():
    loaded: list[int] = []

    def load() -> nn.Module:
        loaded.append(1)
        return conv()

    network = ReducedNetwork(load, torch.float16, run)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(network, [BRIGHT] * 8))
    assert all(torch.equal(result, conv()(BRIGHT)) for result in results)
    assert len(loaded) == 2
