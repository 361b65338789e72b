"""What all sources of frames promise, whatever their kind: order, times, excerpts, resuming, closed files."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil
import pytest
from clips import Clip, Sound, moving
from test_video_inputs import webp
from test_video_interlaced import FIELDS, bars
from tiny import picture

from realesrgan.errors import VideoFileError
from realesrgan.image import files
from realesrgan.image.files import Picture
from realesrgan.video.probe import probe
from realesrgan.video.sources.source import Decoded, Frame, Losses, Shown, VideoSource, untagged_colour
from realesrgan.video.sources.tape import Tape

COUNT = 50
X264 = {"crf": "15", "preset": "ultrafast", "g": "12", "bf": "2"}
TIMES = [40 * when + 7 * (when % 3) for when in range(COUNT)]  # in ms


def container(name: str, **facts: object) -> Callable[[Path], VideoSource]:
    def make(folder: Path) -> VideoSource:
        frames = moving(COUNT)
        frames[30:33] = frames[29:30] * 3  # repeats
        return probe(Clip(frames, **({"options": X264} | facts)).write(folder / name))  # type: ignore[arg-type]

    return make


def uneven(folder: Path) -> Path:
    return Clip(moving(COUNT), times=TIMES, time_base=Fraction(1, 1000), options=X264).write(folder / "a.mkv")


def interlaced(folder: Path) -> VideoSource:
    clip = Clip(bars(COUNT, fields=True, width=400), options={"crf": "5", "bf": "1", "g": "12"} | FIELDS)
    return probe(clip.write(folder / "a.ts"))


def of_pictures(folder: Path) -> VideoSource:
    (folder / "frames").mkdir()
    for number in range(5):
        files.write(folder / "frames" / f"{number}.png", Picture(picture(8, 10, seed=max(number, 1))))
    return probe(folder / "frames", Fraction(25))


def of_one_picture(folder: Path) -> VideoSource:
    files.write(folder / "a.bmp", Picture(picture(8, 10)))
    return probe(folder / "a.bmp")


def gif(folder: Path) -> Path:
    frames = moving(8, pixel_format="rgb8")
    times = [0, 10, 30, 40, 60, 61, 70, 99]
    return Clip(frames, times, Fraction(1, 100), "gif", pixel_format="rgb8", options={}).write(folder / "a.gif")


KINDS: dict[str, Callable[[Path], VideoSource]] = {
    "with an index": container("a.mp4", sounds=[Sound()]),
    "without an index": container("a.ts"),
    "without times": container("a.avi", codec="mpeg4", options={"bf": "2"}),
    "10 bits": container("a.mkv", codec="ffv1", pixel_format="yuv420p10le", options={}),
    "uneven times": lambda folder: probe(uneven(folder)),
    "interlaced": interlaced,
    "gif": lambda folder: probe(gif(folder)),
    "webp": lambda folder: probe(webp(folder)),
    "folder": of_pictures,
    "one picture": of_one_picture,
    "retimed": lambda folder: probe(uneven(folder), Fraction(30000, 1001)),
    "retimed, and much slower": lambda folder: probe(uneven(folder), Fraction(5)),
    "retimed gif": lambda folder: probe(gif(folder), Fraction(50)),
    "retimed webp": lambda folder: probe(webp(folder), Fraction(25)),
}


@pytest.fixture(scope="module", params=KINDS)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> VideoSource:
    """One of each kind, to be read only."""
    return KINDS[request.param](tmp_path_factory.mktemp("source"))


@pytest.fixture(params=KINDS)
def own_source(request: pytest.FixtureRequest, tmp_path: Path) -> VideoSource:
    """One of each kind, whose files may be changed."""
    return KINDS[request.param](tmp_path)


def told(frames: list[Frame], *, from_index: int = 0) -> list[tuple[int, int, int, bool, bytes]]:
    """What to compare of frames; the first of a part has no frame before it to repeat."""
    return [
        (frame.index, frame.pts, frame.duration, frame.repeats and frame.index != from_index, frame.pixels.tobytes())
        for frame in frames[from_index:]
    ]


def test_frames_come_in_order_and_are_what_the_facts_say(source: VideoSource) -> None:
    frames = list(source.frames())
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert frames[0].pts >= 0
    assert all(a.pts < b.pts for a, b in itertools.pairwise(frames))
    assert all(frame.duration > 0 for frame in frames)
    assert {frame.pixels.shape for frame in frames} == {(source.height, source.width, 3)}
    assert {frame.pixels.dtype for frame in frames} == {np.dtype(np.uint16 if source.depth_bits > 8 else np.uint8)}
    assert source.frame_count == (None if source.duration_s is None else pytest.approx(len(frames), abs=1))
    if source.duration_s is not None:
        end_s = float((frames[-1].pts + frames[-1].duration) * source.time_base)
        assert source.duration_s == pytest.approx(end_s, abs=float(0.1 + 1 / source.rate))
        assert source.rate == pytest.approx(len(frames) / end_s, rel=0.1)
    for before, frame in itertools.pairwise(frames):
        assert frame.repeats == np.array_equal(before.pixels, frame.pixels)


def test_reading_twice_gives_the_same(source: VideoSource) -> None:
    first = source.frames()
    assert told(list(first)) == told(list(source.frames()))
    assert replace(first.losses, deinterlaced=0) == Losses()


def test_an_excerpt_is_a_slice_of_the_whole(source: VideoSource) -> None:
    whole = list(source.frames())
    length_s = float((whole[-1].pts + whole[-1].duration) * source.time_base)
    for start_s, end_s in ((0.0, length_s / 3), (length_s / 3, length_s * 0.7), (length_s * 0.9, None)):
        first = round(Fraction(start_s) / source.time_base)
        end = np.inf if end_s is None else round(Fraction(end_s) / source.time_base)
        part = list(source.frames(start_s, end_s))
        wanted = [frame for frame in whole if first <= frame.pts < end]
        assert [(frame.pts + first, frame.pixels.tobytes()) for frame in part] == [
            (frame.pts, frame.pixels.tobytes()) for frame in wanted
        ]
        assert [frame.index for frame in part] == list(range(len(part)))


@pytest.mark.parametrize("start_s", [0.0, 0.13])
def test_resumed_at_any_frame_it_is_the_rest_of_the_whole(source: VideoSource, start_s: float) -> None:
    whole = list(source.frames(start_s))
    for frame in [*whole[:2], *whole[3:-3:9], *whole[-2:]]:
        rest = list(source.frames(start_s, None, (frame.index, frame.pts)))
        assert told(rest) == told(whole, from_index=frame.index)
    if whole:
        at_the_end = (len(whole), whole[-1].pts + whole[-1].duration)
        assert list(source.frames(start_s, None, at_the_end)) == []


def test_what_is_closed_early_leaves_no_file_open(source: VideoSource) -> None:
    process = psutil.Process()
    before = len(process.open_files())
    with source.frames() as reading:
        next(reading)
    assert len(process.open_files()) == before


def test_a_source_tells_when_its_files_were_replaced(own_source: VideoSource) -> None:
    assert own_source.unchanged()
    assert probe_again(own_source).identity() == own_source.identity()
    path = own_source.files()[-1]
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000_000))
    assert not own_source.unchanged()
    assert probe_again(own_source).identity() != own_source.identity()
    path.unlink()
    assert not own_source.unchanged()


def probe_again(source: VideoSource) -> VideoSource:
    given = source.rate if type(source).__name__ in ("Retimed", "FolderSource") and source.frame_count != 1 else None
    return probe(source.path, given)


def test_another_rate_is_another_identity(tmp_path: Path) -> None:
    path = uneven(tmp_path)
    assert len({str(probe(path, rate).identity()) for rate in (None, Fraction(25), Fraction(50))}) == 3
    frames = of_pictures(tmp_path).path
    assert probe(frames, Fraction(25)).identity() != probe(frames, Fraction(50)).identity()


def test_a_file_that_vanishes_is_an_error_that_names_it(own_source: VideoSource) -> None:
    name = own_source.files()[-1].name
    for path in own_source.files():
        path.unlink()
    with pytest.raises(VideoFileError, match=name if own_source.frame_count == 1 else r".*\w+\.\w+.*"):
        list(own_source.frames())


@dataclass(frozen=True, kw_only=True)
class Hesitant(VideoSource):
    """Its clock shows 5 for three frames, so that the times it gives them depend on where reading began."""

    def files(self) -> tuple[Path, ...]:
        return ()

    def shown_from(self, pts: int, losses: Losses, tape: Tape | None = None) -> Generator[Shown, None, None]:
        last = -1
        for number in range(max(pts - 1, 0), 20):
            last = max(5 if number in (5, 6, 7) else number, last + 1)
            if last + 1 > pts:
                yield Shown(last, 1, Decoded.of(np.full((2, 2, 3), number, np.uint8)))


def test_where_times_depend_on_what_came_before_it_is_read_again() -> None:
    source = Hesitant(
        path=Path("a"),
        width=2,
        height=2,
        rate=Fraction(25),
        time_base=Fraction(1, 25),
        frame_count=20,
        duration_s=0.8,
        colour=untagged_colour(2),
        stamps=(),
    )
    assert [shown.pts for shown in source.shown_from(7, Losses())] != list(range(7, 20))  # the frame at 7 gets lost
    whole = list(source.frames())
    assert [frame.pts for frame in whole] == list(range(20))
    for index in range(20):
        assert told(list(source.frames(resume=(index, index)))) == told(whole, from_index=index)


def test_looking_into_videos_and_reading_them_loads_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from realesrgan.video.probe import probe\n"
        f"next(probe(Path({str(uneven(tmp_path))!r})).frames())\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
