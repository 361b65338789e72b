"""An excerpt is that part of the whole, bit for bit, wherever it begins; and what lies before it is not decoded."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import Clip, Sound, cut_off, moving

from realesrgan.video.probe import probe
from realesrgan.video.sources import deinterlacing
from realesrgan.video.sources.source import Frame, Losses

COUNT = 120
STEPS = (1, 1, 2, 1, 4, 1, 3)  # in 50ths of a second: a variable rate
STARTS_S = (0.5, 1.3, 2.0, 2.48, 3.9)
X264 = {"crf": "15", "preset": "veryfast"}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "closed groups with B-frames": ("a.mp4", {"options": X264 | {"g": "25", "bf": "3"}}),
    "open groups": ("a.mkv", {"options": X264 | {"x264-params": "keyint=20:min-keyint=20:open-gop=1:bframes=3"}}),
    "open groups of HEVC": (
        "a.mp4",
        {"codec": "libx265", "options": {"preset": "ultrafast", "x265-params": "log-level=error:keyint=20:open-gop=1"}},
    ),
    "a stream without index": ("a.ts", {"options": X264 | {"g": "25", "bf": "2"}}),
    "no index and few key frames": (
        "a.ts",
        {"options": X264 | {"x264-params": "keyint=50:min-keyint=50:scenecut=0"}},
    ),
    "open groups of MPEG-2": ("a.ts", {"codec": "mpeg2video", "options": {"b": "4M", "bf": "2", "g": "12"}}),
    "no whole key frames": ("a.mkv", {"options": X264 | {"x264-params": "intra-refresh=1:keyint=20"}}),
    "VP9": ("a.webm", {"codec": "libvpx-vp9", "options": {"crf": "30", "b": "0", "g": "20", "cpu-used": "8"}}),
    "no clock": ("a.avi", {"options": X264 | {"g": "25"}}),
    "each frame over the last": ("a.gif", {"codec": "gif", "pixel_format": "rgb8", "options": {}}),
}


def clip(path: Path, facts: dict[str, Any]) -> Path:
    """Frames at uneven times, if the kind of file can have them."""
    frames = moving(COUNT, pixel_format=facts.get("pixel_format", "yuv420p"))
    if path.suffix in (".mp4", ".mkv", ".webm"):
        sums = itertools.accumulate(itertools.islice(itertools.cycle(STEPS), COUNT - 1), initial=0)
        facts = facts | {"times": [20 * when for when in sums], "time_base": Fraction(1, 1000)}
    return Clip(frames, **facts).write(path)


def read(path: Path, **span: float) -> tuple[list[Frame], Losses]:
    reading = probe(path).frames(**span)
    return list(reading), reading.losses


def told(frames: list[Frame], first: int) -> list[tuple[int, int, bytes]]:
    return [(frame.pts - first, frame.duration, frame.pixels.tobytes()) for frame in frames]


@pytest.mark.parametrize("kind", KINDS)
def test_an_excerpt_is_that_part_of_the_whole(tmp_path: Path, kind: str) -> None:
    name, facts = KINDS[kind]
    path = clip(tmp_path / name, facts)
    source = probe(path)
    whole, _ = read(path)
    assert len(whole) == COUNT
    for start_s in STARTS_S:
        first = round(Fraction(start_s) / source.time_base)
        part, losses = read(path, start_s=start_s)
        assert told(part, 0) == told([frame for frame in whole if frame.pts >= first], first)
        assert part
        assert (losses.concealed, losses.missing_s, losses.reasons) == (0, 0, [])


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_what_lies_long_before_an_excerpt_is_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = Clip(moving(300), options=X264 | {"g": "25"}, sounds=[Sound()]).write(tmp_path / name)
    real, seen = deinterlacing.Deinterlacer.push, []

    def counted(self: deinterlacing.Deinterlacer, frame: av.VideoFrame) -> Iterator[av.VideoFrame]:
        seen.append(frame)
        return real(self, frame)

    monkeypatch.setattr(deinterlacing.Deinterlacer, "push", counted)
    frames, _ = read(path, start_s=9, end_s=10)
    assert len(frames) == 25
    assert len(seen) < 100
    whole, _ = read(path)
    assert np.array_equal(frames[0].pixels, whole[225].pixels)
    seen.clear()
    for index in (225, 300):
        end = whole[index - 1].pts + whole[index - 1].duration
        assert len(list(probe(path).frames(resume=(index, end)))) == 300 - index
    assert len(seen) < 200


def test_an_excerpt_of_a_truncated_file_is_that_part_too(tmp_path: Path) -> None:
    path = cut_off(Clip(moving(COUNT), options=X264 | {"g": "12"}).write(tmp_path / "a.mkv"), 0.8)
    whole, _ = read(path)
    part, losses = read(path, start_s=2)
    assert told(part, 0) == told([frame for frame in whole if frame.pts >= 2000], 2000)
    assert losses.missing_s == pytest.approx((COUNT - len(whole)) / 25, abs=0.05)
