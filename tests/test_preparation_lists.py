"""Lists name every picture once; pairs belong together by name, whatever is missing; what is left out is said."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from tiny import picture

from realesrgan.errors import Cancelled, UsageError
from realesrgan.image import files
from realesrgan.image.files import Picture
from realesrgan.preparation.lists import Listed, PlainList, write_list
from realesrgan.preparation.pairs import PairedList, PairsListed, write_pairs
from realesrgan.restorer import Reporter

LIST = Path("meta/list.txt")


class Log(Reporter):
    """A reporter that records what it is told."""

    def __init__(self) -> None:
        self.remarks: list[str] = []
        self.warnings: list[str] = []
        self.failures: list[str] = []
        self.done: list[float] = []

    def remark(self, message: str) -> None:
        self.remarks.append(message)

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def failed(self, source: Path, reason: str) -> None:
        self.failures.append(reason)

    def progressed(self, source: Path, done: float) -> None:
        self.done.append(done)


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths in these tests are relative to the working directory."""
    monkeypatch.chdir(tmp_path)


def make(*names: str, height: int = 8, width: int = 8) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        files.write(Path(name), Picture(picture(height, width)))


def cut_short(name: str) -> None:
    make(name)
    Path(name).write_bytes(Path(name).read_bytes()[:-30])


def listed(*folders: str, reporter: Reporter | None = None, **how: Any) -> Listed:
    return write_list(PlainList(folders, LIST, **how), reporter or Reporter())


def paired(*folders: str, reporter: Reporter | None = None, **how: Any) -> PairsListed:
    return write_pairs(PairedList(folders or ("gt", "lq"), LIST, **how), reporter or Reporter())


def lines() -> list[str]:
    return LIST.read_text(encoding="utf-8").splitlines()


def test_every_picture_of_every_folder_is_listed_once_below_the_folder_above() -> None:
    make("data/hr/b.png", "data/hr/a.jpg", "data/multi/aT0.png", "data/hr/.hidden.png", "data/hr/deep/c.png")
    listed("data/hr", "data/multi")
    assert lines() == ["hr/a.jpg", "hr/b.png", "multi/aT0.png"]
    listed("data/hr", "data/multi/", recursive=True)
    assert lines() == ["hr/a.jpg", "hr/b.png", "hr/deep/c.png", "multi/aT0.png"]


def test_published_readers_find_every_line_below_the_root() -> None:
    make("data/hr/a.png", "data/hr/deep/b.png", "other/c.png")
    for root in (["data"], ["data", "."], ["."], ["other", "data/hr"]):
        roots = root * 2 if len(root) == 1 else root
        listed("data/hr", "other", root=root, recursive=True)
        found = [Path(roots[number >= 2]) / line for number, line in enumerate(lines())]
        assert [path.name for path in found] == ["a.png", "b.png", "c.png"]
        assert all(path.is_file() for path in found)


def test_what_is_no_picture_is_not_listed_and_said(log: Log) -> None:
    make("hr/a.png")
    Path("hr/notes.txt").write_text("no picture")
    Path("hr/page.png").write_text("<html>")
    outcome = listed("hr", reporter=log)
    assert lines() == ["hr/a.png"]
    assert ["notes.txt" in line for line in log.remarks] == [True]
    assert outcome.failures == log.failures
    assert ["page.png" in line for line in log.failures] == [True]


def test_damaged_pictures_are_left_out_by_check_and_only_then(log: Log) -> None:
    make("hr/a.png", "hr/c.png")
    cut_short("hr/b.png")
    listed("hr")
    assert lines() == ["hr/a.png", "hr/b.png", "hr/c.png"]
    listed("hr", check=True, reporter=log)
    assert lines() == ["hr/a.png", "hr/c.png"]
    assert ["b.png: damaged" in line for line in log.failures] == [True]
    assert log.done == [1, 2, 3]


def test_check_leaves_out_jpegs_that_only_a_tolerant_reader_takes() -> None:
    make("hr/a.jpg", "hr/b.jpg", height=64, width=64)
    content = Path("hr/b.jpg").read_bytes()
    scan = content.index(b"\xff\xda") + 20
    Path("hr/b.jpg").write_bytes(content[:scan] + b"\xff\xd0" * 20 + content[scan + 40 :])
    listed("hr", check=True)
    assert lines() == ["hr/a.jpg"]


def test_a_cancelled_check_leaves_the_list_there_was() -> None:
    class Stop(Reporter):
        def check(self) -> None:
            raise Cancelled

    make("hr/a.png")
    listed("hr")
    make("hr/b.png")
    with pytest.raises(Cancelled):
        listed("hr", check=True, reporter=Stop())
    assert lines() == ["hr/a.png"]


@pytest.mark.parametrize("number", [1, 5])
def test_names_that_published_readers_cut_are_named(log: Log, number: int) -> None:
    make("hr/a,b.png", *(f"hr/{n} x.png" for n in range(number)))
    listed("hr", reporter=log)
    (line,) = log.warnings
    assert "first blank" in line
    assert "hr/0 x.png" in line
    assert "a,b" not in line
    assert ("5 pictures" in line) == (number == 5)
    assert "hr/4 x.png" not in line


@pytest.mark.skipif(sys.platform == "win32", reason="no such names there")
def test_a_name_with_a_line_break_is_left_out(log: Log) -> None:
    make("hr/a\nb.png", "hr/c.png")
    listed("hr", reporter=log)
    assert lines() == ["hr/c.png"]
    assert ["line break" in line for line in log.failures] == [True]


def test_two_pictures_with_one_line_are_refused_and_the_list_there_was_stays() -> None:
    make("one/hr/a.png", "two/hr/a.png")
    listed("one/hr")
    with pytest.raises(UsageError, match="would both be listed as hr/a.png: give one root"):
        listed("one/hr", "two/hr")
    assert lines() == ["hr/a.png"]
    listed("one/hr", "two/hr", root=["."])
    assert lines() == ["one/hr/a.png", "two/hr/a.png"]


@pytest.mark.parametrize(
    ("folders", "how", "message"),
    [
        (["none"], {}, "input none: there is no such folder"),
        (["hr/a.png"], {}, "there is no such folder"),
        ([""], {}, "there is no such folder"),
        (["empty"], {}, "nothing to list"),
        (["hr"], {"root": ["a", "b"]}, "root: 2 for 1 folder"),
        (["hr"], {"n_thread": 0}, "n_thread 0"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_writes_nothing(
    folders: list[str], how: dict[str, Any], message: str
) -> None:
    make("hr/a.png")
    Path("empty").mkdir()
    with pytest.raises(UsageError, match=message):
        listed(*folders, **how)
    assert not LIST.exists()


def test_no_picture_is_replaced_by_its_list() -> None:
    make("hr/a.png")
    before = Path("hr/a.png").read_bytes()
    with pytest.raises(UsageError, match="is one of the pictures"):
        write_list(PlainList(["hr"], Path("hr/../hr/a.png")), Reporter())
    assert Path("hr/a.png").read_bytes() == before


# Pairs.


@pytest.mark.parametrize("missing", ["gt/b.png", "lq/b.png", "gt/a.png", "lq/d.png"])
def test_a_missing_file_shifts_no_pair(missing: str) -> None:
    make(*(f"{folder}/{name}.png" for folder in ("gt", "lq") for name in "abcd"))
    Path(missing).unlink()
    outcome = paired()
    kept = [name for name in "abcd" if name != Path(missing).stem]
    assert lines() == [f"gt/{name}.png, lq/{name}.png" for name in kept]
    alone = outcome.without_original if missing.startswith("gt") else outcome.without_copy
    assert [path.name for path in alone] == [Path(missing).name]
    assert len(outcome.without_original + outcome.without_copy) == 1


def test_pairs_are_matched_without_extension_in_the_same_sub_folder() -> None:
    make("gt/a.png", "gt/deep/a.png", "gt/b.png", "lq/a.jpg", "lq/deep/a.webp", "lq/deep/b.png")
    outcome = paired(recursive=True)
    assert lines() == ["gt/a.png, lq/a.jpg", "gt/deep/a.png, lq/deep/a.webp"]
    assert outcome.without_copy == (Path("gt/b.png"),)
    assert outcome.without_original == (Path("lq/deep/b.png"),)


def test_a_template_makes_the_name_of_the_copy() -> None:
    make("gt/0801.png", "gt/0802.png", "lq/0801x4.png", "lq/0802.png")
    outcome = paired(filename_tmpl="{}x4")
    assert lines() == ["gt/0801.png, lq/0801x4.png"]
    assert outcome.without_original == (Path("lq/0802.png"),)


def test_each_folder_has_its_own_root() -> None:
    make("one/gt/a.png", "two/x4/lq/a.png")
    paired("one/gt", "two/x4/lq")
    assert lines() == ["gt/a.png, lq/a.png"]
    paired("one/gt", "two/x4/lq", root=["one", "two"])
    assert lines() == ["gt/a.png, x4/lq/a.png"]


def test_two_pictures_of_one_name_are_not_guessed_between(log: Log) -> None:
    make("gt/a.png", "gt/a.jpg", "gt/b.png", "lq/a.png", "lq/b.png")
    outcome = paired(reporter=log)
    assert lines() == ["gt/b.png, lq/b.png"]
    assert ["a.jpg" in line and "a.png" in line for line in log.failures] == [True]
    assert outcome.without_original == (Path("lq/a.png"),)


@pytest.mark.parametrize("damaged", ["gt/b.png", "lq/b.png"])
def test_check_leaves_out_pairs_of_which_one_is_damaged(log: Log, damaged: str) -> None:
    make(*(f"{folder}/{name}.png" for folder in ("gt", "lq") for name in "abc"))
    cut_short(damaged)
    paired(check=True, reporter=log)
    assert lines() == ["gt/a.png, lq/a.png", "gt/c.png, lq/c.png"]
    assert [damaged.split("/")[1] in line for line in log.failures] == [True]


def test_the_usual_scale_is_told_and_pairs_of_another_are_named(log: Log) -> None:
    make("gt/a.png", "gt/b.png", "gt/c.png", "gt/d.png", height=16, width=24)
    make("lq/a.png", "lq/b.png", height=4, width=6)
    make("lq/c.png", height=8, width=12)
    make("lq/d.png", height=4, width=5)
    assert paired(reporter=log).scale == 4
    (line,) = log.warnings
    assert "4 times" in line
    assert "gt/c.png, gt/d.png" in line


def test_pairs_of_no_scale_at_all_are_named(log: Log) -> None:
    make("gt/a.png", height=9)
    make("lq/a.png", height=10)
    assert paired(reporter=log).scale is None
    assert ["whole number" in line for line in log.warnings] == [True]


def test_names_that_published_readers_split_are_named(log: Log) -> None:
    make("gt/a, b.png", "lq/a, b.png", "gt/c d,e.png", "lq/c d,e.png")
    paired(reporter=log)
    assert len(lines()) == 2
    (line,) = log.warnings
    assert "gt/a, b.png" in line
    assert "c d,e" not in line


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"filename_tmpl": "x4"}, "filename_tmpl x4: needs {}"),
        ({"filename_tmpl": "{}x8"}, "do not match by name"),
        ({"root": ["."] * 3}, "root: 3 for 2"),
        ({"n_thread": 0}, "n_thread 0"),
    ],
)
def test_pairs_that_cannot_be_meant_are_refused(how: dict[str, Any], message: str) -> None:
    make("gt/a.png", "lq/a.png")
    with pytest.raises(UsageError, match=message):
        paired(**how)
    assert not LIST.exists()


@pytest.mark.parametrize("folders", [["gt"], ["gt", "lq", "gt"]])
def test_pairs_are_of_two_folders(folders: list[str]) -> None:
    make("gt/a.png", "lq/a.png")
    with pytest.raises(UsageError, match="give two, originals first"):
        paired(*folders)
