"""Frames in = frames out, each at its time, upright and in its own colours; a broken one repeats the one before."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Clip, Sound, corrupted, cut_off, end_to_end, flat, frame_times, moving, remuxed, turned, with_matrix

from realesrgan.video.probe import probe
from realesrgan.video.sources.clock import timestamps_of
from realesrgan.video.sources.source import Frame, Losses, VideoSource

UNEVEN = (0, 1, 3, 7, 8, 12, 13, 20)  # in 25ths of a second
X264 = {"crf": "10", "preset": "ultrafast"}
INTRA = {"crf": "10", "g": "5", "bf": "0", "preset": "ultrafast"}


def read(path: Path, **span: float) -> tuple[list[Frame], Losses, VideoSource]:
    source = probe(path)
    reading = source.frames(**span)
    return list(reading), reading.losses, source


@pytest.mark.parametrize(
    ("name", "unit"), [("a.mp4", Fraction(1, 12800)), ("a.mkv", Fraction(1, 1000)), ("a.ts", Fraction(1, 90000))]
)
def test_uneven_times_are_the_sources(tmp_path: Path, name: str, unit: Fraction) -> None:
    times = [int(when / (25 * unit)) for when in UNEVEN]
    path = Clip(moving(len(times)), times=times, time_base=unit).write(tmp_path / name)
    frames, losses, source = read(path)
    told = frame_times(path)
    start = source.origin_s
    assert [frame.pts * source.time_base + start for frame in frames] == told
    assert [a - b for a, b in itertools.pairwise(told)] == [Fraction(a - b, 25) for a, b in itertools.pairwise(UNEVEN)]
    assert [frame.index for frame in frames] == list(range(len(UNEVEN)))
    assert losses == Losses()


def test_a_file_that_starts_late_is_counted_from_its_start(tmp_path: Path) -> None:
    clip = Clip(moving(10), times=range(250, 260), options=INTRA).write(tmp_path / "a.ts")
    frames, _, source = read(clip)
    assert source.origin_s == 10
    assert [frame.pts * source.time_base for frame in frames] == [Fraction(number, 25) for number in range(10)]


def test_each_frame_lasts_until_the_next(tmp_path: Path) -> None:
    times = [40 * when for when in UNEVEN]
    frames, _, _ = read(Clip(moving(8), times=times, time_base=Fraction(1, 1000)).write(tmp_path / "a.mkv"))
    assert [frame.pts + frame.duration for frame in frames[:-1]] == [frame.pts for frame in frames[1:]]


@pytest.mark.parametrize(("degrees", "corner"), [(0, (0, 0)), (90, (0, -1)), (180, (-1, -1)), (270, (-1, 0))])
def test_a_turned_video_comes_out_upright(tmp_path: Path, degrees: int, corner: tuple[int, int]) -> None:
    """The dark block at the top left goes where a clockwise turn takes it."""
    frames, _, _ = read(turned(Clip(moving(1)).write(tmp_path / "a.mp4"), degrees))
    pixels = frames[0].pixels
    assert pixels.shape == ((48, 64, 3) if degrees in (0, 180) else (64, 48, 3))
    corners = {(y, x): int(pixels[y, x].sum()) for y in (0, -1) for x in (0, -1)}
    assert min(corners, key=lambda at: corners[at]) == corner


@pytest.mark.parametrize("matrix", [(*d, *e) for d in ((1, 0), (-1, 0)) for e in ((0, 1), (0, -1))])
@pytest.mark.parametrize("swapped", [False, True])
def test_a_pixel_is_shown_where_the_display_matrix_says(
    tmp_path: Path, matrix: tuple[int, int, int, int], swapped: bool
) -> None:
    """All quarter turns, with and without a mirror, as cameras for selfies write them."""
    path = Clip(moving(1)).write(tmp_path / "a.mp4")
    plain = read(path)[0][0].pixels
    a, b, c, d = (*matrix[2:], *matrix[:2]) if swapped else matrix
    pixels = read(with_matrix(path, (a, b, c, d)))[0][0].pixels
    assert pixels.shape == ((64, 48, 3) if swapped else (48, 64, 3))
    y, x = np.mgrid[:48, :64]
    # Negative places count from the far end, as numpy's do: -x - 1 for a mirrored x.
    column, row = a * x + c * y - (a + c < 0), b * x + d * y - (b + d < 0)
    assert np.array_equal(pixels[row, column], plain)


def test_more_than_8_bits_stay_more(tmp_path: Path) -> None:
    levels = [flat((level, 512, 512), pixel_format="yuv420p10le") for level in (400, 401, 402)]
    path = Clip(levels, pixel_format="yuv420p10le", codec="ffv1", options={}).write(tmp_path / "a.mkv")
    frames, _, _ = read(path)
    assert frames[0].pixels.dtype == np.uint16
    means = [frame.pixels.mean() for frame in frames]
    assert means[0] < means[1] < means[2]


def test_equal_frames_are_marked_and_share_their_pixels(tmp_path: Path) -> None:
    pictures = moving(3)
    shown = [pictures[0], pictures[0], pictures[1], pictures[1], pictures[1], pictures[2]]
    frames, _, _ = read(Clip(shown, codec="ffv1", options={}).write(tmp_path / "a.mkv"))
    assert [frame.repeats for frame in frames] == [False, True, False, True, True, False]
    assert frames[3].pixels is frames[2].pixels


def test_an_empty_packet_is_a_repeat_and_not_damage(tmp_path: Path) -> None:
    """As Theora's encoder writes them for unchanged frames."""
    path = Clip(moving(8), codec="ffv1", options={}).write(tmp_path / "a.nut")
    frames, losses, source = read(remuxed(path, tmp_path / "b.nut", {3: b"", 4: b""}))
    assert [frame.pts * source.time_base for frame in frames] == [Fraction(number, 25) for number in range(8)]
    assert [frame.index for frame in frames if frame.repeats] == [3, 4]
    assert not any(frame.damaged for frame in frames)
    assert losses == Losses()


def test_of_mpeg_4_in_avi_the_order_of_frames_counts_and_not_guessed_times() -> None:
    """FFmpeg's guessed times of XviD's B-frames are not even in order; its decoding times are."""
    timestamps = timestamps_of("avi", "mpeg4")
    frames = moving(5)
    for frame, pts, dts in zip(frames, (3, 4, 6, 5, 7), (3, 4, 5, 6, 7), strict=True):
        frame.pts, frame.dts = pts, dts
        timestamps.stamp(frame)
    assert [frame.pts for frame in frames] == [3, 4, 5, 6, 7]


@pytest.mark.parametrize("bframes", [0, 2])
def test_a_clock_that_starts_over_is_continued(tmp_path: Path, bframes: int) -> None:
    """Recordings put end to end; each frame lasts as long as in its recording."""
    options = X264 | {"bf": str(bframes), "g": "10"}
    long = Clip(moving(60), options=options).write(tmp_path / "long.ts")
    short = Clip(moving(30, pixel_format="yuv420p")[::-1], options=options).write(tmp_path / "short.ts")
    whole, _, source = read(end_to_end([long, short, long], tmp_path / "all.ts"))
    assert [frame.pts * source.time_base for frame in whole] == [Fraction(number, 25) for number in range(150)]
    for part, begin in ((long, 0), (short, 60), (long, 90)):
        for alone, frame in zip(read(part)[0], whole[begin:], strict=False):
            assert np.array_equal(alone.pixels, frame.pixels)
    # A search by time would land in another part.
    for index in (40, 75, 89, 140):
        rest = list(source.frames(resume=(index, whole[index].pts)))
        assert [frame.index for frame in rest] == list(range(index, 150))
        assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(rest, whole[index:], strict=True))


def test_a_little_jitter_of_the_clock_is_not_a_new_clock(tmp_path: Path) -> None:
    overlapping = [Clip(moving(10), times=range(begin, begin + 10), options=INTRA) for begin in (0, 9)]
    parts = [clip.write(tmp_path / f"{number}.ts") for number, clip in enumerate(overlapping)]
    frames, _, source = read(end_to_end(parts, tmp_path / "a.ts"))
    assert len(frames) == 20
    assert frames[-1].pts * source.time_base == Fraction(18, 25)


def test_after_a_broken_packet_only_what_came_before_the_next_key_frame_is_filled_in(tmp_path: Path) -> None:
    """Damage does not change how many packets show nothing, so reading from a later point sees no damage at all."""
    path = corrupted(Clip(moving(40), options=INTRA).write(tmp_path / "a.mkv"), 8)
    whole, losses, source = read(path)
    assert len(whole) == 40
    assert all(5 < frame.index < 10 for frame in whole if frame.damaged)
    assert losses.concealed == len([frame for frame in whole if frame.damaged]) > 0
    reading = source.frames(resume=(36, whole[36].pts))
    assert [frame.pts for frame in reading] == [frame.pts for frame in whole[36:]]
    assert reading.losses == Losses()


def test_broken_packets_cost_no_frame(tmp_path: Path) -> None:
    path = corrupted(Clip(moving(20), options=INTRA).write(tmp_path / "a.mkv"), 8)
    frames, losses, _ = read(path)
    assert [frame.pts for frame in frames] == [40 * number for number in range(20)]
    assert losses.concealed >= 1
    assert losses.reasons
    assert frames[8].repeats
    assert len([frame for frame in frames if frame.repeats]) == losses.concealed


def test_a_broken_packet_among_independent_ones_costs_exactly_itself(tmp_path: Path) -> None:
    clip = Clip(moving(12), codec="mjpeg", pixel_format="yuvj420p", options={})
    frames, losses, _ = read(corrupted(clip.write(tmp_path / "a.avi"), 5))
    assert (len(frames), losses.concealed) == (12, 1)
    assert [frame.index for frame in frames if frame.repeats] == [5]


@pytest.mark.parametrize("sounds", [(), (Sound(),)])
def test_what_is_left_of_a_truncated_file_is_read_and_the_loss_measured(
    tmp_path: Path, sounds: tuple[Sound, ...]
) -> None:
    path = cut_off(Clip(moving(40), options=INTRA, sounds=sounds).write(tmp_path / "a.mkv"))
    frames, losses, _ = read(path)
    assert 5 < len(frames) < 40
    assert losses.missing_s == pytest.approx((40 - len(frames)) / 25, abs=0.05)


def test_sound_that_lasts_longer_than_the_picture_is_not_a_loss(tmp_path: Path) -> None:
    whole = Clip(moving(25), sounds=[Sound()]).write(tmp_path / "whole.mkv")
    path = tmp_path / "long.ts"
    with av.open(str(whole)) as source, av.open(str(path), "w") as output:
        streams = {s.index: output.add_stream_from_template(s, opaque=True) for s in source.streams}
        for packet in source.demux():
            if packet.size and (packet.stream.type == "audio" or packet.pts < 300):
                packet.stream = streams[packet.stream.index]
                output.mux(packet)
    _, losses, _ = read(path)
    assert losses.missing_s == 0


def test_frames_of_another_size_are_resized_to_the_first(tmp_path: Path) -> None:
    small = Clip(moving(4), codec="mjpeg", pixel_format="yuvj420p", options={}).write(tmp_path / "s.mjpeg", "mjpeg")
    large = Clip(moving(4, 96, 64), codec="mjpeg", pixel_format="yuvj420p", options={})
    large.write(tmp_path / "l.mjpeg", "mjpeg")
    both = tmp_path / "both.mjpeg"
    both.write_bytes(small.read_bytes() + (tmp_path / "l.mjpeg").read_bytes())
    frames, losses, _ = read(both)
    assert {frame.pixels.shape for frame in frames} == {(48, 64, 3)}
    assert (len(frames), losses.resized) == (8, 4)


def test_an_animated_gif_keeps_its_times(tmp_path: Path) -> None:
    clip = Clip(
        moving(5, pixel_format="rgb8"), [0, 10, 30, 40, 60], Fraction(1, 100), "gif", pixel_format="rgb8", options={}
    )
    frames, _, _ = read(clip.write(tmp_path / "a.gif"))
    assert [frame.pts for frame in frames] == [0, 10, 30, 40, 60]


def test_an_excerpt_holds_the_frames_that_begin_in_it(tmp_path: Path) -> None:
    path = Clip(moving(25)).write(tmp_path / "a.mkv")
    whole, _, _ = read(path)
    part, _, _ = read(path, start_s=0.4, end_s=0.8)
    assert [frame.pts for frame in part] == [40 * number for number in range(10)]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(part, whole[10:20], strict=True))


@pytest.mark.parametrize("rate", [Fraction(5), Fraction(25), Fraction(24000, 1001), Fraction(60)])
def test_at_a_constant_rate_each_moment_shows_what_it_showed(tmp_path: Path, rate: Fraction) -> None:
    times = [40 * when for when in UNEVEN]
    path = Clip(moving(8), times=times, time_base=Fraction(1, 1000), codec="ffv1", options={}).write(tmp_path / "a.mkv")
    frames, _, source = read(path)
    again = list(probe(path, rate).frames())
    end = (frames[-1].pts + frames[-1].duration) * source.time_base
    assert [frame.pts for frame in again] == list(range(len(again)))
    assert 0 <= len(again) / rate - end < 1 / rate
    for frame in again:
        on_show = [old for old in frames if old.pts * source.time_base <= frame.pts / rate][-1]
        assert np.array_equal(frame.pixels, on_show.pixels)
    for before, frame in itertools.pairwise(again):
        assert not frame.repeats or np.array_equal(before.pixels, frame.pixels)
    assert len([frame for frame in again if not frame.repeats]) == len({id(frame.pixels) for frame in again})
