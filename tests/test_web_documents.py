"""The examples of docs/server.md work, and every call that a document makes exists."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_readme import PROJECT, TEXTS, commands, examples, run
from web import BusyWorker, listening

from realesrgan.cli.options import parse
from realesrgan.cli.serve_options import ServeOptions

DEFAULT_ADDRESS = "http://localhost:8000"


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "here").mkdir()
    shutil.copytree(PROJECT / "inputs", tmp_path / "here" / "inputs")
    monkeypatch.chdir(tmp_path / "here")
    with listening(tmp_path / "server", BusyWorker) as (address, _):
        yield address


@pytest.mark.parametrize("example", examples(TEXTS["docs/server.md"]), ids=["job", "prediction"])
def test_every_python_example_writes_a_picture(example: str, address: str) -> None:
    before = set(Path().iterdir())
    run(example.replace(DEFAULT_ADDRESS, address))
    (written,) = set(Path().iterdir()) - before
    assert written.read_bytes().startswith((b"\x89PNG", b"\xff\xd8"))


def calls() -> list[tuple[str, str, list[str]]]:
    """Method, path and form fields of every curl command in the documents."""
    found = []
    for argv in commands("curl "):
        (url,) = [word for word in argv if word.startswith("http")]
        fields = [word.partition("=")[0] for flag, word in zip(argv, argv[1:], strict=False) if flag == "-F"]
        method = argv[argv.index("-X") + 1] if "-X" in argv else "POST" if fields else "GET"
        found.append((method, url.removeprefix(DEFAULT_ADDRESS), fields))
    return found


@pytest.mark.parametrize("call", calls(), ids=lambda call: " ".join(call[:2]))
def test_every_curl_command_calls_what_exists(call: tuple[str, str, list[str]], address: str) -> None:
    import requests

    method, path, fields = call
    document: dict[str, Any] = requests.get(f"{address}/openapi.json", timeout=20).json()
    known = document["paths"][re.sub(r"/ID\b", "/{id}", path)][method.lower()]
    if fields:
        schema = known["requestBody"]["content"]["multipart/form-data"]["schema"]
        assert set(fields) <= set(schema["properties"])


@pytest.mark.parametrize("argv", commands("realesrgan serve"), ids=" ".join)
def test_every_serve_command_is_understood(argv: list[str]) -> None:
    parse(ServeOptions, argv, "serve", "")
