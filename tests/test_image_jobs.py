"""Which pictures are restored and where results go is decided, or refused, before any work."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tiny import picture

from realesrgan.errors import UsageError
from realesrgan.image import files, formats, jobs
from realesrgan.image.files import Picture
from realesrgan.image.jobs import Naming, Selection
from realesrgan.outputs import part_of


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths in these tests are relative to the working directory."""
    monkeypatch.chdir(tmp_path)


def make(*names: str, channels: int = 3) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        format_name = formats.format_of(Path(name)) or "png"
        written = Path(name).with_name(f"made.{format_name}")
        files.write(written, Picture(picture(4, 5, channels)))
        written.rename(name)


def plan(
    *inputs: str,
    suffix: str = "out",
    extension: str = "auto",
    output: str = "results",
    compare: bool = False,
    **rest: Any,
) -> Selection:
    return jobs.select(inputs, Naming(Path(output), suffix, extension, compare), **rest)


def targets(planned: Selection) -> list[str]:
    return [job.target.as_posix() for job in planned.jobs]


def sources(planned: Selection) -> list[str]:
    return [job.source.as_posix() for job in planned.jobs]


@pytest.mark.parametrize(
    ("name", "suffix", "extension", "result"),
    [
        ("a.jpg", "out", "auto", "a_out.jpg"),
        ("a.jpg", "", "auto", "a.jpg"),
        ("a.JPG", "out", "auto", "a_out.JPG"),
        ("a.jpeg", "x4", "auto", "a_x4.jpeg"),
        ("a.tif", "out", "auto", "a_out.tif"),
        ("a.b.png", "out", "auto", "a.b_out.png"),
        ("a.gif", "out", "auto", "a_out.png"),
        ("noextension", "out", "auto", "noextension_out.png"),
        ("a.png", "out", "jpg", "a_out.jpg"),
        ("a.JPG", "out", "jpg", "a_out.jpg"),
        ("a.jpg", "out", "tiff", "a_out.tiff"),
        ("a.jpg", "out", "bmp", "a_out.bmp"),
        ("a.jpg", "out", "webp", "a_out.webp"),
        ("画像 [1].png", "out", "auto", "画像 [1]_out.png"),
    ],
)
def test_results_are_named_by_stem_suffix_and_format(name: str, suffix: str, extension: str, result: str) -> None:
    make(name)
    assert targets(plan(name, suffix=suffix, extension=extension)) == [f"results/{result}"]


@pytest.mark.parametrize(
    ("name", "extension", "result"),
    [
        ("a.webp", "auto", "a_out.png"),
        ("a.tiff", "auto", "a_out.png"),
        ("a.png", "jpg", "a_out.png"),
        ("a.png", "webp", "a_out.webp"),
        ("a.png", "tiff", "a_out.tiff"),
        ("a.png", "avif", "a_out.avif"),
        ("a.png", "bmp", "a_out.bmp"),
    ],
)
def test_transparency_goes_into_png_unless_a_format_that_holds_it_is_requested(
    name: str, extension: str, result: str
) -> None:
    make(name, channels=4)
    assert targets(plan(name, extension=extension)) == [f"results/{result}"]


def test_the_header_and_no_pixel_decides_so_a_job_knows_its_size() -> None:
    make("a.png", channels=4)
    header = plan("a.png").jobs[0].header
    assert (header.width, header.height, header.channels, header.depth_bits, header.has_alpha) == (5, 4, 4, 8, True)


@pytest.mark.parametrize(
    "inputs", [("pics",), ("pics/a.png", "pics/a.jpg"), ("pics/*",), ("pics/a.png", "pics/*.jpg"), ("one", "two")]
)
def test_two_inputs_for_one_result_are_refused_by_name(inputs: Sequence[str]) -> None:
    make("pics/a.png", "pics/a.jpg", "one/a.jpg", "two/a.jpg")
    with pytest.raises(UsageError) as refused:
        plan(*inputs, extension="png")
    message = str(refused.value)
    named = ("one", "two") if inputs == ("one", "two") else ("a.png", "a.jpg")
    assert all(name in message for name in (*named, "a_out.png"))


def test_the_same_stem_is_no_collision_where_the_formats_differ() -> None:
    make("pics/a.png", "pics/a.jpg")
    assert targets(plan("pics")) == ["results/a_out.jpg", "results/a_out.png"]


def test_two_inputs_for_one_comparison_are_refused_by_name() -> None:
    make("pics/a.png", "pics/a.jpg")
    with pytest.raises(UsageError, match=r"a\.jpg and .*a\.png .*a_out_compare\.jpg"):
        plan("pics", compare=True)


@pytest.mark.parametrize("inputs", [("a.png",), ("a.png", "a_x2.png"), (".",)])
def test_an_input_is_never_overwritten(inputs: Sequence[str]) -> None:
    make("a.png", "a_x2.png")
    with pytest.raises(UsageError, match=r"a\.png is an input"):
        plan(*inputs, suffix="", output=".")
    if len(inputs) > 1 or inputs == (".",):
        with pytest.raises(UsageError, match=r"a_x2\.png is an input"):
            plan(*inputs, suffix="x2", output=".")


def test_an_input_is_not_overwritten_through_another_way_of_writing_its_path() -> None:
    make("pics/a.png")
    with pytest.raises(UsageError, match="is an input"):
        plan("pics/a.png", suffix="", output="pics/../pics")


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_an_input_is_not_overwritten_through_a_link() -> None:
    make("pics/a.png")
    Path("elsewhere").symlink_to("pics")
    with pytest.raises(UsageError, match="is an input"):
        plan("pics/a.png", suffix="", output="elsewhere")


def test_files_folders_and_patterns_can_be_mixed() -> None:
    make("a.png", "pics/b.png", "more/c1.png", "more/c2.png", "more/d.png")
    assert sources(plan("a.png", "pics", "more/c*.png")) == ["a.png", "pics/b.png", "more/c1.png", "more/c2.png"]


def test_two_stars_in_a_pattern_go_into_folders() -> None:
    make("pics/a.png", "pics/deep/b.png", "pics/deep/deeper/c.jpg")
    assert sources(plan("pics/**/*.png")) == ["pics/a.png", "pics/deep/b.png"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file() -> None:
    make("a[1].png", "a1.png")
    assert sources(plan("a[1].png")) == ["a[1].png"]


def test_one_picture_given_in_several_ways_is_done_once() -> None:
    make("pics/a.png", "pics/b.png")
    given = plan("pics/a.png", "pics", "pics/*.png", "./pics/../pics/a.png", str(Path("pics/b.png").resolve()))
    assert sources(given) == ["pics/a.png", "pics/b.png"]


@pytest.mark.parametrize("missing", ["nowhere.png", "nowhere/", "*.nothing"])
def test_an_input_that_does_not_exist_is_refused_by_name(missing: str) -> None:
    make("a.png")
    with pytest.raises(UsageError, match=r"input .*there is no such file") as refused:
        plan("a.png", missing)
    assert f"input {missing}:" in str(refused.value)


def test_recursion_keeps_the_tree() -> None:
    make("pics/a.png", "pics/x/a.png", "pics/x/y/a.png")
    assert targets(plan("pics", recursive=True)) == [
        "results/a_out.png",
        "results/x/a_out.png",
        "results/x/y/a_out.png",
    ]


def test_without_recursion_sub_folders_are_passed_over_and_named() -> None:
    make("pics/a.png", "pics/x/b.png")
    planned = plan("pics")
    assert sources(planned) == ["pics/a.png"]
    assert len(planned.passed_over) == 1
    assert str(Path("pics/x")) in planned.passed_over[0]
    assert "`recursive`" in planned.passed_over[0]
    assert planned.failures == []


@pytest.mark.parametrize("output", ["pics/results", "pics/../pics/results", "pics/x/done"])
def test_recursion_does_not_restore_its_own_results(output: str) -> None:
    make("pics/a.png", "pics/x/b.png", f"{output}/a_out.png")
    assert sources(plan("pics", recursive=True, output=output)) == ["pics/a.png", "pics/x/b.png"]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_recursion_ends_where_links_lead_back() -> None:
    make("pics/a.png", "pics/x/b.png")
    for name in ("pics/one", "pics/two", "pics/x/three"):
        Path(name).symlink_to(Path("pics").resolve())
    planned = plan("pics", recursive=True)
    assert sources(planned) == ["pics/a.png", "pics/x/b.png"]
    assert planned.failures == planned.passed_over == []


def test_hidden_files_and_folders_are_passed_over_in_silence() -> None:
    make("pics/a.png", "pics/.hidden.png", "pics/.thumbnails/b.png", "pics/._a.png")
    planned = plan("pics", recursive=True)
    assert sources(planned) == ["pics/a.png"]
    assert planned.passed_over == planned.failures == []


def test_other_files_in_a_folder_are_passed_over_and_named() -> None:
    make("pics/a.png")
    Path("pics/README.md").write_text("no picture")
    planned = plan("pics")
    assert sources(planned) == ["pics/a.png"]
    assert planned.failures == []
    assert len(planned.passed_over) == 1
    assert "README.md" in planned.passed_over[0]


@pytest.mark.parametrize("word", ["README.md", "./README.md", "sub/../README.md"])
def test_a_file_given_by_name_fails_if_it_is_not_a_picture(word: str) -> None:
    Path("README.md").write_text("no picture")
    Path("sub").mkdir()
    planned = plan(word)
    assert planned.passed_over == planned.jobs == []
    assert len(planned.failures) == 1
    assert "README.md: not a picture" in planned.failures[0]


@pytest.mark.parametrize("content", [b"", b"not a picture at all", b"\x89PNG\r\n\x1a\nhalf", b"\xff\xd8\xff\xe0half"])
@pytest.mark.parametrize("name", ["x.png", "x.JPG", "x.tif", "x.bmp"])
def test_a_broken_picture_in_a_folder_fails_by_name_and_the_rest_is_done(name: str, content: bytes) -> None:
    make("pics/a.png", "pics/z.png")
    Path("pics", name).write_bytes(content)
    planned = plan("pics")
    assert sources(planned) == ["pics/a.png", "pics/z.png"]
    assert planned.passed_over == []
    assert len(planned.failures) == 1
    assert name in planned.failures[0]


def test_a_picture_without_an_extension_is_found_in_a_folder() -> None:
    make("pics/scan")
    assert targets(plan("pics")) == ["results/scan_out.png"]


def test_skip_existing_leaves_out_what_is_there_and_counts_it() -> None:
    make("pics/a.png", "pics/b.png", "pics/x/a.png", "results/b_out.png", "results/x/a_out.png")
    planned = plan("pics", recursive=True, skip_existing=True)
    assert targets(planned) == ["results/a_out.png"]
    assert planned.done_before == 2
    assert len(plan("pics", recursive=True).jobs) == 3


def test_skip_existing_makes_a_missing_comparison_again() -> None:
    make("pics/a.png", "pics/b.png", "results/a_out.png", "results/b_out.png", "results/b_out_compare.jpg")
    planned = plan("pics", compare=True, skip_existing=True)
    assert targets(planned) == ["results/a_out.png"]
    assert planned.done_before == 1


def test_a_picture_keeps_its_number_when_others_are_done() -> None:
    make("pics/a.png", "pics/b.png", "pics/c.png", "pics/a_out.png")
    everything = plan("pics", output="pics", skip_existing=True)
    assert [(job.source.name, job.number) for job in everything.jobs] == [("b.png", 1), ("c.png", 2)]


def test_a_picture_that_is_refused_fails_with_the_reason_and_is_not_a_job() -> None:
    make("pics/a.png", "pics/b.png")
    asked: list[tuple[int, str]] = []

    def refuse(header: files.Header, target: Path) -> str | None:
        asked.append((header.area, target.name))
        return "too odd" if target.name.startswith("a") else None

    planned = plan("pics", refuse=refuse)
    assert sources(planned) == ["pics/b.png"]
    assert planned.failures == [f"{Path('pics/a.png')}: too odd"]
    assert asked == [(20, "a_out.png"), (20, "b_out.png")]


def test_an_empty_folder_is_an_empty_plan() -> None:
    Path("pics").mkdir()
    assert plan("pics") == Selection()


def test_planning_writes_nothing() -> None:
    make("pics/a.png")
    plan("pics", recursive=True, compare=True)
    assert sorted(path.as_posix() for path in Path().rglob("*")) == ["pics", "pics/a.png"]


def test_a_batch_into_its_own_folder_can_be_finished(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "a_out.png"):
        files.write(tmp_path / name, Picture(picture(4, 5)))
    found = jobs.select([str(tmp_path)], Naming(tmp_path), skip_existing=True)
    assert [job.source.name for job in found.jobs] == ["b.png"]
    assert found.done_before == 1
    assert found.passed_over == [f"{tmp_path / 'a_out.png'}: the result of {tmp_path / 'a.png'}"]


# Entries that the system has something against.

no_links = pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")


@no_links
@pytest.mark.parametrize("given", ["pics", "pics/me", "pics/*"])
def test_a_link_to_itself_fails_alone(given: str) -> None:
    make("pics/a.png")
    Path("pics/me").symlink_to("me")
    planned = plan(given)
    assert sources(planned) == ([] if given == "pics/me" else ["pics/a.png"])
    assert [line for line in planned.failures if "pics/me: cannot be read" in line] == planned.failures
    assert len(planned.failures) == 1


@no_links
def test_a_link_to_itself_as_the_output_is_not_a_traceback() -> None:
    make("pics/a.png")
    Path("me").symlink_to("me")
    assert targets(plan("pics", output="me", skip_existing=True)) == ["me/a_out.png"]


@no_links
def test_a_link_to_nothing_fails_alone() -> None:
    make("pics/a.png")
    Path("pics/gone.png").symlink_to("nowhere.png")
    planned = plan("pics")
    assert sources(planned) == ["pics/a.png"]
    assert len(planned.failures) == 1
    assert "gone.png" in planned.failures[0]


@pytest.mark.parametrize("given", ["pics", "pics/locked/x.png", "pics/locked/*.png"])
@pytest.mark.parametrize("recursive", [False, True])
def test_what_may_not_be_entered_fails_alone(monkeypatch: pytest.MonkeyPatch, given: str, recursive: bool) -> None:
    """As for a folder of mode r--, which root, who may run these tests, can enter all the same."""
    make("pics/a.png", "pics/locked/x.png")
    stat = Path.stat

    def guarded(path: Path, **how: Any) -> os.stat_result:
        if path.parent.name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **how)

    monkeypatch.setattr(Path, "stat", guarded)
    planned = plan("pics/a.png", given, recursive=recursive)
    assert sources(planned) == ["pics/a.png"]
    if given != "pics" or recursive:
        assert len(planned.failures) == 1
        assert "locked" in planned.failures[0]
        assert ".png: cannot be read (Permission denied)" in planned.failures[0]


def test_an_input_too_long_for_a_name_does_not_exist() -> None:
    with pytest.raises(UsageError, match="there is no such file"):
        plan("x" * 300)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count letters, or have other limits")
@pytest.mark.parametrize("skip_existing", [False, True])
def test_a_result_whose_name_would_be_too_long_fails_before_anything_is_computed(skip_existing: bool) -> None:
    make("pics/a.png", f"pics/{'x' * 248}.png", f"pics/{'y' * 247}.png", "results/other.png")
    planned = plan("pics", skip_existing=skip_existing)
    assert sources(planned) == ["pics/a.png", f"pics/{'y' * 247}.png"]
    assert len(planned.failures) == 1
    assert "xxx.png: the name of its result would be longer than 255 bytes" in planned.failures[0]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count letters, or have other limits")
@pytest.mark.parametrize("compare", [False, True])
def test_a_comparison_whose_name_would_be_too_long_fails_before_anything_is_computed(compare: bool) -> None:
    make(f"pics/{'x' * 240}.png")
    planned = plan("pics", compare=compare)
    assert (len(planned.jobs), len(planned.failures)) == ((0, 1) if compare else (1, 0))


def test_an_empty_name_does_not_stand_for_the_folder_one_is_in() -> None:
    make("a.png")
    with pytest.raises(UsageError, match="an empty name"):
        plan("")


@pytest.mark.parametrize("skip_existing", [False, True])
def test_a_picture_of_which_nothing_is_to_be_made_is_neither_a_job_nor_done(skip_existing: bool) -> None:
    class OnlyGray:
        folder = Path("results")

        def targets(self, relative: Path, header: files.Header) -> tuple[Path, ...]:
            return (self.folder / relative,) if header.channels == 1 else ()

    make("pics/colour.png")
    make("pics/gray.png", channels=1)
    planned = jobs.select(["pics"], OnlyGray(), skip_existing=skip_existing)
    assert sources(planned) == ["pics/gray.png"]
    assert [job.source.as_posix() for job in planned.without_target] == ["pics/colour.png"]
    assert planned.done_before == 0
    assert not planned.failures


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are Unicode there")
def test_a_name_that_is_not_utf_8_is_a_name(tmp_path: Path) -> None:
    make("pics/a.png", "pics/b.png")
    Path("pics/b.png").rename(Path(os.fsdecode(b"pics/caf\xe9.png")))
    Path(os.fsdecode(b"pics/caf\xe9.txt")).write_text("no picture")
    planned = plan("pics")
    assert [os.fsencode(job.target) for job in planned.jobs] == [b"results/a_out.png", b"results/caf\xe9_out.png"]
    assert len(planned.passed_over) == 1


@pytest.mark.parametrize("recursive", [False, True])
def test_what_is_still_being_written_is_not_an_input(recursive: bool) -> None:
    make("pics/a.png", "pics/b.png")
    Path("pics/b.png").rename(part_of(Path("pics/c.png")))
    assert sources(plan("pics", recursive=recursive)) == sources(plan("pics/*")) == ["pics/a.png"]
