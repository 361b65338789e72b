"""A video is recognised by its content: names mean nothing, covers are not videos, an error is one sentence."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import pytest
from clips import ASS, PQ, RATE, Clip, Sound, flat, moving, remuxed, turned
from tiny import picture

from realesrgan.errors import UsageError, VideoFileError
from realesrgan.image import files
from realesrgan.image.files import Picture
from realesrgan.video.probe import probe
from realesrgan.video.sources.container import ContainerSource
from realesrgan.video.sources.ffmpeg import refuse_playlists


def test_the_name_of_a_file_means_nothing(tmp_path: Path) -> None:
    clip = Clip(moving(5)).write(tmp_path / 'it\'s a "clip" ü.txt', "mpegts")
    source = probe(clip)
    assert isinstance(source, ContainerSource)
    assert (source.width, source.height, source.format_name) == (64, 48, "mpegts")


def test_a_cover_larger_than_the_video_is_not_the_video(tmp_path: Path) -> None:
    source = probe(Clip(moving(5), sounds=[Sound()], cover=True).write(tmp_path / "a.mp4"))
    assert (source.width, source.height) == (64, 48)
    assert [other.kind for other in source.others] == ["audio", "video"]


@pytest.mark.parametrize(("degrees", "size"), [(90, (48, 64)), (180, (64, 48)), (270, (48, 64))])
def test_size_and_aspect_are_those_of_the_upright_picture(tmp_path: Path, degrees: int, size: tuple[int, int]) -> None:
    source = probe(turned(Clip(moving(3), aspect=Fraction(4, 3)).write(tmp_path / "a.mp4"), degrees))
    assert (source.width, source.height) == size
    assert source.pixel_aspect == (Fraction(3, 4) if degrees in (90, 270) else Fraction(4, 3))


@pytest.mark.parametrize("name", ["Re:Zero.mkv", "pipe:", "concat:a.mkv", "file:a.mkv", "a%03d.mkv"])
def test_a_relative_name_is_a_file_whatever_it_looks_like(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Clip(moving(3)).write(tmp_path / "a.mkv").rename(tmp_path / name)
    assert len(list(probe(Path(name)).frames())) == 3


def test_transparency_of_vp9_is_noticed(tmp_path: Path) -> None:
    """It is in a separate stream, which FFmpeg does not decode."""
    clip = Clip(moving(2, pixel_format="yuva420p"), codec="libvpx-vp9", pixel_format="yuva420p", options={})
    assert probe(clip.write(tmp_path / "a.webm")).has_alpha
    opaque = Clip(moving(2), codec="libvpx-vp9", options={})
    assert not probe(opaque.write(tmp_path / "b.webm")).has_alpha


def test_a_matroska_file_that_starts_late_is_as_long_as_it_plays(tmp_path: Path) -> None:
    """Its DURATION tag is an end, not a length."""
    source = probe(Clip(moving(30), times=range(1500, 1530)).write(tmp_path / "a.mkv"))
    reading = source.frames()
    assert len(list(reading)) == 30
    assert (source.origin_s, source.duration_s) == (60, pytest.approx(1.2))
    assert reading.losses.missing_s == 0


def test_frames_before_0_in_matroska_keep_their_pace(tmp_path: Path) -> None:
    """They have no time, so the start of the video follows from the first frame that has one."""
    path = Clip(moving(30), options={"bf": "0"}).write(tmp_path / "a.mkv")
    source = probe(remuxed(path, tmp_path / "b.mkv", later=-600))
    frames = list(source.frames())
    assert [frame.pts * source.time_base for frame in frames] == [Fraction(number, 25) for number in range(30)]
    assert source.origin_s == Fraction(-6, 10)


def test_depth_colour_and_streams_are_found(tmp_path: Path) -> None:
    frames = [flat((300, 500, 520), pixel_format="yuv420p10le")] * 3
    clip = Clip(frames, pixel_format="yuv420p10le", tags=PQ, sounds=[Sound("aac", "eng")], subtitles=ASS, font=True)
    source = probe(clip.write(tmp_path / "a.mkv"))
    assert source.depth_bits == 10
    assert source.colour.tags == PQ
    assert [(other.kind, other.language) for other in source.others] == [
        ("audio", "eng"),
        ("subtitle", "ger"),
        ("attachment", None),
    ]


@pytest.mark.parametrize(("height", "matrix"), [(48, 5), (720, 1)])
def test_untagged_colour_is_what_players_assume(tmp_path: Path, height: int, matrix: int) -> None:
    source = probe(Clip([flat((100, 128, 128), height=height)]).write(tmp_path / "a.mkv"))
    assert (source.colour.space, source.colour.full_range) == (matrix, False)


def test_chapters_of_an_mp4_are_not_counted_as_a_stream(tmp_path: Path) -> None:
    assert probe(Clip(moving(25), chapters=True).write(tmp_path / "a.mp4")).others == ()


def test_a_folder_of_frames_is_a_video(tmp_path: Path) -> None:
    for number in range(3):
        files.write(tmp_path / f"{number}.png", Picture(picture(8, 10, seed=number)))
    (tmp_path / "notes.txt").write_text("no picture")
    source = probe(tmp_path, RATE)
    assert (source.frame_count, source.rate, source.duration_s) == (3, 25, 3 / 25)


def test_a_folder_of_unequal_frames_is_refused_and_two_are_named(tmp_path: Path) -> None:
    files.write(tmp_path / "a.png", Picture(picture(8, 10)))
    files.write(tmp_path / "b.png", Picture(picture(8, 12)))
    with pytest.raises(VideoFileError, match=r"a\.png is 10×8, b\.png is 12×8"):
        probe(tmp_path)


def test_what_is_not_a_video_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video " * 50)
    (tmp_path / "folder").mkdir()
    Clip([], sounds=[Sound()]).write(tmp_path / "sound.m4a")
    for name, words in [("empty.mp4", "empty"), ("text.mp4", "not a video"), ("folder", "no pictures")]:
        with pytest.raises(VideoFileError, match=words):
            probe(tmp_path / name)
    with pytest.raises(VideoFileError, match="no video in it, only audio"):
        probe(tmp_path / "sound.m4a")
    for name in ("missing.mp4", "text.mp4/inside"):
        with pytest.raises(UsageError, match="no such file"):
            probe(tmp_path / name)


def test_what_the_system_refuses_is_an_error_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, words in [("pipe", "neither a file nor a folder"), ("loop", "cannot be read"), ("x" * 300, "too long")]:
        with pytest.raises(VideoFileError, match=words) as caught:
            probe(tmp_path / name)
        assert name in str(caught.value)
    Clip(moving(2)).write(tmp_path / "a.mkv")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    # Root may read everything, so that no real file can be refused.
    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(Path, "iterdir", refuse)
    for path in (tmp_path / "a.mkv", tmp_path):
        with pytest.raises(VideoFileError, match=r"cannot be read \(Permission denied\)"):
            probe(path)


def test_a_drawing_that_ffmpeg_opens_but_cannot_decode_is_refused_in_words(tmp_path: Path) -> None:
    drawing = tmp_path / "drawing.svg"
    drawing.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"></svg>')
    with pytest.raises(VideoFileError, match="no video in it that can be decoded here"):
        probe(drawing)


@pytest.mark.parametrize(
    "content", ["ffconcat version 1.0\nfile '{clip}'\n", "#EXTM3U\n#EXTINF:9,\n{clip}\n#EXT-X-ENDLIST\n"]
)
def test_a_list_of_other_files_can_be_told_from_a_video(tmp_path: Path, content: str) -> None:
    clip = Clip(moving(3)).write(tmp_path / "clip.mkv")
    refuse_playlists(clip)
    playlist = tmp_path / "list.mkv"
    playlist.write_text(content.format(clip=clip))
    with pytest.raises(VideoFileError):
        refuse_playlists(playlist)
