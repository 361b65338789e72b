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
from realesrgan.cli import (
    data_options,
    degrade,
    export,
    export_options,
    image,
    options,
    preparation_options,
    serve_options,
    training_options,
    weights,
)
from realesrgan.cli.data_options import CalibrateOptions, DegradeOptions, EvaluateOptions
from realesrgan.cli.export_options import ExportOptions
from realesrgan.cli.options import VideoOptions, parse
from realesrgan.cli.training_options import FinetuneOptions, TrainOptions
from realesrgan.model_zoo import MODELS

PROJECT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("[!.]*/*.md"), *PROJECT.glob("docs/*/*.md")])
IN_CHINESE = [PROJECT / "README.zh.md", *sorted(PROJECT.glob("docs/zh/*.md"))]


def name_of(document: Path) -> str:
    """The path below the project, which is how tests call a document."""
    return document.relative_to(PROJECT).as_posix()


TEXTS = {name_of(document): document.read_text(encoding="utf-8") for document in DOCUMENTS}
READMES = TEXTS["README.md"] + TEXTS["README.zh.md"]
OTHER_PROGRAMS = {"--help", "--no-deps", "--fix", "--nproc_per_node"}  # argparse, pip, ruff, torchrun
OTHER_PROGRAMS |= {"--rm", "--shm-size"}  # docker
OTHER_PROGRAMS |= {"--head", "--address", "--disable-usage-stats", "--include-dashboard", "--generate"}  # ray
FLAG = r"(?a)(?<![\w-])--[a-z]\w*(?:-\w+)*"  # in ASCII, or Chinese beside a flag would be part of it


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


def code(document: str) -> list[tuple[str, str]]:
    """Language and lines of each block of code, without comments and empty lines: what no translation changes."""
    blocks = re.findall(r"```(\w*)\n(.*?)```", document, re.DOTALL)
    lines = [(language, re.sub(r"(^|[ \t]+)#.*$", "", block, flags=re.MULTILINE)) for language, block in blocks]
    return [(language, "\n".join(filter(None, block.splitlines()))) for language, block in lines]


def examples(document: str) -> list[str]:
    """The blocks of Python in a document, each once."""
    return list(dict.fromkeys(block for language, block in code(document) if language == "python"))


def run(example: str) -> dict[str, Any]:
    """Run a block of Python; returns the names it defined."""
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(example, "example", "exec"), names)
    return names


def commands(program: str) -> list[list[str]]:
    """The arguments of each line that starts with `program` in a shell block of any document, each once."""
    blocks = [block for text in TEXTS.values() for language, block in code(text) if language == "sh"]
    lines = dict.fromkeys(line for block in blocks for line in block.splitlines())
    return [shlex.split(line.removeprefix(program)) for line in lines if line.startswith(program)]


@pytest.mark.usefixtures("tiny_network")
@pytest.mark.parametrize("argv", commands("python inference_realesrgan.py "), ids=" ".join)
def test_every_picture_command_would_run(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert image.main([*argv, "--dry_run"]) == 0
    assert "→ results" in capsys.readouterr().out


@pytest.mark.usefixtures("tiny_network")
@pytest.mark.parametrize("example", examples(READMES), ids=["files", "progress", "arrays"])
def test_every_python_example_runs(example: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(example)
    printed = capsys.readouterr().out
    assert "stopped" not in printed
    assert [word for word in ("clip_out.mkv", "100%") if word in printed]


@pytest.mark.usefixtures("tiny_network")
def test_the_example_of_progress_can_be_cancelled_and_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = [example for example in examples(READMES) if "Cancelled" in example]
    run(example.replace("timeout=60", "timeout=0"))
    assert "stopped" in capsys.readouterr().out
    assert not list(Path("results").glob("*_out.mkv"))
    run(example)
    assert "written: results" in capsys.readouterr().out


@pytest.mark.usefixtures("tiny_network")
def test_the_python_example_of_faces_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = fake_networks(face(64, 76))
    monkeypatch.setattr("realesrgan.face.enhancer.load_face_restorer", lambda *_: GFPGANer("unused", networks=networks))
    (example,) = examples(TEXTS["docs/faces.md"] + TEXTS["docs/zh/faces.md"])
    assert run(example)["picture"].shape == (608, 512, 3)


@pytest.mark.parametrize("document", TEXTS)
def test_every_flag_that_a_document_names_exists(document: str) -> None:
    known = set(OTHER_PROGRAMS)
    modules = (options, data_options, preparation_options, training_options, serve_options, export_options)
    kinds = (kind for module in modules for kind in vars(module).values() if is_dataclass(kind))
    for kind in kinds:
        for field in fields(kind):
            known.update(field.metadata.get("flags") or (f"--{field.name}",))
    for benchmark in PROJECT.glob("benchmarks/*.py"):
        known.update(re.findall(r'"(--\w+)"', benchmark.read_text(encoding="utf-8")))
    assert set(re.findall(FLAG, TEXTS[document])) - known == set()


@pytest.mark.usefixtures("tiny_network")
@pytest.mark.parametrize("argv", commands("realesrgan degrade"), ids=" ".join)
def test_every_degrade_command_is_understood(argv: list[str]) -> None:
    options = parse(DegradeOptions, argv, "degrade", "")
    assert options.input[0].startswith(("photo", "inputs"))
    if not options.replay:
        shutil.copytree("inputs", "photos", ignore=shutil.ignore_patterns("video"))
        Path("scans.yml").write_text("jpeg_range2: [30, 60]\n")
        for name in ("photo.jpg", "photos/h.png"):
            shutil.copy("inputs/cat.jpg", name)
        assert degrade.main([*argv, "--dry_run"]) == 0


def test_the_python_example_of_degradations_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = examples(TEXTS["docs/degradation.md"])
    assert run(example)["low"].shape == (1, 3, 50, 60)
    assert '"number":7' in capsys.readouterr().out


@pytest.mark.parametrize("argv", commands("python inference_realesrgan_video.py"), ids=" ".join)
def test_every_video_command_is_understood(argv: list[str]) -> None:
    inputs = parse(VideoOptions, argv, "video", "").input
    assert inputs in (("clip.mp4",), ("frames",), ("videos",), ("inputs/video/clip.mkv",))


@pytest.mark.parametrize("argv", commands("realesrgan evaluate"), ids=" ".join)
def test_every_evaluate_command_is_understood(argv: list[str]) -> None:
    options = parse(EvaluateOptions, argv, "evaluate", "")
    assert options.results in (("results",), ("mine.png",), ("clip_out.mp4",))
    assert options.originals in (("originals",), ("sharp.png",), ("clip.mp4",), ("frames",))


@pytest.mark.parametrize("argv", commands("realesrgan calibrate"), ids=" ".join)
def test_every_calibrate_command_is_understood(argv: list[str]) -> None:
    assert parse(CalibrateOptions, argv, "calibrate", "").input in (("scans",), ("inputs",))


@pytest.mark.parametrize("argv", commands("realesrgan train"), ids=" ".join)
def test_every_train_command_is_understood(argv: list[str]) -> None:
    assert (PROJECT / parse(TrainOptions, argv, "train", "").opt).is_file()


@pytest.mark.parametrize("argv", commands("realesrgan finetune"), ids=" ".join)
def test_every_finetune_command_is_understood(argv: list[str]) -> None:
    assert parse(FinetuneOptions, argv, "finetune", "").input == "photos"


@pytest.mark.usefixtures("tiny_network")
def test_the_weights_commands_are_understood(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in commands("realesrgan weights"):
        expected = 1 if argv[0] == "fetch" else 0  # tests are offline
        assert weights.main(argv) == expected


@pytest.mark.usefixtures("tiny_network")
@pytest.mark.parametrize("argv", commands("realesrgan export"), ids=" ".join)
def test_every_export_command_is_understood(argv: list[str]) -> None:
    options = parse(ExportOptions, argv, "export", "")
    if options.model_path is None:
        assert options.model_name in MODELS
    else:
        assert export.main(argv) == 0
        assert Path(options.output or "").is_file()


@pytest.mark.usefixtures("tiny_network")
def test_the_python_example_of_exporting_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = examples(TEXTS["docs/models.md"] + TEXTS["docs/zh/models.md"])
    assert run(example)["restored"].shape == (1, 480, 640, 3)
    assert "the largest difference to this project's results" in capsys.readouterr().out


@pytest.mark.parametrize("document", ["docs/models.md", "docs/zh/models.md"])
def test_the_table_of_networks_has_their_numbers(document: str) -> None:
    rows = re.findall(r"^\| `(\w\S+)` \| .* \| (\d+) \| ([\d.]+) M \| [\d.]+ \|$", TEXTS[document], re.MULTILINE)
    networks = {name: model.network for name, model in MODELS.items()}
    wanted = [(name, str(net.receptive_radius), f"{net.multiply_adds / 1e6:.2f}") for name, net in networks.items()]
    assert rows == wanted


def test_the_document_on_models_has_the_same_code_in_both_languages() -> None:
    assert code(TEXTS["docs/zh/models.md"]) == code(TEXTS["docs/models.md"])


def test_the_make_targets_exist() -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    targets = {argv[0] for argv in commands("make ")}
    assert targets == {"demo", "test", "serve", "test-web", "test-cluster"}
    assert all(f"\n{target}:" in makefile for target in targets)


@pytest.mark.parametrize("document", ["README.md", "README.zh.md"])
def test_the_model_table_lists_the_zoo(document: str) -> None:
    rows = re.findall(r"^\| `(\w\S+)` \|", TEXTS[document], re.MULTILINE)
    assert rows == list(MODELS)


def test_the_readme_has_the_same_code_in_both_languages() -> None:
    assert code(TEXTS["README.zh.md"]) == code(TEXTS["README.md"])


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_and_pictures_lead_somewhere(document: Path) -> None:
    for link, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", prose(document)):
        target = document.parent / link if link else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), f"{link}#{anchor}"


def prose(document: Path) -> str:
    return re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)


def anchors(document: Path) -> list[str]:
    """What GitHub calls the headings of a document in links."""
    headings = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


@pytest.mark.parametrize("chinese", IN_CHINESE, ids=name_of)
def test_a_document_in_two_languages_links_the_other_below_its_title(chinese: Path) -> None:
    english = PROJECT / name_of(chinese).replace("zh/", "").replace(".zh", "")
    if english.exists():
        assert link_below_title(english, "中文") == chinese
    assert link_below_title(chinese, "English") == (english if english.exists() else PROJECT / "README.md")


def link_below_title(document: Path, label: str) -> Path:
    line = document.read_text(encoding="utf-8").splitlines()[2]
    (link,) = re.findall(rf"^\[{label}\]\(([^)#]+)", line)
    return (document.parent / link).resolve()


def test_the_messages_that_the_document_on_pictures_explains_exist() -> None:
    table = TEXTS["docs/zh/pictures.md"].split("| 提示 |")[1].split("\n\n")[0]
    messages = re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)
    program = "".join(module.read_text(encoding="utf-8") for module in PROJECT.glob("realesrgan/**/*.py"))
    assert len(messages) > 10
    assert [message for message in messages if message not in program] == []
