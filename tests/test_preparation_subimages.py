"""Pieces are exactly the regions of their picture, cover it, and have the published names; interrupted or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import picture

from realesrgan.arrays import Array
from realesrgan.errors import Cancelled, UsageError
from realesrgan.image import files
from realesrgan.image.files import Metadata, Picture
from realesrgan.image.pipeline import Outcome
from realesrgan.preparation import subimages, work
from realesrgan.preparation.subimages import Grid, Subimages, cut, select
from realesrgan.restorer import Reporter


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths in these tests are relative to the working directory."""
    monkeypatch.chdir(tmp_path)


def save(name: str, pixels: Array, **said: Any) -> Array:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    files.write(Path(name), Picture(pixels, Metadata(**said)))
    return pixels


def pieces(reporter: Reporter | None = None, **how: Any) -> Outcome:
    request = Subimages(**({"input": ["in"], "output": Path("out"), "crop_size": 20, "step": 12} | how))
    return cut(request, select(request), reporter or Reporter())


def names(folder: str = "out") -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("[!.]*") if path.is_file())


def contents(folder: str) -> dict[str, bytes]:
    return {name: (Path(folder) / name).read_bytes() for name in names(folder)}


@pytest.mark.parametrize(
    ("length", "thresh", "expected"),
    [
        (480, 0, [0]),
        (481, 0, [0, 1]),
        (719, 0, [0, 239]),
        (720, 0, [0, 240]),
        (1356, 0, [0, 240, 480, 720, 876]),
        (1356, 155, [0, 240, 480, 720, 876]),
        (1356, 156, [0, 240, 480, 720]),
        (479, 0, []),
    ],
)
def test_the_published_grid(length: int, thresh: int, expected: list[int]) -> None:
    assert Grid(thresh_size=thresh).starts(length) == expected


@pytest.mark.parametrize(("crop", "step"), [(20, 12), (20, 20), (7, 3), (33, 1), (50, 40)])
@pytest.mark.parametrize(("height", "width"), [(50, 50), (51, 77), (99, 63)])
def test_pieces_cover_the_picture_and_all_have_the_size(crop: int, step: int, height: int, width: int) -> None:
    seen = np.zeros((height, width), bool)
    for piece in Grid(crop, step).pieces(height, width):
        assert seen[piece].shape == (crop, crop)
        seen[piece] = True
    assert seen.all()


@pytest.mark.parametrize("thresh", [0, 5, 100])
def test_what_is_not_covered_is_at_most_the_threshold(thresh: int) -> None:
    for length in range(20, 120):
        last = Grid(20, 12, thresh).starts(length)[-1]
        assert length - (last + 20) <= thresh


@pytest.mark.parametrize("size", [(10, 50), (50, 10), (10, 9), (19, 20)])
def test_small_pictures_give_nothing_or_all_there_is_of_them(size: tuple[int, int]) -> None:
    assert Grid(20, 12).pieces(*size) == []
    seen = np.zeros(size, bool)
    for piece in Grid(20, 12, keep_small=True).pieces(*size):
        assert seen[piece].shape == (min(20, size[0]), min(20, size[1]))
        seen[piece] = True
    assert seen.all()


@pytest.mark.parametrize(
    ("name", "channels", "depth"),
    [("a.png", 3, np.uint8), ("a.png", 1, np.uint16), ("a.png", 4, np.uint16), ("a.tif", 3, np.uint16)]
    + [("a.bmp", 3, np.uint8), ("a.jpg", 3, np.uint8), ("a.webp", 4, np.uint8)],
)
def test_every_piece_equals_its_region_and_none_is_compressed_again(name: str, channels: int, depth: Any) -> None:
    save(f"in/{name}", picture(45, 33, channels, depth))
    whole = files.read(Path("in") / name).pixels
    pieces()
    assert len(names()) == 12
    extension = name[1:] if name[2:] in ("png", "tif", "bmp") else ".png"
    for number, piece in enumerate(Grid(20, 12).pieces(45, 33), 1):
        assert np.array_equal(files.read(Path(f"out/a_s{number:03d}{extension}")).pixels, whole[piece])


def test_pieces_are_numbered_row_by_row() -> None:
    whole = save("in/a.png", picture(20, 44))
    pieces()
    assert names() == ["a_s001.png", "a_s002.png", "a_s003.png"]
    assert np.array_equal(files.read(Path("out/a_s003.png")).pixels, whole[:, 24:])


@pytest.mark.parametrize(("stem", "short"), [("0801x4", "0801"), ("x2a", "a"), ("0001x8_m", "0001_m"), ("x5", "x5")])
def test_the_scale_is_left_out_of_names_unless_they_are_kept(stem: str, short: str) -> None:
    save(f"in/{stem}.png", picture(20, 20))
    pieces()
    assert names() == [f"{short}_s001.png"]
    pieces(output=Path("kept"), keep_names=True)
    assert names("kept") == [f"{stem}_s001.png"]


def test_names_that_fall_together_without_their_scale_are_refused_before_any_work() -> None:
    save("in/boxx2.png", picture(20, 20))
    save("in/boxx3.png", picture(20, 20))
    with pytest.raises(UsageError, match="boxx2.png and .*boxx3.png would both .* keep_names"):
        pieces()
    assert not Path("out").exists()
    assert len(pieces(keep_names=True).written) == 2


def test_small_and_damaged_pictures_cost_only_themselves() -> None:
    save("in/a.png", picture(20, 20))
    save("in/small.png", picture(20, 19))
    Path("in/broken.png").write_bytes(Path("in/a.png").read_bytes()[:-20])
    Path("in/notes.txt").write_text("no picture")
    request = Subimages(["in"], Path("out"), crop_size=20, step=12)
    selection = select(request)
    outcome = cut(request, selection, Reporter())
    assert [job.source.name for job in selection.without_target] == ["small.png"]
    assert [path.name for path in outcome.written] == ["a_s001.png"]
    assert [line.split(":")[0] for line in outcome.failures] == [str(Path("in/broken.png"))]
    assert names() == ["a_s001.png"]


def test_metadata_of_the_whole_is_not_said_of_the_pieces() -> None:
    save("in/a.png", picture(20, 20), pixels_per_mm=(10.0, 10.0))
    pieces()
    assert files.read(Path("out/a_s001.png")).metadata.pixels_per_mm is None


def test_pieces_do_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "processor_count", lambda: 4)
    for number in range(6):
        save(f"in/{number}.png", picture(50, 40 + number, seed=number))
    pieces(output=Path("one"), n_thread=1)
    pieces(output=Path("four"), n_thread=4)
    assert len(names("one")) > 50
    assert contents("one") == contents("four")


class StopsAfter(Reporter):
    """Cancels at the so-manieth time it is asked."""

    def __init__(self, times: int) -> None:
        self.left = times

    def check(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Cancelled


@pytest.mark.parametrize("times", [0, 3, 10, 25, 40])
def test_resumed_equals_never_stopped(times: int) -> None:
    for number in range(4):
        save(f"in/{number}.png", picture(50, 40, seed=number))
    pieces(output=Path("whole"))
    with pytest.raises(Cancelled):
        pieces(StopsAfter(times))
    stopped = set(names())
    assert stopped < set(names("whole"))
    outcome = pieces(skip_existing=True)
    assert contents("out") == contents("whole")
    assert outcome.done_before + len(outcome.written) == 4


def test_what_is_done_is_not_done_again() -> None:
    save("in/a.png", picture(50, 40))
    save("in/b.png", picture(50, 40))
    pieces()
    Path("out/b_s003.png").unlink()
    before = Path("out/a_s001.png").stat().st_mtime_ns
    outcome = pieces(skip_existing=True)
    assert [path.name for path in outcome.written] == ["b_s001.png"]
    assert outcome.done_before == 1
    assert Path("out/a_s001.png").stat().st_mtime_ns == before


@pytest.mark.parametrize("skip_existing", [False, True])
@pytest.mark.parametrize("other", [{"crop_size": 16}, {"step": 10}, {"thresh_size": 3}, {"keep_names": True}])
def test_a_folder_never_holds_pieces_that_were_cut_differently(other: dict[str, Any], skip_existing: bool) -> None:
    save("in/a.png", picture(50, 40))
    pieces()
    before = contents("out")
    (name,) = other
    with pytest.raises(UsageError, match=f"output out: holds results made with {name}"):
        pieces(**other, skip_existing=skip_existing)
    assert contents("out") == before


def test_small_pictures_can_be_added_to_a_folder_later() -> None:
    save("in/a.png", picture(50, 40))
    save("in/small.png", picture(10, 10))
    pieces()
    assert [path.name for path in pieces(keep_small=True, skip_existing=True).written] == ["small_s001.png"]


@pytest.mark.parametrize("record", [b"", b"[1]", b"\xff\xfe", b'{"other": 1}'])
def test_a_record_that_says_nothing_stops_nobody(record: bytes) -> None:
    save("in/a.png", picture(20, 20))
    Path("out").mkdir()
    (Path("out") / subimages.settings.RECORD).write_bytes(record)
    assert len(pieces().written) == 1


@pytest.mark.parametrize(
    ("name", "value"), [("crop_size", 0), ("step", 0), ("thresh_size", -1), ("compression_level", 10), ("n_thread", 0)]
)
def test_impossible_options_are_refused(name: str, value: int) -> None:
    save("in/a.png", picture(20, 20))
    with pytest.raises(UsageError, match=f"{name} {value}"):
        pieces(**{name: value})


def test_compression_reaches_the_files() -> None:
    save("in/a.png", picture(64, 64))
    pieces(crop_size=64, compression_level=0, output=Path("large"))
    pieces(crop_size=64, compression_level=9)
    assert Path("large/a_s001.png").stat().st_size > 2 * Path("out/a_s001.png").stat().st_size


def test_a_picture_that_changed_since_it_was_planned_fails_and_the_others_are_cut() -> None:
    save("in/a.png", picture(50, 40))
    save("in/b.png", picture(50, 40))
    request = Subimages(["in"], Path("out"), crop_size=20, step=12)
    selection = select(request)
    save("in/a.png", picture(90, 90))
    outcome = cut(request, selection, Reporter())
    assert [path.name for path in outcome.written] == ["b_s001.png"]
    assert "changed" in outcome.failures[0]


def test_no_more_threads_than_processors_and_memory_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "processor_count", lambda: 3)
    assert [work.thread_count(asked) for asked in (1, 2, 20)] == [1, 2, 3]
    save("in/a.png", picture(100, 100, 1))
    jobs = select(Subimages(["in"], Path("out"), crop_size=20)).jobs
    monkeypatch.setattr(work, "free_memory_bytes", lambda: 100_000)
    assert work._pictures_held(jobs) == 4
