"""Threads that stop together: what is left of them after an interruption at the worst moment."""

from __future__ import annotations

import threading

import pytest

from realesrgan import threads
from realesrgan.threads import Crew


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
