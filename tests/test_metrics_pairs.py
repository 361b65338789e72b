"""Results find their originals by name; whatever could belong to two, or to nothing, is named and not guessed."""

from __future__ import annotations

from pathlib import Path

import pytest
from clips import Clip, moving
from test_video_inputs import webp
from tiny import picture

from realesrgan.errors import UsageError
from realesrgan.image import files
from realesrgan.image.files import Picture
from realesrgan.metrics.pairs import Pairs, match
from realesrgan.outputs import place_of


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("r", "t"):
        Path(folder).mkdir()


def make(*names: str, height: int = 12, width: int = 14) -> None:
    for number, name in enumerate(names):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        files.write(Path(name), Picture(picture(height, width, seed=number)))


def clip(name: str, count: int = 3) -> None:
    Clip(moving(count)).write(Path(name))


def paired(found: Pairs) -> list[tuple[str, str]]:
    return [(pair.result.as_posix(), pair.original.as_posix()) for pair in found.pairs]


def failures(found: Pairs, *named: str) -> None:
    """Each failure is about one of `named`, in order."""
    assert [line.split(":")[0] for line in found.failures] == list(named)


@pytest.mark.parametrize("result", ["r/a_out.png", "r/a.png", "r/a_out.jpg", "r/a.webp"])
def test_a_name_with_or_without_suffix_and_of_any_format_is_found(result: str) -> None:
    make(result, "t/a.png")
    found = match(["r"], ["t"])
    assert paired(found) == [(result, "t/a.png")]
    assert found.failures == []


@pytest.mark.parametrize(("suffix", "result"), [("x4", "r/a_x4.png"), ("", "r/a.png")])
def test_the_suffix_can_be_chosen(suffix: str, result: str) -> None:
    make(result, "t/a.png")
    assert paired(match(["r"], ["t"], suffix=suffix)) == [(result, "t/a.png")]


def test_another_suffix_is_part_of_the_name() -> None:
    make("r/a_x4.png", "t/a.png")
    failures(match(["r"], ["t"]), "r/a_x4.png", "t/a.png")


def test_pairs_come_in_the_order_of_the_results() -> None:
    make("r/c_out.png", "r/a_out.png", "r/b.png", "t/b.png", "t/a.png", "t/c.png")
    assert [result for result, _ in paired(match(["r"], ["t"]))] == ["r/a_out.png", "r/b.png", "r/c_out.png"]


def test_two_results_of_one_original_are_both_named_and_neither_is_measured() -> None:
    make("r/a.png", "r/a_out.png", "r/b_out.png", "t/a.png", "t/b.png")
    found = match(["r"], ["t"])
    assert paired(found) == [("r/b_out.png", "t/b.png")]
    failures(found, "t/a.png")
    assert "r/a.png" in found.failures[0]
    assert "r/a_out.png" in found.failures[0]


@pytest.mark.parametrize("second", ["t/a.jpg", "t/a_out.png"])
def test_two_originals_of_one_result_are_both_named_and_neither_is_measured(second: str) -> None:
    make("r/a_out.png", "t/a.png", second)
    found = match(["r"], ["t"])
    assert paired(found) == []
    failures(found, "r/a_out.png")
    assert "t/a.png" in found.failures[0]
    assert second in found.failures[0]


def test_missing_partners_are_named_one_by_one_on_both_sides() -> None:
    make("r/a_out.png", "r/b_out.png", "t/a.png", "t/c.png", "t/d.png")
    found = match(["r"], ["t"])
    assert paired(found) == [("r/a_out.png", "t/a.png")]
    failures(found, "r/b_out.png", "t/c.png", "t/d.png")


def test_files_named_themselves_need_no_partner_for_the_rest_of_the_other_folder() -> None:
    make("r/a_out.png", "r/b_out.png", "t/a.png", "t/c.png")
    assert match(["r/a_out.png"], ["t"]).failures == []
    assert match(["r"], ["t/a.png"]).failures == []
    failures(match(["r/a_out.png", "r/b_out.png"], ["t"]), "r/b_out.png")


def test_one_file_on_each_side_is_a_pair_whatever_the_names() -> None:
    make("r/x.png", "t/y.jpg")
    assert paired(match(["r/x.png"], ["t/y.jpg"])) == [("r/x.png", "t/y.jpg")]


def test_sizes_that_differ_are_both_told() -> None:
    make("r/a_out.png")
    make("t/a.png", height=48, width=56)
    found = match(["r"], ["t"])
    assert found.pairs == []
    failures(found, "r/a_out.png")
    assert "14×12" in found.failures[0]
    assert "56×48" in found.failures[0]


def test_the_path_below_the_folder_is_part_of_the_name() -> None:
    make("r/one/a_out.png", "r/two/a_out.png", "t/two/a.png", "t/one/a.png")
    found = match(["r"], ["t"], recursive=True)
    assert paired(found) == [("r/one/a_out.png", "t/one/a.png"), ("r/two/a_out.png", "t/two/a.png")]
    make("r/a_out.png", "t/a.png")
    assert paired(match(["r"], ["t"])) == [("r/a_out.png", "t/a.png")]


def test_results_below_the_originals_are_not_originals() -> None:
    make("t/a.png", "t/results/a_out.png", "t/results/b_out.png")
    found = match(["t/results"], ["t"], recursive=True)
    assert paired(found) == [("t/results/a_out.png", "t/a.png")]
    failures(found, "t/results/b_out.png")


def test_results_among_the_originals_find_them_and_nothing_is_its_own_original() -> None:
    make("t/a.png", "t/a_out.png", "t/b.png", "t/b_out.png")
    found = match(["t"], ["t"])
    assert paired(found) == [("t/a_out.png", "t/a.png"), ("t/b_out.png", "t/b.png")]
    assert found.failures == []


def test_other_files_are_passed_over_and_damaged_pictures_fail_alone() -> None:
    make("r/a_out.png", "t/a.png", "t/b.png")
    Path("r/b_out.png").write_bytes(b"")
    Path("t/notes.txt").write_text("no picture", encoding="utf-8")
    found = match(["r"], ["t"])
    assert paired(found) == [("r/a_out.png", "t/a.png")]
    failures(found, "r/b_out.png")  # and t/b.png is not said to have no result
    assert found.passed_over == ["t/notes.txt: not a picture"]


@pytest.mark.parametrize(("results", "originals", "option"), [("r", "t", "results"), ("t", "r", "originals")])
def test_a_side_with_nothing_in_it_is_wrong_usage(results: str, originals: str, option: str) -> None:
    make("t/a.png")
    with pytest.raises(UsageError) as raised:
        match([results], [originals])
    assert raised.value.option == option


@pytest.mark.parametrize(("results", "originals", "option"), [("nothing", "t", "results"), ("t", "", "originals")])
def test_what_does_not_exist_is_told_by_its_option(results: str, originals: str, option: str) -> None:
    make("t/a.png")
    with pytest.raises(UsageError) as raised:
        match([results], [originals])
    assert raised.value.option == option


def test_nothing_that_belongs_together_is_wrong_usage_and_not_success() -> None:
    make("r/a.png", "r/b.png", "t/c.png", "t/d.png")
    with pytest.raises(UsageError, match="suffix"):
        match(["r/*.png"], ["t/*.png"])


def test_videos_belong_to_videos_and_pictures_to_pictures() -> None:
    make("r/a_out.png", "t/a.png")
    clip("r/a_out.mp4")
    clip("t/a.mkv")
    found = match(["r"], ["t"])
    assert paired(found) == [("r/a_out.mp4", "t/a.mkv"), ("r/a_out.png", "t/a.png")]
    assert [pair.videos is not None for pair in found.pairs] == [True, False]


def test_an_animation_is_a_video() -> None:
    webp(Path("r"))
    webp(Path("t"))
    (pair,) = match(["r"], ["t"]).pairs
    assert pair.videos is not None


@pytest.mark.parametrize("is_swapped", [False, True])
def test_a_folder_of_frames_belongs_to_a_video(is_swapped: bool) -> None:
    clip("a.mp4", 2)
    make("frames/1.png", "frames/2.png", height=48, width=64)
    sides = ["a.mp4", "frames"][:: -1 if is_swapped else 1]
    (pair,) = match(sides[:1], sides[1:]).pairs
    assert pair.videos is not None
    assert [video.path.name for video in pair.videos] == sides
    assert place_of(Path("frames/1.png")) in match(sides[:1], sides[1:]).places


def test_a_damaged_video_is_named_and_the_others_are_found() -> None:
    clip("r/a_out.mp4")
    clip("t/a.mp4")
    clip("t/b.mp4")
    Path("r/b_out.mp4").write_bytes(b"nothing" * 99)
    found = match(["r"], ["t"])
    assert paired(found) == [("r/a_out.mp4", "t/a.mp4")]
    failures(found, "r/b_out.mp4")


def test_every_picture_found_is_known_by_its_place_damaged_ones_included() -> None:
    make("r/a_out.png", "t/a.png")
    Path("t/b.png").write_bytes(b"")
    Path("t/old.csv").write_text("", encoding="utf-8")
    assert match(["r"], ["t"]).places == {place_of(Path(name)) for name in ("r/a_out.png", "t/a.png", "t/b.png")}
