"""A video in pieces is the video: every frame of every kind of source, decoded from the pieces alone."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from clips import Clip, corrupted, end_to_end, moving
from test_video_sources import COUNT, KINDS, X264, container

from realesrgan.errors import VideoFileError
from realesrgan.video.pieces import Cutter, Piece, PieceDiffers
from realesrgan.video.pipeline import Excerpt
from realesrgan.video.probe import probe
from realesrgan.video.sources.source import Frame, VideoSource
from realesrgan.video.sources.stills import StillsSource
from realesrgan.video.sources.tape import Tape

TAPED = ("with an index", "without an index", "10 bits", "uneven times", "retimed", "retimed, and much slower")


def joined(folder: Path) -> VideoSource:
    parts = [Clip(moving(20), options=X264).write(folder / f"{number}.ts") for number in range(2)]
    return probe(end_to_end(parts, folder / "a.ts"))


def damaged(folder: Path) -> VideoSource:
    return probe(corrupted(Clip(moving(COUNT), options=X264).write(folder / "a.mkv"), 17))


def open_groups(folder: Path) -> VideoSource:
    """Its key frames are followed by pictures to be shown before them, which need the group before."""
    options = {"x265-params": "open-gop=1:keyint=10:bframes=3:log-level=none"}
    return probe(Clip(moving(COUNT), codec="libx265", options=options).write(folder / "a.mkv"))


MORE_KINDS: dict[str, Callable[[Path], VideoSource]] = KINDS | {
    "end to end": joined,
    "damaged": damaged,
    "open groups": open_groups,
    "h264 without times": container("b.avi"),
}


@pytest.fixture(scope="module", params=MORE_KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def source(kind: str, tmp_path_factory: pytest.TempPathFactory) -> VideoSource:
    return MORE_KINDS[kind](tmp_path_factory.mktemp("source"))


def moved(piece: Piece, folder: Path) -> Piece:
    """As on another machine, where the file is not."""
    piece = pickle.loads(pickle.dumps(piece))
    return replace(piece, source=replace(piece.source, path=folder / "is not here"))


def told(frames: Iterator[Frame] | list[Frame]) -> list[tuple[int, int, int, bool, bytes]]:
    return [(frame.index, frame.pts, frame.duration, frame.damaged, frame.pixels.tobytes()) for frame in frames]


@pytest.mark.parametrize(("length", "excerpt"), [(7, Excerpt()), (12, Excerpt(0.13, 1.1))])
def test_the_frames_of_all_pieces_are_the_frames_of_the_video(
    source: VideoSource, kind: str, tmp_path: Path, length: int, excerpt: Excerpt
) -> None:
    reading = source.frames(excerpt.start_s, excerpt.end_s)
    whole = told(reading)
    cutter = Cutter(source, excerpt, length)
    pieces = [moved(piece, tmp_path) for piece in cutter]
    assert [piece.first for piece in pieces] == list(range(0, len(whole), length))
    assert [frame for piece in pieces for frame in told(piece.frames())] == whole
    assert cutter.frames == len(whole)
    assert cutter.losses == reading.losses
    if kind in TAPED:
        assert not any(isinstance(piece.source, StillsSource) for piece in pieces)


@pytest.mark.parametrize("kind", ["with an index", "without times", "folder", "damaged"], scope="module")
def test_pieces_of_what_is_not_done_are_those_of_the_whole(source: VideoSource, kind: str) -> None:
    whole = list(Cutter(source, Excerpt(), 2))
    undone = {piece.first for piece in whole[1:-1:2]}
    after = whole[1]
    cutter = Cutter(
        source, Excerpt(), 2, resume=(after.first, after.pts[0]), is_done=lambda index: index // 2 * 2 not in undone
    )
    rest = list(cutter)
    assert [piece.first for piece in rest] == sorted(undone)
    assert [told(piece.frames()) for piece in rest] == [told(piece.frames()) for piece in whole[1:-1:2]]
    assert cutter.frames == sum(len(piece.pts) for piece in whole)


def test_a_piece_notices_that_its_frames_are_others_and_goes_as_pictures(tmp_path: Path) -> None:
    source = container("a.mp4")(tmp_path)
    cutter = Cutter(source, Excerpt(), 20)
    first, *_ = pieces = list(cutter)
    assert first.checksums is not None
    wrong = replace(first, checksums=(*first.checksums[:5], 1, *first.checksums[6:]))
    with pytest.raises(PieceDiffers, match="frame 5 "):
        list(wrong.frames())
    assert [told(cutter.as_stills(piece).frames()) for piece in pieces] == [told(piece.frames()) for piece in pieces]


def test_packets_are_not_tried_for_ever(tmp_path: Path) -> None:
    source = container("a.mp4")(tmp_path)
    cutter = Cutter(source, Excerpt(), 5)
    pieces = []
    for piece in cutter:
        pieces.append(cutter.as_stills(piece) if len(pieces) < 2 else piece)
    assert all(isinstance(piece.source, StillsSource) for piece in pieces[3:])
    assert [frame for piece in pieces for frame in told(piece.frames())] == told(source.frames())


def test_a_piece_holds_no_more_packets_than_it_takes(tmp_path: Path) -> None:
    source = container("a.mp4", options=X264 | {"g": "10"})(tmp_path)
    sizes = [len(piece.source.recording.packets) for piece in Cutter(source, Excerpt(), 10)]  # type: ignore[attr-defined]
    # Its own, a group before it and half a second, and what the decoder needs to let go of the last one.
    assert max(sizes) <= 10 + 10 + 13 + 6
    assert sizes[-1] < COUNT


def test_a_tape_that_overflows_gives_nothing_until_the_next_key_frame(tmp_path: Path) -> None:
    source = container("a.mp4", options=X264 | {"g": "20"})(tmp_path)
    tape = Tape(most_bytes=1)
    with source.marks(tape=tape) as reading:
        for mark in reading:
            assert tape.cut(mark.pts * source.time_base) is None


def test_a_file_that_changes_while_it_is_cut_is_refused(tmp_path: Path) -> None:
    source = container("a.mp4")(tmp_path)
    other = Clip(moving(COUNT), options=X264).write(tmp_path / "b.mp4")
    pieces = iter(Cutter(source, Excerpt(), 5))
    next(pieces)
    shutil.copy(other, source.path)
    with pytest.raises(VideoFileError, match="was changed"):
        list(pieces)


def test_a_retimed_video_is_cut_at_the_times_of_its_own_frames(tmp_path: Path) -> None:
    path = Clip(moving(COUNT), options=X264).write(tmp_path / "a.mkv")
    source = probe(path, Fraction(60))
    frames = [frame for piece in Cutter(source, Excerpt(), 30) for frame in piece.frames()]
    assert told(frames) == told(source.frames())
