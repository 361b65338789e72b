"""A video restored by several nodes is, byte for byte and word for word, the video restored here."""

from __future__ import annotations

import pickle
import weakref
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from clips import Clip, moving, packets_of
from cluster_batches import Log, finding_faces
from cluster_films import (
    GROUPS,
    REQUEST,
    FrameLog,
    Stopping,
    assert_like_here,
    begin_in,
    clip_of_repeats,
    contents,
    crew,
    here,
    planned,
    planned_for,
    segments_in,
    there,
    told,
)
from test_video_pieces import MORE_KINDS
from test_video_segments import lose_segments

from realesrgan.cluster import videos
from realesrgan.errors import Cancelled
from realesrgan.image import files
from realesrgan.loading import Settings, Setup, check
from realesrgan.video import segments
from realesrgan.video.pieces import Piece


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin_in(tmp_path, monkeypatch)


@pytest.fixture
def setup(srvgg_file: Path) -> Setup:
    return check(Settings(model_path=srvgg_file, fp32=True, gpu_id="cpu", outscale=2), "realesr-animevideov3")


@pytest.fixture
def clip() -> Path:
    return clip_of_repeats()


@pytest.mark.parametrize("kind", MORE_KINDS)
def test_videos_of_all_kinds_become_the_same_files(setup: Setup, kind: str) -> None:
    source = MORE_KINDS[kind](Path())
    for folder, restored in (("here", here), ("there", there)):
        plan, request = planned_for(source, folder)
        log = FrameLog()
        restored(setup, (plan, request), log)
        if folder == "here":
            expected = told(log)
    assert contents("there") == contents("here")
    assert told(log) == expected


def test_an_excerpt_with_sound_and_repeats_becomes_the_same_file(setup: Setup, clip: Path) -> None:
    log = assert_like_here(setup, clip, request=replace(REQUEST, start_s=0.2, end_s=1.0))
    assert any("repeat" in line for line in log.lines)


def test_ten_bits_stay_the_same_ten_bits(setup: Setup) -> None:
    path = Clip(moving(12), codec="ffv1", pixel_format="yuv420p10le", options={}).write(Path("a.mkv"))
    assert_like_here(setup, path, request=replace(REQUEST, pix_fmt="yuv420p10le"))


@pytest.mark.parametrize("begun_there", [True, False])
@pytest.mark.parametrize("lost", [(), (0,), (1, 2)])
def test_what_was_begun_in_one_place_is_finished_in_the_other(
    setup: Setup, clip: Path, begun_there: bool, lost: tuple[int, ...]
) -> None:
    here(setup, planned(clip, "here"), Log())
    first, second = (there, here) if begun_there else (here, there)
    with pytest.raises(Cancelled):
        first(setup, planned(clip, "there"), Stopping(Path("there/a_out.work"), 3))
    finished = segments_in(Path("there/a_out.work"))
    assert finished >= 3
    lose_segments(Path("there/a_out.work"), [number for number in lost if number < finished])
    log = FrameLog()
    second(setup, planned(clip, "there"), log)
    assert contents("there") == contents("here")
    assert any("from an earlier run" in line for line in log.lines)
    assert log.done[-1] == 33


def test_faces_of_frames_are_reported_and_saved_as_here(setup: Setup) -> None:
    for number in range(7):
        path = Path("frames", f"{number}.png")
        path.parent.mkdir(exist_ok=True)
        files.write(path, files.Picture(np.full((12, 14, 3), 20 * number + 10, np.uint8)))
    log_here, log_there = FrameLog(), FrameLog()
    nodes = crew()
    for one in nodes:
        one.computing = finding_faces
    face_request = replace(REQUEST, save_faces=Path("faces here"))
    here(setup, planned(Path("frames"), "here", face_request), log_here, finding_faces)
    face_request = replace(REQUEST, save_faces=Path("faces there"))
    there(setup, planned(Path("frames"), "there", face_request), log_there, *nodes)
    assert log_there.frames == log_here.frames
    assert sorted(log_there.frames) == list(range(7))  # type: ignore[type-var]
    assert contents("faces there") == contents("faces here")
    assert len(contents("faces there")) == 7 * 2 * 2
    assert told(log_there) == told(log_here)
    assert contents("there") == contents("here")


def test_pieces_are_on_the_disk_and_few_of_them_however_long_the_film(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "MOST_FRAMES", 1)
    monkeypatch.setattr(segments, "FEWEST_FRAMES", 1)
    path = Clip(moving(24, 32, 24), options=GROUPS).write(Path("a.mp4"))
    most = {"held": 0, "spooled": 0}
    pieces: list[weakref.ref[Piece]] = []

    def dump(piece: Piece, file: Any, protocol: int) -> None:
        pieces.append(weakref.ref(piece))
        pickle.dump(piece, file, protocol)

    monkeypatch.setattr(videos, "pickle", SimpleNamespace(dump=dump, HIGHEST_PROTOCOL=pickle.HIGHEST_PROTOCOL))

    class Counting(FrameLog):
        def progressed(self, source: Path, done: float) -> None:
            most["held"] = max(most["held"], sum(piece() is not None for piece in pieces))
            most["spooled"] = max(most["spooled"], len(list(Path("there").glob(".*.parts/piece*"))))

    there(setup, planned(path, "there"), Counting(), *crew(2))
    assert len(pieces) == 24
    # Two at each worker, two ready, and one being made.
    assert 0 < most["spooled"] <= 2 * 2 + 2 + 1
    assert most["held"] <= 2


def test_a_result_in_another_container_has_the_same_packets(setup: Setup, clip: Path) -> None:
    request = replace(REQUEST, ext="mkv", codec="ffv1", preset=None, crf=None)
    here(setup, planned(clip, "here", request), Log())
    there(setup, planned(clip, "there", request), Log())
    for kind in ("video", "audio"):
        assert packets_of(Path("there/a_out.mkv"), kind) == packets_of(Path("here/a_out.mkv"), kind)
