"""Transfers to and from a device: all tensors arrive, in order, none is read early. The CPU plays the GPU."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch

from realesrgan.engine import transfer
from realesrgan.engine.transfer import SideStream, to_device, to_host

CPU = torch.device("cpu")
CUDA = torch.device("cuda", 0)


class OnGpu(torch.Tensor):
    """A tensor that claims to be on a GPU."""

    device = CUDA


def on_gpu(values: list[int]) -> torch.Tensor:
    return torch.tensor(values).as_subclass(OnGpu)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Copies into pinned memory that only happen when their event is waited for; the list says what was done."""
    done: list[str] = []
    begun: list[tuple[torch.Tensor, torch.Tensor]] = []

    class Room(torch.Tensor):
        def copy_(self, source, non_blocking=False):
            assert non_blocking
            done.append(f"start {int(source[0])}")
            begun.append((self, source))
            return self

    class Event:
        def record(self):
            self.copy = begun[-1]

        def synchronize(self):
            target, source = self.copy
            target.numpy()[:] = source.as_subclass(torch.Tensor).numpy()
            done.append(f"arrived {int(source[0])}")

    def empty(shape, dtype, pin_memory):
        assert pin_memory
        return torch.full(shape, -1, dtype=dtype).as_subclass(Room)

    monkeypatch.setattr(transfer.torch, "empty", empty)
    monkeypatch.setattr(transfer.torch.cuda, "Event", Event)
    return done


def test_tensors_of_the_host_are_passed_on_one_by_one_as_they_are_made():
    made: list[int] = []

    def make() -> Iterator[torch.Tensor]:
        for number in range(3):
            made.append(number)
            yield torch.tensor([number])

    for number, tensor in enumerate(to_host(make())):
        assert tensor.tolist() == [number]
        assert made == list(range(number + 1))


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_tensors_of_a_gpu_arrive_whole_and_in_order(gpu: list[str], count: int) -> None:
    tensors = [on_gpu([number, 10 * number]) for number in range(count)]
    assert [tensor.tolist() for tensor in to_host(tensors)] == [[number, 10 * number] for number in range(count)]


def test_while_the_caller_has_one_the_next_is_on_its_way_and_no_more(gpu: list[str]) -> None:
    for tensor in to_host(on_gpu([number]) for number in range(3)):
        gpu.append(f"use {int(tensor[0])}")
    assert gpu == [
        *("start 0", "start 1", "arrived 0", "use 0"),
        *("start 2", "arrived 1", "use 1"),
        *("arrived 2", "use 2"),
    ]


def test_a_gpu_is_fed_from_pinned_memory_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    pinned = SimpleNamespace(to=lambda device, non_blocking: asked.append((device, non_blocking)))
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned)
    to_device(torch.zeros(2), CUDA)
    assert asked == [(CUDA, True)]


def test_to_a_cpu_nothing_is_copied() -> None:
    tensor = torch.zeros(2)
    assert to_device(tensor, CPU) is tensor


@pytest.mark.parametrize("fails", [False, True])
def test_work_on_a_side_stream_comes_after_what_was_queued_before_and_before_what_is_queued_after(
    monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    order: list[str] = []

    class Stream:
        def __init__(self, name: object) -> None:
            self.name = "lane" if name == CUDA else name
            self.device = CUDA

        def wait_stream(self, other: Stream) -> None:
            order.append(f"{self.name} waits for {other.name}")

        def __enter__(self) -> None:
            order.append(f"onto {self.name}")

        def __exit__(self, *error: object) -> None:
            order.append(f"off {self.name}")

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream("caller"))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: stream)
    lane = SideStream(CUDA)
    try:
        with lane.use():
            order.append("work")
            if fails:
                raise MemoryError
    except MemoryError:
        order.append("raised")
    steps = ["lane waits for caller", "onto lane", "work", "off lane", "caller waits for lane"]
    assert order == steps + ["raised"] * fails


def test_a_cpu_has_one_side_stream_for_all() -> None:
    with SideStream(CPU).use():
        assert torch.zeros(1).item() == 0
