"""Disks that are full, here or at a node."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command import ran
from ray_nodes import RayNodes

FULL = "No space left on device"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Callable[[str, int], Path]]:
    """Make folders that hold only so many bytes."""
    folders: list[Path] = []

    def make(name: str, size_bytes: int) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)]
        try:
            done = subprocess.run(command, capture_output=True).returncode == 0
        except FileNotFoundError:
            done = False
        if not done:
            pytest.skip("needs the right to mount")
        folders.append(folder)
        return folder

    yield make
    for folder in folders:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_here_ends_the_job_in_one_sentence(
    three_nodes: RayNodes, film: Path, weights: Path, tmp_path: Path, small: Callable[[str, int], Path]
) -> None:
    out = small("out", 400_000)
    arguments = ("video", "-i", film, "-o", out, "--model_path", weights, "--ray", three_nodes.address)
    command = ran(tmp_path, *arguments, code=1)
    failures = [line for line in command.said.splitlines() if line.startswith("failed")]
    assert len(failures) == 1
    assert FULL in failures[0]
    assert not list(out.glob(".*"))


def test_a_node_whose_disk_is_full_leaves_its_work_to_others(
    cluster: Callable[..., RayNodes],
    film: Path,
    film_here: Path,
    weights: Path,
    tmp_path: Path,
    small: Callable[[str, int], Path],
) -> None:
    nodes = cluster(1)
    nodes.add(environment={"TMPDIR": str(small("full", 16_384))})
    out = tmp_path / "results"
    arguments = ("video", "-i", film, "-o", out, "--model_path", weights, "--ray", nodes.address)
    command = ran(tmp_path, *arguments)
    assert FULL in command.said
    assert (out / "film_out.mp4").read_bytes() == film_here.read_bytes()
