"""However a job is stopped, it ends with the same frames and packets as one that was not."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import Clip, Sound, corrupted, decoded, frame_times, moving, packets_of

from realesrgan.arrays import Array
from realesrgan.errors import VideoFileError
from realesrgan.video import segments
from realesrgan.video.encoding import choose_encoding
from realesrgan.video.output_plan import plan_output
from realesrgan.video.pipeline import Excerpt, Tally, restore_frames
from realesrgan.video.probe import probe
from realesrgan.video.segments import Workspace, frames_per_segment
from realesrgan.video.writer import assemble


class Breakdown(Exception):
    """What stops a job here."""


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "MOST_FRAMES", 5)
    monkeypatch.setattr(segments, "FEWEST_FRAMES", 5)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    pictures = [picture for picture in moving(16) for _ in range(2)][:27]
    sounds = [Sound("aac", "eng"), Sound("libopus", "jpn")]
    return Clip(pictures, codec="ffv1", options={}, sounds=sounds).write(tmp_path / "a.mkv")


def twice(frame: Array, listener: Callable[[float], None]) -> Array:
    return frame.repeat(2, axis=0).repeat(2, axis=1)


def failing_after(count: int) -> Callable[[Array, Callable[[float], None]], Array]:
    done = []

    def restore(frame: Array, listener: Callable[[float], None]) -> Array:
        if len(done) >= count:
            raise Breakdown
        done.append(1)
        return twice(frame, listener)

    return restore


def ignore(done: int) -> None:
    """Do nothing with the progress."""


def run(clip: Path, workspace: Workspace, *restorers: Any, on_frame: Callable[[int], None] = ignore) -> Tally:
    source = probe(clip)
    encoding = choose_encoding("libx264", None, None, None, 8)
    return restore_frames(
        source,
        Excerpt(),
        restorers or [twice],
        workspace,
        encoding,
        multiply_adds_per_frame=1.0,
        window=8,
        on_frame=on_frame,
    )


def finish(clip: Path, workspace: Workspace, name: str) -> Path:
    source = probe(clip)
    plan = plan_output(source, choose_encoding("libx264", None, None, None, 8), Path(name).suffix[1:])
    assemble(clip.with_name(name), workspace, source, source.time_base, plan)
    return clip.with_name(name)


def opened(folder: Path, **identity: Any) -> Workspace:
    workspace = Workspace(folder, identity)
    workspace.open()
    return workspace


def copy_segments(source: Workspace, target: Workspace, order: Sequence[int]) -> None:
    """Commit finished segments of one workspace to another, in the order of these numbers."""
    for segment in (source.segments[number] for number in order):
        target.path_for(segment.first).write_bytes((source.folder / segment.file).read_bytes())
        target.commit(segment.first, segment.pts, segment.durations, damaged=segment.damaged)


def contents(workspace: Workspace) -> list[tuple[int, list[int], list[int], int]]:
    """What the segments hold. Their files differ from run to run: Matroska numbers each one by chance."""
    return [(segment.first, segment.pts, segment.durations, segment.damaged) for segment in workspace.segments]


def lose_segments(folder: Path, lost: Collection[int]) -> None:
    """Remove the segments of these numbers from the manifest and from the disk."""
    file = folder / segments.MANIFEST
    content = json.loads(file.read_text())
    for number in lost:
        (folder / content["segments"][number]["file"]).unlink()
    content["segments"] = [entry for number, entry in enumerate(content["segments"]) if number not in lost]
    file.write_text(json.dumps(content))


def same(a: Path, b: Path) -> bool:
    return (
        all(np.array_equal(x, y) for x, y in zip(decoded(a), decoded(b), strict=True))
        and frame_times(a) == frame_times(b)
        and packets_of(a, "audio") == packets_of(b, "audio")
        and packets_of(a, "video") == packets_of(b, "video")
    )


@pytest.mark.parametrize("stopped_after", [0, 1, 4, 9, 13])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_resumed_job_ends_like_one_that_was_never_stopped(
    clip: Path, tmp_path: Path, stopped_after: int, workers: int
) -> None:
    whole = opened(tmp_path / "whole")
    run(clip, whole)
    with pytest.raises(Breakdown):
        run(clip, opened(tmp_path / "work"), *[failing_after(stopped_after)] * workers)
    again = opened(tmp_path / "work")
    before = again.frames_done
    assert before % 5 == 0
    tally = run(clip, again)
    assert (tally.frames, tally.done_before) == (27, before)
    assert same(finish(clip, again, "again.mkv"), finish(clip, whole, "whole.mkv"))


def test_a_job_resumed_three_times_ends_like_one_that_was_never_stopped(clip: Path, tmp_path: Path) -> None:
    whole = opened(tmp_path / "whole")
    run(clip, whole)
    for _ in range(3):
        with pytest.raises(Breakdown):
            run(clip, opened(tmp_path / "work"), failing_after(4))
    again = opened(tmp_path / "work")
    assert again.frames_done % 5 == 0  # how many there are, the threads decide; what there is, is whole segments
    run(clip, again)
    assert same(finish(clip, again, "again.mkv"), finish(clip, whole, "whole.mkv"))


@pytest.mark.parametrize("stopped_after", [2, 8, 12, 20])
def test_a_damaged_source_is_resumed_the_same(tmp_path: Path, stopped_after: int) -> None:
    options = {"crf": "10", "g": "5", "bf": "0", "preset": "ultrafast"}
    clip = corrupted(Clip(moving(25), options=options).write(tmp_path / "a.mkv"), 8)
    whole = opened(tmp_path / "whole")
    losses = run(clip, whole).losses
    assert losses.concealed > 0
    with pytest.raises(Breakdown):
        run(clip, opened(tmp_path / "work"), failing_after(stopped_after))
    again = opened(tmp_path / "work")
    later = run(clip, again).losses
    assert (later.concealed, later.missing_s) == (losses.concealed, losses.missing_s)
    assert same(finish(clip, again, "again.mkv"), finish(clip, whole, "whole.mkv"))


def a_few(seed: int, count: int = 6) -> list[int]:
    """Some of the first `count` numbers in disorder: which ones and how many depends on `seed`."""
    chance = random.Random(seed)
    return chance.sample(range(count), chance.randrange(1, count))


@pytest.mark.parametrize("seed", range(3))
def test_segments_committed_in_any_order_give_the_bytes_of_those_in_order(
    clip: Path, tmp_path: Path, seed: int
) -> None:
    whole, other = opened(tmp_path / "whole"), opened(tmp_path / "other")
    run(clip, whole)
    order = random.Random(seed).sample(range(6), 6)
    assert order != sorted(order)
    copy_segments(whole, other, order)
    assert other.segments == whole.segments == opened(tmp_path / "other").segments
    assert finish(clip, other, "other.mp4").read_bytes() == finish(clip, whole, "whole.mp4").read_bytes()


@pytest.mark.parametrize("lost", [[0], [5], [0, 1, 2, 3, 4], [1, 2, 4], *(a_few(seed) for seed in range(4))])
def test_a_job_with_gaps_ends_like_one_that_was_never_stopped(clip: Path, tmp_path: Path, lost: list[int]) -> None:
    """The clip shows each picture twice, across the borders of segments too."""
    whole = opened(tmp_path / "work")
    run(clip, whole)
    wanted = finish(clip, whole, "whole.mp4").read_bytes()
    lose_segments(whole.folder, lost)
    again = opened(tmp_path / "work")
    before = 27 - sum(len(whole.segments[number].pts) for number in lost)
    assert again.frames_done == before
    restored: list[Array] = []

    def counting(frame: Array, listener: Callable[[float], None]) -> Array:
        restored.append(frame)
        return twice(frame, listener)

    tally = run(clip, again, counting)
    assert (tally.frames, tally.done_before) == (27, before)
    assert len(restored) + tally.repeats == 27 - before
    assert contents(again) == contents(whole)
    assert finish(clip, again, "again.mp4").read_bytes() == wanted


@pytest.mark.parametrize("lost", [[0], [1], [2], [1, 3], *(a_few(seed, 5) for seed in range(4))])
def test_a_damaged_source_with_gaps_is_resumed_the_same(tmp_path: Path, lost: list[int]) -> None:
    options = {"crf": "10", "g": "30", "bf": "0", "preset": "ultrafast"}
    clip = Clip(moving(25), options=options).write(tmp_path / "a.mkv")
    for number in (4, 5, 9, 14, 15, 20):  # on both sides of borders between segments
        corrupted(clip, number)
    whole = opened(tmp_path / "work")
    losses = run(clip, whole).losses
    assert [segment.damaged for segment in whole.segments] == [1, 2, 1, 1, 1]
    assert losses.concealed == 6
    wanted = finish(clip, whole, "whole.mp4").read_bytes()
    lose_segments(whole.folder, lost)
    again = opened(tmp_path / "work")
    later = run(clip, again).losses
    assert (later.concealed, later.missing_s) == (losses.concealed, losses.missing_s)
    assert contents(again) == contents(whole)
    assert finish(clip, again, "again.mp4").read_bytes() == wanted


def test_progress_counts_what_is_done_behind_gaps(clip: Path, tmp_path: Path) -> None:
    whole = opened(tmp_path / "work")
    run(clip, whole)
    lose_segments(whole.folder, [1, 3])
    heard: list[int] = []
    run(clip, opened(tmp_path / "work"), on_frame=heard.append)
    assert heard == list(range(18, 28))


def test_a_segment_that_overlaps_or_leaves_part_of_one_free_is_not_taken(clip: Path, tmp_path: Path) -> None:
    whole = opened(tmp_path / "whole")
    run(clip, whole)
    other = opened(tmp_path / "other")
    copy_segments(whole, other, [5, 2])
    before = list(other.segments)
    for first, count in ((10, 5), (12, 5), (9, 5), (0, 4), (3, 5), (20, 6), (30, 5)):
        other.path_for(first).write_bytes(b"frames")
        with pytest.raises(ValueError, match=f"frames {first} to {first + count - 1} do not fit"):
            other.commit(first, list(range(count)), [1] * count)
        assert other.segments == opened(tmp_path / "other").segments == before


def test_what_is_done_is_known_frame_by_frame(clip: Path, tmp_path: Path) -> None:
    whole, other = opened(tmp_path / "whole"), opened(tmp_path / "other")
    run(clip, whole)
    for number, head in ((5, 0), (2, 0), (0, 1), (1, 3), (3, 4), (4, 6)):
        copy_segments(whole, other, [number])
        done = [index for segment in other.segments for index in range(segment.first, segment.first + len(segment.pts))]
        assert [index for index in range(-1, 40) if other.is_done(index)] == done
        assert other.frames_done == len(done)
        assert other.head == whole.segments[:head]


def test_a_video_with_gaps_is_not_put_together(clip: Path, tmp_path: Path) -> None:
    whole = opened(tmp_path / "work")
    with pytest.raises(VideoFileError, match="work: frame 0 is not restored yet; run again"):
        finish(clip, whole, "result.mp4")
    run(clip, whole)
    lose_segments(whole.folder, [2, 4])
    with pytest.raises(VideoFileError, match="work: frame 10 is not restored yet; run again"):
        finish(clip, opened(tmp_path / "work"), "result.mp4")
    assert not (tmp_path / "result.mp4").exists()


def test_finished_work_is_not_done_again(clip: Path, tmp_path: Path) -> None:
    run(clip, opened(tmp_path / "work"))
    tally = run(clip, opened(tmp_path / "work"), failing_after(0))
    assert (tally.frames, tally.done_before) == (27, 27)


def test_another_job_starts_over_and_says_so(tmp_path: Path) -> None:
    assert Workspace(tmp_path / "work", {"crf": 18}).open() is None
    (tmp_path / "work" / "00000000.mkv").write_bytes(b"old")
    assert Workspace(tmp_path / "work", {"crf": 18}).open() is None
    assert (tmp_path / "work" / "00000000.mkv").exists()
    assert Workspace(tmp_path / "work", {"crf": 19}).open() == segments.OTHER_JOB
    assert not (tmp_path / "work" / "00000000.mkv").exists()


def segment(first: int, frames: int) -> dict[str, Any]:
    """An entry of a manifest."""
    times = {"pts": list(range(first, first + frames)), "durations": [1] * frames}
    return {"file": f"{first:08d}.mkv", "first": first, **times, "size_bytes": 1, "checksum": 0, "damaged": 0}


def test_a_manifest_may_have_gaps_of_whole_segments(tmp_path: Path) -> None:
    Workspace(tmp_path / "work", {}).open()
    for entries in ([], [segment(25, 2)], [segment(5, 5), segment(15, 5), segment(25, 2)], [segment(0, 7)]):
        (tmp_path / "work" / segments.MANIFEST).write_text(json.dumps({"identity": {}, "segments": entries}))
        manifest = segments.read_manifest(tmp_path / "work")
        assert manifest is not None
        assert [one.first for one in manifest.segments] == [entry["first"] for entry in entries]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"identity": {}}',
        '{"identity": {}, "segments": 3}',
        '{"segments": []}',
        '{"identity": {}, "segments": [3]}',
        *(
            json.dumps({"identity": {}, "segments": entries})
            for entries in (
                [{key: value for key, value in segment(0, 1).items() if key != "durations"}],
                [segment(0, 1) | {"more": 1}],
                [segment(0, 1) | {"first": 5}],
                [segment(0, 1) | {"file": "../00000000.mkv"}],
                [segment(0, 1) | {"pts": ["0"]}],
                [segment(0, 0)],
                [segment(0, 1) | {"pts": 3}],
                [segment(-5, 5)],
                [segment(-5, 5), segment(0, 5)],
                [segment(3, 5)],
                [segment(0, 5), segment(0, 5)],
                [segment(5, 5), segment(0, 5)],
                [segment(0, 5), segment(4, 5)],
                [segment(0, 5), segment(7, 5)],
                [segment(0, 5), segment(5, 6)],
                [segment(0, 5), segment(5, 4), segment(10, 5)],
                [segment(0, 0), segment(0, 0)],
            )
        ),
    ],
)
def test_a_damaged_manifest_starts_over_and_is_not_called_another_job(tmp_path: Path, content: str) -> None:
    Workspace(tmp_path / "work", {}).open()
    (tmp_path / "work" / segments.MANIFEST).write_text(content)
    workspace = Workspace(tmp_path / "work", {})
    assert workspace.open() == segments.DAMAGED
    assert workspace.segments == []


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def zeroed(content: bytes) -> bytes:
    return content[: len(content) // 2] + bytes(len(content) - len(content) // 2)


@pytest.mark.parametrize("damage", [cut, zeroed])
def test_a_segment_that_was_damaged_on_disk_is_made_again(
    clip: Path, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    whole = opened(tmp_path / "work")
    run(clip, whole)
    wanted = finish(clip, whole, "whole.mkv")
    file = tmp_path / "work" / whole.segments[2].file
    file.write_bytes(damage(file.read_bytes()))
    again = opened(tmp_path / "work")
    assert again.frames_done == 22
    run(clip, again)
    assert same(finish(clip, again, "again.mkv"), wanted)


def test_what_could_not_be_assembled_needs_no_computing_for_another_container(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "result.mp4").mkdir()
    folder = segments.folder_for(tmp_path / "result.mp4")
    workspace = opened(folder)
    run(clip, workspace)
    with pytest.raises(VideoFileError, match=r"result\.mp4: cannot be written .* the frames stay in "):
        finish(clip, workspace, "result.mp4")
    assert segments.folder_for(tmp_path / "result.mkv") == folder
    again = opened(folder)
    assert run(clip, again, failing_after(0)).done_before == 27
    assert len(decoded(finish(clip, again, "result.mkv"))) == 27


def test_the_resume_point_is_the_first_frame_not_done(clip: Path, tmp_path: Path) -> None:
    workspace = opened(tmp_path / "work")
    assert workspace.resume_point is None
    run(clip, workspace)
    later = opened(tmp_path / "work")
    for segment in reversed(workspace.segments):
        later.segments = later.segments[: later.segments.index(segment)]
        assert later.resume_point == ((segment.first, segment.pts[0]) if segment.first else None)


def test_a_missing_segment_is_made_again(clip: Path, tmp_path: Path) -> None:
    whole = opened(tmp_path / "work")
    run(clip, whole)
    wanted = finish(clip, whole, "whole.mkv")
    (tmp_path / "work" / whole.segments[2].file).unlink()
    again = opened(tmp_path / "work")
    assert again.frames_done == 22
    run(clip, again)
    assert same(finish(clip, again, "again.mkv"), wanted)


def test_a_segment_counts_only_when_it_is_on_the_disk(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(segments, "sync", lambda path: synced.append(path))
    workspace = opened(tmp_path / "work")
    run(clip, workspace)
    for segment in workspace.segments:
        assert workspace.path_for(segment.first) in synced
    assert synced[-2:] == [tmp_path / "work" / "manifest.json.part", tmp_path / "work"]


def test_a_segment_that_lacks_frames_does_not_count(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk whose error comes too late to be reported."""
    mux = av.container.OutputContainer.mux
    lost: list[int] = []

    class Forgetful:
        def __init__(self, container: Any) -> None:
            self._container = container

        def __getattr__(self, name: str) -> Any:
            return getattr(self._container, name)

        def mux(self, packet: Any) -> None:
            if lost:
                mux(self._container, packet)
            lost.append(1)

    real = av.open

    def opening(file: str, mode: str = "r", **rest: Any) -> Any:
        return Forgetful(real(file, mode, **rest)) if mode == "w" else real(file, mode, **rest)

    monkeypatch.setattr("realesrgan.video.segment_encoder.av.open", opening)
    workspace = opened(tmp_path / "work")
    with pytest.raises(VideoFileError, match="has 4 frames where 5 were encoded: is the disk full"):
        run(clip, workspace)
    assert workspace.segments == []


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(VideoFileError, match="cannot be written"):
        Workspace(tmp_path / "file" / "work", {}).open()


def test_segments_are_short_where_frames_are_much_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    lengths = [frames_per_segment(work) for work in (0, 1e9, 1e12, 1e18)]
    assert lengths == sorted(lengths, reverse=True)
    assert (lengths[0], lengths[-1]) == (segments.MOST_FRAMES, segments.FEWEST_FRAMES)


def test_a_folder_of_other_things_is_never_wiped(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "diary.txt").write_text("mine")
    with pytest.raises(VideoFileError, match="holds diary.txt, which is not of such a job"):
        Workspace(tmp_path / "work", {}).open()
    assert (tmp_path / "work" / "diary.txt").read_text() == "mine"


def test_two_runs_of_one_job_do_not_work_at_once(tmp_path: Path) -> None:
    first, second = Workspace(tmp_path / "work", {}), Workspace(tmp_path / "work", {})
    with first.claim(), pytest.raises(VideoFileError, match="another run is working on this video"), second.claim():
        pass
    with second.claim():
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stem", ["a" * 251, "字" * 83, "a"])
def test_the_longest_names_have_room_for_a_work_folder_and_its_lock(tmp_path: Path, stem: str) -> None:
    folder = segments.folder_for(tmp_path / f"{stem}.mp4")
    assert folder == segments.folder_for(tmp_path / f"{stem}.mkv")
    assert folder != segments.folder_for(tmp_path / f"{stem[:-1]}b.mp4")
    workspace = Workspace(folder, {})
    with workspace.claim():
        workspace.open()


def test_segments_computed_in_another_way_are_said_once_and_remembered(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "work", {})
    workspace.open()
    assert workspace.note_way("fp32 by torch") is None
    assert workspace.note_way("fp32 by torch") is None
    again = Workspace(tmp_path / "work", {})
    again.open()
    assert again.note_way("fp32 by torch") is None
    warning = again.note_way("mixed bf16 by torch")
    assert warning is not None
    assert "mixed bf16 by torch, earlier ones in fp32 by torch" in warning
    assert again.note_way("mixed bf16 by torch") is None
    assert again.note_way("fp32 by torch") is None
