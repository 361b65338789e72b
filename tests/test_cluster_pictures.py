"""A batch restored by several nodes is, file for file and word for word, the batch restored here."""

from __future__ import annotations

import errno
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from cluster_batches import Log, add, assert_like_here, contents, crew, finding_faces, here, there, told
from tiny import picture

from realesrgan.cluster import crew as crew_module
from realesrgan.loading import Settings, Setup, check
from realesrgan.restorer import Listener, Restorer


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    for name in ("in", "temporary"):
        Path(name).mkdir()


@pytest.fixture
def setup(srvgg_file: Path) -> Setup:
    return check(Settings(model_path=srvgg_file, fp32=True, gpu_id="cpu"), "realesr-animevideov3")


def test_pictures_of_all_kinds_become_the_same_files(setup: Setup) -> None:
    for number, extension in enumerate(("png", "jpg", "webp", "tiff", "bmp")):
        add(f"a{number}.{extension}", seed=number)
    add("deep.png", dtype=np.uint16)
    add("gray.png", 14, 17, 1)
    add("alpha.png", 14, 17, 4)
    add("deep alpha.png", 14, 17, 4, dtype=np.uint16)
    add("ä ü's.png")
    assert_like_here(setup)
    for name, result in contents("there").items():
        assert result, name


def test_a_tree_of_folders_becomes_the_same_tree(setup: Setup) -> None:
    for place in ("", "one/", "one/two/", "three/"):
        add(f"{place}a.png")
    assert_like_here(setup, recursive=True)
    assert Path("there/one/two/a_out.png").is_file()


def test_comparisons_are_the_same_and_named_alike(setup: Setup) -> None:
    add("a.png")
    add("b.jpg", 30, 20)
    assert_like_here(setup, compare=True)
    assert len(contents("there")) == 4


def test_quality_and_extension_reach_the_workers(setup: Setup) -> None:
    add("a.png", 30, 40)
    assert_like_here(setup, quality=35, ext="jpg")
    small = len(contents("there")["a_out.jpg"])
    shutil.rmtree("there")
    there(setup, Log(), quality=95, ext="jpg")
    assert len(contents("there")["a_out.jpg"]) > small


def test_progress_ends_at_the_whole_and_never_exceeds_it(setup: Setup) -> None:
    for number in range(4):
        add(f"{number}.png", 40, 40)
    log = Log()

    def slowly(restorer: Restorer) -> Restorer:
        def restore(frame: Any, listener: Listener) -> Any:
            for step in range(20):
                listener.progressed(step / 20)
                time.sleep(0.01)
            return restorer(frame, listener)

        return restore

    nodes = crew(2)
    for one in nodes:
        one.computing = slowly
    there(setup, log, *nodes)
    assert sorted(log.shares) == [f"{number}.png" for number in range(4)]
    assert all(0 <= share <= 1 for shares in log.shares.values() for share in shares)


def test_nothing_to_do_is_done_at_once(setup: Setup) -> None:
    outcome = there(setup, Log())
    assert outcome.written == outcome.failures == []


def test_warnings_and_remarks_are_those_of_a_run_here(setup: Setup) -> None:
    add("a.jpg", 90, 90)
    content = Path("in/a.jpg").read_bytes()
    scan = content.index(b"\xff\xda") + 20
    Path("in/a.jpg").write_bytes(content[:scan] + b"\xff\xd0" * 20 + content[scan + 40 :])
    frames = pyvips.Image.new_from_array(picture(24, 12, 3)).copy(interpretation="srgb")
    frames.set_type(pyvips.GValue.gint_type, "page-height", 12)
    frames.write_to_file("in/b.webp", lossless=True)
    log = assert_like_here(setup)
    assert any(line.startswith("warning: in/a.jpg") for line in log.lines)
    assert any(line.startswith("remark: in/b.webp") for line in log.lines)


def test_large_results_come_in_many_parts(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew_module, "CHUNK_BYTES", 1000)
    add("a.png", 40, 50)
    add("b.bmp", 40, 50)
    nodes = crew(2)
    assert_like_here(setup, *nodes, compare=True)
    gives = sum(process.calls.count("give") for one in nodes for process in one.processes)
    assert gives >= sum(len(result) for result in contents("there").values()) / 1000


def test_results_reach_another_file_system(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    add("a.png")
    add("b/c.png")
    monkeypatch.setattr(Path, "replace", _only_within_one_folder_tree(Path.replace))
    assert_like_here(setup, recursive=True, spool="elsewhere")
    assert contents("elsewhere") == {}


def _only_within_one_folder_tree(replace: Any) -> Any:
    def only_within(self: Path, target: Path) -> Any:
        if self.parts[0] != Path(target).parts[0]:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return replace(self, target)

    return only_within


@pytest.mark.parametrize("saved", [False, True])
def test_faces_are_counted_and_saved_as_here(setup: Setup, saved: bool) -> None:
    for number in range(4):
        add(f"f{number}/{number}.png", 12, 12 + number, seed=number)
    nodes = crew()
    for one in nodes:
        one.computing = finding_faces
    log_here, log_there = Log(), Log()
    facts: dict[str, Any] = {"recursive": True}
    here(setup, log_here, computing=finding_faces, **facts, save_faces=Path("faces here") if saved else None)
    there(setup, log_there, *nodes, **facts, save_faces=Path("faces there") if saved else None)
    assert set(log_here.faces.values()) == {0, 1, 2}
    assert log_there.faces == log_here.faces
    assert told(log_there) == told(log_here)
    assert contents("there") == contents("here")
    assert contents("faces there") == contents("faces here")
    assert bool(contents("faces there")) == saved
