"""Every command in the README can be typed as it stands."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from realesrgan import load_upsampler
from realesrgan.cli import image, weights
from realesrgan.cli.options import VideoOptions, parse
from realesrgan.model_zoo import MODELS

PROJECT = Path(__file__).resolve().parent.parent
README = (PROJECT / "README.md").read_text(encoding="utf-8")


VIDEO_GUIDE = (PROJECT / "docs" / "video.md").read_text(encoding="utf-8")


def commands(program: str, document: str = README) -> list[list[str]]:
    """The arguments of every line in a shell block of `document` that starts with `program`."""
    blocks = re.findall(r"```sh\n(.*?)```", document, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith(program)]
    return [shlex.split(line.removeprefix(program), comments=True) for line in lines]


@pytest.mark.parametrize("argv", commands("python inference_realesrgan.py"), ids=" ".join)
def test_every_picture_command_would_run(
    argv: list[str],
    rrdbnet_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(PROJECT / "inputs", tmp_path / "inputs")
    (tmp_path / "weights").mkdir()
    shutil.copy(rrdbnet_file, tmp_path / "weights" / "mine.pth")
    monkeypatch.chdir(tmp_path)
    # The words are tried here, not the weights: a tiny network answers for all models.
    tiny = load_upsampler(model_path=rrdbnet_file)
    monkeypatch.setattr("realesrgan.upsampler.load_upsampler", lambda *_, **__: tiny)
    assert image.main([*argv, "--dry_run"]) == 0
    assert "→ results" in capsys.readouterr().out


@pytest.mark.parametrize("argv", commands("python inference_realesrgan_video.py", README + VIDEO_GUIDE), ids=" ".join)
def test_every_video_command_is_understood(argv: list[str]) -> None:
    assert parse(VideoOptions, argv, "video", "").input in (("clip.mp4",), ("frames",), ("inputs/video/clip.mkv",))


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
    for document in (PROJECT / "README.md", *PROJECT.glob("docs/*.md")):
        for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / link).exists(), f"{document.name} links to {link}"
