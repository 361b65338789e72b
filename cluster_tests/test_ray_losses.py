"""Workers and nodes are killed while a job runs: its results are the same, and each loss is told."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from pathlib import Path

from command import Command, running
from conftest import SEGMENT, SEGMENTS
from ray_nodes import RayNodes, RunningNode, end

from realesrgan.video.segments import folder_for, read_manifest

KILLS = 20
NODE_KILLS = 5  # of these
LOST = "its work goes to others"
COPIES = 10  # of the film
AT_ONCE = 6  # segments that three workers have


def test_a_job_survives_random_kills(
    three_nodes: RayNodes, film: Path, film_here: Path, weights: Path, tmp_path: Path
) -> None:
    films = [shutil.copy(film, tmp_path / f"film{number}.mp4") for number in range(COPIES)]
    out = tmp_path / "results"
    with running(
        tmp_path, "video", "-i", *films, "-o", out, "--model_path", weights, "--ray", three_nodes.address
    ) as command:
        killer = Killer(three_nodes, command, out)
        chance = random.Random(1)
        kinds = ["node"] * NODE_KILLS + ["worker"] * (KILLS - NODE_KILLS)
        chance.shuffle(kinds)
        for kind in kinds:
            killer.kill(chance, kind)
        assert command.ended() == 0, command.said
    assert all((out / f"film{number}_out.mp4").read_bytes() == film_here.read_bytes() for number in range(COPIES))
    assert len(command.results.splitlines()) == COPIES + 1
    told = [
        line for line in command.said.splitlines() if LOST in line or "its worker ended before it was ready" in line
    ]
    # Of a node that is killed, the worker's end may be told, and then that it cannot be started again.
    assert KILLS <= len(told) <= KILLS + killer.nodes_killed, command.said
    nodes_gone = {line.split()[1] for line in told if "its node is gone" in line}
    assert 0 < len(nodes_gone) <= killer.nodes_killed, command.said
    assert "memory" not in command.said


class Killer:
    """Kills who is at work, but no unit twice, and no worker three times before it has done something."""

    def __init__(self, nodes: RayNodes, command: Command, out: Path) -> None:
        self.nodes_killed = 0
        self._nodes = nodes
        self._command = command
        self._out = out
        self._kills: Counter[str] = Counter()  # since a node has done something
        self._units: dict[str, set[str]] = {}  # that a node has had since it lost its worker
        self._open: set[tuple[str, int]] = set()  # segments that workers may have had at the last kill

    def kill(self, chance: random.Random, kind: str) -> None:
        """Wait until somebody may be killed, and kill."""
        self._command.wait_for(self._victims, "somebody may be killed")
        node = chance.choice(self._victims() or [self._nodes.nodes[-1]])
        if kind == "worker" or node is self._nodes.nodes[0]:  # the head stays: the command is connected to it
            self._kill_worker(node)
        else:
            self._nodes.kill(node)
            self.nodes_killed += 1
            self._nodes.add()
        self._kills[node.node] += 1
        self._units[node.node] = set()
        finished = self._finished()
        every = [(f"film{number}", place * SEGMENT) for number in range(COPIES) for place in range(SEGMENTS)]
        self._open = set([one for one in every if one not in finished][:AT_ONCE])

    def _kill_worker(self, node: RunningNode) -> None:
        for pid in node.workers():
            end(pid)

    def _victims(self) -> list[RunningNode]:
        self._look()
        finished = self._finished()
        if not self._open <= finished:
            return []
        return [node for node in self._nodes.nodes if self._units[node.node] and self._kills[node.node] < 2]

    def _look(self) -> None:
        for node in self._nodes.nodes:
            units = self._units.setdefault(node.node, set())
            units |= {path.name for path in node.temporary.glob(".realesrgan-*/*")} if node.workers() else set()
            if len(units) > 2:  # as many as it has at a time
                self._kills[node.node] = 0

    def _finished(self) -> set[tuple[str, int]]:
        """The units that are on the disk."""
        return {(f"film{number}", first) for number in range(COPIES) for first in finished_in(self._out, number)}


def finished_in(out: Path, number: int) -> set[int]:
    target = out / f"film{number}_out.mp4"
    manifest = read_manifest(folder_for(target))
    if target.exists():
        return {first * SEGMENT for first in range(SEGMENTS)}
    return {segment.first for segment in manifest.segments} if manifest else set()
