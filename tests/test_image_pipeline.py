"""Every picture of a batch is restored once, whatever happens to its neighbours; nothing is left behind."""

from __future__ import annotations

import _thread
import errno
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tiny import picture

from realesrgan.arrays import Array
from realesrgan.errors import Cancelled, DeviceError, ImageFileError
from realesrgan.image import compare, files, pipeline
from realesrgan.image.files import Metadata, Picture
from realesrgan.image.jobs import PictureJob
from realesrgan.image.restoring import restore_all
from realesrgan.outputs import part_of
from realesrgan.restorer import FacePair, Listener, Reporter, Restorer

PATIENCE_S = 20  # longer than anything here takes; only a test that fails waits for it
HANDFUL = 12  # pictures in memory: two short queues, and one in each thread


SILENT = Listener(lambda share: None)


class Log(Reporter):
    """A reporter that records its calls."""

    def __init__(self) -> None:
        self.shares: dict[str, list[float]] = {}
        self.done: list[str] = []
        self.errors: dict[str, str] = {}
        self.faces: dict[str, int] = {}

        self.totals: dict[str, int] = {}
        self.facts: dict[str, str] = {}
        self.warnings: list[str] = []
        self.remarks: list[str] = []

    def remark(self, message: str) -> None:
        self.remarks.append(message)

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def started(self, source: Path, total: int, done: int = 0) -> None:
        self.totals[source.name] = total

    def restored_faces(self, source: Path, frame: int | None, pairs: Sequence[FacePair]) -> None:
        self.faces[source.name] = len(pairs)

    def progressed(self, source: Path, done: float) -> None:
        self.shares.setdefault(source.name, []).append(done / self.totals[source.name])

    def finished(self, source: Path, target: Path, facts: str) -> None:
        self.done.append(source.name)
        self.facts[source.name] = facts

    def failed(self, source: Path, reason: str) -> None:
        self.errors[source.name] = reason


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture(autouse=True)
def no_thread_outlives_a_batch() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    # Not counting what Python notes of libvips's own threads when they log something.
    started = [thread for thread in threading.enumerate() if not isinstance(thread, threading._DummyThread)]
    assert set(started) <= before


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt even where the tests were started in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def make_jobs(folder: Path, count: int, extension: str = "png", channels: int = 3) -> list[PictureJob]:
    jobs = []
    for number in range(count):
        source = folder / f"in{number}.{extension}"
        files.write(source, Picture(picture(6, 7 + number, channels, seed=number)))
        header = files.read_header(source)
        assert header is not None
        jobs.append(PictureJob(source, header, (folder / "results" / f"out{number}.{extension}",)))
    return jobs


def twice(frame: Array, listener: Listener) -> Array:
    """A restorer without a network: twice as large, and inverted, so that a copy of the input would be noticed."""
    listener.progressed(0.5)
    bigger = cv2.resize(frame, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    return np.asarray(np.iinfo(frame.dtype).max - bigger)


def written(jobs: Sequence[PictureJob]) -> list[str]:
    return [job.source.name for job in jobs if job.target.exists()]


def work_until_cancelled(listener: Listener) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        listener.progressed(0.5)
    raise AssertionError("nobody cancelled this picture")


def interrupt_when_all_are_started(workers: int, reading: bool = True) -> None:
    """Ctrl-C, but only once `restore_all` waits: it is interrupted while it starts threads in a test of its own."""
    deadline = time.monotonic() + PATIENCE_S
    wanted = reading + workers + min(pipeline.MAX_WRITERS, os.cpu_count() or 1)
    while time.monotonic() < deadline:
        names = [thread.name for thread in threading.enumerate() if thread.is_alive()]
        if sum(name.startswith(("read", "work", "write")) for name in names) == wanted:
            break
    if os.name == "nt":
        _thread.interrupt_main()
    else:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


@pytest.mark.parametrize("count", [0, 1, 9])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_as_many_pictures_come_out_as_went_in_and_each_is_what_the_function_makes(
    tmp_path: Path, log: Log, workers: int, count: int
) -> None:
    jobs = make_jobs(tmp_path, count)
    restore_all(jobs, [twice] * workers, log)
    for job in jobs:
        assert np.array_equal(files.read(job.target).pixels, twice(files.read(job.source).pixels, SILENT))
    assert sorted(log.done) == [job.source.name for job in jobs]
    assert log.errors == {}
    assert len(list(tmp_path.rglob("*out*"))) == count


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_depth_channels_and_metadata_go_through(tmp_path: Path, log: Log, channels: int, depth: type) -> None:
    source = tmp_path / "a.png"
    files.write(source, Picture(picture(6, 7, channels, depth), Metadata(pixels_per_mm=(10.0, 10.0))))
    header = files.read_header(source)
    assert header is not None
    restore_all([PictureJob(source, header, (tmp_path / "b.png",))], [twice], log)
    result = files.read(tmp_path / "b.png")
    assert np.array_equal(result.pixels, twice(files.read(source).pixels, SILENT))
    assert result.pixels.dtype == depth
    assert result.metadata.pixels_per_mm == (10.0, 10.0)


def test_folders_of_results_are_made(tmp_path: Path, log: Log) -> None:
    (job,) = make_jobs(tmp_path, 1)
    deep = PictureJob(job.source, job.header, (tmp_path / "x" / "y" / "z.png",))
    restore_all([deep], [twice], log)
    assert written([deep]) == ["in0.png"]


def test_quality_reaches_the_files(tmp_path: Path, log: Log) -> None:
    jobs = make_jobs(tmp_path, 1, "jpg")
    sizes = []
    for quality in (20, 95):
        restore_all(jobs, [twice], log, quality=quality)
        sizes.append(jobs[0].target.stat().st_size)
    assert sizes[0] < sizes[1]


def test_the_progress_of_a_restorer_is_passed_on(tmp_path: Path, log: Log) -> None:
    restore_all(make_jobs(tmp_path, 2), [twice], log)
    assert log.shares == {"in0.png": [0.5], "in1.png": [0.5]}


def break_file(jobs: Sequence[PictureJob]) -> None:
    jobs[1].source.write_bytes(jobs[1].source.read_bytes()[:60])


def remove_file(jobs: Sequence[PictureJob]) -> None:
    jobs[1].source.unlink()


def block_target(jobs: Sequence[PictureJob]) -> None:
    jobs[1].target.mkdir(parents=True)


def block_folder(jobs: Sequence[PictureJob]) -> None:
    jobs[1].target.parent.mkdir()
    (jobs[1].target.parent / "file").touch()
    jobs[1] = PictureJob(jobs[1].source, jobs[1].header, (jobs[1].target.parent / "file" / "out.png",))  # type: ignore[index]


@pytest.mark.parametrize("spoil", [break_file, remove_file, block_target, block_folder])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_picture_that_fails_is_reported_and_the_rest_goes_on(
    tmp_path: Path, log: Log, workers: int, spoil: Callable[[Sequence[PictureJob]], None]
) -> None:
    jobs = make_jobs(tmp_path, 4)
    spoil(jobs)
    restore_all(jobs, [twice] * workers, log)
    assert sorted(log.done) == ["in0.png", "in2.png", "in3.png"]
    assert list(log.errors) == ["in1.png"]
    assert str(tmp_path) in log.errors["in1.png"]
    assert not [path for path in tmp_path.rglob("*") if "part" in path.name]


def test_an_error_of_the_device_fails_its_picture_only(tmp_path: Path, log: Log) -> None:
    def restorer(frame: Array, listener: Listener) -> Array:
        if frame.shape[1] == 8:
            raise DeviceError("out of memory")
        return twice(frame, listener)

    jobs = make_jobs(tmp_path, 4)
    restore_all(jobs, [restorer], log)
    assert log.errors == {"in1.png": "out of memory"}
    assert written(jobs) == ["in0.png", "in2.png", "in3.png"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_bug_in_a_restorer_is_raised_here_and_cancels_the_others(tmp_path: Path, log: Log, workers: int) -> None:
    started = threading.Barrier(workers)

    def buggy(frame: Array, listener: Listener) -> Array:
        started.wait(PATIENCE_S)
        raise ZeroDivisionError

    def patient(frame: Array, listener: Listener) -> Array:
        started.wait(PATIENCE_S)
        work_until_cancelled(listener)
        return frame

    restorers: list[Restorer] = [buggy, patient]
    with pytest.raises(ZeroDivisionError):
        restore_all(make_jobs(tmp_path, 12), restorers[:workers], log)
    assert log.errors == {}


@pytest.mark.parametrize("work", ["reading", "writing", "reporting"])
def test_a_bug_anywhere_else_is_raised_here_too(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    jobs = make_jobs(tmp_path, 12)

    def buggy(*_: object) -> None:
        raise ZeroDivisionError

    if work == "reporting":
        monkeypatch.setattr(log, "finished", buggy)
    else:
        monkeypatch.setattr(files, "read" if work == "reading" else "write", buggy)
    with pytest.raises(ZeroDivisionError):
        restore_all(jobs, [twice], log)


def test_a_bug_in_a_writer_is_raised_even_if_the_restorers_were_done(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue to the writers is full and all restorers have ended when the writers fail."""
    jobs = make_jobs(tmp_path, 2 + min(pipeline.MAX_WRITERS, os.cpu_count() or 1))
    last_restored = threading.Event()
    before = set(threading.enumerate())

    def restorer(frame: Array, listener: Listener) -> Array:
        if frame.shape[1] == 6 + len(jobs):
            last_restored.set()
        return twice(frame, listener)

    def buggy(*_: object) -> None:
        assert last_restored.wait(PATIENCE_S)
        for thread in set(threading.enumerate()) - before:
            if thread.name.startswith("restore"):
                thread.join(PATIENCE_S)
        raise ZeroDivisionError

    monkeypatch.setattr(files, "write", buggy)
    with pytest.raises(ZeroDivisionError):
        restore_all(jobs, [restorer], log)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_cancels_pictures_half_way_and_stops_at_once(tmp_path: Path, log: Log, workers: int) -> None:
    jobs = make_jobs(tmp_path, 12)
    all_at_work = threading.Barrier(workers + 1)

    def restorer(frame: Array, listener: Listener) -> Array:
        all_at_work.wait(PATIENCE_S)
        work_until_cancelled(listener)
        return frame

    def interrupt() -> None:
        all_at_work.wait(PATIENCE_S)
        interrupt_when_all_are_started(workers)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        restore_all(jobs, [restorer] * workers, log)
    thread.join()
    assert log.done == []
    assert log.errors == {}
    assert list(tmp_path.rglob("*out*")) == []


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_waits_for_what_cannot_be_cancelled(tmp_path: Path, log: Log) -> None:
    """A process that ends under a thread deep in torch is aborted, with a message of C++ instead of an exit code."""
    computed = threading.Event()

    def restorer(frame: Array, listener: Listener) -> Array:
        interrupt_when_all_are_started(workers=1, reading=False)
        threading.Event().wait(0.5)  # a convolution that takes long
        computed.set()
        return twice(frame, listener)

    with pytest.raises(KeyboardInterrupt):
        restore_all(make_jobs(tmp_path, 1), [restorer], log)
    assert computed.is_set()
    assert log.done == []


@pytest.mark.parametrize("started", [0, 1, 2, 3])
def test_ctrl_c_before_all_threads_are_started_ends_those_that_were(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch, started: int
) -> None:
    start = threading.Thread.start
    countdown = iter(range(started, -1, -1))

    def start_or_interrupt(self: threading.Thread) -> None:
        if next(countdown) == 0:
            raise KeyboardInterrupt
        start(self)

    monkeypatch.setattr(threading.Thread, "start", start_or_interrupt)
    with pytest.raises(KeyboardInterrupt):
        restore_all(make_jobs(tmp_path, 12), [twice, twice], log)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_lets_a_file_that_is_being_written_become_whole(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = make_jobs(tmp_path, 12)
    first = iter([True])  # taken by one of the writers

    class Interrupted(FileIO):
        def write(self, chunk: Any) -> int:
            if next(first, False):
                interrupt_when_all_are_started(workers=1)
            return super().write(bytes(chunk)[:20])

    def open_interrupted(self: Path, mode: str = "r", **options: Any) -> Any:
        return Interrupted(self, mode.replace("b", "")) if "w" in mode else open(self, mode, **options)

    def restorer(frame: Array, listener: Listener) -> Array:
        if frame.shape[1] > 8:  # all but the first two wait for the end
            work_until_cancelled(listener)
        return twice(frame, listener)

    monkeypatch.setattr(Path, "open", open_interrupted)
    with pytest.raises(KeyboardInterrupt):
        restore_all(jobs, [restorer], log)
    results = list((tmp_path / "results").iterdir())
    assert 1 <= len(results) <= 2
    for path in results:
        assert files.read(path).pixels.shape[0] == 12
    assert len(log.done) == len(results)


def test_a_result_that_fits_is_written_though_another_filled_the_disk_beside_it(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline.os, "cpu_count", lambda: 2)  # so there are two writers
    jobs = make_jobs(tmp_path, 2)
    too_large, fits = (job.target for job in jobs)
    filling, refused = threading.Event(), threading.Event()
    attempts: list[str] = []
    write = files.write

    def write_to_tiny_disk(path: Path, image: Picture, *how: int) -> tuple[str, ...]:
        attempts.append(path.name)
        if path == too_large:
            filling.set()
            assert refused.wait(PATIENCE_S)
            raise disk_full(path)
        assert filling.wait(PATIENCE_S)
        if not refused.is_set():
            refused.set()
            raise disk_full(path)
        return write(path, image, *how)

    def disk_full(path: Path) -> ImageFileError:
        error = ImageFileError(f"{path}: cannot be written")
        error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
        return error

    monkeypatch.setattr(files, "write", write_to_tiny_disk)
    restore_all(jobs, [twice], log)
    assert log.done == [jobs[1].source.name]
    assert list(log.errors) == [jobs[0].source.name]
    assert sorted(attempts) == sorted([too_large.name, fits.name] * 2)
    assert written(jobs) == [jobs[1].source.name]


def test_two_restorers_work_at_the_same_time_and_share_the_pictures(tmp_path: Path, log: Log) -> None:
    jobs = make_jobs(tmp_path, 10)
    together = threading.Barrier(2)
    done_by: dict[int, list[int]] = {0: [], 1: []}

    def restorer(number: int) -> Restorer:
        def restore(frame: Array, listener: Listener) -> Array:
            if not done_by[number]:
                together.wait(PATIENCE_S)
            done_by[number].append(frame.shape[1])
            return twice(frame, listener)

        return restore

    restore_all(jobs, [restorer(0), restorer(1)], log)
    assert done_by[0]
    assert done_by[1]
    assert sorted(done_by[0] + done_by[1]) == [job.header.width for job in jobs]
    assert written(jobs) == [job.source.name for job in jobs]


def test_reading_restoring_and_writing_overlap(tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = make_jobs(tmp_path, 3)
    read, write = files.read, files.write
    second_is_read, second_is_restored = threading.Event(), threading.Event()

    def reading(path: Path) -> Picture:
        result = read(path)
        if path == jobs[1].source:
            second_is_read.set()
        return result

    def restoring(frame: Array, listener: Listener) -> Array:
        if frame.shape[1] == jobs[0].header.width:
            assert second_is_read.wait(PATIENCE_S), "the second picture is not read while the first is restored"
        if frame.shape[1] == jobs[1].header.width:
            second_is_restored.set()
        return twice(frame, listener)

    def writing(path: Path, result: Picture, *how: int) -> tuple[str, ...]:
        if path == jobs[0].target:
            assert second_is_restored.wait(PATIENCE_S), "the second is not restored while the first is written"
        return write(path, result, *how)

    monkeypatch.setattr(files, "read", reading)
    monkeypatch.setattr(files, "write", writing)
    restore_all(jobs, [restoring], log)
    assert len(log.done) == 3


@pytest.mark.parametrize("stuck", ["restoring", "writing"])
def test_memory_holds_a_handful_of_pictures_however_slow_what_follows_is(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch, stuck: str
) -> None:
    jobs = make_jobs(tmp_path, 1) * 40
    read, write = files.read, files.write
    alive: weakref.WeakSet[Picture] = weakref.WeakSet()
    lock, too_many, released = threading.Lock(), threading.Event(), threading.Event()

    def reading(path: Path) -> Picture:
        fresh = Counted(read(path).pixels)
        with lock:
            alive.add(fresh)
            if len(alive) > HANDFUL:
                too_many.set()
        return fresh

    def hold() -> None:
        """Until memory overflows, or for long enough that it would have."""
        if not released.is_set():
            too_many.wait(0.4)
            released.set()

    def restoring(frame: Array, listener: Listener) -> Array:
        if stuck == "restoring":
            hold()
        return twice(frame, listener)

    def writing(path: Path, result: Picture, *how: int) -> tuple[str, ...]:
        if stuck == "writing":
            hold()
        return write(path.with_name(f"{threading.get_ident()}.png"), result, *how)

    monkeypatch.setattr(files, "read", reading)
    monkeypatch.setattr(files, "write", writing)
    restore_all(jobs, [restoring], log)
    assert not too_many.is_set()
    assert len(log.done) == 40


def run_out_in_numpy() -> None:
    raise MemoryError


def run_out_in_opencv() -> None:
    cv2.copyMakeBorder(np.zeros((8, 8, 3), np.uint8), 0, 1 << 30, 0, 1 << 30, cv2.BORDER_REFLECT_101)


@pytest.mark.parametrize("run_out", [run_out_in_numpy, run_out_in_opencv])
def test_memory_that_runs_out_fails_its_picture_only(tmp_path: Path, log: Log, run_out: Callable[[], None]) -> None:
    def restorer(frame: Array, listener: Listener) -> Array:
        if frame.shape[1] == 8:
            run_out()
        return twice(frame, listener)

    jobs = make_jobs(tmp_path, 3)
    restore_all(jobs, [restorer], log)
    assert list(log.errors) == ["in1.png"]
    assert "memory" in log.errors["in1.png"]
    assert written(jobs) == ["in0.png", "in2.png"]


def test_memory_that_runs_out_while_reading_fails_its_picture_only(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = make_jobs(tmp_path, 3)
    read = files.read

    def reading(path: Path) -> Picture:
        if path == jobs[0].source:
            raise MemoryError
        return read(path)

    monkeypatch.setattr(files, "read", reading)
    restore_all(jobs, [twice], log)
    assert written(jobs) == ["in1.png", "in2.png"]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("moment", [1, 4, 9, 30])
def test_a_reporter_can_cancel_at_any_time_and_nothing_half_written_stays(
    tmp_path: Path, moment: int, workers: int
) -> None:
    class Cancelling(Log):
        asked = 0

        def check(self) -> None:
            self.asked += 1
            if self.asked >= moment:
                raise Cancelled

    log = Cancelling()
    jobs = make_jobs(tmp_path, 12)
    with pytest.raises(Cancelled):
        restore_all(jobs, [twice] * workers, log)
    assert log.errors == {}
    assert sorted(written(jobs)) == sorted(log.done)
    assert [path for path in tmp_path.rglob("*") if "part" in path.name] == []
    for job in jobs:
        assert not job.target.exists() or np.array_equal(
            files.read(job.target).pixels, twice(files.read(job.source).pixels, SILENT)
        )


def test_a_picture_can_be_cancelled_half_way(tmp_path: Path) -> None:
    class Cancelling(Log):
        def check(self) -> None:
            if self.totals:
                raise Cancelled

    def restorer(frame: Array, listener: Listener) -> Array:
        work_until_cancelled(listener)
        return frame

    with pytest.raises(Cancelled):
        restore_all(make_jobs(tmp_path, 3), [restorer], Cancelling())


def test_progress_is_in_pixels_of_the_input_and_facts_say_size_faces_and_time(tmp_path: Path, log: Log) -> None:
    def with_faces(frame: Array, listener: Listener) -> Array:
        listener.restored_faces([(frame, frame)] * (frame.shape[1] - 6))
        return twice(frame, listener)

    jobs = make_jobs(tmp_path, 3)
    restore_all(jobs, [with_faces], log)
    assert log.totals == {"in0.png": 6 * 7, "in1.png": 6 * 8, "in2.png": 6 * 9}
    facts = [log.facts[job.source.name].rsplit(", ", 1)[0] for job in jobs]
    assert facts == ["14×12, 1 face", "16×12, 2 faces", "18×12, 3 faces"]
    assert all(text.endswith(" s") for text in log.facts.values())
    restore_all(jobs, [twice], log)
    assert log.facts["in1.png"].startswith("16×12, 0.")


def test_messages_of_reading_and_writing_reach_the_reporter_with_the_name(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job,) = make_jobs(tmp_path, 1)
    read = files.read

    def reading(path: Path) -> Picture:
        return replace(read(path), warnings=("is damaged",), remarks=("holds 3 frames",))

    monkeypatch.setattr(files, "read", reading)
    monkeypatch.setattr(files, "write", lambda *_: ("lost its title",))
    restore_all([job], [twice], log)
    assert log.remarks == [f"{job.source}: holds 3 frames"]
    assert log.warnings == [f"{job.source}: is damaged", f"{job.source}: lost its title"]


def test_parts_left_by_a_process_that_was_killed_are_removed(tmp_path: Path, log: Log) -> None:
    jobs = make_jobs(tmp_path, 2)
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    mine = part_of(jobs[0].target)
    mine.parent.mkdir()
    mine.with_name(mine.name.replace(f"-{os.getpid()}.", f"-{process.pid}.")).touch()
    restore_all(jobs, [twice], log)
    assert sorted(os.listdir(mine.parent)) == ["out0.png", "out1.png"]


class Counted(Picture):
    """A picture that weak references can follow, each counted for itself."""

    __hash__ = object.__hash__
    __eq__ = object.__eq__


def compared(job: PictureJob) -> Path:
    return job.target.with_name(f"{job.target.stem}_compare.jpg")


def test_a_comparison_lies_beside_each_result(tmp_path: Path, log: Log) -> None:
    jobs = [replace(job, targets=(job.target, compared(job))) for job in make_jobs(tmp_path, 2)]
    restore_all(jobs, [twice], log, compare_label="a model")
    names = sorted(path.name for path in (tmp_path / "results").iterdir())
    assert names == ["out0.png", "out0_compare.jpg", "out1.png", "out1_compare.jpg"]
    both, result = files.read(jobs[1].targets[1]).pixels, files.read(jobs[1].target).pixels
    assert both.shape == (12 + compare.LABEL_HEIGHT, 16 + compare.GAP + 16, 3)
    assert np.abs(both[compare.LABEL_HEIGHT :, -16:].astype(int) - result).mean() < 8  # JPEG
    enlarged = 255 - result  # what `twice` does, undone
    assert np.abs(both[compare.LABEL_HEIGHT :, :16].astype(int) - enlarged).mean() < 8


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_before_and_after_stand_side_by_side_in_the_same_size(channels: int, depth: type) -> None:
    before, after = picture(30, 50, channels, depth), picture(120, 200, channels, depth, seed=1)
    both = compare.side_by_side(before, after, "name")
    assert both.dtype == np.uint8
    assert both.shape == (120 + compare.LABEL_HEIGHT, 200 + compare.GAP + 200, 3)
    if channels != 4:
        left, right = both[compare.LABEL_HEIGHT :, :200], both[compare.LABEL_HEIGHT :, -200:]
        to_bytes = 1 if depth == np.uint8 else 257
        for shown, whole in ((left, before.repeat(4, 0).repeat(4, 1)), (right, after)):
            expected = whole[..., None] if channels == 1 else whole
            assert np.abs(shown - expected / to_bytes).max() <= 0.5


def test_labels_tell_the_model_and_the_sizes() -> None:
    def labels(before: Array, after: Array, name: str) -> tuple[Array, Array]:
        bar = compare.side_by_side(before, after, name)[: compare.LABEL_HEIGHT]
        return bar[:, : after.shape[1]], bar[:, -after.shape[1] :]

    small, other, large = picture(30, 50), picture(31, 50), picture(120, 200)
    left, right = labels(small, large, "one model")
    assert left.min() < 100 < left.max()  # ink and paper
    assert not np.array_equal(left, right)
    other_left, other_right = labels(other, large, "another model")
    assert not np.array_equal(left, other_left)
    assert not np.array_equal(right, other_right)


def test_transparency_shows_as_a_checkerboard() -> None:
    after = np.zeros((32, 32, 4), np.uint8)
    after[:, 16:] = (10, 20, 30, 255)
    shown = compare.side_by_side(after, after, "name")[compare.LABEL_HEIGHT :, -32:]
    assert set(np.unique(shown[:, :16])) == {204, 255}
    assert (shown[:, 16:] == (10, 20, 30)).all()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 20000), (40000, 2), (2, 40000)])
def test_any_size_can_be_compared_and_fits_a_jpeg(tmp_path: Path, height: int, width: int) -> None:
    both = compare.side_by_side(np.zeros((1, 1, 3), np.uint8), np.zeros((height, width, 3), np.uint8), "name")
    assert max(both.shape) <= compare.LONGEST_SIDE + compare.LABEL_HEIGHT
    files.write(tmp_path / "a.jpg", Picture(both))


def test_as_many_files_are_written_side_by_side_as_there_are_writers(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = make_jobs(tmp_path, 6)
    all_here = threading.Barrier(6)
    levels = []

    def writing(path: Path, result: Picture, quality: int, compression: int) -> tuple[str, ...]:
        all_here.wait(PATIENCE_S)
        levels.append(compression)
        return ()

    monkeypatch.setattr(files, "write", writing)

    def copied(job: PictureJob, picture: Picture, progressed: Callable[[float], None]) -> pipeline.Made:
        return pipeline.Made([(job.target, picture)])

    pipeline.process(jobs, [copied], log, compression=7, writers=6)
    assert levels == [7] * 6
    assert len(log.done) == 6


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_stops_between_two_files_of_one_picture(tmp_path: Path, log: Log) -> None:
    (job,) = make_jobs(tmp_path, 1)
    written: list[Path] = []

    def files_of(picture: Picture) -> Iterator[tuple[Path, Picture]]:
        for number in range(1000):
            if number == 3:
                _thread.interrupt_main()
            path = tmp_path / f"{number}.png"
            yield path, picture
            written.append(path)

    def many(job: PictureJob, picture: Picture, progressed: Callable[[float], None]) -> pipeline.Made:
        return pipeline.Made(files_of(picture))

    with pytest.raises(KeyboardInterrupt):
        pipeline.process([job], [many], log)
    assert 3 <= len(written) < 1000
    assert log.done == []
    assert all(np.array_equal(files.read(path).pixels, files.read(job.source).pixels) for path in written)


@pytest.mark.parametrize(("timed", "facts"), [(True, "a copy, 0.0 s"), (False, "a copy")])
def test_the_time_is_said_unless_it_means_nothing(tmp_path: Path, log: Log, timed: bool, facts: str) -> None:
    def copied(job: PictureJob, picture: Picture, progressed: Callable[[float], None]) -> pipeline.Made:
        return pipeline.Made([(job.target, picture)], ("a copy",), timed=timed)

    pipeline.process(make_jobs(tmp_path, 1), [copied], log)
    assert log.facts["in0.png"] == facts


def test_pictures_may_come_while_others_are_worked_on(tmp_path: Path, log: Log) -> None:
    jobs = make_jobs(tmp_path, 3)

    def coming() -> Iterator[PictureJob | None]:
        for job in jobs:
            yield job
            while job.source.name not in log.done:  # the next one comes only when this one is written
                yield None

    restore_all(coming(), [twice], log)
    assert log.done == [job.source.name for job in jobs] == written(jobs)


def test_a_bug_ends_a_batch_that_waits_for_more(tmp_path: Path, log: Log) -> None:
    def coming() -> Iterator[PictureJob | None]:
        yield from make_jobs(tmp_path, 1)
        while True:
            yield None

    def buggy(frame: Array, listener: Listener) -> Array:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        restore_all(coming(), [buggy], log)
