"""A record says everything, in one line; the file is in order however it was written, and survives a kill."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

import pytest

from realesrgan.degradation.draw import draw
from realesrgan.degradation.recipe import PUBLISHED
from realesrgan.degradation.records import FILE_NAME, Record, Recorder, outputs, read
from realesrgan.errors import UsageError


def record(number: int, seed: int = 0) -> Record:
    degradation = draw(seed, number, PUBLISHED)
    return Record(output=f"{number}.png", source=f"{number}.jpg", sha256="0" * 64, degradation=degradation)


def test_records_come_back_as_they_were_in_the_order_of_numbers(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        for numbers in ([3, 4], [0], [10, 2], [1]):
            recorder.add(map(record, numbers))
    assert list(read(tmp_path / FILE_NAME)) == [record(number) for number in (0, 1, 2, 3, 4, 10)]
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_a_line_holds_no_empty_fields_and_empty_lines_mean_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    assert all("null" not in record(number).line for number in range(20))
    path.write_text(f"\n{record(0).line}\n\n{record(1).line}\n")
    assert list(read(path)) == [record(0), record(1)]


def test_a_later_run_adds_its_records_and_replaces_those_of_pictures_made_anew(tmp_path: Path) -> None:
    for numbers, seed in (([0, 2], 0), ([1, 2], 5)):
        with Recorder(tmp_path) as recorder:
            recorder.add(record(number, seed) for number in numbers)
    assert list(read(tmp_path / FILE_NAME)) == [record(0), record(1, 5), record(2, 5)]


def test_a_line_cut_short_by_a_kill_is_dropped_by_the_next_run(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        recorder.add([record(0)])
    with (tmp_path / FILE_NAME).open("a") as file:
        file.write(record(1).line[:50])
    with Recorder(tmp_path) as recorder:
        recorder.add([record(2)])
    assert [one.degradation.number for one in read(tmp_path / FILE_NAME)] == [0, 2]


def test_an_error_on_the_way_keeps_what_is_recorded(tmp_path: Path) -> None:
    with suppress(KeyboardInterrupt), Recorder(tmp_path) as recorder:
        recorder.add([record(1)])
        recorder.add([record(0)])
        raise KeyboardInterrupt
    assert [one.degradation.number for one in read(tmp_path / FILE_NAME)] == [0, 1]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"degradation": {"seed": 0}}, "line 2: .*degradation"),
        ({"colour": "red"}, "line 2: .*colour"),
        (None, "line 2: .*JSON"),
    ],
)
def test_a_line_that_is_no_record_is_refused_by_its_number(tmp_path: Path, change: object, reason: str) -> None:
    path = tmp_path / "a.jsonl"
    second = "half a li" if change is None else json.dumps({**json.loads(record(1).line), **change})  # type: ignore[dict-item]
    path.write_text(f"{record(0).line}\n{second}\n")
    with pytest.raises(UsageError, match=reason):
        list(read(path))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        list(read(tmp_path / "a.jsonl"))


@pytest.mark.parametrize("output", ["/tmp/a.png", "../a.png", "b/../../a.png", "", ".", "a\0.png", "\ud800.png"])
def test_a_record_cannot_name_a_result_outside_of_the_folder(tmp_path: Path, output: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({**json.loads(record(0).line), "output": output}))
    with pytest.raises(UsageError, match=r"line 1: no record of a degradation \(output: "):
        list(read(path))


def test_a_name_that_is_not_utf_8_comes_back_as_it_was(tmp_path: Path) -> None:
    odd = record(0).model_copy(update={"output": "\udcff.png", "source": "ü\udcff.jpg"})
    with Recorder(tmp_path) as recorder:
        recorder.add([odd])
    (tmp_path / FILE_NAME).read_text(encoding="utf-8")
    assert list(read(tmp_path / FILE_NAME)) == [odd]
    assert outputs(tmp_path) == {"\udcff.png"}


def test_two_processes_at_once_lose_no_record(tmp_path: Path) -> None:
    first, second = Recorder(tmp_path), Recorder(tmp_path)
    with second:
        with first:
            first.add([record(3)])
            second.add([record(2)])
        second.add([record(1)])  # after the first has put the file in order, which makes a new one
    assert [one.degradation.number for one in read(tmp_path / FILE_NAME)] == [1, 2, 3]
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


@pytest.mark.skipif(os.name == "nt", reason="sets a limit to the size of files")
def test_a_record_that_the_disk_has_no_room_for_leaves_the_others_whole(tmp_path: Path) -> None:
    import resource

    with Recorder(tmp_path) as recorder:
        recorder.add([record(0)])
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / FILE_NAME).stat().st_size + 50, before[1]))
        try:
            with pytest.raises(OSError, match="large"):
                recorder.add([record(1)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert list(read(tmp_path / FILE_NAME)) == [record(0)]
        recorder.add([record(2)])
    assert list(read(tmp_path / FILE_NAME)) == [record(0), record(2)]


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(UsageError, match="cannot be written"), Recorder(tmp_path):
        pass
