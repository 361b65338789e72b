"""The video command: every flag reaches the code, any interruption is survived, every mistake gets one clear line."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import av.error
import numpy as np
import pytest
import torch
from clips import Clip, Sound, corrupted, cut_off, decoded, frame_times, moving, packets_of
from test_video_interlaced import bars, joined
from tiny import picture

from realesrgan import loading, machines
from realesrgan.arrays import Array
from realesrgan.cli import reporting
from realesrgan.cli.video import main
from realesrgan.image import files
from realesrgan.image.files import Picture
from realesrgan.restorer import Listener
from realesrgan.video import segment_encoder, segments
from realesrgan.weights import store

PROJECT = Path(__file__).parents[1]
PATIENCE_S = 60  # longer than anything here takes; only a test that fails waits for it
SEGMENT = 5  # frames
INTRA = {"crf": "10", "g": "5", "bf": "0", "preset": "ultrafast"}


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(store, "search_folders", lambda: [(Path.cwd() / "weights", "weights folder")])
    monkeypatch.setattr(segments, "MOST_FRAMES", SEGMENT)
    monkeypatch.setattr(segments, "FEWEST_FRAMES", SEGMENT)


@pytest.fixture
def small(srvgg_file: Path) -> list[str]:
    """The flags for a network that takes no time."""
    return ["--model_path", str(srvgg_file), "--fp32", "-g", "cpu"]


def make(name: str = "a.mp4", count: int = 12, **facts: Any) -> Path:
    return Clip(moving(count), **facts).write(Path(name))


def shown(folder: str) -> list[str]:
    """The entries of a folder that are not hidden."""
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))


def same(a: str, b: str) -> bool:
    a, b = f"results/{a}", f"results/{b}"
    return (
        all(np.array_equal(x, y) for x, y in zip(decoded(Path(a)), decoded(Path(b)), strict=True))
        and frame_times(Path(a)) == frame_times(Path(b))
        and packets_of(Path(a), "audio") == packets_of(Path(b), "audio")
    )


def test_a_clip_becomes_a_larger_one_and_a_line_sums_up(small: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    make("a clip ü's.mp4", sounds=[Sound()])
    assert main(["-i", "a clip ü's.mp4", *small]) == 0
    out, err = capsys.readouterr()
    assert decoded(Path("results/a clip ü's_out.mp4"), "rgb24")[0].shape == (192, 256, 3)
    (line,) = out.splitlines()
    for fact in ("a clip ü's_out.mp4  12 frames", "1 other stream kept", "frames/s on cpu"):
        assert fact in line
    assert "fp32" in err
    assert shown("results") == ["a clip ü's_out.mp4"]


def test_flags_about_the_result_reach_the_code(small: list[str]) -> None:
    make()
    argv = ["-s", "2", "--suffix", "", "-o", "there", "--ext", "mkv", "--codec", "ffv1", "--pix_fmt", "yuv444p"]
    assert main(["-i", "a.mp4", *argv, "--keep_segments", "--extract_frame_first", "--ffmpeg_bin", "x", *small]) == 0
    assert shown("there") == ["a.mkv", "a.work"]
    assert decoded(Path("there/a.mkv"), "rgb24")[0].shape == (96, 128, 3)


def test_a_folder_of_frames_becomes_a_video_at_the_given_rate(small: list[str]) -> None:
    Path("frames").mkdir()
    for number in range(6):
        files.write(Path(f"frames/{number:03}.png"), Picture(picture(12, 16, seed=number)))
    assert main(["-i", "frames", "--fps", "30000/1001", *small]) == 0
    times = frame_times(Path("results/frames_out.mp4"))
    assert [time * 30000 for time in times] == [1001 * number for number in range(6)]


def test_a_folder_that_cannot_be_used_fails_and_the_other_inputs_are_restored(
    small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    make("a.mp4")
    for folder, pictures in (("mixed", ("f1.png", "f2.png")), ("season", ("cover.png",))):
        Path(folder).mkdir()
        shutil.copy("a.mp4", f"{folder}/{folder}1.mp4")
        for name in pictures:
            files.write(Path(folder, name), Picture(picture(12, 16)))
    assert main(["-i", "mixed", "season", *small]) == 1
    out, err = capsys.readouterr()
    assert shown("results") == ["season1_out.mp4"]
    assert "failed: mixed: holds both videos" in err
    assert "season: left out cover.png" in err
    assert "1 video restored, 1 failed" in out


@pytest.mark.parametrize(("words", "frames"), [("50", 24), ("12.5", 6), ("24000/1001", 12)])
def test_fps_retimes_a_video(small: list[str], words: str, frames: int) -> None:
    make()
    assert main(["-i", "a.mp4", "--fps", words, *small]) == 0
    assert len(decoded(Path("results/a_out.mp4"))) == frames


@pytest.mark.parametrize(("start", "end", "frames"), [("0.2", None, 7), ("0:00.2", "00:00:00.4", 5), (None, "0.08", 2)])
def test_start_and_end_cut(small: list[str], start: str | None, end: str | None, frames: int) -> None:
    make()
    argv = [*(["--start", start] if start else []), *(["--end", end] if end else [])]
    assert main(["-i", "a.mp4", *argv, *small]) == 0
    assert len(decoded(Path("results/a_out.mp4"))) == frames


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--start", "soon"], "--start soon: give seconds"),
        (["--start", "1:2:3:4"], "--start 1:2:3:4: give seconds"),
        (["--end", "-1"], "--end"),
        (["--start", "2", "--end", "1"], "--end 1: must be after --start"),
        (["--fps", "0"], "--fps 0: must be above 0"),
        (["--fps", "fast"], "--fps fast: give frames per second"),
        (["--fps", "1/0"], "--fps 1/0: give frames per second"),
        (["--num_process_per_gpu", "0"], "--num_process_per_gpu 0: must be at least 1"),
        (["--codec", "nonsense"], "nonsense: this installation has libx264"),
        (["--ext", "webm"], "webm: cannot hold libx264 video; try "),
        (["-i", "missing.mp4"], "-i missing.mp4: there is no such file"),
        (["-o", "a.mp4/there"], "-o a.mp4/there: cannot be written"),
        (["-o", ".", "--suffix", ""], "a.mp4 is an input and would be overwritten"),
        (["-i", "a.mp4", "a.mkv"], "a.mp4 and a.mkv would both be written to"),
    ],
)
def test_invalid_options_are_refused_in_one_line(
    small: list[str], capsys: pytest.CaptureFixture[str], argv: list[str], words: str
) -> None:
    make()
    shutil.copy("a.mp4", "a.mkv")
    assert main([*([] if "-i" in argv else ["-i", "a.mp4"]), *argv, *small]) == 2
    out, err = capsys.readouterr()
    assert words in err.splitlines()[-1]
    assert out == ""
    assert not list(Path().glob("**/*_out.*"))


def test_a_mistake_is_reported_before_the_network_is_loaded(small: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    make()
    monkeypatch.setattr(machines, "load", lambda *options, **more: 1 / 0)
    assert main(["-i", "a.mp4", "--codec", "nonsense", *small]) == 2
    assert main(["-i", "a.mp4", "--ext", "webm", *small]) == 2


def test_bad_inputs_are_named_and_the_rest_is_done(small: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    make("good.mp4")
    Path("empty.mp4").touch()
    Path("text.mp4").write_text("words " * 100)
    Clip([], sounds=[Sound()]).write(Path("sound.m4a"))
    assert main(["-i", "empty.mp4", "text.mp4", "sound.m4a", "good.mp4", *small]) == 1
    out, err = capsys.readouterr()
    failures = [line for line in err.splitlines() if line.startswith("failed: ")]
    assert [word for word, line in zip(("empty", "not a video", "only audio"), failures, strict=True) if word in line]
    assert out.splitlines()[-1] == "1 video restored, 3 failed"
    assert shown("results") == ["good_out.mp4"]


def test_damage_is_named_and_strict_refuses_it(small: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    corrupted(make("a.mkv", 20, options=INTRA), 8)
    cut_off(make("b.mkv", 40, options=INTRA))
    assert main(["-i", "a.mkv", "b.mkv", *small]) == 0
    err = capsys.readouterr().err
    assert "1 damaged frame was replaced by the one before" in err
    assert "s cannot be decoded and are missing" in err
    assert len(decoded(Path("results/a_out.mp4"))) == 20
    Path("results/a_out.mp4").unlink()
    assert main(["-i", "a.mkv", "--strict", *small]) == 1
    assert "(--strict)" in capsys.readouterr().err
    assert not Path("results/a_out.mp4").exists()


def test_several_workers_give_what_one_gives(small: list[str]) -> None:
    make(sounds=[Sound()])
    assert main(["-i", "a.mp4", "--suffix", "one", *small]) == 0
    assert main(["-i", "a.mp4", "--suffix", "two", *small[:-1], "cpu,cpu"]) == 0
    assert main(["-i", "a.mp4", "--suffix", "four", "--num_process_per_gpu", "2", *small[:-1], "cpu,cpu"]) == 0
    assert same("a_one.mp4", "a_two.mp4")
    assert same("a_one.mp4", "a_four.mp4")


def wait_for_segments(count: int) -> None:
    """Encoding is behind restoring, by how much the threads decide."""
    deadline = time.monotonic() + PATIENCE_S
    while len(list(Path("results").glob("*.work/0*[0-9].mkv"))) < count and time.monotonic() < deadline:
        time.sleep(0.005)


def broken(monkeypatch: pytest.MonkeyPatch, after: int, error: BaseException) -> Callable[[], None]:
    """Let the network fail after some frames, once their segments are on disk; returns a function that repairs it."""
    real, done = loading._restorer, []

    def restorer(*facts: Any) -> Any:
        restore = real(*facts)

        def failing(frame: Array, listener: Listener) -> Array:
            done.append(1)
            if len(done) > after:
                wait_for_segments(after // SEGMENT)
                raise error
            return restore(frame, listener)

        return failing

    monkeypatch.setattr(loading, "_restorer", restorer)
    return lambda: monkeypatch.setattr(loading, "_restorer", real)


def test_an_empty_name_does_not_stand_for_the_folder_one_is_in(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-i", ""]) == 2
    assert "-i: an empty name" in capsys.readouterr().err


def test_a_worker_that_dies_of_a_bug_raises_and_the_same_command_goes_on(
    small: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make(sounds=[Sound()])
    assert main(["-i", "a.mp4", "--suffix", "whole", *small]) == 0
    mend = broken(monkeypatch, 8, ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        main(["-i", "a.mp4", *small])
    assert not Path("results/a_out.mp4").exists()
    mend()
    capsys.readouterr()
    assert main(["-i", "a.mp4", *small]) == 0
    out, err = capsys.readouterr()
    assert "going on after 5 frames of an earlier run" in err
    assert "5 from an earlier run" in out
    assert same("a_whole.mp4", "a_out.mp4")
    assert not list(Path("results").glob("*.work"))


def test_an_encoder_that_fails_half_way_is_one_line_and_the_same_command_goes_on(
    small: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make(sounds=[Sound()])
    assert main(["-i", "a.mp4", "--suffix", "whole", *small]) == 0
    real, done = segment_encoder.to_frame, []

    def failing(*facts: Any) -> av.VideoFrame:
        done.append(1)
        if len(done) > 8:
            raise av.error.ExternalError(1, "the encoder's own words")
        return real(*facts)

    monkeypatch.setattr(segment_encoder, "to_frame", failing)
    assert main(["-i", "a.mp4", *small]) == 1
    out, err = capsys.readouterr()
    line = err.splitlines()[-1]
    assert line.startswith("failed: a.mp4: libx264 into ")
    assert line.endswith("a_out.work failed: the encoder's own words")
    assert not Path("results/a_out.mp4").exists()
    monkeypatch.setattr(segment_encoder, "to_frame", real)
    assert main(["-i", "a.mp4", *small]) == 0
    assert "5 from an earlier run" in capsys.readouterr().out
    assert same("a_whole.mp4", "a_out.mp4")


def test_a_size_the_encoder_refuses_is_reported_in_its_own_words(
    small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Clip(moving(2, 4104, 2), codec="ffv1", options={}).write(Path("wide.mkv"))
    assert main(["-i", "wide.mkv", *small]) == 1
    err = capsys.readouterr().err
    assert err.splitlines()[-1].endswith("failed: invalid width x height (16416x8)")
    assert "Traceback" not in err


def test_the_whole_time_is_estimated_after_the_first_frames(
    small: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make()
    clock = iter(range(0, 10_000, 10))
    monkeypatch.setattr(reporting, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    assert main(["-i", "a.mp4", *small]) == 0
    estimates = [line for line in capsys.readouterr().err.splitlines() if line.startswith("about ")]
    assert estimates == ["about 1 min 30 s for the other 9 frames"]  # the two after the first took 20 s


def test_fields_that_come_late_are_reported_at_the_end(small: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    joined([(bars(14, fields=False), False), (bars(6, fields=True), True)], Path("late.ts"))
    assert main(["-i", "late.ts", *small]) == 0
    assert "late.ts: 6 frames were interlaced" in capsys.readouterr().err
    joined([(bars(6, fields=True), True)], Path("early.ts"))
    assert main(["-i", "early.ts", *small]) == 0
    err = capsys.readouterr().err
    assert "early.ts: interlaced; each pair of fields becomes one frame" in err
    assert "were interlaced" not in err


@pytest.mark.parametrize(("threads", "share"), [(8, 4), (3, 1), (1, 1)])
def test_copies_of_the_network_on_one_cpu_share_its_threads(
    small: list[str], monkeypatch: pytest.MonkeyPatch, threads: int, share: int
) -> None:
    make(count=4)
    before = torch.get_num_threads()
    used: list[int] = []
    real = loading._restorer

    def restorer(*facts: Any) -> Any:
        restore = real(*facts)

        def watched(frame: Array, listener: Callable[[float], None]) -> Array:
            result = restore(frame, listener)
            used.append(torch.get_num_threads())
            return result

        return watched

    monkeypatch.setattr(loading, "_restorer", restorer)
    torch.set_num_threads(threads)
    try:
        assert main(["-i", "a.mp4", "--num_process_per_gpu", "2", *small]) == 0
    finally:
        torch.set_num_threads(before)
    assert set(used) == {share}
    assert len(used) == 4


def test_results_that_differ_only_in_letter_case_are_one_where_the_system_says_so(
    small: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make("b.mp4")
    shutil.copy("b.mp4", "B.mkv")
    monkeypatch.setattr(os.path, "normcase", lambda path: str(path).lower())
    assert main(["-i", "b.mp4", "B.mkv", *small]) == 2
    assert "would both be written to" in capsys.readouterr().err


def test_other_options_start_over_and_say_so(
    small: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make()
    mend = broken(monkeypatch, 8, ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        main(["-i", "a.mp4", *small])
    mend()
    assert main(["-i", "a.mp4", "--crf", "30", *small]) == 0
    out, err = capsys.readouterr()
    assert "is started over: it was of another job" in err
    assert "earlier run" not in out


def test_ctrl_c_is_one_line_and_130(
    small: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make()
    broken(monkeypatch, 8, KeyboardInterrupt())
    assert main(["-i", "a.mp4", *small]) == 130
    *_, where, last = capsys.readouterr().err.splitlines()
    assert where.startswith("5 frames are safe in ")
    assert where.endswith("the same command goes on from there")
    assert last == "interrupted"


def run_script(*argv: str | Path, **more: Any) -> subprocess.Popen[str]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    code = (
        "import sys; from realesrgan.video import segments; segments.MOST_FRAMES = segments.FEWEST_FRAMES = 5; "
        "from realesrgan.cli.video import main; sys.exit(main(sys.argv[1:]))"
    )
    try:
        return subprocess.Popen(
            [sys.executable, "-c", code, *map(str, argv)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=os.environ | {"PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROJECT)},
            **more,
        )
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no kill -9 and no Ctrl-C for one process")
@pytest.mark.parametrize("how", ["SIGKILL", "SIGINT"])
def test_a_killed_run_goes_on_and_ends_the_same(rrdbnet_file: Path, how: str) -> None:
    make(count=40, sounds=[Sound()])
    argv = ["-i", "a.mp4", "--model_path", str(rrdbnet_file), "--fp32", "-g", "cpu", "-s", "2"]
    with run_script(*argv) as process:
        deadline = time.monotonic() + PATIENCE_S
        finished = Path("results/a_out.work/00000005.mkv")
        while not finished.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(getattr(signal, how))
        _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == (130 if how == "SIGINT" else -signal.SIGKILL), err
    assert "Traceback" not in err
    assert not Path("results/a_out.mp4").exists()
    assert len(list(Path("results/a_out.work").glob("0*[0-9].mkv"))) >= 2
    assert main(argv) == 0
    assert main([*argv, "--suffix", "whole"]) == 0
    assert same("a_out.mp4", "a_whole.mp4")


@pytest.mark.skipif(os.name == "nt", reason="only POSIX can limit the size of files")
def test_a_full_disk_is_reported_and_nothing_is_lost(srvgg_file: Path) -> None:
    make(count=20)
    Path("results").mkdir()
    Path("results/a_out.mp4").write_bytes(b"an older result")

    def small_disk() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))

    argv = ["-i", "a.mp4", "--model_path", str(srvgg_file), "--fp32", "-g", "cpu", "--codec", "ffv1", "--ext", "mkv"]
    with run_script(*argv, preexec_fn=small_disk) as process:
        _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1, err
    assert "Traceback" not in err
    assert "failed: " in err.splitlines()[-1]
    assert Path("results/a_out.mp4").read_bytes() == b"an older result"
    assert main(argv) == 0
    assert len(decoded(Path("results/a_out.mkv"))) == 20
