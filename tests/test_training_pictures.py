"""Data sets are found in folders and lists, whatever names look like; what cannot be read is named and left out."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny import picture

from realesrgan.errors import ImageFileError, UsageError
from realesrgan.image import files
from realesrgan.image.files import Picture
from realesrgan.restorer import Reporter
from realesrgan.training import data
from realesrgan.training.pictures import (
    SHOWN,
    PicturePairs,
    Pictures,
    decode,
    in_folders,
    in_list,
    pairs_in_folders,
    pairs_in_list,
)
from realesrgan.training.recipe import TrainingRecipe


class Log(Reporter):
    """A reporter that records warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths in these tests are relative to the working directory."""
    monkeypatch.chdir(tmp_path)


def make(*names: str, side: int = 8) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        files.write(Path(name), Picture(picture(side, side)))


def make_pairs(*names: str) -> None:
    make(*(f"gt/{name}" for name in names), side=32)
    make(*(f"lq/{name}" for name in names), side=8)


def names(pictures: Pictures) -> list[str]:
    return [file.path.as_posix() for file in pictures.files]


def paired_names(pairs: PicturePairs) -> list[tuple[str, str]]:
    return list(zip(names(pairs.originals), names(pairs.copies), strict=True))


def listed(*lines: str, root: str = "data", reporter: Reporter | None = None) -> list[str]:
    Path("list.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return names(in_list(Path("list.txt"), Path(root), reporter or Reporter()))


def pairs_listed(*lines: str, reporter: Reporter | None = None, scale: int = 4) -> list[tuple[str, str]]:
    Path("pairs.txt").write_text("\n".join(lines), encoding="utf-8")
    found = pairs_in_list(Path("pairs.txt"), Path("gt"), Path("lq"), reporter or Reporter(), scale=scale, size=32)
    return paired_names(found)


def test_pictures_of_a_folder_and_its_sub_folders_are_numbered_by_name(log: Log) -> None:
    make("data/b.png", "data/a.jpg", "data/deep/c.png", "data/.hidden.png")
    Path("data/notes.txt").write_text("no picture")
    assert names(in_folders(["data"], log)) == ["data/a.jpg", "data/b.png", "data/deep/c.png"]
    assert log.warnings == []


def test_a_picture_of_two_folders_named_comes_once() -> None:
    make("data/a.png", "data/deep/b.png")
    assert names(in_folders(["data/deep", "data", "data/a.png"], Reporter())) == ["data/deep/b.png", "data/a.png"]


def test_a_list_gives_its_order_and_names_with_blanks_work() -> None:
    make("data/two words.png", "data/sub/a.png", "data/two.png")
    assert listed("two words.png", "", "sub/a.png") == ["data/two words.png", "data/sub/a.png"]


def test_sizes_behind_names_as_in_some_published_lists_are_no_part_of_them() -> None:
    make("data/a.png", "data/b (8,8,3).png")
    assert listed("a.png (480,480,3)", "b (8,8,3).png") == ["data/a.png", "data/b (8,8,3).png"]
    Path("data/b (8,8,3).png").rename("data/b (8,8,3)")
    assert listed("b (8,8,3)", "b (8,8,3) (8,8,3)") == ["data/b (8,8,3)"] * 2


def test_a_list_from_windows_is_read() -> None:
    make("data/a.png", "data/b.png")
    Path("list.txt").write_bytes(b"\xef\xbb\xbfa.png\r\nb.png\r\n")
    assert names(in_list(Path("list.txt"), Path("data"), Reporter())) == ["data/a.png", "data/b.png"]


def test_what_cannot_be_read_is_named_and_left_out(log: Log) -> None:
    make("data/a.png", "data/c.png")
    Path("data/b.png").write_text("<html>")
    Path("data/empty.png").touch()
    assert names(in_folders(["data"], log)) == ["data/a.png", "data/c.png"]
    assert [("b.png" in line, "empty.png" in line) for line in log.warnings] == [(True, False), (False, True)]
    log.warnings.clear()
    assert listed("a.png", "b.png", "missing.png", "missing.png", "c.png", reporter=log) == ["data/a.png", "data/c.png"]
    assert [("b.png" in line, "missing.png" in line) for line in log.warnings] == [(True, False), (False, True)]


def test_a_flood_of_faults_is_counted_rather_than_told(log: Log) -> None:
    make("data/a.png")
    listed("a.png", *(f"missing{number}.png" for number in range(SHOWN + 5)), reporter=log)
    assert len(log.warnings) == SHOWN + 1
    assert "5 more" in log.warnings[-1]


def test_no_picture_at_all_is_an_error_that_says_what_was_tried() -> None:
    Path("data").mkdir()
    with pytest.raises(UsageError, match="dataroot_gt data: no pictures"):
        in_folders(["data"], Reporter())
    with pytest.raises(UsageError, match="dataroot_gt nowhere: there is no such"):
        in_folders(["nowhere"], Reporter())
    with pytest.raises(UsageError, match=r"meta_info list.txt, below data: no pictures .* 2 files .*a\.png"):
        listed("a.png", "b.png")
    with pytest.raises(UsageError, match="meta_info none.txt: cannot be read"):
        in_list(Path("none.txt"), Path("data"), Reporter())


def test_the_fingerprint_changes_with_the_pictures_and_not_with_the_place() -> None:
    make("data/a.png", "data/b.png")
    before = in_folders(["data"], Reporter()).fingerprint
    shutil.move("data", "moved")
    assert in_folders(["moved"], Reporter()).fingerprint == before
    make("moved/c.png")
    assert in_folders(["moved"], Reporter()).fingerprint != before


def test_pairs_belong_together_by_name_and_those_without_partner_are_named(log: Log) -> None:
    make_pairs("a.png", "c.png", "deep/d.png")
    make("gt/b.png", side=32)
    make("lq/e.png")
    found = pairs_in_folders("gt", "lq", log, scale=4, size=32)
    assert paired_names(found) == [(f"gt/{name}.png", f"lq/{name}.png") for name in ("a", "c", "deep/d")]
    assert [("b.png" in line, "e.png" in line) for line in log.warnings] == [(True, False), (False, True)]


def test_a_template_makes_the_names_of_copies() -> None:
    make("gt/1.png", side=32)
    make("lq/1x4.png")
    found = pairs_in_folders("gt", "lq", Reporter(), scale=4, size=32, template="{}x4")
    assert paired_names(found) == [("gt/1.png", "lq/1x4.png")]


def test_a_list_of_pairs_is_split_where_both_files_are() -> None:
    make_pairs("a.png", "x, y.png", "two words.png")
    assert pairs_listed("a.png, a.png", "x, y.png, x, y.png", "two words.png, a.png") == [
        ("gt/a.png", "lq/a.png"),
        ("gt/x, y.png", "lq/x, y.png"),
        ("gt/two words.png", "lq/a.png"),
    ]


def test_pairs_of_another_scale_or_too_small_or_half_missing_are_named_and_left_out(log: Log) -> None:
    make_pairs("a.png")
    make("gt/odd.png", side=36)
    make("gt/small.png", side=16)
    make("lq/odd.png")
    make("lq/small.png", side=4)
    lines = ["odd.png, odd.png", "small.png, small.png", "a.png, gone.png", "nothing", "a.png, a.png"]
    assert pairs_listed(*lines, reporter=log) == [("gt/a.png", "lq/a.png")]
    signs = ("odd.png: is 36×36, not 4 times", "small.png: is 16×16, smaller than", "gone.png", "“nothing” is no pair")
    assert [sign for sign in signs if not any(sign in line for line in log.warnings)] == []
    assert len(log.warnings) == len(signs)


def test_pictures_are_decoded_in_their_depth_and_without_transparency() -> None:
    for name, channels, depth in (("gray", 1, np.uint8), ("alpha", 4, np.uint8), ("wide", 3, np.uint16)):
        pixels = picture(6, 5, channels, depth)
        files.write(Path(f"{name}.png"), Picture(pixels))
        (file,) = in_folders([f"{name}.png"], Reporter()).files
        decoded = decode(file)
        assert decoded.shape == (6, 5, 3)
        assert decoded.dtype == depth
        assert np.array_equal(decoded, np.dstack([pixels] * 3) if channels == 1 else pixels[..., :3])


def test_a_jpeg_with_a_damaged_scan_is_not_decoded() -> None:
    make("a.jpg", side=64)
    content = Path("a.jpg").read_bytes()
    scan = content.index(b"\xff\xda") + 20
    Path("a.jpg").write_bytes(content[:scan] + b"\xff\xd0" * 20 + content[scan + 40 :])
    (file,) = in_folders(["a.jpg"], Reporter()).files
    with pytest.raises(ImageFileError, match="a.jpg: damaged"):
        decode(file)


def test_a_picture_that_is_damaged_or_was_replaced_is_not_decoded() -> None:
    make("data/a.png", "data/b.png", side=64)
    first, second = in_folders(["data"], Reporter()).files
    content = first.path.read_bytes()
    first.path.write_bytes(content[: len(content) // 2])
    make("data/b.png", side=32)
    with pytest.raises(ImageFileError, match="a.png: damaged"):
        decode(first)
    with pytest.raises(ImageFileError, match="b.png: was 64×64 when training began, is 32×32"):
        decode(second)


def test_what_is_no_text_is_no_list() -> None:
    make("a.png")
    Path("list.txt").write_bytes(b"a.png\nb\0.png\n")
    with pytest.raises(UsageError, match="meta_info list.txt: is no text"):
        in_list(Path("list.txt"), Path("data"), Reporter())


def test_pictures_large_enough_to_measure_on_are_held_out_wherever_they_are() -> None:
    make(*(f"data/{number:02}.png" for number in range(20)), side=8)
    make("data/07.png", "data/19.png", side=64)
    recipe = TrainingRecipe.model_validate(
        {
            "name": "x",
            "model_type": "RealESRNetModel",
            "scale": 4,
            "datasets": {"train": {"type": "RealESRGANDataset", "dataroot_gt": "data"}},
            "network_g": {"type": "SRVGGNetCompact", "upscale": 4},
            "train": {"optim_g": {"lr": 1e-4}, "total_iter": 1},
        }
    )
    rest, measured = data.hold_out(recipe, data.find(recipe, Reporter()), Reporter())
    assert {sample.name.split(",")[0] for sample in measured.samples} == {"07.png"}
    assert isinstance(rest, Pictures)
    assert "07.png" not in names(rest)
    assert len(rest.files) == 19
