"""What comes out of a cluster is what comes out of one machine, to the byte, and nothing of Ray's is printed."""

from __future__ import annotations

from pathlib import Path

from command import ran
from ray_nodes import RayNodes


def test_a_film_over_three_nodes_is_the_film_of_one_machine(
    three_nodes: RayNodes, film: Path, film_here: Path, weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "results"
    command = ran(tmp_path, "video", "-i", film, "-o", out, "--model_path", weights, "--ray", three_nodes.address)
    assert (out / film_here.name).read_bytes() == film_here.read_bytes()
    assert [line.split("  ")[0] for line in command.results.splitlines()] == [str(out / film_here.name)]


def test_a_folder_of_pictures_over_three_nodes_is_that_of_one_machine(
    three_nodes: RayNodes, pictures: Path, weights: Path, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    options = ["image", "-i", pictures, "--model_path", weights]
    ran(tmp_path / "1", *options, "-o", here, code=1)
    ran(tmp_path / "2", *options, "-o", there, "--ray", three_nodes.address, code=1)
    assert contents_of(there) == contents_of(here)
    assert len(contents_of(here)) == 24


def contents_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}
