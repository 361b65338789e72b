"""The layers of docs/architecture.md: each imports only to its left, and only the command line talks to people."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
PACKAGE = PROJECT / "realesrgan"

# From left to right; rooms in one layer may use each other, but not in circles.
LAYERS = (
    ("errors",),
    ("arrays", "restorer", "threads", "outputs", "values", "words", "strict_keys", "strict_yaml"),
    ("archs",),
    ("families",),
    ("model_zoo",),
    ("weights",),
    ("engine",),
    ("upsampler", "utils", "face"),
    ("loading",),
    ("image",),
    ("video",),
    ("degradation", "metrics", "preparation"),
    ("training",),
    ("export",),
    ("cluster",),
    ("machines",),
    ("api", "web"),
    ("cli",),
    ("__init__", "__main__", "train"),
)
LEVELS = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}

# What a room may know of the world outside, where its first line says that it knows little.
THIRD_PARTIES: dict[str, set[str]] = {
    "errors": set(),
    "arrays": {"cv2", "numpy"},
    "restorer": set(),
    "outputs": {"psutil"},
    "words": set(),
    "strict_keys": {"pydantic"},
    "strict_yaml": {"yaml", "pydantic"},
    "threads": set(),
    "model_zoo": set(),
    "families": {"torch"},
    "archs": {"torch"},
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(module: Path) -> str:
    """The package or module directly below realesrgan that a file belongs to."""
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def parse(module: Path) -> ast.Module:
    return ast.parse(module.read_text(encoding="utf-8"))


def imported_names(module: Path) -> Iterator[str]:
    """Everything a file imports, wherever it does, in full: "realesrgan.image.files", "numpy"."""
    package = ("realesrgan", *module.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(parse(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            start = ".".join((*above, *([node.module] if node.module else [])))
            yield from (f"{start}.{alias.name}" for alias in node.names)


def rooms_used(module: Path) -> set[str]:
    """The other rooms of the package that a file imports from; the package's own attributes are none."""
    names = [name.split(".") for name in imported_names(module)]
    return {name[1] for name in names if name[0] == "realesrgan" and name[1] in LEVELS} - {room_of(module)}


def test_every_room_has_its_place_in_a_layer() -> None:
    assert {room_of(module) for module in modules()} <= set(LEVELS)


def test_the_layers_in_the_documentation_are_these() -> None:
    lines = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8").splitlines()
    (drawn,) = [line.split(" < ") for line in lines if line.strip().startswith("errors < ")]
    rooms = [[room.strip() for room in layer.split(",")] for layer in drawn]
    assert {room for layer in rooms for room in layer} == set(LEVELS) - {"__init__", "__main__", "train"}
    levels = [[LEVELS[room] for room in layer] for layer in rooms]
    assert all(max(left) < min(right) for left, right in zip(levels, levels[1:], strict=False))


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_every_file_the_documentation_names_is_there(document: str) -> None:
    text = (PROJECT / document).read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w./]*(?:\.py|/))`", text)) - {".venv/", "dist/"}
    roots = [PROJECT, PACKAGE, *(folder for folder in PACKAGE.rglob("*") if folder.is_dir())]
    assert len(named) > 3
    assert [name for name in named if not any((root / name).exists() for root in roots)] == []


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.relative_to(PACKAGE).as_posix())
def test_a_module_imports_only_to_its_left(module: Path) -> None:
    level = LEVELS.get(room_of(module), len(LAYERS))
    assert {room for room in rooms_used(module) if LEVELS[room] > level} == set()


def test_rooms_do_not_import_each_other_in_circles() -> None:
    uses: dict[str, set[str]] = {}
    for module in modules():
        uses.setdefault(room_of(module), set()).update(rooms_used(module))
    while free := [room for room, used in uses.items() if not used & set(uses)]:
        for room in free:
            del uses[room]
    assert uses == {}


@pytest.mark.parametrize("room", THIRD_PARTIES)
def test_a_room_that_knows_little_imports_little(room: str) -> None:
    files = [module for module in modules() if room_of(module) == room]
    assert files
    foreign = {name.split(".")[0] for module in files for name in imported_names(module)}
    assert foreign - set(sys.stdlib_module_names) - {"realesrgan"} <= THIRD_PARTIES[room]


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.relative_to(PACKAGE).as_posix())
def test_only_the_command_line_prints_and_draws_bars(module: Path) -> None:
    if room_of(module) == "cli":
        return
    calls = [node.func for node in ast.walk(parse(module)) if isinstance(node, ast.Call)]
    assert "print" not in [call.id for call in calls if isinstance(call, ast.Name)]
    assert "tqdm" not in {name.split(".")[0] for name in imported_names(module)}


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.relative_to(PACKAGE).as_posix())
def test_every_module_says_what_it_is_for(module: Path) -> None:
    assert ast.get_docstring(parse(module))
