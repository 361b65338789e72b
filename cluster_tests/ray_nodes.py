"""A Ray cluster whose nodes all run on this machine, in processes that can be watched, stopped and killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

PROJECT = Path(__file__).resolve().parent.parent
PATIENCE_S = 90.0  # for whatever a test waits for, on a busy machine
POLL_S = 0.05
STORE_BYTES = 300_000_000
ACTOR = "_Actor"  # in the name that Ray gives the process of a worker

# A node that is gone is noticed after a second or two, not sixteen. Workers are as important as all else.
_NODES = {
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1500",
    "RAY_health_check_failure_threshold": "3",
    "RAY_worker_niceness": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}

T = TypeVar("T")


def until(condition: Callable[[], T], what: str, patience_s: float = PATIENCE_S) -> T:
    """Wait until `condition` gives something that is true, and return it."""
    end_s = time.monotonic() + patience_s
    while not (found := condition()):
        assert time.monotonic() < end_s, f"waited {patience_s:.0f} s in vain: {what}"
        time.sleep(POLL_S)
    return found


def surroundings(home: Path) -> dict[str, str]:
    """The environment of a process that sees nothing of the user's, and uses one thread."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "REALESRGAN_"))}
    return inherited | {
        "HOME": str(home),
        "PYTHONPATH": str(PROJECT),
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": "1",
        "REALESRGAN_CACHE": str(home / "cache"),
        "REALESRGAN_OFFLINE": "1",
    }


@dataclass(frozen=True)
class RunningNode:
    """A node: Ray's name for it, the process that manages it, and where its workers keep their files."""

    node: str
    raylet: int
    temporary: Path

    def workers(self) -> list[int]:
        """The pids of the workers that run there."""
        return [process.pid for process in descendants(self.raylet) if ACTOR in _title(process)]


class RayNodes:
    """A cluster; use in `with`. The first node added is the head, to which whoever comes connects.

    Attributes:
        address: of the head, as HOST:PORT.
        home: the home folder of all nodes, which is not the user's.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        # Not below pytest's folder: the names of sockets are limited to 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="rt"))
        self.home = self.folder / "home"
        self.home.mkdir()
        self.address = ""
        self.nodes: list[RunningNode] = []
        self._seen: set[int] = set()
        with (self.folder / "nodes.log").open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(PROJECT / "cluster_tests" / "nodes_process.py")],
                cwd=self.folder,
                env=surroundings(self.home) | _NODES | {"RAY_TMPDIR": str(self.folder)} | (environment or {}),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    def add(
        self,
        *,
        processors: int = 1,
        store_bytes: int = STORE_BYTES,
        environment: Mapping[str, str] | None = None,
    ) -> RunningNode:
        """Start one more node and wait until the cluster knows it. `environment` stays for all that follow."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        temporary = Path(tempfile.mkdtemp(prefix="node", dir=self.folder))
        wish = {
            "processors": processors,
            "store_bytes": store_bytes,
            "environment": {"TMPDIR": str(temporary), **(environment or {})},
        }
        print(json.dumps(wish), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        assert answer, f"no node was started:\n{(self.folder / 'nodes.log').read_text()}"
        found = json.loads(answer)
        self.address = found["address"]
        self.nodes.append(RunningNode(found["node"], found["raylet"], temporary))
        self._note()
        return self.nodes[-1]

    def kill(self, node: RunningNode) -> None:
        """End a node and all that belongs to it without a word, as if the machine had lost its power."""
        self.nodes.remove(node)
        for pid in [node.raylet, *(process.pid for process in descendants(node.raylet))]:
            end(pid)

    @property
    def head(self) -> int:
        """The pid of the process that knows the cluster."""
        return next(process.pid for process in descendants(self._process.pid) if "gcs_server" in _title(process))

    def workers(self) -> list[int]:
        """The pids of the workers on all nodes."""
        return [pid for node in self.nodes for pid in node.workers()]

    def __enter__(self) -> RayNodes:
        return self

    def __exit__(self, *error: object) -> None:
        self._note()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        for pid in {*self._seen, self._process.pid}:
            end(pid)
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _note(self) -> None:
        """Remember all processes, so that each can be ended even if its parent is gone by then."""
        self._seen |= {process.pid for process in descendants(self._process.pid)}


def end(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def is_running(pid: int) -> bool:
    """Whether a process does anything; one that has ended, and of which nobody has taken note, does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def descendants(pid: int) -> list[psutil.Process]:
    """The processes that a process has started, and those that these have; none if it is gone."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
