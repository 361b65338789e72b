"""The calibrate command: every flag reaches the code, every mistake is one line with the right exit code."""

from __future__ import annotations

import re
from dataclasses import fields
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from realesrgan.arrays import Array
from realesrgan.cli import calibrate as command
from realesrgan.cli import degrade
from realesrgan.cli import main as realesrgan
from realesrgan.cli.data_options import CalibrateOptions
from realesrgan.cli.options import parse
from realesrgan.degradation import recipe_file
from realesrgan.degradation.calibration import job, proposal
from realesrgan.image import files
from realesrgan.image.files import Picture
from realesrgan.restorer import Reporter

RECIPE_WORDS = ("jpeg_range2", "noise_range", "noise_range2", "blur_sigma", "resize_range2")


@pytest.fixture(autouse=True)
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two bad pictures and a sharp one; recipes are proposed without trying them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(job, "propose", partial(proposal.propose, rounds=0))
    for folder in ("bad", "sharp"):
        Path(folder).mkdir()
    photograph = np.ascontiguousarray(data.coffee()[40:296, 100:420, ::-1])  # type: ignore[no-untyped-call]
    write("sharp/s.png", photograph)
    for name, quality in (("a", 40), ("b", 80)):
        noise = np.random.default_rng(quality).normal(0, 10, photograph.shape)
        write(f"bad/{name}.jpg", np.clip(photograph + noise, 0, 255).astype(np.uint8), quality)


def write(name: str, pixels: Array, quality: int = 95) -> None:
    files.write(Path(name), Picture(pixels), quality)


def run(*argv: str) -> int:
    return command.main([*argv])


def test_the_recipe_goes_to_stdout_and_what_each_picture_showed_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-i", "bad") == 0
    printed = capsys.readouterr()
    assert "jpeg_range2: [44, 76]\n" in printed.out
    assert "# JPEG: 2 of 2 pictures, 44 to 76 (middle 60)\n" in printed.out
    assert all(f"\n{key}: " in printed.out for key in RECIPE_WORDS)
    assert re.search(r"^bad.a\.jpg: JPEG quality 40, noise \d+\.\d, blur", printed.err, re.MULTILINE)
    assert re.search(r"^bad.b\.jpg: JPEG quality 80, colour noise \d+\.\d, blur", printed.err, re.MULTILINE)


def test_the_recipe_in_the_file_is_the_one_on_stdout_and_degrade_takes_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-i", "bad", "-o", "new/mine.yml", "--scale", "2") == 0
    assert Path("new/mine.yml").read_text(encoding="utf-8") == capsys.readouterr().out
    assert recipe_file.read(Path("new/mine.yml"))[0].scale == 2
    assert degrade.main(["-i", "sharp", "-o", "lq", "--recipe", "new/mine.yml"]) == 0
    assert files.read(Path("lq/s.png")).pixels.shape == (128, 160, 3)


def test_results_do_not_depend_on_how_many_pictures_are_measured_at_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = []
    for workers in (1, 4):
        monkeypatch.setattr(job, "MOST_WORKERS", workers)
        run("-i", "bad")
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]


@pytest.mark.parametrize("sharp", [["--sharp", "sharp"], []])
def test_the_sheet_shows_each_picture_beside_a_synthesised_one(sharp: list[str]) -> None:
    assert run("-i", "bad", "--sheet", "sheets/alike.png", *sharp) == 0
    sheet = files.read(Path("sheets/alike.png")).pixels
    assert sheet.shape[1] > 4 * 160
    if sharp:
        bottom = sheet[-300:, :330].astype(float)
        assert bottom.std() > 10  # a picture, no paper


def test_a_sheet_of_few_pictures_shows_the_picture_itself() -> None:
    assert run("-i", "bad/b.jpg", "--sheet", "alike.png") == 0
    sheet = files.read(Path("alike.png")).pixels
    shown = files.read(Path("bad/b.jpg")).pixels[48:208, 80:240]
    large = cv2.resize(shown, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    found = cv2.matchTemplate(sheet, large, cv2.TM_SQDIFF)
    assert found.min() < 1e-6 * found.max()


def test_pictures_that_cannot_be_judged_are_named_and_the_others_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    write("bad/tiny.png", np.zeros((63, 400), np.uint8))
    Path("bad/damaged.png").write_bytes(b"no picture")
    write("bad/flat.png", np.full((100, 100), 30000, np.uint16))
    write("bad/alpha.png", np.random.default_rng(0).integers(0, 256, (100, 100, 4), np.uint8))
    assert run("-i", "bad") == 1
    printed = capsys.readouterr()
    assert re.search(r"failed: bad.tiny\.png: 400×63 pixels are too few to judge, 64 a side are needed", printed.err)
    assert re.search(r"failed: bad.damaged\.png", printed.err)
    assert re.search(r"^bad.flat\.png: no trace of JPEG, no noise, blur cannot be told", printed.err, re.MULTILINE)
    assert "# measured: 4 pictures" in printed.out


def test_if_no_picture_can_be_measured_there_is_no_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    write("bad/tiny.png", np.zeros((10, 10), np.uint8))
    assert run("-i", "bad/tiny.png", "-o", "r.yml") == 1
    assert capsys.readouterr().out == ""
    assert not Path("r.yml").exists()


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["-i", "nowhere"], "-i nowhere: there is no such file"),
        (["-i", "empty"], "-i empty: there are no pictures"),
        (["-i", "bad", "--scale", "0"], "--scale 0: must be a whole number from 1"),
        (["-i", "bad", "--scale", "17"], "--scale 17: must be at most 16"),
        (["-i", "bad", "--sharp", "sharp"], "--sharp: goes with --sheet"),
        (["-i", "bad", "--sheet", "a.txt"], "--sheet a.txt: name a picture to write"),
        (["-i", "bad", "--sheet", "a.png", "--sharp", "empty"], "--sharp empty: there are no pictures"),
        (["-i", "bad", "--sheet", "a.png", "--sharp", "no"], "--sharp no: there is no such file"),
        (["-i", "bad", "--sheet", "bad/a.jpg"], "--sheet bad/a.jpg: is one of the pictures"),
        (["-i", "bad", "--sheet", "sharp/s.png", "--sharp", "sharp"], "--sheet sharp/s.png: is one of the pictures"),
        (["-i", "bad", "-o", "sharp"], "-o sharp: a folder; name a file"),
        (["-i", "bad", "-o", "a.png", "--sheet", "a.png"], "--sheet a.png: is one of the pictures"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_one_line_before_any_work(
    capsys: pytest.CaptureFixture[str], argv: list[str], said: str
) -> None:
    Path("empty").mkdir()
    before = sorted(Path().rglob("*"))
    assert run(*argv) == 2
    printed = capsys.readouterr()
    assert f"error: {said}" in printed.err.replace("\\", "/")
    assert printed.out == ""
    assert sorted(Path().rglob("*")) == before


def test_subfolders_are_gone_into_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad/more").mkdir()
    Path("bad/a.jpg").rename("bad/more/a.jpg")
    run("-i", "bad")
    assert "1 of 1 picture" in capsys.readouterr().out
    run("-i", "bad", "-r")
    assert "2 of 2 pictures" in capsys.readouterr().out


def test_progress_reaches_a_reporter_of_any_front_end() -> None:
    class Ears(Reporter):
        def __init__(self) -> None:
            self.heard: dict[str, str] = {}

        def finished(self, source: Path, target: Path, facts: str) -> None:
            assert target == source  # nothing is made of it
            self.heard[source.name] = facts

    ears = Ears()
    request = job.Request(["bad"])
    result = job.calibrate(request, job.select(request), ears)
    assert sorted(ears.heard) == ["a.jpg", "b.jpg"]
    assert result.failures == []
    assert result.proposal is not None


def test_the_help_names_every_flag_and_the_command_is_among_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert realesrgan.main(["--help"]) == 0
    assert "\n  calibrate " in capsys.readouterr().out
    with pytest.raises(SystemExit) as left:
        realesrgan.main(["calibrate", "--help"])
    assert left.value.code == 0
    told = capsys.readouterr().out
    assert all(f"--{field.name}" in told for field in fields(CalibrateOptions))
    assert parse(CalibrateOptions, [], "calibrate", "").input == ("inputs",)
