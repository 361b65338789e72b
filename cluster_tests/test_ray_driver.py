"""The command itself is killed or interrupted, or shares the cluster with others, or loses its head."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from command import ran, running
from conftest import SEGMENT
from ray_nodes import RayNodes, is_running, until

from realesrgan.video.segments import folder_for, read_manifest

# A job that loses patience with the head of its cluster after two seconds instead of a minute.
IMPATIENT = """
import sys
from functools import partial
from realesrgan.cli.main import main
from realesrgan.cluster import restoring
from realesrgan.cluster.crew import Crew, CrewLimits
restoring.Crew = partial(Crew, limits=CrewLimits(look_s=0.5, head_s=2.0))
sys.exit(main())
"""


def video(film: Path, out: Path, weights: Path, nodes: RayNodes) -> tuple[object, ...]:
    return ("video", "-i", film, "-o", out, "--model_path", weights, "--ray", nodes.address)


def finished(out: Path) -> list[str]:
    """The segments of the film that are on the disk."""
    manifest = read_manifest(folder_for(out / "film_out.mp4"))
    return [segment.file for segment in manifest.segments] if manifest else []


def test_a_killed_command_given_again_goes_on(
    three_nodes: RayNodes, film: Path, film_here: Path, weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "results"
    arguments = video(film, out, weights, three_nodes)
    with running(tmp_path / "1", *arguments) as command:
        command.wait_for(lambda: len(finished(out)) > 2, "three segments")
        command.process.kill()
        command.ended()
    folder = folder_for(out / "film_out.mp4")
    before = {name: (folder / name).stat().st_mtime_ns for name in finished(out)}
    with running(tmp_path / "2", *arguments, "--keep_segments") as command:
        assert command.ended() == 0, command.said
    assert f"going on after {len(before) * SEGMENT} frames of an earlier run" in command.said
    assert {name: (folder / name).stat().st_mtime_ns for name in before} == before
    assert (out / "film_out.mp4").read_bytes() == film_here.read_bytes()
    until(lambda: not three_nodes.workers(), "the workers of both end")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_says_what_is_safe_and_ends_its_workers(
    number: signal.Signals, three_nodes: RayNodes, film: Path, weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "results"
    with running(tmp_path, *video(film, out, weights, three_nodes)) as command:
        command.wait_for(lambda: finished(out), "a segment")
        workers = three_nodes.workers()
        assert len(workers) == 3
        command.process.send_signal(number)
        assert command.ended(20.0) == 128 + number, command.said
    assert command.said.endswith("interrupted\n")
    until(lambda: not any(map(is_running, workers)), "the workers end")
    assert sorted(path.name for path in out.iterdir()) == ["film_out.work"]


def test_two_jobs_at_once_share_a_cluster(
    three_nodes: RayNodes, film: Path, film_here: Path, weights: Path, tmp_path: Path
) -> None:
    with running(tmp_path / "1", *video(film, tmp_path / "a", weights, three_nodes)) as first:
        first.wait_for(lambda: finished(tmp_path / "a"), "a segment")
        with running(tmp_path / "2", *video(film, tmp_path / "b", weights, three_nodes)) as second:
            assert first.ended() == 0, first.said
            assert second.ended() == 0, second.said
    assert (tmp_path / "a" / "film_out.mp4").read_bytes() == film_here.read_bytes()
    assert (tmp_path / "b" / "film_out.mp4").read_bytes() == film_here.read_bytes()


def test_a_cluster_whose_head_dies_ends_the_command_and_what_is_done_stays(
    cluster: Callable[..., RayNodes], film: Path, film_here: Path, weights: Path, tmp_path: Path
) -> None:
    nodes = cluster(2)
    out = tmp_path / "results"
    arguments = video(film, out, weights, nodes)
    with running(tmp_path / "1", *arguments, program=("-c", IMPATIENT)) as command:
        command.wait_for(lambda: finished(out), "a segment")
        os.kill(nodes.head, signal.SIGKILL)
        assert command.ended() == 1, command.said
    assert command.said.endswith(f"failed: {film}: the head of the cluster does not answer any more\n")
    command = ran(tmp_path / "2", *arguments[:-2])
    assert "of an earlier run" in command.said
    assert (out / "film_out.mp4").read_bytes() == film_here.read_bytes()
