"""Batches come in order and are the same from any number of processes, of which none is left behind."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any, cast

import numpy as np
import psutil
import pytest
import torch
from tiny import picture

from realesrgan.degradation.recipe import Recipe
from realesrgan.errors import RealESRGANError, UsageError
from realesrgan.image import files
from realesrgan.image.files import Picture
from realesrgan.restorer import Reporter
from realesrgan.training import cache as cache_module
from realesrgan.training.cache import PictureCache
from realesrgan.training.datasets import Batch, OnTheFly, Sample
from realesrgan.training.loader import Samples, Waiting, _end, _Work, batches
from realesrgan.training.order import numbers_of
from realesrgan.training.pictures import Pictures, in_folders

BATCH = 3
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


class Log(Reporter):
    """A reporter that records warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


class Numbers:
    """Samples that are their number; number 5 fails as a bug does, number 6 as something that a user can mend."""

    def path(self, number: int) -> Path:
        return Path(f"picture{number}.png")

    def __getitem__(self, number: int) -> Sample:
        if number == 5:
            raise ZeroDivisionError("a bug")
        if number == 6:
            raise UsageError("`dataroot_gt`: nothing there")
        pixels = torch.full((3, 2, 2), float(number))
        return Sample(pixels, pixels, pixels, number)


def iterations(count: int, size: int = BATCH) -> Iterator[range]:
    return (numbers_of(iteration, size) for iteration in range(count))


@pytest.fixture
def pictures(tmp_path: Path) -> Pictures:
    """Four, of which one is cut short."""
    for index in range(4):
        files.write(tmp_path / f"{index}.png", Picture(picture(40, 50, seed=index)))
    (tmp_path / "3.png").write_bytes((tmp_path / "3.png").read_bytes()[:-500])
    return in_folders([str(tmp_path)], Reporter())


def on_the_fly(pictures: Pictures, **how: Any) -> OnTheFly:
    return OnTheFly(pictures, Recipe(), seed=0, size=16, global_batch=BATCH, crop=32, **how)


def test_the_number_of_processes_changes_nothing(
    pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "KEPT_FREE_BYTES", 0)
    alone, several = Log(), Log()
    expected = list(batches(on_the_fly(pictures), iterations(6), reporter=alone))
    with PictureCache(pictures.files, tmp_path / "cache", 10**6, Reporter()) as cache:
        samples = on_the_fly(pictures, cache=cache)
        found = list(batches(samples, iterations(6), workers=2, reporter=several))
        assert sum(cache.get(index) is not None for index in range(4)) in (0, 3)  # 0: the disk is nearly full
    assert [batch.numbers for batch in found] == [list(range(BATCH * i, BATCH * (i + 1))) for i in range(6)]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.numbers == theirs.numbers
        assert torch.equal(ours.low, theirs.low)
        assert torch.equal(ours.target, theirs.target)
        assert torch.equal(ours.sharpened, theirs.sharpened)
    assert several.warnings == alone.warnings
    assert ["3.png: damaged" in line for line in alone.warnings] == [True]  # once, though met in every epoch
    assert active_children() == []


def numbers_in(batch: Batch) -> list[int]:
    return [int(number) for number in batch.low[:, 0, 0, 0]]


def test_processes_split_a_batch_without_gap_or_overlap() -> None:
    ours = list(batches(Numbers(), (numbers_of(0, 4, rank, 2) for rank in (0, 1))))
    assert [numbers_in(batch) for batch in ours] == [[0, 1], [2, 3]]


def test_numbers_are_taken_as_they_are_needed() -> None:
    with closing(batches(Numbers(), (range(n % 3, n % 3 + 1) for n in iter(int, 1)))) as endless:
        assert [numbers_in(next(endless)) for _ in range(3)] == [[0], [0], [0]]


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_names_the_sample_and_its_picture_and_no_process_is_left(workers: int) -> None:
    with closing(batches(Numbers(), iterations(2), workers=workers)) as found:
        assert numbers_in(next(found)) == [0, 1, 2]
        with pytest.raises(RuntimeError, match=r"sample 5, of picture5.png: ZeroDivisionError\('a bug'\)"):
            next(found)
        assert active_children() == []


def test_what_a_user_can_mend_comes_from_another_process_without_traceback() -> None:
    loaded = pickle.loads(pickle.dumps(_Work(Numbers(), None).__getitems__(range(6, 7))))
    assert loaded.error.message == "`dataroot_gt`: nothing there"
    with pytest.raises(UsageError, match="^dataroot_gt: nothing there$"):
        next(batches(Numbers(), [range(6, 7)]))


@POSIX
def test_a_process_goes_on_at_ctrl_c_and_its_death_is_an_error_that_says_what_to_try() -> None:
    found = batches(Numbers(), (range(3) for _ in range(1000)), workers=1)
    next(found)
    (child,) = active_children()
    assert child.pid is not None
    os.kill(child.pid, signal.SIGINT)
    for _ in range(20):
        assert numbers_in(next(found)) == [0, 1, 2]
    assert child.is_alive()
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(RealESRGANError, match="memory ran out .* num_worker_per_gpu"):
        for _ in found:
            pass
    assert active_children() == []


def test_processes_are_ended_even_if_one_took_a_lock_along() -> None:
    """What a killed process can leave behind: a lock, on which torch's own way of ending waits without end."""
    process = get_context("spawn").Process(target=time.sleep, args=(1000,))
    process.start()

    class Stuck(list[Any]):
        _workers = (process,)

        def _shutdown_workers(self) -> None:
            threading.Event().wait()

    _end(cast(Any, Stuck()), patience_s=0.1)
    assert not process.is_alive()


def test_global_chance_is_not_touched(pictures: Pictures) -> None:
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[union-attr]
    list(batches(on_the_fly(pictures), iterations(2)))
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])


def test_waiting_is_what_passes_while_a_batch_is_not_there() -> None:
    waiting = Waiting()
    assert waiting.share == 0
    for began_s, ended_s in ((0, 10), (12, 13), (18, 20)):
        waiting.note(began_s, ended_s)
    assert (waiting.start_s, waiting.waited_s, waiting.total_s) == (10, 3, 10)
    assert waiting.share == 0.3


def test_a_loader_that_computes_here_makes_its_caller_wait_all_the_time() -> None:
    waiting = Waiting()
    samples: Samples = Numbers()
    list(batches(samples, (range(3) for _ in range(20)), waiting=waiting))
    assert waiting.start_s > 0
    assert 0.2 < waiting.share <= 1


def test_memory_does_not_grow_with_the_samples(pictures: Pictures) -> None:
    found = batches(on_the_fly(pictures), iterations(80))
    process = psutil.Process()
    for _ in range(30):
        next(found)
    before = process.memory_info().rss
    for _ in found:
        pass
    assert process.memory_info().rss - before < 8e6  # bytes; 50 batches of 3 samples of 32 pixels
