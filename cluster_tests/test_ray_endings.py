"""However and whenever a command ends, nothing that it started stays: no worker, no node, no cluster of its own."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from command import Command, running
from ray_nodes import RayNodes, descendants, is_running, until

# Believes that this machine is no node, so that it joins.
UNAWARE = """
import sys
from realesrgan.cli.main import main
from realesrgan.cluster import ray_cluster
ray_cluster.is_node = lambda address: False
sys.exit(main())
"""
ENDS = [signal.SIGINT, signal.SIGTERM, signal.SIGKILL]


@pytest.fixture
def short() -> Iterator[Path]:
    """A temporary folder with a short name: those of sockets are limited to 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="rt", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.mark.parametrize("number", ENDS)
def test_a_node_that_joined_is_gone(
    number: signal.Signals, three_nodes: RayNodes, film: Path, weights: Path, tmp_path: Path
) -> None:
    arguments = ("video", "-i", film, "-o", tmp_path, "--model_path", weights, "--ray", three_nodes.address)
    with running(tmp_path, *arguments, program=("-c", UNAWARE)) as command:
        is_gone_after(number, command, lambda: "raylet" in names_of(children(command)))


@pytest.mark.parametrize("number", ENDS)
def test_a_cluster_of_its_own_is_gone(
    number: signal.Signals, film: Path, weights: Path, tmp_path: Path, short: Path
) -> None:
    arguments = ("video", "-i", film, "-o", tmp_path, "--model_path", weights, "--ray", "local")
    with running(tmp_path, *arguments, environment={"RAY_TMPDIR": str(short)}) as command:
        is_gone_after(number, command, lambda: "raylet" in names_of(children(command)))
    assert not (tmp_path / ".ray").exists()


def test_workers_are_gone_when_the_command_ends_while_they_load(
    three_nodes: RayNodes, film: Path, weights: Path, tmp_path: Path
) -> None:
    arguments = ("video", "-i", film, "-o", tmp_path, "--model_path", weights, "--ray", three_nodes.address)
    with running(tmp_path, *arguments) as command:
        command.wait_for(three_nodes.workers, "a worker starts")
        workers = three_nodes.workers()
        command.interrupt()
        assert command.ended(20.0) == 130, command.said
    until(lambda: not any(map(is_running, workers)), "the workers end")


def is_gone_after(number: signal.Signals, command: Command, condition: Callable[[], object]) -> None:
    """End a command once a condition holds; all its children must end, too."""
    command.wait_for(condition, "the moment to end it")
    started = children(command)
    command.process.send_signal(number)
    assert command.ended(30.0) == (-number if number == signal.SIGKILL else 128 + number), command.said
    if number == signal.SIGKILL:  # of Ray's own processes some watch a node, and end when they find it gone
        started = [child for child in started if child.name() in ("raylet", "gcs_server")]
    until(lambda: not any(is_running(child.pid) for child in started), f"{names_of(started)} end")


def children(command: Command) -> list[psutil.Process]:
    return descendants(command.process.pid)


def names_of(processes: list[psutil.Process]) -> set[str]:
    names = set()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            names.add(process.name())
    return names
