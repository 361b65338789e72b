"""No frame in a folder of frames, and no video in a folder of videos, is ever lost without a word."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import Clip, moving
from test_video_inputs import webp
from tiny import picture

from realesrgan.errors import VideoFileError
from realesrgan.image import files, formats
from realesrgan.image.files import Picture
from realesrgan.video.inputs import VIDEO_EXTENSIONS, expand
from realesrgan.video.probe import probe

COUNT = 6


def frames_in(folder: Path, names: Iterable[str] = [f"f{number}.png" for number in range(COUNT)]) -> Path:
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        files.write(folder / name, Picture(picture(8, 10, seed=number)))
    return folder


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-60])


DAMAGE = {
    "other content": lambda path: path.write_text("junk"),
    "no content": lambda path: path.write_bytes(b""),
    "cut short": truncated,
}


def link(path: Path) -> None:
    try:
        path.symlink_to("nowhere")
    except OSError:
        pytest.skip("this system lets only some make links")


def spoil(path: Path, how: str) -> None:
    DAMAGE[how](path)


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_frame_is_refused_and_named(tmp_path: Path, how: str) -> None:
    spoil(frames_in(tmp_path) / "f3.png", how)
    with pytest.raises(VideoFileError, match=r"f3\.png: .*repeat_damaged") as caught:
        list(probe(tmp_path).frames())
    assert caught.value.option == "repeat_damaged"


@pytest.mark.parametrize("how", ["other content", "no content"])
def test_a_frame_whose_header_is_damaged_is_refused_before_any_work(tmp_path: Path, how: str) -> None:
    spoil(frames_in(tmp_path) / "f3.png", how)
    with pytest.raises(VideoFileError, match=r"f3\.png"):
        probe(tmp_path)


def test_a_frame_that_is_a_link_to_nothing_is_refused_and_one_that_is_no_picture_by_name_is_no_frame(
    tmp_path: Path,
) -> None:
    frames_in(tmp_path)
    link(tmp_path / "notes")
    assert probe(tmp_path).frame_count == COUNT
    (tmp_path / "f3.png").unlink()
    link(tmp_path / "f3.png")
    with pytest.raises(VideoFileError, match=r"f3\.png"):
        probe(tmp_path)


@pytest.mark.parametrize("how", DAMAGE)
def test_with_repeat_damaged_a_damaged_frame_repeats_the_one_before(tmp_path: Path, how: str) -> None:
    whole = list(probe(frames_in(tmp_path)).frames())
    spoil(tmp_path / "f3.png", how)
    spoil(tmp_path / "f4.png", how)
    source = probe(tmp_path, repeat_damaged=True)
    reading = source.frames()
    frames = list(reading)
    shown = [0, 1, 2, 2, 2, 5]
    assert all(np.array_equal(frame.pixels, whole[n].pixels) for frame, n in zip(frames, shown, strict=True))
    assert [frame.index for frame in frames if frame.damaged] == [3, 4]
    assert reading.losses.concealed == 2
    assert "f3.png" in reading.losses.reasons[0]
    resumed = list(source.frames(resume=(4, 4)))
    assert [frame.pixels.tobytes() for frame in resumed] == [frame.pixels.tobytes() for frame in frames[4:]]


def test_damaged_frames_at_the_beginning_show_the_first_whole_one(tmp_path: Path) -> None:
    whole = list(probe(frames_in(tmp_path)).frames())
    spoil(tmp_path / "f0.png", "cut short")
    spoil(tmp_path / "f1.png", "no content")
    frames = list(probe(tmp_path, repeat_damaged=True).frames())
    assert len(frames) == COUNT
    assert np.array_equal(frames[0].pixels, whole[2].pixels)
    for number in range(COUNT):
        spoil(tmp_path / f"f{number}.png", "no content")
    with pytest.raises(VideoFileError, match="no pictures"):
        probe(tmp_path, repeat_damaged=True)


def test_frames_come_in_natural_order(tmp_path: Path) -> None:
    names = ["f1.png", "f2.png", "f10.png", "f010b.png", "g.png", "g1.png"]
    source = probe(frames_in(tmp_path, names))
    assert sorted(path.name for path in source.files()) == sorted(names)
    assert [path.name for path in source.files()] == ["f1.png", "f2.png", "f10.png", "f010b.png", "g.png", "g1.png"]


def test_what_is_not_a_picture_by_name_or_content_is_not_a_frame(tmp_path: Path) -> None:
    frames_in(tmp_path)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".f9.png.part").write_text("junk")
    (tmp_path / ".f9.png").write_text("junk")
    assert probe(tmp_path).frame_count == COUNT


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).write_bytes(b"x")
    return folder


def expanded(folder: Path) -> list[str]:
    return [path.name for path in expand(folder).videos]


def test_a_folder_of_videos_stands_for_them_in_natural_order(tmp_path: Path) -> None:
    touch(tmp_path, "e10.mkv", "e2.MP4", "e1.ogv", "e3.vob", "e4.3gp", "e5.mxf", "e6.h264", "e1.srt", "readme")
    touch(tmp_path, ".e7.part.mp4", "._e2.mp4")
    assert expanded(tmp_path) == ["e1.ogv", "e2.MP4", "e3.vob", "e4.3gp", "e5.mxf", "e6.h264", "e10.mkv"]
    assert expand(tmp_path).remarks == ()


def test_extensions_are_in_lower_case_and_none_is_of_pictures_only() -> None:
    assert all(name == name.lower().strip(".") for name in VIDEO_EXTENSIONS)
    assert not VIDEO_EXTENSIONS & formats.PICTURE_EXTENSIONS


@pytest.mark.parametrize(
    "pictures",
    [("cover.jpg",), ("folder.jpg", "poster.png"), ("e1.jpg", "e2.jpg"), ("thumb1.jpg", "fanart.jpg"), ("a1.png",)],
)
def test_covers_keep_no_video_from_being_restored_and_are_reported(tmp_path: Path, pictures: tuple[str, ...]) -> None:
    touch(tmp_path, "e1.mkv", "e2.mkv", *pictures)
    assert expanded(tmp_path) == ["e1.mkv", "e2.mkv"]
    (remark,) = expand(tmp_path).remarks
    assert min(pictures) in remark
    assert "left out" in remark


def test_videos_among_frames_are_refused_and_both_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "e1.mkv", "cover.jpg", "f0001.png", "f0002.png", "f0010.png")
    with pytest.raises(VideoFileError, match=r"e1\.mkv.*f0001\.png … f0010\.png"):
        expand(tmp_path)


def test_animations_are_videos_and_still_pictures_of_the_same_format_are_not(tmp_path: Path) -> None:
    frames = moving(3, pixel_format="rgb8")
    Clip(frames, codec="gif", pixel_format="rgb8", options={}).write(tmp_path / "a.gif")
    webp(tmp_path).rename(tmp_path / "b.webp")
    assert expanded(tmp_path) == ["a.gif", "b.webp"]
    stills = tmp_path / "stills"
    frames_in(stills, ["1.webp", "2.webp"])
    Clip(moving(1, pixel_format="rgb8"), codec="gif", pixel_format="rgb8", options={}).write(stills / "3.gif")
    assert expanded(stills) == ["stills"]


def test_what_is_not_a_folder_of_videos_stands_for_itself(tmp_path: Path) -> None:
    for path in (
        tmp_path,
        tmp_path / "missing",
        tmp_path / ("x" * 300),
        frames_in(tmp_path / "f"),
        tmp_path / "f/f1.png",
    ):
        assert expand(path).videos == (path,)


def test_a_folder_that_cannot_be_read_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)  # root may read every real folder
    for look in (expand, probe):
        with pytest.raises(VideoFileError, match=rf"{tmp_path.name}: cannot be read \(Permission denied\)"):
            look(tmp_path)


def test_the_rate_of_a_folder_is_the_one_given_and_by_default_the_published(tmp_path: Path) -> None:
    frames_in(tmp_path)
    assert probe(tmp_path).rate == 24
    source = probe(tmp_path, Fraction(10))
    assert (source.rate, source.time_base, source.duration_s) == (10, Fraction(1, 10), 0.6)
