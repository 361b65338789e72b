"""Every command and every example in the documents works as it stands, and every flag they name exists."""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from faces import face, fake_networks

from realesrgan import GFPGANer, RealESRGANer, load_upsampler
from realesrgan.cli import data_options, degrade, image, options, preparation_options, training_options, weights
from realesrgan.cli.data_options import CalibrateOptions, DegradeOptions, EvaluateOptions
from realesrgan.cli.options import VideoOptions, parse
from realesrgan.model_zoo import MODELS

PROJECT = Path(__file__).resolve().parent.parent
README = (PROJECT / "README.md").read_text(encoding="utf-8")
VIDEO_GUIDE = (PROJECT / "docs" / "video.md").read_text(encoding="utf-8")
EVALUATION_GUIDE = (PROJECT / "docs" / "evaluation.md").read_text(encoding="utf-8")
CALIBRATION_GUIDE = (PROJECT / "docs" / "calibration.md").read_text(encoding="utf-8")
FACE_GUIDE = (PROJECT / "docs" / "faces.md").read_text(encoding="utf-8")
DEGRADATION_GUIDE = (PROJECT / "docs" / "degradation.md").read_text(encoding="utf-8")
DOCUMENTS = [*PROJECT.glob("*.md"), *PROJECT.glob("[!.]*/*.md")]
OTHER_PROGRAMS = {"--help", "--no-deps", "--fix", "--nproc_per_node"}  # argparse, pip, ruff, torchrun
FLAG = r"(?<![\w-])--[a-z]\w*(?:-\w+)*"


@pytest.fixture
def tiny_network(rrdbnet_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RealESRGANer:
    """The working folder has inputs/ and weights/mine.pth; a tiny network answers for all models."""
    shutil.copytree(PROJECT / "inputs", tmp_path / "inputs")
    (tmp_path / "weights").mkdir()
    shutil.copy(rrdbnet_file, tmp_path / "weights" / "mine.pth")
    monkeypatch.chdir(tmp_path)
    tiny = load_upsampler(model_path=rrdbnet_file)
    monkeypatch.setattr("realesrgan.upsampler.load_upsampler", lambda *_, **__: tiny)
    return tiny


def examples(document: str) -> list[str]:
    """The blocks of Python in a document."""
    return re.findall(r"```python\n(.*?)```", document, re.DOTALL)


def run(example: str) -> dict[str, Any]:
    """Run a block of Python; returns the names it defined."""
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(example, "example", "exec"), names)
    return names


def commands(program: str, document: str = README) -> list[list[str]]:
    """The arguments of every line in a shell block of `document` that starts with `program`."""
    blocks = re.findall(r"```sh\n(.*?)```", document, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith(program)]
    return [shlex.split(line.removeprefix(program), comments=True) for line in lines]


@pytest.mark.usefixtures("tiny_network")
@pytest.mark.parametrize("argv", commands("python inference_realesrgan.py", README + FACE_GUIDE), ids=" ".join)
def test_every_picture_command_would_run(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert image.main([*argv, "--dry_run"]) == 0
    assert "→ results" in capsys.readouterr().out


@pytest.mark.usefixtures("tiny_network")
@pytest.mark.parametrize("example", examples(README), ids=["files", "progress", "arrays"])
def test_every_python_example_runs(example: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(example)
    printed = capsys.readouterr().out
    assert "stopped" not in printed
    assert [word for word in ("clip_out.mkv", "100%") if word in printed]


@pytest.mark.usefixtures("tiny_network")
def test_the_example_of_progress_can_be_cancelled_and_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = [example for example in examples(README) if "Cancelled" in example]
    run(example.replace("timeout=60", "timeout=0"))
    assert "stopped" in capsys.readouterr().out
    assert not list(Path("results").glob("*_out.mkv"))
    run(example)
    assert "written: results" in capsys.readouterr().out


@pytest.mark.usefixtures("tiny_network")
def test_the_python_example_of_faces_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = fake_networks(face(64, 76))
    monkeypatch.setattr("realesrgan.face.enhancer.load_face_restorer", lambda *_: GFPGANer("unused", networks=networks))
    (example,) = examples(FACE_GUIDE)
    assert run(example)["picture"].shape == (608, 512, 3)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(PROJECT).as_posix())
def test_every_flag_that_a_document_names_exists(document: Path) -> None:
    known = set(OTHER_PROGRAMS)
    modules = (options, data_options, preparation_options, training_options)
    kinds = (kind for module in modules for kind in vars(module).values() if is_dataclass(kind))
    for kind in kinds:
        for field in fields(kind):
            known.update(field.metadata.get("flags") or (f"--{field.name}",))
    for benchmark in PROJECT.glob("benchmarks/*.py"):
        known.update(re.findall(r'"(--\w+)"', benchmark.read_text(encoding="utf-8")))
    assert set(re.findall(FLAG, document.read_text(encoding="utf-8"))) - known == set()


@pytest.mark.usefixtures("tiny_network")
@pytest.mark.parametrize("argv", commands("realesrgan degrade", README + DEGRADATION_GUIDE), ids=" ".join)
def test_every_degrade_command_is_understood(argv: list[str]) -> None:
    options = parse(DegradeOptions, argv, "degrade", "")
    assert options.input[0].startswith(("photo", "inputs"))
    if not options.replay:
        shutil.copytree("inputs", "photos", ignore=shutil.ignore_patterns("video"))
        for name in ("photo.jpg", "photos/h.png"):
            shutil.copy("inputs/cat.jpg", name)
        assert degrade.main([*argv, "--dry_run"]) == 0


def test_the_python_example_of_degradations_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = examples(DEGRADATION_GUIDE)
    assert run(example)["low"].shape == (1, 3, 50, 60)
    assert '"number":7' in capsys.readouterr().out


@pytest.mark.parametrize("argv", commands("python inference_realesrgan_video.py", README + VIDEO_GUIDE), ids=" ".join)
def test_every_video_command_is_understood(argv: list[str]) -> None:
    inputs = parse(VideoOptions, argv, "video", "").input
    assert inputs in (("clip.mp4",), ("frames",), ("videos",), ("inputs/video/clip.mkv",))


@pytest.mark.parametrize("argv", commands("realesrgan evaluate", EVALUATION_GUIDE), ids=" ".join)
def test_every_evaluate_command_is_understood(argv: list[str]) -> None:
    options = parse(EvaluateOptions, argv, "evaluate", "")
    assert options.results in (("results",), ("mine.png",), ("clip_out.mp4",))
    assert options.originals in (("originals",), ("sharp.png",), ("clip.mp4",), ("frames",))


@pytest.mark.parametrize("argv", commands("realesrgan calibrate", README + CALIBRATION_GUIDE), ids=" ".join)
def test_every_calibrate_command_is_understood(argv: list[str]) -> None:
    assert parse(CalibrateOptions, argv, "calibrate", "").input in (("scans",), ("inputs",))


def test_the_weights_commands_are_understood(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in commands("realesrgan weights"):
        expected = 1 if argv[0] == "fetch" else 0  # tests are offline
        assert weights.main(argv) == expected


def test_the_make_targets_exist() -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    targets = [argv[0] for argv in commands("make ")]
    assert targets == ["demo", "test"]
    assert all(f"\n{target}:" in makefile for target in targets)


def test_the_model_table_lists_the_zoo() -> None:
    rows = re.findall(r"^\| `(\w\S+)` \|", README, re.MULTILINE)
    assert rows == list(MODELS)


def test_links_and_pictures_lead_somewhere() -> None:
    for document in DOCUMENTS:
        for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / link).exists(), f"{document.name} links to {link}"
