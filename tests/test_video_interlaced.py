"""Deinterlacing keeps every frame at its time and removes combs; progressive frames are not touched."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import BT709, Clip, decoded, frame_times, moving
from test_video_writer import Run

from realesrgan.arrays import Array
from realesrgan.video.probe import probe
from realesrgan.video.sources.deinterlacing import Deinterlacer
from realesrgan.video.sources.source import Losses

SPEED, BAR = 4, 16  # pixels from frame to frame; the second field shows the bar half-way
MPEG2 = {"b": "8M", "bf": "2", "g": "6"}
FIELDS = {"flags": "+ilme+ildct"}
X264 = {"crf": "5", "x264-params": "tff=1"}


def bars(count: int, *, fields: bool, width: int = 128, height: int = 48) -> list[av.VideoFrame]:
    """A bright bar that moves to the right; each frame is two fields or one moment."""
    frames = []
    for number in range(count):
        picture = np.full((height, width, 3), 60, np.uint8)
        for field in (0, 1):
            left = SPEED * number + (SPEED // 2 if fields else 0) * field
            picture[field::2, left : left + BAR] = 200
        frames.append(av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p"))
    return frames


def combs(pictures: Sequence[Array]) -> float:
    """How much rows differ from both neighbours in the same direction: 0 for pictures without combs."""
    levels = np.stack([picture[..., 1] for picture in pictures]).astype(int)
    middle, above, below = levels[:, 1:-1], levels[:, :-2], levels[:, 2:]
    return float(np.clip((above - middle) * (below - middle), 0, None).mean())


def read(path: Path, **span: float) -> tuple[list[Array], Losses]:
    reading = probe(path).frames(**span)
    return [frame.pixels for frame in reading], reading.losses


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [("a.ts", "mpeg2video", MPEG2), ("a.mp4", "libx264", X264), ("a.mkv", "libx264", {"crf": "5"})],
)
def test_a_moving_interlaced_pattern_loses_its_combs_and_no_frame(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    clip = Clip(bars(20, fields=True), codec=codec, options=options | FIELDS, tags=BT709)
    path = clip.write(tmp_path / name)
    run = Run(path)
    assert run.source.interlaced
    before, after = decoded(path, "rgb24"), decoded(run.path, "rgb24")
    assert combs(before) > 100
    assert combs(after[1:-1]) < combs(before) / 50
    start = frame_times(path)[0]
    assert frame_times(run.path) == [when - start for when in frame_times(path)]
    with av.open(str(run.path)) as result:
        stream = result.streams.video[0]
        assert not any(frame.interlaced_frame for frame in result.decode(stream))
        assert stream.codec_context.field_order in (0, 1)  # not said, or progressive


def joined(parts: Sequence[tuple[list[av.VideoFrame], bool]], path: Path) -> Path:
    """A stream of several parts, each flagged interlaced or not, as a broadcast of film and video."""
    files = []
    for number, (frames, fields) in enumerate(parts):
        clip = Clip(frames, codec="libx264", options={"crf": "5", "bf": "0"} | (FIELDS if fields else {}))
        files.append(clip.write(path.with_name(f"{number}.ts")))
    with av.open(str(path), "w") as output, av.open(str(files[0])) as first:
        stream = output.add_stream_from_template(first.streams.video[0])
        done = 0
        for file, (frames, _) in zip(files, parts, strict=True):
            with av.open(str(file)) as part:
                begin = part.streams.video[0].start_time or 0
                for packet in part.demux(video=0):
                    if packet.size:
                        packet.pts = packet.dts = packet.pts - begin + done * 3600
                        packet.stream = stream
                        output.mux(packet)
            done += len(frames)
    return path


@pytest.mark.parametrize("begins_with_fields", [False, True])
def test_whole_frames_among_interlaced_ones_stay_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begins_with_fields: bool
) -> None:
    kinds = [begins_with_fields, not begins_with_fields, begins_with_fields]
    path = joined([(bars(8, fields=True) if kind else moving(8, 128), kind) for kind in kinds], tmp_path / "mixed.ts")
    with av.open(str(path)) as container:
        flags = [bool(frame.interlaced_frame) for frame in container.decode(video=0)]
    assert flags == [kind for kind in kinds for _ in range(8)]
    pictures, losses = read(path)
    assert (len(pictures), losses.deinterlaced) == (24, flags.count(True))
    combed = [index for index, flag in enumerate(flags) if flag and 0 < index < 23]
    untouched = decoded(path, "bgr24")
    assert combs([pictures[index] for index in combed]) < combs([untouched[index] for index in combed]) / 5
    monkeypatch.setattr(Deinterlacer, "push", lambda self, frame: iter([frame]))
    as_they_are = read(path)[0]
    for index, flag in enumerate(flags):
        assert np.array_equal(pictures[index], as_they_are[index]) != flag


def test_a_progressive_video_never_meets_the_filter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Clip(moving(6)).write(tmp_path / "a.mp4")
    monkeypatch.setattr("realesrgan.video.sources.deinterlacing._Bwdif", lambda *frames: 1 / 0)
    pictures, losses = read(path)
    assert (len(pictures), losses.deinterlaced) == (6, 0)
    assert not probe(path).interlaced


def test_a_field_that_comes_after_a_few_whole_frames_is_found_in_advance(tmp_path: Path) -> None:
    parts = [(moving(4, 128), False), (bars(6, fields=True), True)]
    assert probe(joined(parts, tmp_path / "a.ts")).interlaced


def test_an_excerpt_of_an_interlaced_video_is_that_part_of_the_whole(tmp_path: Path) -> None:
    parts = [(bars(25, fields=True), True), (moving(50, 128), False), (bars(25, fields=True), True)]
    path = joined(parts, tmp_path / "a.ts")
    whole, _ = read(path)
    assert len(whole) == 100
    for first in (1, 40, 72, 75, 76, 90):
        part, _ = read(path, start_s=float(Fraction(first, 25)))
        assert len(part) == 100 - first
        assert all(np.array_equal(a, b) for a, b in zip(part, whole[first:], strict=True))
