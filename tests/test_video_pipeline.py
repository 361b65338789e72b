"""Frames through several workers: in order, each once, and few in memory however unequal the workers are."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import Clip, decoded, moving
from test_video_segments import twice

from realesrgan.arrays import Array
from realesrgan.errors import Cancelled
from realesrgan.restorer import Listener, Restorer
from realesrgan.video.encoding import choose_encoding
from realesrgan.video.output_plan import plan_output
from realesrgan.video.pipeline import (
    MOST_IN_FLIGHT,
    WINDOW_BYTES,
    Excerpt,
    frames_in_flight,
    restore_frames,
    restore_in_order,
)
from realesrgan.video.probe import probe
from realesrgan.video.segments import Workspace
from realesrgan.video.sources.source import Frame
from realesrgan.video.writer import assemble

PATIENCE_S = 60  # only a test that fails waits so long
FRAMES = 60


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Clip(moving(FRAMES)).write(tmp_path_factory.mktemp("pipeline") / "a.mkv")


class Watched:
    """A source that knows how far it was read, beside how far its frames were encoded."""

    def __init__(self, path: Path) -> None:
        self._source = probe(path)
        self.done = 0
        self.furthest_ahead = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def frames(self, *excerpt: Any) -> Any:
        reading = self._source.frames(*excerpt)
        watched = self

        class Reading:
            losses = reading.losses

            def __enter__(self) -> Reading:
                return self

            def __exit__(self, *error: object) -> None:
                reading.close()

            def __iter__(self) -> Iterator[Any]:
                for frame in reading:
                    watched.furthest_ahead = max(watched.furthest_ahead, frame.index - watched.done)
                    yield frame

        return Reading()


def restored(source: Any, workspace: Workspace, restorers: list[Restorer], window: int, **more: Any) -> None:
    def count(done: int) -> None:
        source.done = done

    encoding = choose_encoding("libx264", 0, None, "yuv444p", 8)
    with workspace.claim():
        workspace.open()
        restore_frames(
            source,
            Excerpt(),
            restorers,
            workspace,
            encoding,
            multiply_adds_per_frame=1e13,
            window=window,
            on_frame=count,
            **more,
        )


def slow_and_fast(ahead: int) -> list[Restorer]:
    """Two workers; the first is not done with its first frame before the second is done with `ahead` frames."""
    fast_is_ahead = threading.Event()
    done: list[int] = []

    def slow(frame: Array, listener: Listener) -> Array:
        assert fast_is_ahead.wait(PATIENCE_S), "the fast worker was held up by the slow one too soon"
        return twice(frame, listener)

    def fast(frame: Array, listener: Listener) -> Array:
        result = twice(frame, listener)
        done.append(1)
        if len(done) >= ahead:
            fast_is_ahead.set()
        return result

    return [slow, fast]


@pytest.mark.parametrize("window", [8, 20])
def test_a_fast_worker_runs_ahead_of_a_slow_one_as_far_as_the_window_and_no_further(clip, tmp_path, window):
    source = Watched(clip)
    restored(source, Workspace(tmp_path / "w", {}), slow_and_fast(window - 1), window)
    assert source.done == FRAMES
    assert window - 1 <= source.furthest_ahead <= window


def test_unequal_workers_give_the_video_that_one_gives(clip, tmp_path):
    source, results = probe(clip), []
    for name, restorers in (("one", [twice]), ("two", slow_and_fast(6))):
        workspace = Workspace(tmp_path / name, {})
        restored(Watched(clip), workspace, restorers, 8)
        target = tmp_path / f"{name}.mkv"
        plan = plan_output(source, choose_encoding("libx264", 0, None, "yuv444p", 8), "mkv")
        assemble(target, workspace, source, source.time_base, plan)
        results.append(decoded(target))
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))


def some(indices: list[int], repeats: tuple[int, ...] = ()) -> Iterator[Frame | None]:
    """Frames of these numbers, which their pixels show too; None where one is left out."""
    for index in range(indices[-1] + 1):
        pixels = np.full((2, 2, 3), index, np.uint8)
        yield Frame(index, index, 1, pixels, repeats=index in repeats) if index in indices else None


def accepted(frames: Iterator[Frame | None], restorers: list[Restorer]) -> tuple[list[int], list[Array], int]:
    """The numbers and results as they are accepted, in one thread that is none of the others; and how many repeat."""
    numbers: list[int] = []
    results: list[Array] = []
    threads: set[str] = set()

    def accept(frame: Frame, pixels: Array) -> None:
        numbers.append(frame.index)
        results.append(pixels)
        threads.add(threading.current_thread().name)

    repeats = restore_in_order(frames, restorers, accept, window=8)
    assert threads == {"accept"}
    return numbers, results, repeats


@pytest.mark.parametrize("indices", [list(range(20)), list(range(7, 27)), [*range(3, 9), *range(14, 22), 40]])
def test_frames_are_accepted_in_their_order_with_whatever_number_they_begin(indices):
    numbers, results, repeats = accepted(some(indices), slow_and_fast(6))
    assert numbers == indices
    assert [int(result[0, 0, 0]) for result in results] == indices
    assert repeats == 0


def test_a_repeat_is_accepted_with_the_array_of_the_frame_before():
    numbers, results, repeats = accepted(some(list(range(5, 15)), (8, 9, 12)), slow_and_fast(3))
    assert numbers == list(range(5, 15))
    assert [int(result[0, 0, 0]) for result in results] == [5, 6, 7, 7, 7, 10, 11, 11, 13, 14]
    assert results[2] is results[3] is results[4]
    assert results[6] is results[7]
    assert repeats == 3


def test_a_repeat_whose_predecessor_is_left_out_is_restored_itself():
    _, results, repeats = accepted(some([4, 5, 8, 9, 10], (4, 5, 8, 10)), [twice])
    assert [int(result[0, 0, 0]) for result in results] == [4, 4, 8, 9, 9]
    assert repeats == 2


def cancelled_when(started: threading.Event) -> Callable[[], None]:
    def check() -> None:
        if started.is_set():
            raise Cancelled

    return check


@pytest.mark.parametrize("raising", ["check", "accept"])
def test_work_stops_while_all_frames_are_left_out(raising):
    accepting = threading.Event()
    lost_patience: list[bool] = []

    def frames() -> Iterator[Frame | None]:
        yield from some([0])
        began = time.monotonic()
        while time.monotonic() < began + PATIENCE_S:
            yield None
        lost_patience.append(True)

    def accept(frame: Frame, pixels: Array) -> None:
        accepting.set()
        if raising == "accept":
            raise Cancelled

    check = cancelled_when(accepting) if raising == "check" else (lambda: None)
    with pytest.raises(Cancelled):
        restore_in_order(frames(), [twice], accept, window=8, check=check)
    assert not lost_patience


def test_frames_in_flight_fit_into_the_memory_meant_for_them_but_never_starve_the_workers():
    for workers in (1, 2, 8):
        for frame_bytes in (1, 10_000, 5_000_000, 100_000_000, 10**10):
            frames = frames_in_flight(frame_bytes, workers)
            assert frames >= 2 * workers + 2
            assert frames <= MOST_IN_FLIGHT
            assert frames == 2 * workers + 2 or frames * frame_bytes <= WINDOW_BYTES


def test_a_check_that_raises_stops_all_workers_and_leaves_finished_segments(clip, tmp_path):
    workspace = Workspace(tmp_path / "w", {})
    source = Watched(clip)

    def check() -> None:
        if source.done >= 30:
            raise Cancelled

    with pytest.raises(Cancelled):
        restored(source, workspace, [twice, twice], 8, check=check)
    assert workspace.frames_done == 24  # a segment of the shortest kind
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("restore-")]
