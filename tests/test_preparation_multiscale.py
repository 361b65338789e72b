"""Smaller copies have the published names and sizes, Pillow's pixels, and the depth of their pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import picture

from realesrgan.errors import UsageError
from realesrgan.image import files
from realesrgan.image.files import Metadata, Picture
from realesrgan.image.pipeline import Outcome
from realesrgan.preparation.lanczos import lanczos_weights, resize
from realesrgan.preparation.multiscale import Multiscale, copy_sizes, make_copies, select
from realesrgan.restorer import Reporter


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths in these tests are relative to the working directory."""
    monkeypatch.chdir(tmp_path)


def save(name: str, pixels: Any, **said: Any) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    files.write(Path(name), Picture(pixels, Metadata(**said)))


def copies(**how: Any) -> Outcome:
    request = Multiscale(**({"input": ["in"], "output": Path("out")} | how))
    return make_copies(request, select(request), Reporter())


def size_of(name: str) -> tuple[int, int]:
    header = files.read_header(Path(name))
    assert header is not None
    return header.height, header.width


@pytest.mark.parametrize(("height", "width"), [(1356, 2040), (2040, 1356), (801, 799), (400, 400), (451, 1001)])
def test_t0_to_t2_are_parts_of_the_size_and_the_shortest_side_of_t3_is_400(height: int, width: int) -> None:
    *parts, last = copy_sizes(height, width)
    assert parts == [(int(height * part), int(width * part)) for part in (0.75, 0.5, 1 / 3)]
    assert min(last) == 400
    assert last[0] / last[1] == pytest.approx(height / width, rel=1 / 400)


@pytest.mark.parametrize(
    ("size", "last"),
    [((1356, 2040), (400, 601)), ((2040, 1356), (601, 400)), ((451, 1001), (400, 887)), ((400, 402), (400, 401))],
)
def test_t3_is_rounded_down_as_published_floating_point_included(size: tuple[int, int], last: tuple[int, int]) -> None:
    assert copy_sizes(*size)[-1] == last


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 50), (2, 3)])
def test_no_copy_is_empty_however_small_the_picture(height: int, width: int) -> None:
    assert all(min(size) >= 1 for size in copy_sizes(height, width))


@pytest.mark.parametrize(("small", "copies"), [((399, 800), 3), ((400, 800), 4)])
def test_t3_can_be_left_out_exactly_where_it_would_be_enlarged(small: tuple[int, int], copies: int) -> None:
    assert len(copy_sizes(*small)) == 4
    assert len(copy_sizes(*small, no_enlarge=True)) == copies


def test_copies_are_png_beside_each_other_with_the_published_names() -> None:
    save("in/a.jpg", picture(420, 500))
    save("in/deep/b.png", picture(40, 36, 1))
    outcome = copies(recursive=True)
    assert sorted(path.relative_to("out").as_posix() for path in outcome.written) == ["aT0.png", "deep/bT0.png"]
    names = [f"a{end}" for end in ("T0", "T1", "T2", "T3")] + [f"deep/b{end}" for end in ("T0", "T1", "T2", "T3")]
    made = sorted(path.relative_to("out").as_posix() for path in Path("out").rglob("*.*"))
    assert made == [f"{name}.png" for name in names]
    assert [size_of(f"out/aT{number}.png") for number in range(4)] == list(copy_sizes(420, 500))
    assert files.read(Path("out/deep/bT0.png")).pixels.ndim == 2


@pytest.mark.parametrize(("channels", "depth"), [(1, np.uint8), (3, np.uint16), (4, np.uint16), (4, np.uint8)])
def test_depth_and_channels_stay(channels: int, depth: Any) -> None:
    save("in/a.png", picture(40, 60, channels, depth))
    copies()
    for number in range(4):
        pixels = files.read(Path(f"out/aT{number}.png")).pixels
        assert pixels.dtype == depth
        assert (1 if pixels.ndim == 2 else pixels.shape[2]) == channels


def test_only_what_says_how_colours_are_meant_is_kept() -> None:
    save("in/a.png", picture(40, 40), pixels_per_mm=(10.0, 10.0))
    copies()
    assert files.read(Path("in/a.png")).metadata.pixels_per_mm is not None
    assert files.read(Path("out/aT0.png")).metadata.pixels_per_mm is None


@pytest.mark.parametrize("threads", [1, 4])
def test_copies_do_not_depend_on_the_number_of_threads(threads: int) -> None:
    for number in range(5):
        save(f"in/{number}.png", picture(40 + number, 50, seed=number))
    copies(output=Path("one"), n_thread=1)
    copies(n_thread=threads)
    for path in Path("one").iterdir():
        assert (Path("out") / path.name).read_bytes() == path.read_bytes()


def test_a_picture_too_large_for_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realesrgan.preparation.work.free_memory_bytes", lambda: 100_000)
    save("in/a.png", picture(4, 400, 1))
    save("in/b.png", picture(100, 100, 1))
    outcome = copies(no_enlarge=True)
    assert sorted(path.name for path in outcome.written) == ["aT0.png", "bT0.png"]
    monkeypatch.setattr("realesrgan.preparation.work.free_memory_bytes", lambda: 15_000)
    outcome = copies(no_enlarge=True)
    assert [path.name for path in outcome.written] == ["aT0.png"]
    assert len(outcome.failures) == 1
    assert outcome.failures[0].startswith(f"{Path('in/b.png')}: too large")


def test_invalid_threads_are_refused() -> None:
    save("in/a.png", picture(4, 4))
    with pytest.raises(UsageError, match="`n_thread`|n_thread 0"):
        copies(n_thread=0)


# The resize.


@pytest.mark.parametrize(("height", "width"), [(30, 45), (20, 30), (61, 91), (75, 40), (1, 1), (60, 90), (60, 33)])
@pytest.mark.parametrize("channels", [1, 3])
def test_eight_bits_are_within_one_level_of_pillow(height: int, width: int, channels: int) -> None:
    image = pytest.importorskip("PIL.Image")  # comes with scikit-image
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    pixels = pixels if channels == 3 else pixels[..., 0]
    theirs = np.asarray(image.fromarray(pixels).resize((width, height), image.Resampling.LANCZOS))
    ours = resize(pixels, height, width)
    assert ours.shape == theirs.shape
    assert abs(ours.astype(int) - theirs).max() <= 1
    assert (ours != theirs).mean() < 0.01


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(7, 11), (40, 90)])
def test_a_flat_picture_stays_flat(depth: Any, size: tuple[int, int]) -> None:
    flat = np.full((23, 31, 4), np.iinfo(depth).max // 3, depth)
    assert np.array_equal(resize(flat, *size), np.full((*size, 4), np.iinfo(depth).max // 3, depth))


@pytest.mark.parametrize("new", [3, 30, 90, 300])
def test_weights_sum_to_one_and_do_not_depend_on_where_rows_are_cut(new: int) -> None:
    whole, at_once = lanczos_weights(91, new, 0, new)
    assert np.allclose(at_once.sum(1), 1, atol=1e-6)
    row = new // 2
    first, weights = lanczos_weights(91, new, row, row + 1)
    padded = np.zeros(91, np.float32)
    padded[first : first + weights.shape[1]] = weights
    assert np.allclose(padded[whole : whole + at_once.shape[1]], at_once[row], atol=1e-7)


def test_more_rows_than_are_made_at_once_have_no_seam() -> None:
    ramp = np.repeat(np.arange(400, dtype=np.uint16)[:, None] * 100, 8, 1)
    steps = np.diff(resize(ramp, 300, 8)[10:-10, 3].astype(int))
    assert steps.min() >= 132
    assert steps.max() <= 135


def test_hidden_colour_does_not_bleed_into_what_is_visible() -> None:
    pixels = np.zeros((40, 40, 4), np.uint8)
    pixels[...] = (0, 255, 0, 0)  # green, unseen
    pixels[:, 20:] = (0, 0, 200, 255)
    smaller = resize(pixels, 13, 13)
    visible = smaller[smaller[..., 3] > 16]
    assert len(visible) > 60
    assert visible[:, 1].max() == 0
    assert abs(visible[:, 2].astype(int) - 200).max() <= 1
