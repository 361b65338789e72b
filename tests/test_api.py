"""What Python users call: the commands as functions, observed and cancelled through one Reporter."""

from __future__ import annotations

import inspect
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import Clip, decoded, frame_times, moving
from tiny import picture

from realesrgan import Cancelled, RealESRGANError, Reporter, restore_images, restore_video
from realesrgan.cli import image as image_command
from realesrgan.cli import video as video_command
from realesrgan.cli.options import ImageOptions, VideoOptions
from realesrgan.errors import UsageError, VideoFileError
from realesrgan.image import files
from realesrgan.video import segments

# What functions and flags call differently, or only one of them needs: times in seconds, and what front ends do.
OF_FLAGS = {"input", "dry_run", "start", "end", "extract_frame_first", "ffmpeg_bin"}
OF_FUNCTIONS = {"paths", "path", "reporter", "start_s", "end_s"}
OF_PICTURES = {"alpha_upsampler", "skip_existing"}  # videos have no transparency; one video is its caller's to skip


class Notes(Reporter):
    """Records every call."""

    def __init__(self, cancel_after: int | None = None) -> None:
        self.lines: list[tuple[str, Any]] = []
        self.cancel_after = cancel_after

    def check(self) -> None:
        if (
            self.cancel_after is not None
            and len([name for name, _ in self.lines if name == "progressed"]) > self.cancel_after
        ):
            raise Cancelled

    def remark(self, message: str) -> None:
        self.lines.append(("remark", message))

    def started(self, source: Path, total: int, done: int = 0) -> None:
        self.lines.append(("started", (source, total, done)))

    def progressed(self, source: Path, done: float) -> None:
        self.lines.append(("progressed", (source, done)))

    def finished(self, source: Path, target: Path, facts: str) -> None:
        self.lines.append(("finished", (source, target)))

    def failed(self, source: Path, reason: str) -> None:
        self.lines.append(("failed", (source, reason)))

    def of(self, name: str) -> list[Any]:
        return [what for known, what in self.lines if known == name]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(segments, "MOST_FRAMES", 5)
    monkeypatch.setattr(segments, "FEWEST_FRAMES", 5)


@pytest.mark.parametrize(
    ("function", "options", "own"),
    [(restore_images, ImageOptions, set()), (restore_video, VideoOptions, OF_PICTURES)],
)
def test_functions_take_the_options_of_the_commands_with_the_same_defaults(function, options, own):
    parameters = inspect.signature(function).parameters
    flags = {field.name: field.default for field in fields(options)}
    assert set(parameters) - OF_FUNCTIONS == set(flags) - OF_FLAGS - own
    for name in set(flags) & set(parameters):
        assert parameters[name].default == flags[name], name


def test_pictures_come_out_as_from_the_command(srvgg_file):
    Path("in").mkdir()
    for number in range(3):
        files.write(Path(f"in/{number}.png"), files.Picture(picture(9, 8, seed=number)))
    outcome = restore_images("in", "a", model_path=srvgg_file, outscale=2, fp32=True, gpu_id="cpu")
    argv = ["-i", "in", "-o", "b", "--model_path", str(srvgg_file), "-s", "2", "--fp32", "-g", "cpu"]
    assert image_command.main(argv) == 0
    assert sorted(outcome.written) == sorted(Path("a").iterdir())
    assert not outcome.failures
    for name in ("0_out.png", "1_out.png", "2_out.png"):
        assert Path("a", name).read_bytes() == Path("b", name).read_bytes()


def test_a_bad_picture_is_reported_and_the_others_are_done(srvgg_file):
    files.write(Path("good.png"), files.Picture(picture(9, 8)))
    Path("bad.png").write_bytes(b"junk")
    notes = Notes()
    outcome = restore_images(["good.png", "bad.png"], model_path=srvgg_file, gpu_id="cpu", reporter=notes)
    assert outcome.written == [Path("results/good_out.png")]
    assert [line.split(":")[0] for line in outcome.failures] == ["bad.png"]
    assert notes.of("finished") == [(Path("good.png"), Path("results/good_out.png"))]


def test_progress_counts_pixels_up_to_all_of_them(srvgg_file):
    files.write(Path("a.png"), files.Picture(picture(9, 8)))
    notes = Notes()
    restore_images("a.png", model_path=srvgg_file, gpu_id="cpu", reporter=notes)
    done = [done for _, done in notes.of("progressed")]
    assert done == sorted(done)
    assert done[-1] == 72
    assert notes.of("started") == [(Path("a.png"), 72, 0)]


def test_pictures_can_be_cancelled_inside_one_and_nothing_half_made_stays(srvgg_file):
    files.write(Path("a.png"), files.Picture(picture(40, 30)))
    with pytest.raises(Cancelled):
        restore_images("a.png", model_path=srvgg_file, tile=8, gpu_id="cpu", reporter=Notes(cancel_after=5))
    assert not list(Path("results").iterdir())


def test_a_video_comes_out_as_from_the_command(srvgg_file):
    Clip(moving(12)).write(Path("a.mp4"))
    result = restore_video("a.mp4", "a", model_path=srvgg_file, outscale=2, fp32=True, gpu_id="cpu")
    argv = ["-i", "a.mp4", "-o", "b", "--model_path", str(srvgg_file), "-s", "2", "--fp32", "-g", "cpu"]
    assert video_command.main(argv) == 0
    assert result == Path("a/a_out.mp4")
    assert frame_times(result) == frame_times(Path("b/a_out.mp4"))
    assert all(np.array_equal(x, y) for x, y in zip(decoded(result), decoded(Path("b/a_out.mp4")), strict=True))


def test_a_video_cancelled_at_any_frame_goes_on_and_ends_as_one_that_was_not(srvgg_file):
    Clip(moving(12)).write(Path("a.mp4"))
    options = {"model_path": srvgg_file, "fp32": True, "gpu_id": "cpu"}
    whole = decoded(restore_video("a.mp4", "whole", **options))
    for frame in (0, 3, 6, 10):
        with pytest.raises(Cancelled):
            restore_video("a.mp4", f"at{frame}", reporter=Notes(cancel_after=frame), **options)
        notes = Notes()
        result = restore_video("a.mp4", f"at{frame}", reporter=notes, **options)
        assert notes.of("started") == [(Path("a.mp4"), 12, frame // 5 * 5)]
        assert all(np.array_equal(x, y) for x, y in zip(decoded(result), whole, strict=True))


def test_a_finished_video_is_not_computed_again_unless_something_changed(srvgg_file):
    Clip(moving(4)).write(Path("a.mp4"))

    def computed(**options) -> bool:
        notes = Notes()
        restore_video("a.mp4", model_path=srvgg_file, gpu_id="cpu", reporter=notes, **options)
        return bool(notes.of("started"))

    assert computed()
    assert not computed()
    assert computed(outscale=2)
    assert not computed(outscale=2)
    Path("results/a_out.mp4").unlink()
    assert computed(outscale=2)
    Clip(moving(5)).write(Path("a.mp4"))
    assert computed(outscale=2)
    Path("results/a_out.mp4").write_bytes(b"something else")
    assert computed(outscale=2)


def test_a_rate_can_be_given_as_any_kind_of_number(srvgg_file):
    Clip(moving(4)).write(Path("a.mp4"))
    results = [
        restore_video("a.mp4", suffix=str(number), fps=rate, model_path=srvgg_file, gpu_id="cpu")
        for number, rate in enumerate((50, 50.0, "50", Fraction(50)))
    ]
    assert len({tuple(frame_times(result)) for result in results}) == 1


@pytest.mark.parametrize(
    ("call", "option"),
    [
        (lambda: restore_images("missing.png"), "input"),
        (lambda: restore_images("a.png", outscale=0), "outscale"),
        (lambda: restore_images("a.png", quality=0), "quality"),
        (lambda: restore_images("a.png", gpu_id="banana"), "gpu_id"),
        (lambda: restore_images("a.png", tile=-1), "tile"),
        (lambda: restore_images("a.png", alpha_upsampler="best"), "alpha_upsampler"),
        (lambda: restore_images("a.png", max_memory="lots"), "max_memory"),
        (lambda: restore_images("a.png", suffix="a/b"), "suffix"),
        (lambda: restore_video("a.mp4", fps="fast"), "fps"),
        (lambda: restore_video("a.mp4", start_s=3, end_s=2), "end"),
        (lambda: restore_video("a.mp4", codec="nonsense"), "codec"),
        (lambda: restore_video("a.mp4", ext="gif"), "ext"),
        (lambda: restore_video("missing.mp4"), "input"),
        (lambda: restore_video("a.mp4", num_process_per_gpu=0), "num_process_per_gpu"),
    ],
)
def test_an_error_names_the_option_to_change(call, option):
    files.write(Path("a.png"), files.Picture(picture(9, 8)))
    Clip(moving(2)).write(Path("a.mp4"))
    with pytest.raises(UsageError) as error:
        call()
    assert error.value.option == option
    assert "`" not in str(error.value)
    assert f"--{option}" in error.value.spelled("--{}".format)


def test_a_part_behind_the_end_is_an_error_of_that_video(srvgg_file):
    Clip(moving(4)).write(Path("a.mp4"))
    with pytest.raises(VideoFileError, match="start is after its end"):
        restore_video("a.mp4", start_s=100, model_path=srvgg_file, gpu_id="cpu")
    assert issubclass(VideoFileError, RealESRGANError)


def test_torch_has_as_many_threads_after_a_job_as_before(srvgg_file):
    import torch

    files.write(Path("a.png"), files.Picture(picture(9, 8)))
    torch.set_num_threads(2)
    for _ in range(2):
        restore_images("a.png", model_path=srvgg_file, gpu_id="cpu,cpu")
    assert torch.get_num_threads() == 2
