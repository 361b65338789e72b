"""Threads that stop together, even when interrupted at the worst moment."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from realesrgan import threads
from realesrgan.threads import Crew, run_in_own_thread


def test_a_thread_interrupted_while_it_starts_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    working, real = threading.Event(), threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        real(thread)
        raise KeyboardInterrupt

    def work() -> None:
        crew.stop.wait(10)
        working.set()

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt), Crew() as crew:
        crew.start("slow", work)
    assert working.is_set()
    assert not any(thread.name == "slow" for thread in threading.enumerate())


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_thread_that_never_started_is_not_waited_for_long(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def refused(thread: threading.Thread) -> None:
        raise error

    monkeypatch.setattr(threads, "STARTING_S", 0.05)
    monkeypatch.setattr(threading.Thread, "start", refused)
    with pytest.raises(error), Crew() as crew:
        crew.start("never", lambda: None)


def test_work_in_its_own_thread_returns_or_raises_as_if_done_here_and_leaves_no_thread() -> None:
    before = threading.enumerate()
    assert run_in_own_thread(lambda: threading.current_thread() in before) is False
    with pytest.raises(ZeroDivisionError):
        run_in_own_thread(lambda: 1 // 0)
    assert threading.enumerate() == before


LOADING = """
import os, time
from realesrgan.loading import Settings, check, load
from realesrgan.restorer import Reporter
import numpy, realesrgan.upsampler, torch
torch.set_num_threads(4)
count = lambda: len(os.listdir("/proc/self/task"))
before = count()
(upsampler,) = load(check(Settings(gpu_id="cpu"), "realesr-animevideov3"), Reporter()).upsamplers
deadline = time.monotonic() + 10
while count() > before and time.monotonic() < deadline:
    time.sleep(0.01)  # a thread that has ended is still listed for a moment
assert count() == before, f"loading leaves {count() - before} threads behind"
upsampler.enhance(numpy.zeros((64, 64, 3), numpy.uint8))
assert count() > before, "computing starts no threads: this test would see nothing"
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the system does not list a process's threads")
def test_loading_leaves_no_threads_behind_that_would_slow_down_those_that_compute() -> None:
    subprocess.run([sys.executable, "-c", LOADING], check=True)
