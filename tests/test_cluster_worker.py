"""A worker by itself: bytes in, bytes out, one unit computed at a time, nothing left of what nobody wants."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tiny import picture

from realesrgan.arrays import Array
from realesrgan.cluster.shipping import order_of
from realesrgan.cluster.turns import Rank, Ticket, Turn, shared
from realesrgan.cluster.units import ModelOrder, PictureOrder, Prepared, Report
from realesrgan.cluster.worker import MODELS_KEPT, Model, Worker
from realesrgan.loading import Settings, check
from realesrgan.outputs import spool
from realesrgan.restorer import Listener

AT_ONCE = 1_000_000
PATIENCE_S = 20.0


class Device:
    """Computes one picture after the other, each as soon as it may; the first pixel says which it is."""

    def __init__(self) -> None:
        self.may = threading.Semaphore(0)
        self.begun: list[int] = []
        self.at_once = self.most_at_once = 0

    def __call__(self, frame: Array, listener: Listener) -> Array:
        self.begun.append(int(frame[0, 0, 0]))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            while not self.may.acquire(timeout=0.002):
                listener.progressed(0.25)
        finally:
            self.at_once -= 1
        return frame.repeat(2, axis=0).repeat(2, axis=1)

    def load(self, order: ModelOrder, device: str) -> Model:
        return Model("played", [self], Prepared(device=device))


@pytest.fixture
def model(srvgg_file: Path) -> ModelOrder:
    order, places = order_of(check(Settings(model_path=srvgg_file, fp32=True), "x"), for_video=False)
    return order


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def worker(device: Device, model: ModelOrder, srvgg_file: Path, temporary: Path) -> Iterator[Worker]:
    worker = Worker("cpu", AT_ONCE, device.load)
    worker.prepare(model, lambda file: [srvgg_file.read_bytes()])
    yield worker
    worker.close()
    assert list(temporary.iterdir()) == []


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


def sent(level: int, width: int = 12) -> bytes:
    pixels = np.full((8, width, 3), level, np.uint8)
    return bytes(cv2.imencode(".png", pixels)[1])


ORDER = PictureOrder("a.png", "picture.png", ("0.png",), quality=95, wants_faces=False)


def until(condition: Callable[[], Any]) -> None:
    for _ in range(round(PATIENCE_S / 0.005)):
        if condition():
            return
        threading.Event().wait(0.005)
    raise AssertionError("waited in vain")


def give_to(worker: Worker, threads: ThreadPoolExecutor, model: ModelOrder, key: int, **facts: Any) -> Future[Report]:
    worker.take(key, 0, sent(key, **facts))
    return threads.submit(worker.restore, key, model, ORDER)


def test_a_picture_that_comes_in_parts_goes_back_at_once(worker: Worker, device: Device, model: ModelOrder) -> None:
    content = sent(7)
    for offset in range(0, len(content), 10):
        worker.take(1, offset, content[offset : offset + 10])
    device.may.release()
    report = worker.restore(1, model, ORDER)
    assert report.error is None
    assert report.content is not None
    (file,) = report.files
    assert (file.size_bytes, file.checksum) == (len(report.content), zlib.crc32(report.content))
    pixels = cv2.imdecode(np.frombuffer(report.content, np.uint8), cv2.IMREAD_COLOR)
    assert pixels.shape == (16, 24, 3)
    assert (pixels == 7).all()
    assert worker.progress() == {}


def test_a_large_result_is_fetched_in_parts_and_kept_until_it_is_dropped(
    worker: Worker, device: Device, model: ModelOrder, temporary: Path
) -> None:
    worker._at_once_bytes = 10
    worker.take(1, 0, sent(7))
    device.may.release()
    report = worker.restore(1, model, ORDER)
    assert report.content is None
    (file,) = report.files
    parts = [worker.give(1, 0, offset, 13) for offset in range(0, file.size_bytes, 13)]
    assert zlib.crc32(b"".join(parts)) == file.checksum
    assert [len(part) for part in parts[:-1]] == [13] * (len(parts) - 1)
    (folder,) = temporary.iterdir()
    assert list(folder.iterdir())
    worker.drop(1)
    assert not list(folder.iterdir())


def test_units_are_computed_one_at_a_time_in_the_order_they_came(
    worker: Worker, device: Device, model: ModelOrder, threads: ThreadPoolExecutor
) -> None:
    (turn,) = worker._turns = [Turn()]
    reports = []
    for place, key in enumerate((5, 3, 4, 1)):
        reports.append(give_to(worker, threads, model, key))
        until(lambda place=place: device.begun == [5] and len(turn._waiting) == place)
    for _ in reports:
        device.may.release()
    assert all(report.result(PATIENCE_S).error is None for report in reports)
    assert device.begun == [5, 3, 4, 1]
    assert device.most_at_once == 1


def test_progress_is_told_of_what_is_computed_and_not_of_what_waits(
    worker: Worker, device: Device, model: ModelOrder, threads: ThreadPoolExecutor
) -> None:
    reports = [give_to(worker, threads, model, 1)]
    until(lambda: worker.progress() == {1: 0.25})
    reports.append(give_to(worker, threads, model, 2))
    until(lambda: 2 in worker._units)
    assert worker.progress() == {1: 0.25}
    for report in reports:
        device.may.release()
        report.result(PATIENCE_S)
    assert worker.progress() == {}


def test_a_unit_dropped_while_it_is_computed_ends_at_its_next_step(
    worker: Worker, device: Device, model: ModelOrder, threads: ThreadPoolExecutor, temporary: Path
) -> None:
    report = give_to(worker, threads, model, 1)
    until(lambda: device.begun)
    worker.drop(1)
    assert report.result(PATIENCE_S).error == "nobody wants it any more"
    (folder,) = temporary.iterdir()
    assert not list(folder.iterdir())


def test_a_unit_dropped_while_it_waits_for_its_turn_is_never_computed(
    worker: Worker, device: Device, model: ModelOrder, threads: ThreadPoolExecutor, temporary: Path
) -> None:
    first = give_to(worker, threads, model, 1)
    until(lambda: device.begun)
    second, third = (give_to(worker, threads, model, key) for key in (2, 3))
    until(lambda: len(worker._units) == 3)
    worker.drop(2)
    for _ in range(3):
        device.may.release()
    assert second.result(PATIENCE_S).error == "nobody wants it any more"
    assert first.result(PATIENCE_S).error is third.result(PATIENCE_S).error is None
    assert device.begun == [1, 3]
    (folder,) = temporary.iterdir()
    assert not list(folder.iterdir())


def test_a_unit_dropped_before_it_began_leaves_nothing(
    worker: Worker, device: Device, model: ModelOrder, temporary: Path
) -> None:
    content = sent(7)
    worker.take(1, 0, content[:20])
    worker.drop(1)
    worker.take(1, 20, content[20:])  # it was on its way
    (folder,) = temporary.iterdir()
    assert not list(folder.iterdir())
    assert worker.restore(1, model, ORDER).error == "nobody wants it any more"
    assert not list(folder.iterdir())
    assert device.begun == []


def test_a_unit_dropped_after_its_last_step_leaves_no_result(
    worker: Worker, device: Device, model: ModelOrder, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker._at_once_bytes = 10
    worker.take(1, 0, sent(7))
    device.may.release()
    made = worker._restored

    def restored(*arguments: Any) -> object:
        facts = made(*arguments)
        worker.drop(1)
        return facts

    monkeypatch.setattr(worker, "_restored", restored)
    worker.restore(1, model, ORDER)
    (folder,) = temporary.iterdir()
    assert not list(folder.iterdir())


def test_errors_come_in_the_report_and_say_whose_fault_it_is(
    worker: Worker, device: Device, model: ModelOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.take(1, 0, b"no picture")
    report = worker.restore(1, model, ORDER)
    assert (report.error, report.final) == ("a.png: not a picture", True)

    def raising(error: Exception) -> Any:
        def load(order: ModelOrder, device: str) -> Model:
            def restore(frame: Array, listener: Listener) -> Array:
                raise error

            return Model("played", [restore], Prepared())

        return load

    for number, (error, words) in enumerate(
        [
            (MemoryError(), "not enough memory"),
            (OSError("no"), "no"),
            (KeyError("x"), "an unexpected error: KeyError('x')"),
        ],
        start=2,
    ):
        worker._models.clear()
        worker._load = raising(error)
        worker.take(number, 0, sent(1))
        report = worker.restore(number, model, ORDER)
        assert (report.error, report.final) == (words, False)


def test_a_model_that_had_to_make_room_is_loaded_again(worker: Worker, device: Device, model: ModelOrder) -> None:
    others = [replace(model, model_name=f"other {number}") for number in range(MODELS_KEPT)]
    for other in others:
        worker.prepare(other)
    assert model not in worker._models
    worker.take(1, 0, sent(7))
    device.may.release()
    assert worker.restore(1, model, ORDER).error is None
    assert len(worker._models) == MODELS_KEPT


def test_weights_that_were_removed_meanwhile_fail_a_unit_and_not_the_worker(worker: Worker, model: ModelOrder) -> None:
    gone = replace(model, own=(replace(model.own[0], sha256="0" * 64),))
    worker.take(1, 0, sent(7))
    report = worker.restore(1, gone, ORDER)
    assert (report.error, report.final) == ("its weights are not there any more", False)


def test_a_missing_file_is_named_before_it_is_fetched(model: ModelOrder, temporary: Path) -> None:
    worker = Worker("cpu", AT_ONCE)
    assert worker.prepare(model).missing == model.own
    worker.close()


def test_what_a_process_that_was_killed_left_is_removed_and_what_one_that_lives_has_is_not(
    temporary: Path, device: Device
) -> None:
    code = (
        "import os, pathlib, sys; from realesrgan.outputs import spool\n"
        "with spool(pathlib.Path(sys.argv[1])) as folder:\n"
        "    (folder / 'content').write_text('x'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(temporary)], check=True, env=os.environ)
    (left,) = temporary.iterdir()
    with spool(temporary) as living:
        worker = Worker("cpu", AT_ONCE, device.load)
        assert not left.exists()
        assert living.exists()
        worker.close()


def segment(number: int) -> Ticket:
    return Ticket(Rank.SEGMENT, number)


def test_waiting_for_a_turn_never_loses_a_wake_up(threads: ThreadPoolExecutor) -> None:
    order: list[int] = []
    turn = Turn()

    def noting(frame: Array, listener: Listener) -> Array:
        order.append(int(frame[0]))
        return frame

    def work(ticket: int) -> None:
        for _ in range(50):
            shared(noting, turn, segment(ticket))(np.array([ticket]), Listener(lambda share: None))

    for done in [threads.submit(work, ticket) for ticket in range(8)]:
        done.result(PATIENCE_S)
    assert sorted(order) == sorted(list(range(8)) * 50)


def test_a_turn_that_fails_is_given_on(threads: ThreadPoolExecutor) -> None:
    def failing(frame: Array, listener: Listener) -> Array:
        raise MemoryError

    turn = Turn()
    for ticket in range(3):
        with pytest.raises(MemoryError):
            threads.submit(shared(failing, turn, segment(ticket)), picture(4, 4), Listener(lambda share: None)).result(
                PATIENCE_S
            )


def test_of_those_that_wait_the_one_with_the_smallest_ticket_computes_next(
    device: Device, threads: ThreadPoolExecutor
) -> None:
    turn = Turn()
    running = []
    for place, ticket in enumerate((0, 3, 2, 1)):
        frame = np.full((4, 4, 3), ticket, np.uint8)
        running.append(threads.submit(shared(device, turn, segment(ticket)), frame, Listener(lambda share: None)))
        until(lambda place=place: device.begun == [0] and len(turn._waiting) == place)
    for _ in running:
        device.may.release()
    for done in running:
        done.result(PATIENCE_S)
    assert device.begun == [0, 1, 2, 3]
