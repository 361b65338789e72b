"""The evaluate command: every flag reaches the code, every mistake is one line with the right exit code."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from clips import Clip, moving
from tiny import picture

from realesrgan.arrays import Array
from realesrgan.cli import evaluate as command
from realesrgan.cli import main as realesrgan
from realesrgan.cli.data_options import EvaluateOptions
from realesrgan.image import files
from realesrgan.image.files import Picture
from realesrgan.metrics import learned, metric
from realesrgan.metrics.fidelity import psnr, ssim

PROJECT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three results and their originals."""
    monkeypatch.chdir(tmp_path)
    for folder in ("r", "t"):
        Path(folder).mkdir()
    for number, name in enumerate("abc"):
        write(f"t/{name}.png", picture(24, 20, seed=number) // 2)
        write(f"r/{name}_out.png", picture(24, 20, seed=number) // 2 + number + 1)


def write(name: str, pixels: Array) -> None:
    files.write(Path(name), Picture(pixels.astype(np.uint8)))


def read(name: str) -> Array:
    return files.read(Path(name)).pixels


def run(*argv: str, results: str = "r", originals: str = "t") -> int:
    return realesrgan.main(["evaluate", "-r", results, "-t", originals, *argv])


def table(capsys: pytest.CaptureFixture[str]) -> dict[str, list[str]]:
    """The values printed, by the first word of their line."""
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    return {"": lines[0], **{line[0]: line[1:] for line in lines[1:]}}


def rows_of(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(Path(name).read_text(encoding="utf-8").splitlines()))


def told(name: str = "values.json") -> list[dict[str, float]]:
    return [one["values"] for one in json.loads(Path(name).read_text(encoding="utf-8"))["results"]]


def test_the_table_has_each_picture_and_the_mean(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    printed = table(capsys)
    assert printed[""] == ["psnr", "ssim"]
    assert printed["r/a_out.png"] == ["48.13", f"{ssim(read('r/a_out.png'), read('t/a.png')):.4f}"]
    assert list(printed) == ["", "r/a_out.png", "r/b_out.png", "r/c_out.png", "mean"]


@pytest.mark.parametrize(
    ("argv", "names"),
    [
        (["--metrics", "ssim"], ["ssim"]),
        (["--metrics", "ssim, psnr_y"], ["ssim", "psnr_y"]),
        (["--y"], ["psnr", "psnr_y", "ssim", "ssim_y"]),
        (["--y", "--metrics", "psnr"], ["psnr", "psnr_y"]),
    ],
)
def test_the_metrics_are_those_asked_for(argv: list[str], names: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*argv) == 0
    assert table(capsys)[""] == names


def test_the_border_is_none_by_default_and_does_not_count_if_given() -> None:
    ours, theirs = read("r/a_out.png"), read("t/a.png")
    ours[0] = 0
    write("r/a_out.png", ours)
    run("--json", "all.json")
    run("--json", "inner.json", "--border", "4")
    assert told("all.json")[0]["psnr"] == pytest.approx(psnr(ours, theirs), abs=1e-6)
    assert told("inner.json")[0]["psnr"] == pytest.approx(psnr(ours, theirs, border=4), abs=1e-6)
    assert told("inner.json")[0]["psnr"] > told("all.json")[0]["psnr"]


def test_the_suffix_reaches_the_matching(capsys: pytest.CaptureFixture[str]) -> None:
    for name in "abc":
        os.rename(f"r/{name}_out.png", f"r/{name}_x4.png")
    assert run() == 1
    assert run("--suffix", "x4") == 0


def test_sub_folders_are_gone_into_only_with_recursive(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("r/deep/d_out.png", "t/deep/d.png"):
        Path(name).parent.mkdir()
        write(name, picture(24, 20))
    assert run() == 0
    out, err = capsys.readouterr()
    assert "d_out" not in out
    assert "passed over: r/deep: a folder; --recursive goes into it" in err
    assert run("--recursive") == 0
    assert "r/deep/d_out.png" in capsys.readouterr().out


def test_the_files_have_what_the_table_has() -> None:
    assert run("--csv", "new/values.csv", "--json", "values.json", "--sheet", "sheet.png") == 0
    rows = rows_of("new/values.csv")
    assert [row["result"] for row in rows] == ["r/a_out.png", "r/b_out.png", "r/c_out.png", "mean"]
    assert [float(row["psnr"]) for row in rows[:3]] == [values["psnr"] for values in told()]
    assert read("sheet.png").shape[1] > 3 * 100


def test_several_workers_print_what_one_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--workers", "1") == 0
    alone = capsys.readouterr().out
    assert run("--workers", "3") == 0
    assert capsys.readouterr().out == alone


def test_a_video_is_its_mean_and_its_worst_frame_and_each_frame_if_asked(capsys: pytest.CaptureFixture[str]) -> None:
    Clip(moving(4), options={"crf": "40", "preset": "ultrafast"}).write(Path("clip_out.mp4"))
    Clip(moving(4)).write(Path("clip.mp4"))
    sides = {"results": "clip_out.mp4", "originals": "clip.mp4"}
    assert run("--csv", "short.csv", **sides) == 0
    printed = table(capsys)
    assert printed[""] == ["psnr", "ssim", "flicker", "warping", "warping_original"]
    assert printed["worst"][:3] == ["of", "4", "frames"]
    assert run("--csv", "long.csv", "--json", "values.json", "--per_frame", "--sheet", "sheet.png", **sides) == 0
    short, long = rows_of("short.csv"), rows_of("long.csv")
    assert [row["frame"] for row in short] == ["mean", "worst", ""]
    assert [row["frame"] for row in long] == ["0", "1", "2", "3", "mean", "worst", ""]
    assert min(float(row["psnr"]) for row in long[:4]) == float(long[5]["psnr"])
    assert len(json.loads(Path("values.json").read_text(encoding="utf-8"))["results"][0]["frames"]) == 4


def test_a_failure_is_named_the_rest_is_measured_and_the_exit_code_is_1(capsys: pytest.CaptureFixture[str]) -> None:
    whole = Path("r/b_out.png").read_bytes()
    Path("r/b_out.png").write_bytes(whole[: len(whole) // 2])
    Path("t/d.png").write_bytes(whole)
    assert run() == 1
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["r/a_out.png", "r/c_out.png", "mean"]
    assert err.count("failed: r/b_out.png") == 1
    assert "failed: t/d.png: has no result" in err
    assert "2 measured, 2 failed" in err


def test_a_result_that_is_its_original_is_left_out_of_the_mean_and_that_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write("r/a_out.png", read("t/a.png"))
    assert run("--metrics", "psnr") == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].split()[-1] != "inf"
    assert "psnr: infinite for 1 result, the same as the original; not in the mean" in err


@pytest.mark.parametrize(
    "argv",
    [
        ["--metrics", ","],
        ["--border", "-1"],
        ["--workers", "0"],
        ["--suffix", "a/b"],
        ["--per_frame"],
        ["--sheet", "sheet.txt"],
        ["--sheet", "r/a_out.png"],
        ["--csv", "r"],
        ["--csv", "x", "--json", "x"],
    ],
)
def test_wrong_usage_is_one_line_that_names_the_flag(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    before = read("r/a_out.png")
    assert run(*argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith(f"error: {argv[0]}")
    assert (read("r/a_out.png") == before).all()


@pytest.mark.parametrize(("results", "originals"), [("nothing", "t"), ("r", "nothing"), ("empty", "t")])
def test_what_is_not_there_is_wrong_usage(results: str, originals: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    assert run(results=results, originals=originals) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("argv", [[], ["-r", "r"], ["-t", "t"]])
def test_both_sides_must_be_given(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        realesrgan.main(["evaluate", *argv])
    assert left.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_learned_metrics_reach_the_table_and_tell_where_they_come_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load(names: Sequence[str], reporter: object) -> list[metric.Metric]:
        return [metric.Metric(name, lambda result, original: 0.25, lower_is_better=True) for name in names]

    monkeypatch.setattr(learned, "load", load)
    assert run("--metrics", "lpips,psnr") == 0
    printed = table(capsys)
    assert printed[""] == ["lpips", "psnr"]
    assert printed["r/a_out.png"] == ["0.2500", "48.13"]


def test_the_help_names_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        command.main(["--help"])
    assert left.value.code == 0
    printed = capsys.readouterr().out
    assert all(f"--{field.name}" in printed for field in fields(EvaluateOptions))


def test_measuring_loads_no_torch() -> None:
    code = (
        "import sys; from realesrgan.cli.main import main; code = main(sys.argv[1:]); "
        "print('torch' in sys.modules); sys.exit(code)"
    )
    argv = [sys.executable, "-c", code, "evaluate", "-r", "r", "-t", "t"]
    ran = subprocess.run(
        argv, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(PROJECT)}, check=True
    )
    assert ran.stdout.splitlines()[-1] == "False"


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_ends_it_in_order_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(result: Array, original: Array) -> float:
        os.kill(os.getpid(), signal.SIGINT)
        return 1.0

    monkeypatch.setitem(metric.BUILT_IN, "psnr", metric.Metric("psnr", interrupt))
    assert run("--csv", "values.csv", "--workers", "1") == 130
    assert not Path("values.csv").exists()
    assert "interrupted" in capsys.readouterr().err
