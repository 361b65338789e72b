"""What the crew needs of a cluster: nodes that come and go, processes on them, calls to these. Knows no Ray.

The real one is in `ray_cluster`; tests have one of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from .nodes import Device, Node, NodeFacts


class ProcessDied(Exception):
    """A process, or its node, is gone; the message says why in words. `crashed`: it ended by itself."""

    def __init__(self, reason: str, *, crashed: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.crashed = crashed


class Process(Protocol):
    """A process on a node with a `worker.Worker` in it."""

    async def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the worker and return its result.

        Raises:
            ProcessDied: instead of an answer, or before.
            Exception: what the method raises.
        """

    def kill(self) -> None:
        """End it, even if it is stopped."""


class Cluster(Protocol):
    """All calls are made by one thread, that of an event loop."""

    async def nodes(self) -> Sequence[Node]:
        """The nodes that are alive."""

    async def facts_of(self, node: Node) -> NodeFacts:
        """What a node says of itself.

        Raises:
            ProcessDied: it is gone, or this project is not installed there.
        """

    async def start(self, node: Node, device: Device, at_once_bytes: int) -> Process:
        """Start a worker; returns once it is there, which takes until its device is free.

        Raises:
            ProcessDied: the node is gone.
        """

    def put(self, content: bytes) -> Any:
        """Something to call a worker with that stands for `content`, and travels to each node once."""
