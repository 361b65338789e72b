"""Damaged pictures, full disks, workers that die: one picture fails or none, all others are as here."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cluster import Call, PlayedCluster, dying_at, machines
from cluster_batches import Log, add, assert_like_here, contents, crew, finding_faces, here, there

from realesrgan.cluster import crew as crew_module
from realesrgan.errors import Cancelled
from realesrgan.image import batch
from realesrgan.image.batch import Batch
from realesrgan.loading import Settings, Setup, check


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    for name in ("in", "temporary"):
        Path(name).mkdir()


@pytest.fixture
def setup(srvgg_file: Path) -> Setup:
    return check(Settings(model_path=srvgg_file, fp32=True, gpu_id="cpu"), "realesr-animevideov3")


def test_a_worker_that_dies_costs_no_picture(setup: Setup) -> None:
    for number in range(8):
        add(f"{number}.png", seed=number)
    nodes = crew(3)
    nodes[0].before = dying_at(*(f"{number}.png" for number in range(8)))
    log = assert_like_here(setup, *nodes)
    assert sum("its process ended unexpectedly" in line for line in log.lines) >= 1


def test_stopping_leaves_no_half_file_and_no_folder(setup: Setup) -> None:
    for number in range(6):
        add(f"{number}.png", seed=number)

    class Stopping(Log):
        def check(self) -> None:
            if any(line.startswith("finished") for line in self.lines):
                raise Cancelled("enough")

    with pytest.raises(Cancelled):
        there(setup, Stopping())
    left = contents("there")
    here(setup, Log())
    assert left
    assert left.items() <= contents("here").items()
    assert not [path for path in Path("there").iterdir() if path.name.startswith(".")]


def test_a_damaged_picture_fails_in_the_same_words_and_the_others_are_restored(setup: Setup) -> None:
    # Not as PNG: libvips has one place for its words in a process, and these nodes are threads of one.
    for name in ("good.bmp", "cut.png", "cut.webp", "cut.jpg", "cut.tiff"):
        add(name, 60, 60)
        if name.startswith("cut"):
            path = Path("in", name)
            path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 5])
    log = assert_like_here(setup)
    assert sum(line.startswith("failed: ") for line in log.lines) >= 2
    assert not any("tried again" in line for line in log.lines)


def test_a_source_that_vanished_fails_by_name(setup: Setup) -> None:
    add("a.png")
    add("b.png")
    wanted = Batch(["in"], Path("there"))
    selection, _ = batch.select(wanted, setup.settings)
    Path("in/a.png").unlink()
    log = Log()
    with machines(PlayedCluster(*crew()), setup, Path(".")) as ready:
        outcome = batch.restore(wanted, selection, ready, log)
    assert outcome.failures == ["in/a.png: cannot be read (No such file or directory)"]
    assert list(contents("there")) == ["b_out.png"]


@pytest.mark.parametrize("spoils", ["give", "restore"])
def test_a_result_that_does_not_arrive_as_it_was_sent_is_made_again(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, spoils: str
) -> None:
    if spoils == "give":
        monkeypatch.setattr(crew_module, "CHUNK_BYTES", 1000)
    add("a.png", 40, 50)
    left = [1]

    def after(call: Call, result: Any) -> Any:
        if call.method != spoils or not left[0]:
            return result
        left[0] -= 1
        return result[:-1] + b"\0" if spoils == "give" else replace(result, content=result.content[:-1] + b"\0")

    nodes = crew(1)
    nodes[0].after = after
    log = assert_like_here(setup, *nodes)
    assert sum("did not arrive as it was sent" in line for line in log.lines) == 1


def test_a_result_that_is_cut_short_at_the_worker_does_not_hang_the_job(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew_module, "CHUNK_BYTES", 1000)
    add("a.png", 40, 50)
    nodes = crew(1)
    nodes[0].after = lambda call, result: b"" if call.method == "give" else result
    log = Log()
    outcome = there(setup, log, *nodes)
    assert [line for line in outcome.failures if "failed 3 times, the last on node0: its result did not" in line]


def test_a_full_disk_fails_the_picture_and_leaves_nothing(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    add("a.png", 40, 50)
    add("b.png", 12, 12)

    def opened(self: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
        file = original(self, mode, *rest, **more)
        return Full(file) if mode == "wb" and self.parent.name.endswith(".parts") and "there" in self.parts else file

    class Full:
        def __init__(self, file: Any) -> None:
            self.file = file

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *error: object) -> None:
            self.file.close()

        def write(self, content: bytes) -> None:
            if len(content) > 8000:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.file.write(content)

    original = Path.open
    monkeypatch.setattr(Path, "open", opened)
    log = Log()
    outcome = there(setup, log)
    assert outcome.failures == ["in/a.png: there: cannot be written (No space left on device)"]
    assert list(contents("there")) == ["b_out.png"]
    assert not any("tried again" in line for line in log.lines)


def test_faces_that_cannot_be_saved_fail_their_picture_only(setup: Setup) -> None:
    add("f1/a.png", 12, 13)
    add("f2/a.png", 12, 14)
    nodes = crew()
    for one in nodes:
        one.computing = finding_faces
    Path("faces").mkdir()
    Path("faces/f1").write_text("in the way")
    outcome = there(setup, Log(), *nodes, recursive=True, save_faces=Path("faces"))
    assert len(outcome.failures) == 1
    assert outcome.failures[0].startswith("in/f1/a.png: ")
    assert list(contents("there")) == ["f2/a_out.png"]


def test_every_picture_of_many_is_there_once_however_workers_die(setup: Setup) -> None:
    names = [f"{number:02}.png" for number in range(24)]
    for number, name in enumerate(names):
        add(name, seed=number)
    nodes = crew(3)
    for number, one in enumerate(nodes):
        one.before = dying_at(*names[number::5], times=2)
    assert_like_here(setup, *nodes)
