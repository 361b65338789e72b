"""Every other stream of a video is kept, whatever its clock, codec, channels and damage."""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import SRT, Clip, Sound, decoded, frame_times, moving, packets_of
from test_video_writer import Run

from realesrgan.errors import VideoFileError
from realesrgan.video import trial
from realesrgan.video.encoding import choose_encoding
from realesrgan.video.output_plan import plan_output
from realesrgan.video.pipeline import Excerpt
from realesrgan.video.probe import probe
from realesrgan.video.segments import Workspace
from realesrgan.video.sound import standard_layout
from realesrgan.video.stream_clock import Restart, Span, StreamClock
from realesrgan.video.stream_copy import RisingTimes
from realesrgan.video.writer import assemble


def remuxed(path: Path, target: Path, change: Any = lambda number, packet: None) -> Path:
    """Copy the packets of a file into another, each through `change(number among those of sound, packet)`."""
    with av.open(str(path)) as original, av.open(str(target), "w") as output:
        streams = {s.index: output.add_stream_from_template(s, opaque=True) for s in original.streams}
        number = 0
        for packet in original.demux():
            if not packet.size:
                continue
            if packet.stream.type == "audio":
                change(number, packet)
                number += 1
            packet.stream = streams[packet.stream.index]
            output.mux(packet)
    return target


def with_sound(path: Path, codec: str, layout: str = "stereo", rate: int = 48000, seconds: float = 1.0) -> Path:
    """A video of 25 frames a second with noise in any codec and layout."""
    options = {"mpegts_m2ts_mode": "1"} if path.suffix == ".m2ts" else {}
    with av.open(str(path), "w", container_options=options) as output:
        video = output.add_stream("mpeg4" if path.suffix in (".avi", ".wmv") else "libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = output.add_stream(codec, rate=rate, layout=layout, bit_rate=128_000, options={"strict": "-2"})
        channels = sound.codec_context.layout.nb_channels
        noise = np.random.default_rng(0).integers(-9000, 9000, (1, round(seconds * rate) * channels), dtype=np.int16)
        frame = av.AudioFrame.from_ndarray(noise, "s16", layout)
        frame.sample_rate, frame.pts = rate, 0
        packets = [*sound.encode(frame), *sound.encode(None)]
        for picture in moving(round(25 * seconds)):
            packets += video.encode(picture)
        packets += video.encode(None)
        for packet in sorted(packets, key=lambda packet: (packet.dts or 0) * (packet.time_base or 0)):
            output.mux(packet)
    return path


def samples_of(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(frame.samples for frame in container.decode(audio=0))


# Clocks


@pytest.mark.parametrize("extension", ["mp4", "mkv"])
def test_sound_with_a_repeated_timestamp_is_copied_in_full(tmp_path: Path, extension: str) -> None:
    clip = Clip(moving(25), sounds=[Sound()]).write(tmp_path / "a.mkv")
    last = 0

    def repeat(number: int, packet: Any) -> None:
        nonlocal last
        if number == 20:
            packet.pts = packet.dts = last
        last = packet.pts

    path = remuxed(clip, tmp_path / "b.mkv", repeat)
    run = Run(path, extension=extension)
    assert [data for _, data in packets_of(run.path, "audio")[0]] == [data for _, data in packets_of(path, "audio")[0]]
    assert run.copies.count == 1
    if extension == "mp4":
        assert run.copies.remarks == (
            "aac audio: its clock stands or goes back at 0:00:00.4; its packets were moved to follow on",
        )


@pytest.mark.parametrize("overlap_s", [1.0, 0.05], ids=["restarts", "overlaps"])
@pytest.mark.parametrize(("extension", "codec"), [("mp4", "aac"), ("mkv", "aac"), ("mp4", "mp2")])
def test_files_joined_end_to_end_keep_all_their_sound_and_say_so(
    tmp_path: Path, overlap_s: float, extension: str, codec: str
) -> None:
    part = Clip(moving(25), sounds=[Sound(codec)]).write(tmp_path / "a.ts")
    later = tmp_path / "b.ts"
    with (
        av.open(str(part)) as original,
        av.open(str(later), "w", container_options={"output_ts_offset": str(1 - overlap_s)}) as output,
    ):
        streams = {s.index: output.add_stream_from_template(s, opaque=True) for s in original.streams}
        start = original.start_time * Fraction(1, av.time_base)
        for packet in original.demux():
            if packet.size:
                shift = round(start / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = streams[packet.stream.index]
                output.mux(packet)
    path = tmp_path / "joined.ts"
    path.write_bytes(part.read_bytes() + later.read_bytes())
    run = Run(path, extension=extension)
    if overlap_s == 1:
        (line,) = run.copies.remarks
        assert "its clock starts again at 0:00:01" in line
    elif codec == "aac":
        (line,) = run.copies.remarks
        assert "its clock stands or goes back at 0:00:01" in line
    (sound,) = packets_of(run.path, "audio")
    times = [when for when, _ in sound]
    assert times == sorted(times)
    pictures = frame_times(run.path)
    assert len(pictures) == 50
    assert times[-1] == pytest.approx(float(pictures[-1]), abs=0.1)
    assert times[-1] == pytest.approx(2, abs=0.1)
    if codec == "aac":
        assert len(sound) == len(packets_of(path, "audio")[0])


def test_sound_of_a_part_joined_on_keeps_with_its_picture() -> None:
    """The clock of the picture goes from 5.0 s back to 1.0 s; that of the sound a little before or after it."""
    clock = StreamClock(Span(Fraction(1)), [Restart(10_000_000, Fraction(4))])
    shown = []
    for pts_s, position in ((4.8, 9_000_000), (5.1, 9_500_000), (1.1, 9_990_000), (1.2, 20_000_000)):
        packet = av.Packet(b"sound")
        packet.time_base, packet.pts = Fraction(1, 1000), round(pts_s * 1000)
        packet.dts, packet.duration = packet.pts, 20
        assert clock.rebase(_At(packet, position))  # type: ignore[arg-type]
        shown.append(packet.pts)
    assert shown == [3800, 4100, 4100, 4200]
    assert clock.restarted_at_s == Fraction(41, 10)


class _At:
    """A packet with a position in a file, which a constructed one lacks."""

    def __init__(self, packet: Any, pos: int) -> None:
        self.__dict__["_packet"], self.__dict__["pos"] = packet, pos

    def __getattr__(self, name: str) -> Any:
        return getattr(self._packet, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._packet, name, value)


@pytest.mark.parametrize("may_stand", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_whatever_the_times_decoding_rises_and_comes_before_showing(may_stand: bool, seed: int) -> None:
    random = np.random.default_rng(seed)
    with av.open(io.BytesIO(), "w", format="mp4") as output:
        target = output.add_stream("aac", rate=48000)
        target.time_base = Fraction(1, 48000)
        times = RisingTimes(target, may_stand=may_stand)
        last: int | None = None
        for _ in range(200):
            packet = av.Packet(b"x")
            packet.time_base = Fraction(1, 1000)
            packet.pts = int(random.integers(-100, 100))
            packet.dts = None if random.random() < 0.2 else int(random.integers(-100, 100))
            times.settle(packet)
            assert packet.pts is not None
            assert packet.dts is not None
            assert packet.pts >= packet.dts
            assert last is None or packet.dts >= last + (not may_stand)
            last = packet.dts


@pytest.mark.parametrize("extension", ["mp4", "mkv"])
def test_a_second_video_with_reordered_frames_is_copied(tmp_path: Path, extension: str) -> None:
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as output:
        for width in (64, 80):
            stream = output.add_stream("libx264", rate=25, options={"bf": "3", "b-adapt": "0"})
            stream.width, stream.height, stream.pix_fmt = width, 48, "yuv420p"
        for stream in output.streams.video:
            for picture in moving(25, stream.width):
                output.mux(stream.encode(picture))
            output.mux(stream.encode(None))
    run = Run(path, extension=extension)
    assert run.copies.count == 1
    with av.open(str(path)) as before, av.open(str(run.path)) as after:
        index = 1 - run.source.stream_index
        other = [(float(f.pts * f.time_base), f.to_ndarray()) for f in before.decode(before.streams.video[index])]
        same = [(float(f.pts * f.time_base), f.to_ndarray()) for f in after.decode(after.streams.video[1])]
    assert len(other) == 25
    for (when, picture), (now, copy) in zip(other, same, strict=True):
        assert now == pytest.approx(when, abs=0.001)
        assert np.array_equal(picture, copy)


# Sound that a container does not take


@pytest.mark.parametrize(
    ("name", "codec", "extension", "wanted"),
    [
        ("a.wmv", "wmav2", None, ("mp4", "aac", "AAC")),
        ("a.wmv", "wmav2", "mkv", ("mkv", "aac", "AAC")),
        ("a.m2ts", "pcm_bluray", None, ("mkv", "flac", "FLAC")),
        ("a.m2ts", "pcm_bluray", "mp4", ("mp4", "aac", "AAC")),
        ("a.avi", "adpcm_ms", None, ("mp4", "aac", "AAC")),
        ("a.avi", "adpcm_ms", "mkv", ("mkv", "aac", "AAC")),
        ("a.mkv", "flac", "mov", ("mov", "alac", "ALAC")),
        ("a.mkv", "libopus", "mov", ("mov", "aac", "AAC")),
        ("a.mkv", "vorbis", "mov", ("mov", "aac", "AAC")),
    ],
)
def test_no_container_makes_a_silent_film(
    tmp_path: Path, name: str, codec: str, extension: str | None, wanted: tuple[str, str, str]
) -> None:
    path = with_sound(tmp_path / name, codec)
    run = Run(path, extension=extension)
    assert (run.plan.extension, run.copies.count, run.plan.warnings) == (wanted[0], 1, ())
    assert run.plan.remarks[-1].endswith(f"audio is encoded anew as {wanted[2]}: .{wanted[0]} cannot hold it")
    with av.open(str(run.path)) as result:
        assert result.streams.audio[0].codec_context.codec.canonical_name == wanted[1]
    assert samples_of(run.path) == pytest.approx(48000, abs=4096)


def test_streams_alike_are_counted_in_the_reason_for_a_container(tmp_path: Path) -> None:
    path = Clip(moving(5), sounds=[Sound("flac")] * 3 + [Sound("flac", "jpn")]).write(tmp_path / "a.mkv")
    plan = plan_output(probe(path), choose_encoding("libx264", None, None, None, 8), None)
    assert plan.remarks == ("the output is .mkv, because .mp4 cannot hold 3 × flac audio, flac audio (jpn)",)


def test_lossless_sound_stays_lossless_where_the_container_allows(tmp_path: Path) -> None:
    path = with_sound(tmp_path / "a.m2ts", "pcm_bluray")
    run = Run(path)
    with av.open(str(path)) as before, av.open(str(run.path)) as after:
        wanted = np.concatenate([frame.to_ndarray().ravel() for frame in before.decode(audio=0)])
        got = np.concatenate([frame.to_ndarray().ravel() for frame in after.decode(audio=0)])
    assert np.array_equal(got, wanted)


@pytest.mark.parametrize("layout", ["mono", "stereo", "2.1", "3.0", "quad", "4.0", "5.0", "5.1", "6.1", "7.1"])
@pytest.mark.parametrize(("extension", "codec"), [("mp4", "libx264"), ("webm", "libvpx-vp9")])
def test_sound_with_a_channel_count_but_no_layout_is_encoded(
    tmp_path: Path, layout: str, extension: str, codec: str
) -> None:
    run = Run(
        with_sound(tmp_path / "a.mkv", "pcm_s16le", layout, seconds=0.2), extension=extension, codec=codec, crf=40
    )
    assert (run.copies.count, run.plan.warnings, run.copies.warnings) == (1, (), ())
    with av.open(str(run.path)) as result:
        made = result.streams.audio[0].codec_context.layout
    assert made.nb_channels >= av.AudioLayout(layout).nb_channels
    assert all(channel.name != "NONE" for channel in made.channels)


@pytest.mark.parametrize(
    ("layout", "codec", "wanted"),
    [
        ("5.1(side)", "aac", "5.1"),
        ("5.0(side)", "aac", "5.0"),
        ("2.1", "aac", "5.1"),
        ("quad", "aac", "5.0"),
        ("quad", "libopus", "quad"),
        ("6.1", "aac", "7.1"),
        ("6.1", "libopus", "6.1"),
        ("7.1", "flac", "7.1"),
        ("22.2", "aac", "7.1"),
        ("6 channels", "aac", "5.1"),
        ("1 channels", "alac", "mono"),
        ("2 channels", "flac", "stereo"),
    ],
)
def test_channels_get_the_smallest_usual_layout_with_room_for_them(layout: str, codec: str, wanted: str) -> None:
    described = layout.replace(" channels", "C")
    assert standard_layout(av.AudioLayout(described), codec) == av.AudioLayout(wanted)


def test_sound_that_changes_rate_and_channels_is_encoded_as_one(tmp_path: Path) -> None:
    first = with_sound(tmp_path / "a.ts", "mp2", "mono", 48000)
    second = with_sound(tmp_path / "b.ts", "mp2", "stereo", 44100)
    path = tmp_path / "changing.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    run = Run(path, extension="mp4")
    assert (run.copies.count, run.copies.warnings) == (1, ())
    with av.open(str(run.path)) as result:
        rate = result.streams.audio[0].codec_context.sample_rate
    assert samples_of(run.path) / rate == pytest.approx(2, abs=0.1)


# Damage


def spoiled(path: Path, numbers: Sequence[int] | None) -> Path:
    """Overwrite some packets of sound (None: all) with nonsense."""
    content = path.read_bytes()
    for number, (_, data) in enumerate(packets_of(path, "audio")[0]):
        if numbers is None or number in numbers:
            content = content.replace(data, bytes([0x55]) * len(data))
    path.write_bytes(content)
    return path


def test_damaged_sound_is_silent_there_and_keeps_its_time(tmp_path: Path) -> None:
    whole = with_sound(tmp_path / "whole.mkv", "flac")
    path = spoiled(Path(shutil.copy(whole, tmp_path / "a.mkv")), (3, 4))
    run = Run(path, extension="mp4")
    (warning,) = run.copies.warnings
    assert warning.startswith("flac audio: 0.19 s of it cannot be decoded and are silent")
    assert samples_of(run.path) == pytest.approx(samples_of(whole), abs=1024)
    with av.open(str(run.path)) as result:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in result.decode(audio=0)])
    assert np.abs(sound[int(3.5 * 4608) : int(4.5 * 4608)]).max() < 0.01
    assert np.abs(sound[6 * 4608 : 7 * 4608]).max() > 0.1


def test_damage_outside_an_excerpt_is_not_reported(tmp_path: Path) -> None:
    path = spoiled(with_sound(tmp_path / "a.mkv", "flac"), (0,))
    assert Run(path, extension="mp4").copies.warnings
    assert not Run(path, extension="mp4", excerpt=Excerpt(0.4, 0.8)).copies.warnings


def test_sound_of_which_nothing_decodes_is_left_out_and_reported(tmp_path: Path) -> None:
    path = spoiled(with_sound(tmp_path / "a.mkv", "flac"), None)
    run = Run(path, extension="mp4")
    assert run.copies.count == 0
    assert run.copies.warnings == ("left out: flac audio (nothing of it can be decoded)",)
    with av.open(str(run.path)) as result:
        assert len(result.streams.audio) == 0
    assert len(decoded(run.path)) == 25


@pytest.mark.parametrize("extension", [None, "mp4"])
def test_a_stream_of_unknown_codec_is_named_and_costs_nothing_else(tmp_path: Path, extension: str | None) -> None:
    path = Clip(moving(25), sounds=[Sound("aac"), Sound("ac3")], subtitles=SRT).write(tmp_path / "a.mkv")
    content = path.read_bytes().replace(b"S_TEXT/UTF8", b"S_TEXT/ABC8").replace(b"A_AAC", b"A_ZZZ")
    path.write_bytes(content)
    run = Run(path, extension=extension)
    lost = [line.split(",")[0] for line in run.plan.warnings]
    assert lost == ["left out: audio", "left out: subtitle"]
    assert "does not know its codec" in run.plan.warnings[0]
    assert run.copies.count == 1
    assert len(packets_of(run.path, "audio")) == 1


# What fails after all


@pytest.mark.parametrize("subtitles", ["", SRT])
def test_a_stream_that_cannot_be_written_after_all_does_not_cost_the_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subtitles: str
) -> None:
    path = Clip(moving(25), sounds=[Sound("libopus")], subtitles=subtitles).write(tmp_path / "a.mkv")
    monkeypatch.setattr(trial.Trial, "refusal", lambda *facts: None)  # but .mov takes no Opus
    run = Run(path, extension="mov")
    assert "left out: opus audio (Invalid argument)" in run.copies.warnings
    assert frame_times(run.path) == [Fraction(number, 25) for number in range(25)]


def test_a_stream_that_fails_half_way_is_left_out_and_the_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Clip(moving(25), sounds=[Sound("aac", "eng"), Sound("ac3", "ger")]).write(tmp_path / "a.mkv")
    real = RisingTimes.settle

    def settle(times: RisingTimes, packet: Any) -> Any:
        real(times, packet)
        if packet.stream.language == "ger" and packet.pts > 20_000:
            packet.dts = 0
        return packet

    monkeypatch.setattr(RisingTimes, "settle", settle)
    run = Run(path, extension="mp4")
    assert run.copies.count == 1
    assert run.copies.warnings == ("left out: ac3 audio (ger) (Invalid argument)",)
    assert packets_of(run.path, "audio") == packets_of(path, "audio")[:1]


def test_a_plan_for_a_file_that_no_longer_exists_is_an_error_of_that_file(tmp_path: Path) -> None:
    path = Clip(moving(5), sounds=[Sound()]).write(tmp_path / "a.mp4")
    source = probe(path)
    path.unlink()
    with pytest.raises(VideoFileError, match=r"a\.mp4: cannot be read"):
        plan_output(source, choose_encoding("libx264", None, None, None, 8), None)


def test_a_cover_that_mov_has_no_place_for_is_named(tmp_path: Path) -> None:
    path = Clip(moving(5), sounds=[Sound()], cover=True).write(tmp_path / "a.mp4")
    run = Run(path, extension="mov")
    (warning,) = run.plan.warnings
    assert warning.startswith("left out: mjpeg video, which .mov cannot hold")
    assert run.copies.count == 1


def with_timecode(path: Path) -> Path:
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.metadata["timecode"] = "10:00:00:00"
        for picture in moving(25):
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("extension", ["mp4", "mov", "mkv"])
def test_a_timecode_stays_and_is_not_called_left_out(tmp_path: Path, extension: str) -> None:
    run = Run(with_timecode(tmp_path / "a.mov"), extension=extension)
    assert [other.kind for other in run.source.others] == ["data"]
    assert run.plan.remarks == ()
    with av.open(str(run.path)) as result:
        tags = {key.lower(): value for key, value in result.streams.video[0].metadata.items()}
    assert tags["timecode"] == "10:00:00:00"


def test_an_excerpt_does_not_claim_the_timecode_of_the_first_frame(tmp_path: Path) -> None:
    run = Run(with_timecode(tmp_path / "a.mov"), excerpt=Excerpt(0.4))
    with av.open(str(run.path)) as result:
        assert "timecode" not in result.streams.video[0].metadata


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_bytes(b"another file")])
def test_a_file_that_changes_while_it_is_read_leaves_no_segment_that_may_mix_the_two(
    tmp_path: Path, change: Any
) -> None:
    path = Clip(moving(5), sounds=[Sound()]).write(tmp_path / "a.mkv")
    changed: list[int] = []

    def restore(frame: Any, listener: Any) -> Any:
        if not changed:
            change(path)
        changed.append(1)
        return frame

    with pytest.raises(VideoFileError, match=r"a\.mkv: was changed or removed"):
        Run(path, restore)
    assert not (tmp_path / "result.mp4").exists()
    workspace = Workspace(tmp_path / "work", {})
    workspace.open()
    assert workspace.frames_done == 0


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_bytes(b"another file")])
def test_the_picture_of_one_file_never_gets_the_sound_of_another(tmp_path: Path, change: Any) -> None:
    run = Run(Clip(moving(5), sounds=[Sound()]).write(tmp_path / "a.mkv"))
    run.path.unlink()
    workspace = Workspace(tmp_path / "work", {})
    workspace.open()
    change(run.source.path)
    with pytest.raises(VideoFileError, match=r"a\.mkv: was changed or removed"):
        assemble(run.path, workspace, run.source, run.source.time_base, run.plan)
    assert not run.path.exists()
