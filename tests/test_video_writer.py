"""The result can replace the original: times, colours and all other streams are the original's."""

from __future__ import annotations

import re
import shutil
import subprocess
import weakref
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import (
    ASS,
    BT601,
    BT709,
    BT2020,
    FONT,
    PQ,
    RATE,
    SRT,
    Clip,
    Sound,
    decoded,
    flat,
    frame_times,
    moving,
    packets_of,
    turned,
)

from realesrgan.arrays import Array
from realesrgan.errors import UsageError, VideoFileError
from realesrgan.video import writer
from realesrgan.video.copies import Copied
from realesrgan.video.encoding import Encoding, available, choose_encoding
from realesrgan.video.output_plan import OutputPlan, plan_output
from realesrgan.video.pipeline import Excerpt, Tally, restore_frames
from realesrgan.video.probe import probe
from realesrgan.video.segments import Workspace
from realesrgan.video.sources.container import ContainerSource
from realesrgan.video.sources.conversion import Orientation
from realesrgan.video.sources.source import VideoSource
from realesrgan.video.timeline import segment_packets
from realesrgan.video.writer import assemble, check_target

UNEVEN = (0, 1, 3, 7, 8, 12, 13, 20)  # in 25ths of a second


def identity(frame: Array, listener: Callable[[float], None]) -> Array:
    return frame


def twice(frame: Array, listener: Callable[[float], None]) -> Array:
    return frame.repeat(2, axis=0).repeat(2, axis=1)


class Run:
    """A clip run through everything but a network."""

    def __init__(
        self,
        path: Path,
        restorer: Callable[..., Array] = identity,
        *,
        extension: str | None = None,
        codec: str = "libx264",
        crf: int | None = 1,
        excerpt: Excerpt | None = None,
        rate: Fraction | None = None,
        target: Path | None = None,
    ) -> None:
        self.source: VideoSource = probe(path, rate)
        self.encoding: Encoding = choose_encoding(codec, crf, None, None, self.source.depth_bits, self.source.hdr)
        self.plan: OutputPlan = plan_output(self.source, self.encoding, extension)
        self.path = target or path.with_name(f"result.{self.plan.extension}")
        workspace = Workspace(path.with_name("work"), {})
        workspace.open()
        excerpt = excerpt or Excerpt()
        self.tally: Tally = restore_frames(
            self.source,
            excerpt,
            [restorer],
            workspace,
            self.encoding,
            multiply_adds_per_frame=1e13,
            window=8,
            on_frame=lambda count: None,
        )
        time_base = self.source.time_base
        self.copies = assemble(
            self.path, workspace, self.source, time_base, self.plan, start_s=excerpt.start_s, end_s=excerpt.end_s
        )
        shutil.rmtree(workspace.folder)


def full(path: Path, **changes: Any) -> Path:
    """A clip with one of everything."""
    facts: dict[str, Any] = {
        "sounds": [Sound("aac", "eng", "Main"), Sound("libopus", "jpn", "Comments")],
        "subtitles": ASS,
        "font": True,
        "chapters": True,
        "metadata": {"title": "The Title"},
    }
    return Clip(moving(25), **(facts | changes)).write(path)


@pytest.mark.parametrize(
    ("name", "unit"), [("a.mp4", Fraction(1, 12800)), ("a.mkv", Fraction(1, 1000)), ("a.ts", Fraction(1, 90000))]
)
@pytest.mark.parametrize("extension", ["mp4", "mkv"])
def test_frames_in_are_frames_out_each_at_its_time(tmp_path: Path, name: str, unit: Fraction, extension: str) -> None:
    times = [int(when / (25 * unit)) for when in UNEVEN]
    path = Clip(moving(len(times)), times=times, time_base=unit, sounds=[Sound()]).write(tmp_path / name)
    run = Run(path, extension=extension)
    start = run.source.origin_s
    tolerance = Fraction(1, 2000) if extension == "mkv" else 0  # Matroska counts milliseconds
    for wanted, got in zip(frame_times(path), frame_times(run.path), strict=True):
        assert abs(got - (wanted - start)) <= tolerance


def test_the_result_lasts_as_long_as_the_source(tmp_path: Path) -> None:
    path = Clip(moving(8), times=[40 * when for when in UNEVEN], time_base=Fraction(1, 1000)).write(tmp_path / "a.mkv")
    with av.open(str(Run(path).path)) as result:
        stream = result.streams.video[0]
        assert stream.duration * stream.time_base == Fraction(21, 25)


def test_frames_come_out_in_order_and_themselves(tmp_path: Path) -> None:
    path = Clip(moving(30)).write(tmp_path / "a.mp4")
    result = Run(path, twice)
    pictures = decoded(result.path, "rgb24")
    assert len(pictures) == 30
    for before, after in zip(decoded(path, "rgb24"), pictures, strict=True):
        assert np.abs(twice(before, lambda share: None).astype(int) - after).mean() < 4


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1", "libvpx-vp9", "prores_ks", "ffv1"])
def test_every_encoder_gives_all_frames_at_their_times_with_the_tags(tmp_path: Path, codec: str) -> None:
    if codec not in available():
        pytest.skip(f"this FFmpeg has no {codec}")
    times = [40 * when for when in UNEVEN]
    frames = [flat((60 + 4 * number, 110, 140), 128, 96) for number in range(8)]
    clip = Clip(frames, times, Fraction(1, 1000), tags=BT709, aspect=Fraction(4, 3))
    run = Run(clip.write(tmp_path / "a.mkv"), codec=codec, crf=None)
    assert [round(time * 1000) for time in frame_times(run.path)] == times
    again = probe(run.path)
    assert again.colour == run.source.colour
    if run.path.suffix == ".mp4":
        assert again.pixel_aspect == Fraction(4, 3)
    else:
        assert [remark for remark in run.plan.remarks if "pixel aspect 4/3 is lost" in remark]
    levels = [picture.ravel()[:100].mean() for picture in decoded(run.path)]
    assert sorted(levels) == levels
    assert len(set(levels)) == 8


# Python 3.10 has no newer PyAV than 17: its conversions know BT.2020 only roughly (3 levels), and it gives no arrays of
# 10-bit frames to compare.
needs_pyav_18 = pytest.mark.skipif(int(av.__version__.split(".")[0]) < 18, reason="PyAV before 18 cannot do this")


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("tags", [BT601, BT709, pytest.param(BT2020, marks=needs_pyav_18)], ids=["601", "709", "2020"])
@pytest.mark.parametrize("encoder", [("ffv1", None), ("libx264", 4)], ids=["ffv1", "x264"])
def test_colours_come_back_within_one_level(
    tmp_path: Path, tags: dict[str, int], full_range: bool, encoder: tuple[str, int | None]
) -> None:
    tags = tags | {"color_range": 2 if full_range else 1}
    patches = [(50, 120, 140), (100, 90, 160), (128, 128, 128), (160, 150, 110), (200, 128, 120), (81, 110, 150)]
    clip = Clip([flat(patch) for patch in patches], codec="ffv1", options={}, tags=tags)
    run = Run(clip.write(tmp_path / "a.mkv"), codec=encoder[0], crf=encoder[1])
    assert probe(run.path).colour.tags == tags
    for wanted, got in zip(decoded(tmp_path / "a.mkv"), decoded(run.path), strict=True):
        assert np.abs(wanted.astype(int) - got).max() <= 1


@needs_pyav_18
@pytest.mark.parametrize("codec", ["libx264", "libx265", "ffv1"])
def test_10_bits_and_their_tags_stay(tmp_path: Path, codec: str) -> None:
    patches = [flat((level, 500, 540), pixel_format="yuv420p10le") for level in (301, 302, 303, 700)]
    clip = Clip(patches, pixel_format="yuv420p10le", codec="ffv1", options={}, tags=PQ)
    run = Run(clip.write(tmp_path / "a.mkv"), codec=codec, crf=None if codec == "ffv1" else 1)
    assert run.encoding.pixel_format == "yuv420p10le"
    assert probe(run.path).colour.tags == PQ
    for wanted, got in zip(decoded(tmp_path / "a.mkv"), decoded(run.path), strict=True):
        assert np.abs(wanted.astype(int) - got).max() <= 1


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_what_was_turned_is_upright_and_not_turned_again(tmp_path: Path, degrees: int) -> None:
    path = turned(Clip(moving(3), aspect=Fraction(4, 3)).write(tmp_path / "a.mp4"), degrees)
    before = probe(path)
    result = probe(Run(path).path)
    assert isinstance(result, ContainerSource)
    assert (result.width, result.height, result.orientation) == (before.width, before.height, Orientation())
    assert result.pixel_aspect == (Fraction(4, 3) if degrees == 180 else Fraction(3, 4))


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_ffmpeg_turns_it_the_same_way(tmp_path: Path, degrees: int) -> None:
    path = turned(Clip(moving(2)).write(tmp_path / "a.mp4"), degrees)
    wanted = tmp_path / "wanted.mkv"
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(path), "-c:v", "ffv1", str(wanted)], check=True)
    for theirs, ours in zip(decoded(wanted, "rgb24"), decoded(Run(path).path, "rgb24"), strict=True):
        assert np.abs(theirs.astype(int) - ours).mean() < 4


def test_odd_sizes_gain_a_repeated_row_and_column(tmp_path: Path) -> None:
    clip = Clip(moving(3, 33, 21, "yuv444p"), pixel_format="yuv444p")
    result = decoded(Run(clip.write(tmp_path / "a.mp4")).path, "rgb24")
    assert {picture.shape for picture in result} == {(22, 34, 3)}


def test_a_matroska_file_keeps_everything_it_holds(tmp_path: Path) -> None:
    path = full(tmp_path / "a.mkv")
    run = Run(path)
    assert run.path.suffix == ".mkv"
    assert run.plan.remarks == ("the output is .mkv, because .mp4 cannot hold ssa subtitle (ger), attachment",)
    assert run.copies == Copied(4)
    for kind in ("audio", "subtitle"):
        assert packets_of(run.path, kind) == packets_of(path, kind)
    with av.open(str(path)) as before, av.open(str(run.path)) as after:
        assert [(s.type, s.language) for s in after.streams] == [(s.type, s.language) for s in before.streams]
        assert [s.disposition for s in after.streams] == [s.disposition for s in before.streams]
        assert [s.metadata.get("title") for s in after.streams.audio] == ["Main", "Comments"]
        assert after.metadata["title"] == "The Title"
        assert [(c["start"], c["end"], c["metadata"]) for c in after.chapters()] == [
            (c["start"], c["end"], c["metadata"]) for c in before.chapters()
        ]
        assert len(after.chapters()) == 2
        (font,) = [stream for stream in after.streams if stream.type == "attachment"]
        assert bytes(font.data) == FONT  # type: ignore[attr-defined]


@pytest.mark.parametrize("codec", ["aac", "libmp3lame", "libopus", "ac3"])
def test_sound_that_mp4_holds_is_copied_bit_for_bit_at_its_times(tmp_path: Path, codec: str) -> None:
    path = Clip(moving(25), sounds=[Sound(codec, "eng")]).write(tmp_path / "a.mp4")
    run = Run(path)
    assert (run.path.suffix, run.plan.remarks) == (".mp4", ())
    assert packets_of(run.path, "audio") == packets_of(path, "audio")


@pytest.mark.parametrize("name", ["a.avi", "a.mov"])
def test_sound_that_mp4_does_not_hold_makes_the_default_matroska(tmp_path: Path, name: str) -> None:
    path = Clip(moving(12), sounds=[Sound("pcm_s16le")]).write(tmp_path / name)
    run = Run(path)
    assert run.plan.remarks == ("the output is .mkv, because .mp4 cannot hold pcm_s16le audio",)
    assert b"".join(data for _, data in packets_of(run.path, "audio")[0]) == b"".join(
        data for _, data in packets_of(path, "audio")[0]
    )


@pytest.mark.parametrize(("extension", "codec", "wanted"), [("mp4", "libx264", "aac"), ("webm", "libvpx-vp9", "opus")])
def test_for_a_requested_container_sound_is_encoded_anew_and_reported(
    tmp_path: Path, extension: str, codec: str, wanted: str
) -> None:
    path = Clip(moving(25), sounds=[Sound("pcm_s16le", "eng")]).write(tmp_path / "a.mov")
    run = Run(path, extension=extension, codec=codec, crf=20)
    spoken = {"aac": "AAC", "opus": "Opus"}[wanted]
    assert run.plan.remarks == (f"pcm_s16le audio (eng) is encoded anew as {spoken}: .{extension} cannot hold it",)
    with av.open(str(run.path)) as result:
        (sound,) = result.streams.audio
        assert (sound.codec_context.codec.canonical_name, sound.language) == (wanted, "eng")
        samples = sum(frame.samples for frame in result.decode(sound))
    assert samples == pytest.approx(48000, abs=2 * 1024)


def test_what_the_requested_container_cannot_hold_is_left_out_and_reported(tmp_path: Path) -> None:
    run = Run(full(tmp_path / "a.mkv"), extension="mp4")
    assert run.plan.remarks == (
        "ssa subtitle (ger) is encoded anew as timed text: .mp4 cannot hold it",
        "left out: attachment, which .mp4 cannot hold",
    )
    with av.open(str(run.path)) as result:
        assert [stream.language for stream in result.streams.audio] == ["eng", "jpn"]
        assert len(result.chapters()) == 2


def shown_texts(path: Path) -> list[tuple[float, float, bytes]]:
    """When each line of the first subtitle stream is shown, for how long, and what it says."""
    texts = []
    with av.open(str(path)) as container:
        stream = container.streams.subtitles[0]
        for packet in container.demux(stream):
            begin, last = float(packet.pts or 0), float(packet.duration or 0)
            for line in stream.codec_context.decode2(packet) or () if packet.size else ():
                unit = float(packet.time_base)
                words = re.sub(rb"{.*?}", b"", line.dialogue).strip()  # type: ignore[union-attr]
                texts.append((round(begin * unit, 3), round(last * unit, 3), words))
    return texts


@pytest.mark.parametrize("subtitles", [ASS, SRT], ids=["ass", "srt"])
@pytest.mark.parametrize(
    ("extension", "codec", "spoken"),
    [("mp4", "libx264", "timed text"), ("mov", "libx264", "timed text"), ("webm", "libvpx-vp9", "WebVTT")],
)
def test_subtitles_of_text_are_shown_as_before_whatever_the_container(
    tmp_path: Path, subtitles: str, extension: str, codec: str, spoken: str
) -> None:
    path = Clip(moving(25), subtitles=subtitles).write(tmp_path / "a.mkv")
    run = Run(path, extension=extension, codec=codec, crf=20)
    (remark,) = run.plan.remarks
    assert remark.endswith(f"subtitle (ger) is encoded anew as {spoken}: .{extension} cannot hold it")
    assert run.copies == Copied(1)
    assert shown_texts(run.path) == [(0.2, 0.3, b"one"), (0.6, 0.3, b"two")]
    with av.open(str(run.path)) as result:
        assert [stream.language for stream in result.streams.subtitles] == ["ger"]


def test_timed_text_of_an_mp4_travels_into_matroska(tmp_path: Path) -> None:
    clip = Clip(moving(25), subtitles=SRT, sounds=[Sound("pcm_s16le")]).write(tmp_path / "a.mkv")
    path = Run(clip, extension="mov").path
    run = Run(path.rename(tmp_path / "b.mov"))
    assert run.plan.remarks == (
        "the output is .mkv, because .mp4 cannot hold pcm_s16le audio",
        "mov_text subtitle (ger) is encoded anew as SRT: .mkv cannot hold it",
    )
    assert shown_texts(run.path) == [(0.2, 0.3, b"one"), (0.6, 0.3, b"two")]


@pytest.mark.parametrize("extension", ["mp4", "mkv"])
def test_an_excerpt_has_the_subtitles_that_are_on_show_in_it(tmp_path: Path, extension: str) -> None:
    path = Clip(moving(25), subtitles=SRT).write(tmp_path / "a.mkv")
    run = Run(path, extension=extension, excerpt=Excerpt(0.4, 1.0))
    assert shown_texts(run.path) == [(0, 0.1, b"one"), (0.2, 0.3, b"two")]


@pytest.mark.parametrize(
    ("extension", "codec"), [("webm", "libx264"), ("mp4", "prores_ks"), ("mov", "libvpx-vp9"), ("mp4", "ffv1")]
)
def test_video_that_the_container_cannot_hold_is_refused(tmp_path: Path, extension: str, codec: str) -> None:
    source = probe(Clip(moving(2)).write(tmp_path / "a.mp4"))
    with pytest.raises(UsageError, match=f"ext {extension}: cannot hold {codec} video; try codec "):
        plan_output(source, Encoding(codec, None, None, "yuv420p"), extension)


@pytest.mark.parametrize("extension", ["mp4", "mkv"])
def test_a_cover_stays_a_cover(tmp_path: Path, extension: str) -> None:
    path = Clip(moving(5), sounds=[Sound()], cover=True).write(tmp_path / "a.mp4")
    run = Run(path, extension=extension)
    with av.open(str(run.path)) as result:
        covers = [s for s in result.streams.video if s.disposition & av.stream.Disposition.attached_pic]
        assert [(cover.width, cover.height) for cover in covers] == [(200, 200)]
    assert len(decoded(run.path)) == 5
    assert run.copies.count == 2


def test_srt_subtitles_travel_in_matroska(tmp_path: Path) -> None:
    path = Clip(moving(25), subtitles=SRT).write(tmp_path / "a.mkv")
    run = Run(path)
    assert packets_of(run.path, "subtitle") == packets_of(path, "subtitle")
    assert len(packets_of(path, "subtitle")[0]) == 2


def test_an_excerpt_starts_at_zero_with_its_own_sound_and_chapters(tmp_path: Path) -> None:
    path = full(tmp_path / "a.mkv")
    run = Run(path, excerpt=Excerpt(0.4, 0.8))
    assert frame_times(run.path) == [number / RATE for number in range(10)]
    before, after = packets_of(path, "audio")[0], packets_of(run.path, "audio")[0]
    inside = [(when - 0.4, data) for when, data in before if 0.4 <= when < 0.8]
    assert [data for _, data in after] == [data for _, data in inside]
    assert [when for when, _ in after] == pytest.approx([when for when, _ in inside], abs=0.001)
    with av.open(str(run.path)) as result:
        assert [(c["start"] * c["time_base"], c["end"] * c["time_base"]) for c in result.chapters()] == [
            (0, Fraction(1, 10)),
            (Fraction(1, 10), Fraction(4, 10)),
        ]


def test_at_another_rate_it_lasts_as_long(tmp_path: Path) -> None:
    path = Clip(moving(8), times=[40 * when for when in UNEVEN], time_base=Fraction(1, 1000)).write(tmp_path / "a.mkv")
    run = Run(path, rate=Fraction(50))
    assert frame_times(run.path) == [Fraction(number, 50) for number in range(42)]


def test_repeats_are_computed_once(tmp_path: Path) -> None:
    pictures = moving(6)
    shown = [picture for picture in pictures for _ in range(3)]
    computed = []

    def count(frame: Array, listener: Callable[[float], None]) -> Array:
        computed.append(1)
        return frame

    run = Run(Clip(shown, codec="ffv1", options={}).write(tmp_path / "a.mkv"), count)
    assert (len(computed), run.tally.repeats, run.tally.frames) == (6, 12, 18)
    assert len(decoded(run.path)) == 18


@pytest.mark.parametrize("count", [30, 300])
def test_however_long_a_video_few_of_its_frames_are_held(tmp_path: Path, count: int) -> None:
    held: list[weakref.ref[Array]] = []
    most = 0

    def watched(frame: Array, listener: Callable[[float], None]) -> Array:
        nonlocal most
        result = twice(frame, listener)
        held[:] = [reference for reference in held if reference() is not None]
        held.extend([weakref.ref(frame), weakref.ref(result)])
        most = max(most, len(held))
        return result

    run = Run(Clip(moving(count)).write(tmp_path / "a.mp4"), watched)
    assert run.tally.frames == count
    assert most <= 2 * (8 + 1)  # the window, before and after the network, and the last picture encoded


def test_no_output_appears_before_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "result.mp4").write_bytes(b"the old one")
    monkeypatch.setattr("realesrgan.video.writer._check_count", lambda *facts: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Run(Clip(moving(10)).write(tmp_path / "a.mp4"))
    assert (tmp_path / "result.mp4").read_bytes() == b"the old one"
    assert not [path for path in tmp_path.iterdir() if "part" in path.name]


@pytest.mark.parametrize("name", ["folder.mp4", "missing/a.mp4", "a" * 252 + ".mp4"])
def test_a_target_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(VideoFileError, match=re.escape(name)):
        check_target(tmp_path / name)


@pytest.mark.parametrize("name", ["a.mp4", "a" * 251 + ".mp4", "字" * 83 + ".mkv"])
def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path: Path, name: str) -> None:
    check_target(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    path = Run(Clip(moving(3)).write(tmp_path / "clip.mp4"), extension=name[-3:], target=tmp_path / name).path
    assert len(decoded(path)) == 3


def test_a_result_with_too_few_frames_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "segment_packets", lambda *facts: iter(list(segment_packets(*facts))[:-1]))
    with pytest.raises(VideoFileError, match="has 9 frames where 10 were restored"):
        Run(Clip(moving(10)).write(tmp_path / "a.mp4"))
    assert not (tmp_path / "result.mp4").exists()


def test_an_encoder_that_is_not_there_is_refused_and_those_that_are_are_named() -> None:
    with pytest.raises(UsageError, match="codec nonsense: this installation has libx264, "):
        choose_encoding("nonsense", None, None, None, 8)
    with pytest.raises(UsageError, match="pix_fmt nonsense: libx264 takes yuv420p"):
        choose_encoding("libx264", None, None, "nonsense", 8)
    with pytest.raises(UsageError, match="preset nonsense cannot be used here"):
        choose_encoding("libx264", None, "nonsense", None, 8)


@pytest.mark.parametrize(
    ("codec", "crf", "words"),
    [
        ("libx264", 52, "crf 52: libx264 takes 0 \\(best\\) to 51"),
        ("libx264", -1, "crf -1: libx264 takes 0 \\(best\\) to 51"),
        ("libx265", 52, "crf 52: libx265 takes 0 \\(best\\) to 51"),
        ("libvpx-vp9", 64, "crf 64: libvpx-vp9 takes 0 \\(best\\) to 63"),
        ("ffv1", 1, "crf 1: ffv1 has no such quality"),
    ],
)
def test_a_quality_that_the_encoder_does_not_have_is_refused(codec: str, crf: int, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        choose_encoding(codec, crf, None, None, 8)


def test_every_encoder_called_available_encodes() -> None:
    for codec in available():
        choose_encoding(codec, None, None, None, 8)
