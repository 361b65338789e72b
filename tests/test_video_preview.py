"""Clips of finished segments: frame by frame at the times of the finished video, before and after in step."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest
from clips import Clip, decoded, frame_times, moving
from test_video_segments import lose_segments

from realesrgan.arrays import Array
from realesrgan.errors import Cancelled, VideoFileError
from realesrgan.image import files
from realesrgan.image.boxes import boxes
from realesrgan.loading import Loaded, Settings
from realesrgan.restorer import Listener, Reporter
from realesrgan.video import segments
from realesrgan.video.encoding import available
from realesrgan.video.job import restore
from realesrgan.video.media_type import media_type
from realesrgan.video.preview import clips, restored_clip, source_clip
from realesrgan.video.request import Request, VideoJob, check_request, plan_job
from realesrgan.video.restoring import FramesHere
from realesrgan.video.segments import folder_for, read_manifest

LENGTH = 5  # frames of a segment
ODD = (63, 47)
UNEVEN = [0, 40, 41, 120, 200, 280, 281, 330, 500, 540, 700, 701, 760, 800]  # ms
REORDERED = {"crf": "10", "preset": "medium", "bf": "3", "g": "6"}


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "MOST_FRAMES", LENGTH)
    monkeypatch.setattr(segments, "FEWEST_FRAMES", LENGTH)


def twice(frame: Array, listener: Listener) -> Array:
    return frame.repeat(2, axis=0).repeat(2, axis=1)


def same(frame: Array, listener: Listener) -> Array:
    return frame


@dataclass(frozen=True)
class Fake(Loaded):
    """A model that no network is needed for."""

    devices: str = "nothing"
    way: str = "by nothing"

    def multiply_adds(self, area: float) -> float:
        return 1.0


class Job:
    """A clip restored by a fake, its segments kept."""

    def __init__(
        self,
        path: Path,
        weights: Path,
        restorer: Callable[[Array, Listener], Array] = twice,
        **request: Any,
    ) -> None:
        self.request = Request(output=path.parent, keep_segments=True, **request)
        self.setup = check_request(self.request, Settings(model_path=weights))
        self.plan: VideoJob = plan_job(path, self.request)
        self.source, self.target = self.plan.source, self.plan.target
        self._restorer = restorer

    def run(self, reporter: Reporter | None = None) -> Job:
        machines = FramesHere(Fake("fake", [], [self._restorer]))
        restore(self.plan, self.request, self.setup, machines, reporter or Reporter())
        return self

    @property
    def segments(self) -> list[segments.Segment]:
        manifest = read_manifest(folder_for(self.target))
        assert manifest is not None
        return manifest.segments

    @property
    def numbers(self) -> range:
        return range(len(self.segments))


def uneven(folder: Path, name: str = "a.mkv") -> Path:
    """Frames of an odd size at uneven times, reordered in the file; no two are alike."""
    frames = moving(len(UNEVEN), *ODD, pixel_format="yuv444p")
    clip = Clip(frames, UNEVEN, Fraction(1, 1000), options=REORDERED, pixel_format="yuv444p")
    return clip.write(folder / name)


def folder_of_frames(folder: Path) -> Path:
    (folder / "frames").mkdir()
    for number, frame in enumerate(moving(12, *ODD, pixel_format="yuv444p")):
        files.write(folder / "frames" / f"{number}.png", files.Picture(frame.to_ndarray(format="bgr24")))
    return folder / "frames"


def steady(folder: Path) -> Path:
    return Clip(moving(23), options=REORDERED).write(folder / "a.mp4")


def transport_stream(folder: Path) -> Path:
    return Clip(moving(13), options=REORDERED).write(folder / "a.ts")


KINDS: dict[str, tuple[Callable[[Path], Path], dict[str, Any]]] = {
    "uneven": (uneven, {}),
    "steady": (steady, {}),
    "transport stream": (transport_stream, {}),
    "excerpt": (uneven, {"start_s": 0.1, "end_s": 0.72}),
    "excerpt that begins with a frame": (steady, {"start_s": 0.2, "end_s": 0.8}),
    "retimed": (uneven, {"fps": Fraction(24000, 1001)}),
    "folder": (folder_of_frames, {"fps": Fraction(30000, 1001)}),
}


@pytest.fixture(params=KINDS)
def job(request: pytest.FixtureRequest, tmp_path: Path, srvgg_file: Path) -> Job:
    make, options = KINDS[request.param]
    return Job(make(tmp_path), srvgg_file, **options).run()


class Sample(NamedTuple):
    """A frame of a fragmented MP4, in its time scale, as the standard has it."""

    decoded: int
    shown: int
    duration: int


def samples(content: bytes) -> list[Sample]:
    """Read from the boxes (ISO/IEC 14496-12, 8.8): FFmpeg moves times where a composition offset is negative."""
    found: list[Sample] = []
    when = default = 0
    for kind, start, _ in boxes(content, {b"moof": 0, b"traf": 0}):
        if kind == b"tfhd":
            assert int.from_bytes(content[start : start + 4], "big") & 0x2F == 0x28  # the defaults assumed here
            (default,) = struct.unpack_from(">I", content, start + 8)
        elif kind == b"tfdt":
            (when,) = struct.unpack_from(">Q", content, start + 4)
        elif kind == b"trun":
            flags, count = struct.unpack_from(">II", content, start)
            at = start + 8 + 4 * bool(flags & 1) + 4 * bool(flags & 4)
            for _ in range(count):
                fields = [bit for bit in (0x100, 0x200, 0x400, 0x800) if flags & bit]
                values = dict(zip(fields, struct.unpack_from(f">{len(fields)}i", content, at), strict=True))
                duration = values.get(0x100, default)
                found.append(Sample(when, when + values.get(0x800, 0), duration))
                when += duration
                at += 4 * len(fields)
    return found


def time_scale(content: bytes) -> int:
    folders = {b"moov": 0, b"trak": 0, b"mdia": 0}
    (at,) = (start for kind, start, _ in boxes(content, folders) if kind == b"mdhd")
    return int(struct.unpack_from(">I", content, at + 12)[0])


def both(job: Job, number: int) -> list[bytes]:
    return [make(job.target, job.source, number) for make in (restored_clip, source_clip)]


def pictures(content: bytes, pixel_format: str | None = None) -> list[Array]:
    with av.open(io.BytesIO(content)) as container:
        more = {"format": pixel_format} if pixel_format else {}
        return [frame.to_ndarray(**more) for frame in container.decode(video=0)]


def test_clips_are_where_their_frames_are_in_the_finished_video(job: Job) -> None:
    times = frame_times(job.target)
    tolerance_s = 1e-9 if job.target.suffix == ".mp4" else 5e-4
    first = 0
    found = clips(job.target, job.source)
    assert [clip.number for clip in found] == list(job.numbers)
    for clip, following in zip(found, [*found[1:], None], strict=True):
        assert clip.start_s == pytest.approx(float(times[first]), abs=tolerance_s)
        if following:
            assert clip.start_s + clip.duration_s == pytest.approx(following.start_s, abs=1e-9)
        first += clip.frames
    assert first == len(times)


def test_every_frame_of_both_clips_is_shown_when_and_as_long_as_the_manifest_says(job: Job) -> None:
    for number, segment in enumerate(job.segments):
        for clip in both(job, number):
            unit = Fraction(1, time_scale(clip)) / job.source.time_base
            shown = sorted((sample.shown * unit, sample.duration * unit) for sample in samples(clip))
            assert shown == list(zip(segment.pts, segment.durations, strict=True))


def test_clips_follow_each_other_in_order_of_decoding_too(job: Job) -> None:
    """Else a browser takes a clip for a jump, or removes the beginning of the next one."""
    for kind in (0, 1):
        course = [sample for number in job.numbers for sample in samples(both(job, number)[kind])]
        ends = [sample.decoded + sample.duration for sample in course]
        assert [sample.decoded for sample in course[1:]] == ends[:-1]
        assert course[0].decoded == course[0].shown


def test_the_frames_of_a_restored_clip_are_those_of_the_finished_video(job: Job) -> None:
    whole = decoded(job.target)
    for number, segment in enumerate(job.segments):
        frames = pictures(restored_clip(job.target, job.source, number))
        wanted = whole[segment.first : segment.first + len(segment.pts)]
        assert all(np.array_equal(a, b) for a, b in zip(frames, wanted, strict=True))


def mean_difference(a: Array, b: Array) -> float:
    return float(np.abs(a.astype(int) - b).mean())


def test_the_frames_of_a_source_clip_are_those_of_the_source(job: Job) -> None:
    start_s, end_s = job.plan.excerpt.start_s, job.plan.excerpt.end_s
    wanted = [frame.pixels for frame in job.source.frames(start_s, end_s)]
    got = [picture for number in job.numbers for picture in pictures(both(job, number)[1], "bgr24")]
    assert len(got) == len(wanted)
    height, width = job.source.height, job.source.width
    for index, picture in enumerate(got):
        assert picture.shape == (height + height % 2, width + width % 2, 3)
        shown = picture[:height, :width]
        assert mean_difference(shown, wanted[index]) < 4
        for other in wanted[max(0, index - 1) : index] + wanted[index + 1 : index + 2]:
            if not np.array_equal(other, wanted[index]):  # as where a re-timed frame is shown twice
                assert mean_difference(shown, wanted[index]) < mean_difference(shown, other)


def test_clips_one_after_the_other_play_as_one_video(job: Job) -> None:
    for kind in (0, 1):
        parts = [both(job, number)[kind] for number in job.numbers]
        film = parts[0] + b"".join(part[part.index(b"moof") - 4 :] for part in parts[1:])
        with av.open(io.BytesIO(film)) as container:
            unit = container.streams.video[0].time_base
            assert unit is not None
            times = [frame.pts * unit / job.source.time_base for frame in container.decode(video=0)]
        durations = [duration for segment in job.segments for duration in segment.durations]
        assert np.diff(times).tolist() == durations[:-1]


def test_an_odd_size_is_made_even_alike_before_and_after(tmp_path: Path, srvgg_file: Path) -> None:
    job = Job(uneven(tmp_path), srvgg_file, same).run()
    before, after = (pictures(clip, "bgr24")[2] for clip in both(job, 0)[::-1])
    assert before.shape == after.shape == (ODD[1] + 1, ODD[0] + 1, 3)
    assert mean_difference(before, after) < 4


def test_the_first_clip_can_be_watched_while_the_rest_is_restored(tmp_path: Path, srvgg_file: Path) -> None:
    job = Job(uneven(tmp_path), srvgg_file)
    found: dict[float, int] = {}
    watched: list[bytes] = []

    class Viewer(Reporter):
        def progressed(self, source: Path, done: float) -> None:
            found[done] = len(clips(job.target, job.source))
            if done == LENGTH + 1:
                watched.extend(both(job, 0))

    assert clips(job.target, job.source) == []
    job.run(Viewer())
    last = len(UNEVEN)
    assert found == {done: done // LENGTH for done in range(1, last + 1)}
    assert watched == both(job, 0)
    assert len(pictures(watched[0])) == LENGTH


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"identity": 3, "segments": []}'])
def test_without_a_manifest_there_are_no_clips(tmp_path: Path, srvgg_file: Path, content: str | None) -> None:
    job = Job(steady(tmp_path), srvgg_file).run()
    manifest = folder_for(job.target) / segments.MANIFEST
    manifest.unlink() if content is None else manifest.write_text(content)
    assert clips(job.target, job.source) == []
    for make in (restored_clip, source_clip):
        with pytest.raises(VideoFileError, match="there is no clip 0; 0 are finished"):
            make(job.target, job.source, 0)


def test_the_segments_of_another_source_are_no_clips(tmp_path: Path, srvgg_file: Path) -> None:
    job = Job(steady(tmp_path), srvgg_file).run()
    other = Job(uneven(tmp_path), srvgg_file)
    assert clips(job.target, job.source) != []
    assert clips(job.target, other.source) == []
    retimed = Job(tmp_path / "a.mp4", srvgg_file, fps=Fraction(10))
    assert clips(job.target, retimed.source) == []


@pytest.mark.parametrize(("lost", "left"), [([0], 0), ([2], 2), ([1, 3], 1), ([4], 4)])
def test_clips_end_at_the_first_gap(tmp_path: Path, srvgg_file: Path, lost: list[int], left: int) -> None:
    job = Job(steady(tmp_path), srvgg_file).run()
    before = clips(job.target, job.source)
    shown = [both(job, number) for number in range(left)]
    lose_segments(folder_for(job.target), lost)
    assert clips(job.target, job.source) == before[:left]
    assert [both(job, number) for number in range(left)] == shown
    for make in (restored_clip, source_clip):
        with pytest.raises(VideoFileError, match=f"there is no clip {left}; {left} are finished"):
            make(job.target, job.source, left)
    job.run()
    assert clips(job.target, job.source) == before


@pytest.mark.parametrize("number", [-1, 5, 99])
def test_a_number_that_is_not_there_is_an_error(tmp_path: Path, srvgg_file: Path, number: int) -> None:
    job = Job(steady(tmp_path), srvgg_file).run()
    for make in (restored_clip, source_clip):
        with pytest.raises(VideoFileError, match=f"a_out.mp4: there is no clip {number}; 5 are finished"):
            make(job.target, job.source, number)


def test_a_segment_that_is_gone_or_damaged_is_an_error(tmp_path: Path, srvgg_file: Path) -> None:
    job = Job(steady(tmp_path), srvgg_file).run()
    file = folder_for(job.target) / job.segments[1].file
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(VideoFileError, match=r"00000005\.mkv"):
        restored_clip(job.target, job.source, 1)
    file.unlink()
    with pytest.raises(VideoFileError, match=r"00000005\.mkv: cannot be read"):
        restored_clip(job.target, job.source, 1)


def test_a_source_that_changed_is_an_error(tmp_path: Path, srvgg_file: Path) -> None:
    job = Job(steady(tmp_path), srvgg_file).run()
    Clip(moving(7)).write(job.source.path)
    with pytest.raises(VideoFileError, match="was changed or removed"):
        source_clip(job.target, job.source, 2)


def test_a_check_that_raises_stops_a_source_clip(tmp_path: Path, srvgg_file: Path) -> None:
    job = Job(steady(tmp_path), srvgg_file).run()
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        source_clip(job.target, job.source, 1, check=check)
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("codec", "pixel_format", "wanted"),
    [
        ("libx264", None, "avc1.64000A"),
        ("libx264", "yuv420p10le", "avc1.6E000A"),
        ("libx265", None, "hvc1.1.6.L30.90"),
        ("libx265", "yuv420p10le", "hvc1.2.4.L30.90"),
        ("libvpx-vp9", None, "vp09.00.10.08"),
        ("libsvtav1", None, "av01.0.00M.08"),
        ("libsvtav1", "yuv420p10le", "av01.0.00M.10"),
    ],
)
def test_a_browser_is_told_what_is_in_a_clip(
    tmp_path: Path, srvgg_file: Path, codec: str, pixel_format: str | None, wanted: str
) -> None:
    if codec not in available():
        pytest.skip(f"this FFmpeg has no {codec}")
    job = Job(steady(tmp_path), srvgg_file, codec=codec, pix_fmt=pixel_format).run()
    clip = restored_clip(job.target, job.source, 1)
    assert media_type(clip) == f'video/mp4; codecs="{wanted}"'
    assert len(pictures(clip)) == LENGTH


@pytest.mark.parametrize("codec", ["prores_ks", "ffv1"])
def test_what_no_browser_shows_is_an_error_that_names_the_option(tmp_path: Path, srvgg_file: Path, codec: str) -> None:
    job = Job(steady(tmp_path), srvgg_file, codec=codec).run()
    with pytest.raises(VideoFileError, match="no browser shows .* video; codec libx264"):
        restored_clip(job.target, job.source, 0)
    assert media_type(source_clip(job.target, job.source, 0)) is not None


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\0\0\0\x08moov"])
def test_what_is_no_video_has_no_media_type(content: bytes) -> None:
    assert media_type(content) is None


def test_watching_loads_no_torch() -> None:
    code = "import sys, realesrgan.video.preview, realesrgan.video.media_type; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
