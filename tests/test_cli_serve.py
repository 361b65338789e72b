"""`realesrgan serve`: what is refused before it listens, and what of its options reaches the server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from realesrgan.cli.serve import main
from realesrgan.machines import Where
from realesrgan.web import server


def test_without_ray_a_cluster_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["--ray", "there:6379"]) == 2
    assert capsys.readouterr().err == 'error: --ray needs one more package: pip install "realesrgan[cluster]"\n'


def test_unlike_nodes_are_a_matter_of_clusters(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--mixed"]) == 2
    assert "--mixed: goes with --ray" in capsys.readouterr().err


@pytest.mark.parametrize("device", ["0", "cuda:1", "mps"])
def test_of_a_cluster_no_single_device_can_be_chosen(
    device: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    assert main(["--ray", "there:6379", "-g", device]) == 2
    assert "only cpu can be chosen" in capsys.readouterr().err


def test_where_to_restore_reaches_the_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    given: list[Any] = []
    monkeypatch.setattr(server, "serve", lambda *arguments, **options: given.extend(arguments))
    assert main(["--ray", "there:6379", "--mixed", "-g", "cpu", "--folder", str(tmp_path)]) == 0
    assert Where("there:6379", mixed=True) in given
