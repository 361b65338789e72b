"""Results appear whole: a file being written has another name, and leftovers are removed."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from realesrgan import outputs
from realesrgan.errors import UsageError, WeightsError
from realesrgan.outputs import Places, appearing, part_of, place_of, remove_stale_parts, spool, write_whole


def dead_process() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def as_of(part: Path, pid: int) -> Path:
    """The name another process of this machine would have given."""
    return part.with_name(part.name.replace(f"-{os.getpid()}.", f"-{pid}."))


@pytest.mark.parametrize("name", ["a.png", "x" * 251 + ".png", "画" * 80 + ".jpeg", ".hidden.tiff", "noextension"])
def test_a_part_is_hidden_short_beside_its_target_and_of_the_same_format(name: str) -> None:
    target = Path("some", "folder", name)
    part = part_of(target)
    assert part.parent == target.parent
    assert part.suffix == target.suffix or target.suffix == ""
    assert part.name.startswith(".")
    assert len(os.fsencode(part.name)) < 60
    assert str(os.getpid()) in part.name


def test_parts_of_different_targets_differ() -> None:
    targets = [Path(name) for name in ("a.png", "b.png", "A.png", "a.jpg", "a_out.png")]
    assert len({part_of(target) for target in targets}) == len(targets)


def test_only_parts_of_processes_that_have_ended_are_removed(tmp_path: Path) -> None:
    mine = part_of(tmp_path / "a.png")
    stale = as_of(part_of(tmp_path / "b.png"), dead_process())
    running = as_of(part_of(tmp_path / "c.png"), os.getppid())
    elsewhere = stale.with_name(
        re.sub(r"-[0-9a-f]{4}-", lambda found: "-0000-" if found[0] != "-0000-" else "-0001-", stale.name)
    )
    others = [tmp_path / name for name in (".realesrgan", "a.png", ".a.part.png", "realesrgan.part.png")]
    for path in (mine, stale, running, elsewhere, *others):
        path.touch()
    remove_stale_parts([tmp_path, tmp_path / "missing", tmp_path])
    assert set(tmp_path.iterdir()) == {mine, running, elsewhere, *others}


def test_a_part_that_cannot_be_removed_is_not_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_of(part_of(tmp_path / "b.png"), dead_process()).mkdir()
    remove_stale_parts([tmp_path])
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_a_place_is_the_same_through_links_and_different_for_circles(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    for name in ("me", "you"):
        (tmp_path / name).symlink_to(name)
    assert place_of(tmp_path / "link" / "a") == place_of(tmp_path / "folder" / "." / "a")
    assert place_of(tmp_path / "me") != place_of(tmp_path / "you")


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_places_of_many_are_those_of_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("link").symlink_to("folder")
    Path("folder/a").touch()
    Path("folder/b").symlink_to("../c")
    Path("me").symlink_to("me")
    places = Places()
    names = ["a", "folder/a", "folder/b", "folder/none", "link/a", "link/b", "./link/../c", "me", "me/a", "x/y/z"]
    assert [places.of(Path(name)) for name in names] == [place_of(Path(name)) for name in names]


def test_the_pattern_of_parts_knows_the_parts() -> None:
    for name in ("a.png", "noextension", "b.tar.gz"):
        assert outputs._PART.fullmatch(part_of(Path(name)).name)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such links and pipes")
def test_a_file_never_takes_the_place_of_a_link_or_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    for content in (b"first", b"second"):
        write_whole(tmp_path / "link", content, "csv")
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "target").read_bytes() == content
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_whole(tmp_path / "pipe", b"through", "csv")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()


def test_a_small_file_appears_whole_or_leaves_what_was_there_and_the_option_is_named(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_whole(target, b"first", "csv")
    write_whole(target, b"second", "csv")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert target.read_bytes() == b"second"
    (tmp_path / "folder").mkdir()
    for impossible in (tmp_path / "folder", tmp_path / "missing" / "a.txt"):
        with pytest.raises(UsageError, match=r"`?csv`? .*cannot be written"):
            write_whole(impossible, b"third", "csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "folder"]


def test_a_file_appears_when_all_is_written(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with appearing(target, durable=True) as part:
        part.write_text("new")
        assert target.read_text() == "old"
    assert contents(tmp_path) == {"a.txt": "new"}


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError, ValueError])
def test_a_write_that_is_interrupted_leaves_the_old_file_and_no_part(
    tmp_path: Path, interruption: type[BaseException]
) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(interruption), appearing(target) as part:  # noqa: PT012
        part.write_text("half of the n")
        raise interruption
    assert contents(tmp_path) == {"a.txt": "old"}


def test_a_full_disk_leaves_the_old_file_and_is_told_in_the_words_that_are_wanted(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with (  # noqa: PT012
        pytest.raises(WeightsError, match=r"a\.txt: cannot be written \(No space left on device\)"),
        appearing(target, WeightsError) as part,
    ):
        part.write_text("half of the n")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), part)
    assert contents(tmp_path) == {"a.txt": "old"}


def test_what_else_a_writer_raises_for_a_full_disk_is_told_too_and_nothing_more(tmp_path: Path) -> None:
    told = pytest.raises(WeightsError, match=r"a\.txt: cannot be written \(full\)")
    with told, appearing(tmp_path / "a.txt", WeightsError, also=(RuntimeError,)):
        raise RuntimeError("full")
    told = pytest.raises(WeightsError, match=r"a\.txt: cannot be written \(the system's words\)")
    with told, appearing(tmp_path / "a.txt", WeightsError, also=(RuntimeError,)):
        try:
            raise OSError(errno.ENOSPC, "the system's words")
        finally:
            raise RuntimeError("some position is wrong")
    passed_on = pytest.raises(ValueError, match="a fault of ours")
    with passed_on, appearing(tmp_path / "a.txt", WeightsError, also=(RuntimeError,)):
        raise ValueError("a fault of ours")


def test_what_must_survive_a_power_cut_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (order.append("fsync"), fsync(handle))[1])
    monkeypatch.setattr(Path, "replace", lambda path, target: (order.append("rename"), replace(path, target))[1])
    for durable in (False, True):
        with appearing(tmp_path / "a.txt", durable=durable) as part:
            part.write_text("new")
    assert order[:3] == ["rename", "fsync", "rename"]


def test_a_spool_is_gone_afterwards_and_one_of_a_dead_process_is_removed(tmp_path: Path) -> None:
    with spool(tmp_path) as folder:
        (folder / "a").write_bytes(b"a")
        left = as_of(folder, dead_process())
        left.mkdir()
        (left / "b").write_bytes(b"b")
        remove_stale_parts([tmp_path])
        assert list(tmp_path.iterdir()) == [folder]
    assert not list(tmp_path.iterdir())
