"""Workers that die, segments that fail, pieces that are decoded otherwise: the finished video does not show it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from clips import Clip, moving
from cluster import Call, Killed, PlayedCluster, dying_at, machines
from cluster_batches import Log
from cluster_films import (
    GROUPS,
    REQUEST,
    FrameLog,
    assert_like_here,
    begin_in,
    clip_of_repeats,
    contents,
    crew,
    here,
    planned,
    there,
)

from realesrgan.cluster.units import Report, SegmentFacts
from realesrgan.errors import VideoFileError
from realesrgan.loading import Settings, Setup, check
from realesrgan.restorer import Listener, Restorer
from realesrgan.video import job as video_job
from realesrgan.video.pieces import Piece
from realesrgan.video.segments import MANIFEST


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin_in(tmp_path, monkeypatch)


@pytest.fixture
def setup(srvgg_file: Path) -> Setup:
    return check(Settings(model_path=srvgg_file, fp32=True, gpu_id="cpu", outscale=2), "realesr-animevideov3")


@pytest.fixture
def clip() -> Path:
    return clip_of_repeats()


def killed_after(frames: int) -> Callable[[Restorer], Restorer]:
    """The first worker that has restored so many frames ends."""
    left = [frames]

    def computing(restorer: Restorer) -> Restorer:
        def restore(frame: Any, listener: Listener) -> Any:
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return restorer(frame, listener)

        return restore

    return computing


@pytest.mark.parametrize("after", [1, 3, 7])
def test_a_worker_killed_within_a_segment_changes_nothing(setup: Setup, clip: Path, after: int) -> None:
    nodes = crew()
    nodes[0].computing = killed_after(after)
    log_here, log_there = FrameLog(), FrameLog()
    here(setup, planned(clip, "here"), log_here)
    there(setup, planned(clip, "there"), log_there, *nodes)
    assert contents("there") == contents("here")
    assert sum("its process ended unexpectedly; its work goes to others" in line for line in log_there.lines) <= 1


def failing_at(*units: int) -> Callable[[Call], None]:
    def before(call: Call) -> None:
        if call.unit in units:
            raise OSError("the device is full")

    return before


def test_a_segment_that_nobody_can_restore_fails_by_name_and_the_others_are_kept(setup: Setup, clip: Path) -> None:
    here(setup, planned(clip, "here"), Log())
    nodes = crew()
    for one in nodes:
        one.before = failing_at(10)
    log = FrameLog()
    words = (
        r"frames 10 to 14 of a.mp4: failed 3 times, the last on node\d: the device is full; the other segments are safe"
    )
    with pytest.raises(VideoFileError, match=words):
        there(setup, planned(clip, "there"), log, *nodes)
    kept = json.loads(Path("there/a_out.work", MANIFEST).read_text())["segments"]
    assert [one["first"] for one in kept] == [0, 5, 15, 20, 25, 30]
    again = crew()
    there(setup, planned(clip, "there"), Log(), *again)
    assert contents("there") == contents("here")
    restored = [process.calls.count("restore") for one in again for process in one.processes]
    assert 1 <= sum(restored) <= 2  # an idle worker may do it too


def test_a_piece_that_is_decoded_otherwise_is_sent_as_pictures(setup: Setup, clip: Path) -> None:
    differing, sizes = {5, 20}, []

    def after(call: Call, result: Any) -> Any:
        if call.method == "restore" and isinstance(result, Report) and isinstance(result.facts, SegmentFacts):
            key = call.arguments[0]
            first = firsts[call.process, key]
            sizes.append(first)
            if first in differing:
                differing.discard(first)
                return Report(SegmentFacts(0, differs=True))
        return result

    firsts: dict[Any, int] = {}

    def before(call: Call) -> None:
        if isinstance(call.unit, int):
            firsts[call.process, call.arguments[0]] = call.unit

    nodes = crew(2)
    for one in nodes:
        one.before, one.after = before, after
    assert_like_here(setup, clip, *nodes)
    assert differing == set()
    assert sizes.count(5) >= 2


def test_a_decoder_that_differs_is_noticed_at_the_worker(
    setup: Setup, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first piece with packets says other checksums than its frames have."""
    original = Piece._is_right
    wrong = [2]

    def is_right(self: Piece, number: int, checksum: int) -> bool:
        if self.checksums is not None and number == 3 and wrong[0]:
            wrong[0] -= 1
            return False
        return original(self, number, checksum)

    monkeypatch.setattr(Piece, "_is_right", is_right)
    assert_like_here(setup, clip)
    assert wrong == [0]


def test_a_video_that_fails_does_not_disturb_the_next_one(setup: Setup, clip: Path) -> None:
    other = Clip(moving(33, 48, 40), options=GROUPS).write(Path("b.mp4"))
    here(setup, planned(other, "here"), Log())
    plans = [planned(path, "there")[0] for path in (clip, other)]
    request = replace(REQUEST, output=Path("there"))

    class Refusing(FrameLog):
        """The disk refuses the third segment of the first film."""

        def progressed(self, source: Path, done: float) -> None:
            if source == clip and done >= 10:
                raise OSError("no more room")

    log = Refusing()
    with machines(PlayedCluster(*crew()), setup, Path("there"), for_video=True) as ready:
        results = video_job.restore_all(plans, request, setup, ready, log)
    assert results == [Path("there/b_out.mp4")]
    assert Path("there/b_out.mp4").read_bytes() == Path("here/b_out.mp4").read_bytes()
    assert any("no more room" in line for line in log.lines)


def test_workers_that_die_all_the_time_change_nothing(setup: Setup, clip: Path) -> None:
    nodes = crew()
    for number, one in enumerate(nodes):
        one.before = dying_at(*range(5 * number, 33, 15), times=2)
    here(setup, planned(clip, "here"), Log())
    there(setup, planned(clip, "there"), Log(), *nodes)
    assert contents("there") == contents("here")
