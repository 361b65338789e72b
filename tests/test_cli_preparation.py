"""The commands that make training data: every published flag and default, clear lines, the right exit codes."""

from __future__ import annotations

import re
import runpy
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from tiny import picture

from realesrgan.cli import lists, multiscale, pairs, subimages
from realesrgan.cli import main as command
from realesrgan.cli.options import parse
from realesrgan.cli.preparation_options import ListsOptions, MultiscaleOptions, PairsOptions, SubimagesOptions
from realesrgan.image import files
from realesrgan.image.files import Picture

SCRIPTS = Path(__file__).parents[1] / "scripts"
PATIENCE_S = 60  # longer than anything here takes; only a test that fails waits for it

# The published flags and defaults. Published roots are written out: they are the folders above the default inputs.
PUBLISHED: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "multiscale": (
        "generate_multiscale_DF2K",
        MultiscaleOptions,
        {"input": ("datasets/DF2K/DF2K_HR",), "output": "datasets/DF2K/DF2K_multiscale"},
    ),
    "subimages": (
        "extract_subimages",
        SubimagesOptions,
        {
            "input": ("datasets/DF2K/DF2K_HR",),
            "output": "datasets/DF2K/DF2K_HR_sub",
            "crop_size": 480,
            "step": 240,
            "thresh_size": 0,
            "n_thread": 20,
            "compression_level": 3,
        },
    ),
    "lists": (
        "generate_meta_info",
        ListsOptions,
        {
            "input": ("datasets/DF2K/DF2K_HR", "datasets/DF2K/DF2K_multiscale"),
            "root": (),
            "meta_info": "datasets/DF2K/meta_info/meta_info_DF2Kmultiscale.txt",
            "check": False,
        },
    ),
    "pairs": (
        "generate_meta_info_pairdata",
        PairsOptions,
        {
            "input": ("datasets/DF2K/DIV2K_train_HR_sub", "datasets/DF2K/DIV2K_train_LR_bicubic_X4_sub"),
            "root": (),
            "meta_info": "datasets/DF2K/meta_info/meta_info_DIV2K_sub_pair.txt",
        },
    ),
}
OURS = {
    "multiscale": {"recursive", "skip_existing", "dry_run", "no_enlarge", "n_thread"},
    "subimages": {"recursive", "skip_existing", "dry_run", "keep_small", "keep_names"},
    "lists": {"recursive", "n_thread"},
    "pairs": {"recursive", "n_thread", "check", "filename_tmpl"},
}
MAINS: dict[str, Callable[..., int]] = {
    "multiscale": multiscale.main,
    "subimages": subimages.main,
    "lists": lists.main,
    "pairs": pairs.main,
}


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths in these tests are relative to the working directory."""
    monkeypatch.chdir(tmp_path)


def make(*names: str, height: int = 24, width: int = 20) -> None:
    for number, name in enumerate(names):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        files.write(Path(name), Picture(picture(height, width, seed=number)))


def found(folder: str) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("[!.]*") if path.is_file())


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_flag_has_its_published_default(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, options, defaults = PUBLISHED[name]
    assert vars(parse(options, [], "prog", "")).items() >= defaults.items()
    assert {one.name for one in fields(options)} == set(defaults) | OURS[name]
    with pytest.raises(SystemExit) as left:
        MAINS[name](["--help"])
    assert left.value.code == 0
    told = capsys.readouterr().out
    assert all(f"--{flag}" in told for flag in {*defaults, *OURS[name]})


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_script_is_the_command(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = SCRIPTS / f"{PUBLISHED[name][0]}.py"
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(script), run_name="__main__")
    assert left.value.code == 0
    by_script = capsys.readouterr().out
    assert by_script.startswith(f"usage: {script.name}")
    with pytest.raises(SystemExit):
        command.main([name, "--help"])
    options = by_script[by_script.index("options:") :]
    assert options in capsys.readouterr().out


def test_published_commands_make_training_data_from_a_folder_of_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    make("datasets/DF2K/DF2K_HR/0001.png", "datasets/DF2K/DF2K_HR/0002.png", height=500, width=481)
    assert multiscale.main([]) == 0
    assert subimages.main([]) == 0
    assert lists.main([]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("10 pictures, paths relative to datasets/DF2K")
    listed = Path("datasets/DF2K/meta_info/meta_info_DF2Kmultiscale.txt").read_text().splitlines()
    assert len(listed) == 10
    assert all((Path("datasets/DF2K") / line).is_file() for line in listed)
    assert found("datasets/DF2K/DF2K_HR_sub") == [f"000{n}_s00{part}.png" for n in (1, 2) for part in (1, 2, 3, 4)]


def test_flags_reach_the_code() -> None:
    make("in/ax2.png", "in/deep/b.png")
    make("in/small.png", height=10)
    grid = ["--crop_size", "16", "--step", "6", "--thresh_size", "2"]
    machine = ["--n_thread", "3", "--compression_level", "0"]
    assert subimages.main(["-i", "in", "-o", "out", "-r", "--keep_names", "--keep_small", *grid, *machine]) == 0
    # 24 × 20 pixels: rows begin at 0 and 6, and a rest of 2 pixels is no more than the threshold; columns at 0 and 4.
    of_each = [f"s00{number}.png" for number in (1, 2, 3, 4)]
    whole = [f"{name}_{end}" for name in ("ax2", "deep/b") for end in of_each]
    assert found("out") == [*whole, "small_s001.png", "small_s002.png"]
    assert {files.read(Path("out") / name).pixels.shape[:2] for name in found("out")} == {(16, 16), (10, 16)}
    assert Path("out/ax2_s001.png").stat().st_size > 16 * 16 * 3  # not compressed
    assert multiscale.main(["-i", "in/ax2.png", "-o", "copies", "--no_enlarge", "--n_thread", "1"]) == 0
    assert found("copies") == [f"ax2T{n}.png" for n in range(3)]


def test_torch_is_not_loaded_to_prepare_pictures() -> None:
    make("in/a.png")
    code = (
        "import sys; from realesrgan.cli.main import main; "
        "codes = [main(words.split()) for words in sys.argv[1:]]; print('torch' in sys.modules, codes)"
    )
    commands = [
        "subimages -i in -o out --crop_size 9",
        "lists -i in --meta_info l.txt --check",
        "multiscale -i in -o m",
    ]
    run = subprocess.run([sys.executable, "-c", code, *commands], capture_output=True, text=True, timeout=PATIENCE_S)
    assert run.stdout.splitlines()[-1] == "False [0, 0, 0]"


def test_the_end_says_how_many_pictures_results_and_small_ones(capsys: pytest.CaptureFixture[str]) -> None:
    make("in/a.png", "in/b.png")
    make("in/small.png", height=10)
    assert subimages.main(["-i", "in", "-o", "out", "--crop_size", "20", "--step", "20"]) == 0
    told = capsys.readouterr()
    last = told.out.splitlines()[-1]
    assert last.startswith("4 sub-images of 2 pictures, 1 too small (--keep_small takes them) in ")
    assert last.endswith("; they are in out")
    assert f"too small: {Path('in/small.png')}: 20×10" in told.err
    assert multiscale.main(["-i", "in", "-o", "out"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("12 copies of 3 pictures, 3 smaller than 400 pixels, whose T3 is enlarged (--no_enlarge")


@pytest.mark.parametrize("name", ["multiscale", "subimages"])
def test_small_pictures_alone_are_not_no_pictures(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    make("in/small.png", height=10)
    size = ["--crop_size", "20"] if name == "subimages" else []
    assert MAINS[name](["-i", "in", "-o", "out", *size]) == 0
    expected = "4 copies of 1 picture, 1 smaller" if name == "multiscale" else "0 sub-images of 0 pictures, 1 too small"
    assert capsys.readouterr().out.splitlines()[-1].startswith(expected)


@pytest.mark.parametrize("name", ["multiscale", "subimages"])
def test_a_dry_run_writes_nothing(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    make("in/a.png")
    size = ["--crop_size", "20"] if name == "subimages" else []
    assert MAINS[name](["-i", "in", "-o", "out", "--dry_run", *size]) == 0
    assert not Path("out").exists()
    told = capsys.readouterr().out
    assert str(Path("out")) in told
    assert told.splitlines()[-1].endswith("nothing written")


@pytest.mark.parametrize("name", ["multiscale", "subimages"])
def test_an_empty_folder_gives_no_folder_and_a_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("in").mkdir()
    assert MAINS[name](["-i", "in", "-o", "out"]) == 0
    assert capsys.readouterr().out == "no pictures found\n"
    assert not Path("out").exists()


@pytest.mark.parametrize("name", ["multiscale", "subimages"])
def test_a_damaged_picture_is_named_and_the_exit_code_is_1(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    make("in/a.png", "in/b.png")
    Path("in/b.png").write_bytes(Path("in/b.png").read_bytes()[:-30])
    size = ["--crop_size", "20"] if name == "subimages" else []
    assert MAINS[name](["-i", "in", "-o", "out", *size]) == 1
    told = capsys.readouterr()
    assert "b.png: damaged" in told.err
    assert "1 failed" in told.out
    assert {path.split("_")[0].split("T")[0] for path in found("out")} == {"a"}


@pytest.mark.parametrize("name", ["multiscale", "subimages", "lists", "pairs"])
@pytest.mark.parametrize("argv", [[], ["-i", "none", "none"], ["--n_thread", "0"]])
def test_wrong_usage_is_one_line_and_exit_code_2(
    name: str, argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert MAINS[name](argv) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1


def test_results_below_their_own_inputs_are_not_taken_again() -> None:
    make("in/a.png")
    for _ in range(2):
        assert subimages.main(["-i", "in", "-r", "-o", "in/sub", "--crop_size", "20", "--step", "20"]) == 0
    assert found("in") == ["a.png", "sub/a_s001.png", "sub/a_s002.png"]


def test_left_over_pictures_are_named_and_the_exit_code_is_1(capsys: pytest.CaptureFixture[str]) -> None:
    make(*(f"gt/{n}.png" for n in range(9)), "lq/0x4.png", "lq/extra.png")
    assert pairs.main(["-i", "gt", "lq", "--meta_info", "pairs.txt", "--filename_tmpl", "{}x4", "--check"]) == 1
    told = capsys.readouterr()
    assert told.out == "pairs.txt  1 pair of scale 1, paths relative to .\n"
    assert "without a partner in gt: 8 pictures: 1.png, 2.png, 3.png, …\n" in told.err
    assert "without a partner in lq: extra.png\n" in told.err
    assert Path("pairs.txt").read_text() == "gt/0.png, lq/0x4.png\n"
    make("whole/0x4.png")
    assert pairs.main(["-i", "whole", "whole", "--meta_info", "pairs.txt"]) == 0


def test_lists_say_what_they_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    make("hr/a.png", "hr/b b.png")
    Path("hr/b b.png").write_bytes(Path("hr/a.png").read_bytes()[:-30])
    assert lists.main(["-i", "hr", "--meta_info", "list.txt"]) == 0
    assert "first blank and will not find hr/b b.png" in capsys.readouterr().err
    assert lists.main(["-i", "hr", "--meta_info", "list.txt", "--root", "hr", "--check"]) == 1
    told = capsys.readouterr()
    assert told.out == "list.txt  1 picture, paths relative to hr, 1 failed\n"
    assert Path("list.txt").read_text() == "a.png\n"


def test_the_commands_of_the_guide_run_one_after_the_other() -> None:
    make("data/HR/0801.png", "data/HR/0802.png", height=960, width=504)
    make("data/LR/0801x4.png", "data/LR/0802x4.png", height=240, width=126)
    guide = (SCRIPTS.parent / "docs" / "data.md").read_text(encoding="utf-8")
    blocks = "".join(re.findall(r"```sh\n(.*?)```", guide, re.DOTALL)).splitlines()
    lines = [shlex.split(line)[1:] for line in blocks if line.startswith("realesrgan ")]
    assert {line[0] for line in lines} == set(MAINS)
    assert [command.main(line) for line in lines] == [0] * len(lines)
    assert Path("data/pairs.txt").read_text().splitlines()[0] == "HR_480/0801_s001.png, LR_120/0801_s001.png"
    assert Path("data/whole_pairs.txt").read_text().splitlines()[0] == "HR/0801.png, LR/0801x4.png"
    listed = Path("data/list.txt").read_text().splitlines()
    assert len(listed) > 10
    assert all((Path("data") / line).is_file() for line in listed)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
def test_ctrl_c_leaves_whole_files_and_the_same_command_does_the_rest() -> None:
    make("in/0.png", height=300, width=300)
    for number in range(1, 40):
        Path(f"in/{number}.png").write_bytes(Path("in/0.png").read_bytes())
    size = ["--crop_size", "32", "--step", "16", "--n_thread", "2"]
    argv = [sys.executable, str(SCRIPTS / "extract_subimages.py"), "-i", "in", "-o", "out", *size]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + PATIENCE_S
    while not Path("out/0_s001.png").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, told
    assert "--skip_existing" in told
    done = found("out")
    assert 0 < len(done) < 40 * 18 * 18
    assert all(files.read(Path("out") / name).pixels.shape == (32, 32, 3) for name in done)
    assert [path for path in Path("out").iterdir() if path.suffix == ".part" or ".part" in path.name] == []
