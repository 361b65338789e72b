"""Videos: frame by frame as pictures, and how steady they are where the original stands still and where it moves."""

from __future__ import annotations

import math
import os
import statistics
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import RATE, Clip
from tiny import picture

from realesrgan.arrays import Array
from realesrgan.image import files
from realesrgan.image.files import Picture
from realesrgan.metrics import metric
from realesrgan.metrics.evaluation import evaluate
from realesrgan.metrics.measuring import Row
from realesrgan.metrics.pairs import match
from realesrgan.metrics.temporal import LEAST_SIDE_PX, Steadiness
from realesrgan.restorer import Reporter

HEIGHT, WIDTH = 48, 64
NOISE = 6.0  # levels


class Heard(Reporter):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def textured(seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> Array:
    return (64 + picture(height, width, seed=seed) // 2).astype(np.uint8)


def with_noise(frame: Array, seed: int, level: float = NOISE) -> Array:
    noise = np.random.default_rng(seed).normal(0, level, frame.shape)
    return np.clip(np.rint(frame + noise), 0, 255).astype(np.uint8)


def steadiness(results: list[Array], originals: list[Array]) -> tuple[list[dict[str, float]], dict[str, float]]:
    measured = Steadiness()
    frames = [measured.add(*pair) for pair in zip(results, originals, strict=True)]
    return frames, measured.totals()


def lossless(path: str, frames: list[Array], times: list[int] | None = None) -> None:
    turned = [av.VideoFrame.from_ndarray(np.ascontiguousarray(frame[..., ::-1]), "rgb24") for frame in frames]
    Clip(turned, times=times, time_base=1 / RATE, codec="ffv1", pixel_format="bgr0", options={}).write(Path(path))


def measured(folder: Path, results: list[Array], originals: list[Array]) -> Row:
    lossless(f"{folder}/result.mkv", results)
    lossless(f"{folder}/original.mkv", originals)
    matched = match([f"{folder}/result.mkv"], [f"{folder}/original.mkv"])
    (row,) = evaluate(matched, [metric.BUILT_IN["psnr"], metric.BUILT_IN["ssim"]], Reporter()).rows
    return row


def test_flicker_is_the_standard_deviation_over_time_where_the_original_stands_still() -> None:
    still = textured()
    frames, totals = steadiness([with_noise(still, number) for number in range(9)], [still] * 9)
    assert totals["flicker"] == pytest.approx(NOISE, rel=0.03)
    assert all(frame["flicker"] == pytest.approx(NOISE, rel=0.06) for frame in frames[1:])


def test_the_total_flicker_is_over_all_pixels_that_stand_still() -> None:
    half = textured()
    half[:, WIDTH // 2 :] = 0
    moved = half.copy()
    moved[:, WIDTH // 2 :] = 99  # stands still no more
    frames, totals = steadiness([half, half, half + 4], [half, half, moved])
    assert frames[1]["flicker"] == 0
    assert frames[2]["flicker"] == pytest.approx(4 / math.sqrt(2))
    assert totals["flicker"] == pytest.approx(math.sqrt((4**2 / 2) / 3))  # a third of all samples


def test_pixels_that_change_in_the_original_do_not_flicker() -> None:
    dark, bright = np.full((40, 40, 3), 60, np.uint8), np.full((40, 40, 3), 61, np.uint8)
    frames, totals = steadiness([dark, bright], [dark, bright])
    assert math.isnan(frames[1]["flicker"])
    assert math.isnan(totals["flicker"])


def test_one_changed_channel_is_a_change() -> None:
    before = np.full((40, 40, 3), 60, np.uint8)
    after = before.copy()
    after[..., 1] += 1
    assert math.isnan(steadiness([before] * 2, [before, after])[0][1]["flicker"])


def test_a_result_that_is_the_original_has_the_warping_error_of_the_original() -> None:
    scene = textured(height=80, width=120)
    frames = [np.ascontiguousarray(scene[10:70, 10 + 2 * n : 90 + 2 * n]) for n in range(4)]
    _, totals = steadiness(frames, frames)
    assert totals["warping"] == totals["warping_original"]


def test_warping_follows_the_motion() -> None:
    scene = textured(height=80, width=120)
    moving = [np.ascontiguousarray(scene[10:70, 10 + 2 * n : 90 + 2 * n]) for n in range(4)]
    _, totals = steadiness(moving, moving)
    unfollowed = statistics.mean(
        float(np.abs(a.astype(int) - b).mean()) for a, b in zip(moving, moving[1:], strict=False)
    )
    assert totals["warping"] < unfollowed / 4


def test_warping_grows_with_what_changes_in_the_result_alone() -> None:
    scene = textured(height=80, width=120)
    moving = [np.ascontiguousarray(scene[10:70, 10 + 2 * n : 90 + 2 * n]) for n in range(4)]
    brighter = [moving[0], moving[1] + 5, moving[2], moving[3] + 5]
    still, unsteady = steadiness(moving, moving)[1], steadiness(brighter, moving)[1]
    assert unsteady["warping"] == pytest.approx(still["warping"] + 5, abs=1)
    assert unsteady["warping_original"] == still["warping_original"]


def test_what_was_outside_in_the_frame_before_does_not_count() -> None:
    scene = textured(height=80, width=140)
    moving = [np.ascontiguousarray(scene[10:70, 10 + 6 * n : 90 + 6 * n]) for n in range(3)]
    spoiled = [frame.copy() for frame in moving]
    for frame in spoiled[1:]:
        frame[:, -2:] = 255  # what has just come in
    counted = steadiness(moving, moving)[0][1]["warping"]
    assert steadiness(spoiled, moving)[0][1]["warping"] == pytest.approx(counted, abs=0.01)


def test_16_bits_are_measured_in_levels_of_255() -> None:
    still = textured()
    noisy = [with_noise(still, number) for number in range(3)]
    narrow = steadiness(noisy, [still] * 3)
    wide = steadiness([frame.astype(np.uint16) * 257 for frame in noisy], [still.astype(np.uint16) * 257] * 3)
    assert wide[1] == pytest.approx(narrow[1], rel=1e-5)


def test_frames_too_small_to_find_motion_in_have_no_warping_error() -> None:
    tiny = textured(height=LEAST_SIDE_PX - 1, width=90)
    _, totals = steadiness([tiny] * 2, [tiny] * 2)
    assert math.isnan(totals["warping"])
    assert totals["flicker"] == 0


def test_a_frame_has_the_values_of_the_picture_it_is(tmp_path: Path) -> None:
    originals = [textured(number) for number in range(3)]
    results = [with_noise(frame, number, 2 + number) for number, frame in enumerate(originals)]
    row = measured(tmp_path, results, originals)
    for name in ("psnr", "ssim"):
        alone = [metric.BUILT_IN[name].measure(*pair) for pair in zip(results, originals, strict=True)]
        assert [frame[name] for frame in row.frames] == alone
        assert row.values[name] == pytest.approx(statistics.mean(alone))
        assert row.worst[name] == min(alone)


def test_frames_that_equal_their_originals_leave_the_mean_finite(tmp_path: Path) -> None:
    frames = [textured(number) for number in range(3)]
    row = measured(tmp_path, [frames[0], frames[1], frames[2] + 1], frames)
    assert row.values["psnr"] == pytest.approx(20 * math.log10(255))
    assert [frame["psnr"] for frame in row.frames[:2]] == [math.inf, math.inf]


def test_the_worst_flicker_is_the_highest(tmp_path: Path) -> None:
    still = textured()
    row = measured(tmp_path, [still, still, still + 4], [still] * 3)
    assert row.worst["flicker"] == pytest.approx(4 / math.sqrt(2))


def warnings_of(folder: Path) -> tuple[list[str], int]:
    """What is said about the two videos in a folder, and how many frames are measured."""
    reporter = Heard()
    matched = match([f"{folder}/result.mkv"], [f"{folder}/original.mkv"])
    (row,) = evaluate(matched, [metric.BUILT_IN["psnr"]], reporter).rows
    return reporter.warnings, len(row.frames)


@pytest.mark.parametrize(("ours", "theirs"), [(3, 5), (5, 3)])
def test_frames_too_many_are_counted_and_not_measured(ours: int, theirs: int, tmp_path: Path) -> None:
    frames = [textured(number) for number in range(5)]
    lossless(f"{tmp_path}/result.mkv", frames[:ours])
    lossless(f"{tmp_path}/original.mkv", frames[:theirs])
    (warning,), count = warnings_of(tmp_path)
    assert count == 3
    assert f"has {ours} frames" in warning
    assert f"original.mkv {theirs};" in warning


def test_frames_at_other_times_are_compared_by_number_and_told_from_the_first_on(tmp_path: Path) -> None:
    frames = [textured(number) for number in range(4)]
    lossless(f"{tmp_path}/result.mkv", frames)
    lossless(f"{tmp_path}/original.mkv", frames, times=[0, 1, 3, 5])
    (warning,), count = warnings_of(tmp_path)
    assert count == 4
    assert "from frame 2 on" in warning
    assert "0.080 s" in warning


def test_times_that_containers_round_are_the_same(tmp_path: Path) -> None:
    frames = [textured(number) for number in range(9)]
    turned = [av.VideoFrame.from_ndarray(frame, "bgr24") for frame in frames]
    for name in ("result.mp4", "original.mkv"):  # Matroska counts in milliseconds
        Clip(turned, range(9), Fraction(1001, 24000)).write(tmp_path / name)
    os.rename(tmp_path / "result.mp4", tmp_path / "result.mkv")  # told by its content
    assert warnings_of(tmp_path)[0] == []


def test_a_folder_of_frames_has_no_times_to_differ(tmp_path: Path) -> None:
    frames = [textured(number) for number in range(3)]
    lossless(f"{tmp_path}/result.mkv", frames, times=[0, 2, 9])
    (tmp_path / "frames").mkdir()
    for number, frame in enumerate(frames):
        files.write(tmp_path / "frames" / f"{number}.png", Picture(frame))
    reporter = Heard()
    (row,) = evaluate(
        match([f"{tmp_path}/result.mkv"], [f"{tmp_path}/frames"]), [metric.BUILT_IN["psnr"]], reporter
    ).rows
    assert row.values["psnr"] == math.inf
    assert reporter.warnings == []
