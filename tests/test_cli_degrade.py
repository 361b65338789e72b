"""`realesrgan degrade`: pairs from a folder, the same whoever makes them and however often, all of it recorded."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import picture

from realesrgan.cli.degrade import main
from realesrgan.degradation import batch, memory
from realesrgan.degradation.draw import draw
from realesrgan.degradation.recipe import PUBLISHED
from realesrgan.degradation.records import FILE_NAME, read
from realesrgan.image import files
from realesrgan.image.files import Picture


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def make(*names: str, height: int = 44, width: int = 52, channels: int = 3, depth: Any = np.uint8) -> None:
    for number, name in enumerate(names):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        files.write(Path(name), Picture(picture(height, width, channels, depth, seed=number)))


def made(folder: str) -> dict[str, bytes]:
    paths = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == 2
    return capsys.readouterr().err


def test_each_picture_gets_a_result_of_its_size_and_a_record() -> None:
    make("in/a.png", "in/b.jpg", "in/sub/c.png")
    assert main(["-i", "in", "-o", "lq", "-r"]) == 0
    assert sorted(made("lq")) == ["a.png", "b.png", FILE_NAME, "sub/c.png"]
    assert files.read(Path("lq/sub/c.png")).pixels.shape == (11, 13, 3)
    records = list(read(Path("lq", FILE_NAME)))
    assert [(record.source, record.output) for record in records] == [
        ("a.png", "a.png"),
        ("b.jpg", "b.png"),
        ("sub/c.png", "sub/c.png"),
    ]
    assert [record.degradation.number for record in records] == [0, 1, 2]


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_pictures_of_any_kind_become_8_bit_colour(
    channels: int, depth: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    make("a.png", channels=channels, depth=depth)
    assert main(["-i", "a.png", "--originals", "gt"]) == 0
    pixels = files.read(Path("lq/a.png")).pixels
    assert (pixels.shape, pixels.dtype) == ((11, 13, 3), np.uint8)
    original = files.read(Path("gt/a.png")).pixels
    assert (original.shape, original.dtype) == ((44, 52, 3), depth)
    assert ("transparency is left out" in capsys.readouterr().err) == (channels == 4)


def test_the_number_of_workers_changes_no_byte() -> None:
    make(*(f"in/{letter}.png" for letter in "abcdef"))
    assert main(["-i", "in", "-o", "one", "-g", "cpu"]) == 0
    assert main(["-i", "in", "-o", "four", "-g", "cpu,cpu,cpu,cpu"]) == 0
    assert made("one") == made("four")
    assert len(set(made("one").values())) == 7


def test_a_picture_alone_gets_what_it_gets_among_others() -> None:
    make(*(f"in/{letter}.png" for letter in "abcdefgh"))
    assert main(["-i", "in", "-o", "all"]) == 0
    assert main(["-i", "in/h.png", "-o", "one", "--first_number", "7"]) == 0
    assert made("one")["h.png"] == made("all")["h.png"]
    assert main(["-i", "in/h.png", "-o", "zero"]) == 0
    assert made("zero")["h.png"] != made("all")["h.png"]


def test_a_picture_keeps_its_result_when_others_are_done_before() -> None:
    make(*(f"in/{letter}.png" for letter in "abcd"))
    assert main(["-i", "in", "-o", "whole"]) == 0
    assert main(["-i", "in", "-o", "resumed"]) == 0
    for name in ("b.png", "d.png"):
        Path("resumed", name).unlink()
    written = Path("resumed/a.png").stat().st_mtime_ns
    assert main(["-i", "in", "-o", "resumed", "--skip_existing"]) == 0
    assert Path("resumed/a.png").stat().st_mtime_ns == written
    assert made("resumed") == made("whole")


def test_a_result_whose_record_a_kill_prevented_is_not_taken_for_done() -> None:
    make(*(f"in/{letter}.png" for letter in "abc"))
    assert main(["-i", "in", "-o", "whole"]) == 0
    assert main(["-i", "in", "-o", "killed"]) == 0
    path = Path("killed", FILE_NAME)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    assert main(["-i", "in", "-o", "killed", "--skip_existing"]) == 0
    assert made("killed") == made("whole")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_name_that_is_not_utf_8_can_be_recorded_and_replayed() -> None:
    make("in/a.png", "in/b.png")
    os.rename(b"in/a.png", b"in/\xff.png")
    assert main(["-i", "in", "-o", "lq"]) == 0
    assert main(["-i", "in", "-o", "again", "--replay", f"lq/{FILE_NAME}"]) == 0
    assert made("again") == made("lq")
    assert len(made("lq")) == 3


def test_variants_differ_and_are_recorded_one_by_one() -> None:
    make("in/a.png", "in/b.png")
    assert main(["-i", "in", "-o", "lq", "--count", "3", "--suffix", "x", "--originals", "gt"]) == 0
    names = [f"{letter}_x_{number}.png" for letter in "ab" for number in (1, 2, 3)]
    assert sorted(made("lq")) == [*names, FILE_NAME]
    assert sorted(made("gt")) == names
    assert len(set(made("lq").values())) == 7
    assert len(set(made("gt").values())) == 2
    assert [record.degradation.number for record in read(Path("lq", FILE_NAME))] == list(range(6))


def test_replay_makes_the_same_bytes_again_whole_or_for_some_numbers() -> None:
    make("in/a.png", "in/b.png", "in/sub/c.png")
    first = ["-r", "--seed", "5", "--count", "2", "--set", "noise_range=[50,60]", "real_prob=1"]
    assert main(["-i", "in", "-o", "lq", *first]) == 0
    assert main(["-i", "in", "-o", "again", "-r", "--replay", f"lq/{FILE_NAME}"]) == 0
    assert made("again") == made("lq")
    assert main(["-i", "in", "-o", "some", "-r", "--replay", f"lq/{FILE_NAME}", "--only", "1", "4"]) == 0
    assert sorted(made("some")) == ["a_2.png", FILE_NAME, "sub/c_1.png"]
    assert all(content == made("lq")[name] for name, content in made("some").items() if name != FILE_NAME)


def test_replay_refuses_another_file_under_the_name_and_names_what_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    make("in/a.png", "in/b.png", "in/c.png")
    assert main(["-i", "in", "-o", "lq"]) == 0
    files.write(Path("in/b.png"), Picture(picture(44, 52, seed=9)))
    Path("in/c.png").unlink()
    capsys.readouterr()
    assert main(["-i", "in", "-o", "again", "--replay", f"lq/{FILE_NAME}"]) == 1
    said = capsys.readouterr().err
    assert "b.png: not the file that was degraded" in said
    assert "c.png: not among the inputs" in said
    assert sorted(made("again")) == ["a.png", FILE_NAME]
    assert "no picture of this number" in refused(
        ["-i", "in", "-o", "x", "--replay", f"lq/{FILE_NAME}", "--only", "7"], capsys
    )


def test_a_resumed_replay_still_names_what_is_missing_and_a_damaged_picture_only_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    make("in/a.png", "in/b.png", "in/c.png")
    again = ["-i", "in", "-o", "again", "--replay", f"lq/{FILE_NAME}", "--skip_existing"]
    assert main(["-i", "in", "-o", "lq"]) == 0
    assert main([*again, "--only", "0"]) == 0
    Path("in/b.png").write_bytes(b"damaged")
    Path("in/c.png").unlink()
    capsys.readouterr()
    assert main(again) == 1
    said = capsys.readouterr().err
    assert said.count("c.png: not among the inputs") == 1
    assert "b.png: not among" not in said
    assert said.count("b.png") == 1


def test_a_picture_that_memory_cannot_hold_is_refused_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make("in/a.png")
    make("in/large.png", height=80, width=100)
    needed = memory.held_bytes(80, 100, [draw(0, 1, PUBLISHED)], sheets=False)
    monkeypatch.setattr(batch, "free_memory_bytes", lambda: 0.99 * needed / batch.HELD_SHARE)
    assert main(["-i", "in"]) == 1
    assert "large.png: too large: degrading 100×80 pixels takes" in capsys.readouterr().err
    assert sorted(made("lq")) == ["a.png", FILE_NAME]


def test_originals_are_cut_to_fit_their_results(capsys: pytest.CaptureFixture[str]) -> None:
    make("a.png", height=47, width=53)
    assert main(["-i", "a.png"]) == 0
    assert "cut to 52×44, a multiple of 4" in capsys.readouterr().err
    assert main(["-i", "a.png", "-o", "lq2", "--originals", "gt"]) == 0
    assert "cut to" not in capsys.readouterr().err
    whole = files.read(Path("a.png")).pixels
    assert np.array_equal(files.read(Path("gt/a.png")).pixels, whole[:44, :52])
    assert made("lq")["a.png"] == made("lq2")["a.png"]


def test_the_recipe_the_scale_and_single_keys_reach_what_is_drawn(tmp_path: Path) -> None:
    make("in/a.png")
    Path("r.yml").write_text("jpeg_range2: [11, 11]\nscale: 2\n")
    assert (
        main(["-i", "in", "--recipe", "r.yml", "--set", "noise_range2=[3,3]", "--set", "gaussian_noise_prob2=1"]) == 0
    )
    steps = [step.model_dump() for step in next(iter(read(Path("lq", FILE_NAME)))).degradation.steps]
    assert [step["quality"] for step in steps if step["step"] == "jpeg"][-1] == 11
    assert [step["strength"] for step in steps if step["step"] == "noise"][-1] == 3
    assert files.read(Path("lq/a.png")).pixels.shape == (22, 26, 3)
    assert main(["-i", "in", "-o", "three", "-s", "3", "--recipe", "r.yml"]) == 0
    assert files.read(Path("three/a.png")).pixels.shape == (14, 17, 3)
    assert main(["-i", "in", "-o", "first", "--classical"]) == 0
    record = next(iter(read(Path("first", FILE_NAME))))
    assert [step.step for step in record.degradation.steps] == ["sharpen", "blur", "resize", "noise", "jpeg"]


def test_a_sheet_shows_each_step_beside_its_name() -> None:
    make("in/a.png", height=90, width=120)
    assert main(["-i", "in", "--sheet", "sheets"]) == 0
    (sheet,) = made("sheets")
    assert sheet == "a_sheet.png"
    pixels = files.read(Path("sheets", sheet)).pixels
    steps = len(next(iter(read(Path("lq", FILE_NAME)))).degradation.steps)
    rows = -(-(steps + 1) // 4)
    assert pixels.shape[0] > rows * 90
    assert pixels.shape[1] > 4 * 120


def test_the_gallery_is_drawn_with_a_picture_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    make("in/a.png", height=60, width=60)
    assert main(["-i", "in", "--gallery", "pictures"]) == 0
    names = {"jpeg.png", "kernels.png", "noise.png", "resize.png", "sharpening.png"}
    assert set(made("pictures")) == names
    assert main(["-i", "in", "--gallery", "other", "--seed", "1", "--ext", "jpg"]) == 0
    assert set(made("other")) == {name.replace("png", "jpg") for name in names}
    assert not Path("lq").exists()
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)


def test_quality_reaches_lossy_results_and_a_replay_with_the_same_makes_the_same() -> None:
    make("in/a.png", height=120, width=160)
    for quality in ("20", "90"):
        assert main(["-i", "in", "-o", quality, "--ext", "jpg", "--quality", quality]) == 0
    assert len(made("20")["a.jpg"]) < len(made("90")["a.jpg"])
    assert main(["-i", "in", "-o", "again", "--quality", "20", "--replay", f"20/{FILE_NAME}"]) == 0
    assert made("again") == made("20")


def test_a_folder_that_cannot_be_written_is_refused_by_its_option(capsys: pytest.CaptureFixture[str]) -> None:
    make("in/a.png")
    Path("file").touch()
    for option in ("--originals", "--sheet"):
        assert f"{option} file" in refused(["-i", "in", option, "file"], capsys)
    assert not list(Path("lq").glob("*"))


def test_a_dry_run_names_every_file_and_writes_none(capsys: pytest.CaptureFixture[str]) -> None:
    make("in/a.png", "in/b.png")
    make("in/tiny.png", height=3, width=40)
    before = made(".")
    assert main(["-i", "in", "--count", "2", "--originals", "gt", "--dry_run"]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].endswith(f"52×44 → {Path('lq/a_1.png')} … a_2.png")
    assert printed[2] == "2 pictures, nothing written"
    assert main(["-i", "in/a.png", "--originals", "gt", "--dry_run"]) == 0
    assert f"→ {Path('lq/a.png')}, {Path('gt/a.png')}\n" in capsys.readouterr().out
    assert main(["-i", "in", "--gallery", "pictures", "--ext", "jpg", "--dry_run"]) == 0
    assert f"{Path('pictures/noise.jpg')}\n" in capsys.readouterr().out
    assert made(".") == before


def test_keys_without_effect_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    make("in/a.png")
    Path("r.yml").write_text("queue_size: 180\nblur_kernel_size: 21\n")
    assert main(["-i", "in", "--recipe", "r.yml", "--set", "repeated_seeds=true"]) == 0
    said = capsys.readouterr().err
    assert "blur_kernel_size has no effect" in said
    assert "queue_size has no effect here, only in training" in said
    assert "repeated_seeds has no effect here" in said
    assert "shared_gray_noise" not in said


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--set", "noise_rnge=[1,2]"], "is noise_range meant?"),
        (["--set", "noise_range"], "key=value"),
        (["--set", "real_formats=[]"], "real_formats"),
        (["--set", "real_format_prob=[1]"], "real_format_prob"),
        (["--scale", "0"], "scale"),
        (["--scale", "17"], "scale"),
        (["--count", "0"], "--count 0: must be a whole number from 1"),
        (["--seed", "-1"], "--seed"),
        (["--quality", "0"], "--quality"),
        (["--suffix", "a/b"], "--suffix"),
        (["--recipe", "nowhere.yml"], "nowhere.yml"),
        (["--replay", "nowhere.jsonl"], "nowhere.jsonl"),
        (["--replay", os.devnull], "holds no records"),
        (["--only", "3"], "--replay"),
        *(
            (["--replay", "nowhere.jsonl", *drawing], f"{drawing[0]}: does not go with --replay")
            for drawing in (
                ["--seed", "1"],
                ["--first_number", "1"],
                ["--count", "2"],
                ["--suffix", "x"],
                ["--ext", "jpg"],
                ["--recipe", "r.yml"],
                ["--set", "scale=2"],
                ["--scale", "2"],
                ["--classical"],
            )
        ),
        (["--gallery", "pictures", "--quality", "0"], "--quality 0"),
        (["-g", "toaster"], "-g toaster"),
        (["-i", "nowhere"], "-i nowhere"),
        (["-o", "in"], "would be overwritten"),
        (["-o", "lq", "--originals", "lq"], "would both be written"),
        (["-o", "in/a.png"], "-o"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_work(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make("in/a.png")
    before = made(".")
    assert reason in refused([*(["-i", "in"] if "-i" not in arguments else []), *arguments], capsys)
    assert made(".") == before


def test_a_picture_that_fails_does_not_stop_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    make("in/a.png", "in/c.png")
    make("in/tiny.png", height=3, width=40)
    content = Path("in/a.png").read_bytes()
    Path("in/b.png").write_bytes(content[: len(content) // 2])
    assert main(["-i", "in"]) == 1
    assert sorted(made("lq")) == ["a.png", "c.png", FILE_NAME]
    out, said = capsys.readouterr()
    assert "2 degraded, 2 failed" in out + said
    assert "b.png" in said
    assert "tiny.png: 40×3 pixels are too few to become 4 times smaller" in said
    assert [record.output for record in read(Path("lq", FILE_NAME))] == ["a.png", "c.png"]


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT to a process of its own")
def test_after_ctrl_c_the_same_command_ends_as_if_never_stopped() -> None:
    make(*(f"in/{number:02}.png" for number in range(12)), height=260, width=260)
    command = [sys.executable, "-m", "realesrgan", "degrade", "-i", "in", "-o", "lq", "-g", "cpu"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 60
        while not list(Path().glob("lq/*.png")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode == 130, said
    assert "interrupted after" in said
    done = [record.output for record in read(Path("lq", FILE_NAME))]
    assert done == sorted(name for name in made("lq") if name != FILE_NAME)
    assert main(["-i", "in", "-o", "lq", "--skip_existing", "-g", "cpu"]) == 0
    assert main(["-i", "in", "-o", "whole", "-g", "cpu"]) == 0
    assert made("lq") == made("whole")


def test_lines_are_plain_json_and_hold_no_path_of_this_machine(tmp_path: Path) -> None:
    make("in/a.png")
    assert main(["-i", str(tmp_path / "in"), "-o", str(tmp_path / "lq")]) == 0
    text = Path("lq", FILE_NAME).read_text()
    assert str(tmp_path) not in text
    assert set(json.loads(text)) == {"output", "source", "sha256", "degradation"}
